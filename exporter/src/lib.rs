//! kanary: kernel and host metrics with anomaly scores, for Prometheus and OpenTelemetry.
//!
//! `ARCHITECTURE.md` is the map. Directories are stages in the order data flows, plain files the words they share.

pub mod bpf;
pub mod check;
pub mod cli;
pub mod collect;
pub mod config;
pub mod detect;
pub mod expose;
pub mod healthcheck;
pub mod metric;
pub mod pipeline;
pub mod replay;
pub mod run;
pub mod snapshot;
pub mod state;
pub mod supervise;
pub mod telemetry;
