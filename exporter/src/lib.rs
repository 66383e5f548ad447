//! kanary: kernel and host metrics with anomaly scores, for Prometheus and OpenTelemetry.
//!
//! `ARCHITECTURE.md` is the map. Directories are stages in the order data flows, plain files the words they share.

pub mod bpf;
pub mod collect;
pub mod config;
pub mod expose;
pub mod metric;
pub mod snapshot;
pub mod supervise;
pub mod telemetry;
