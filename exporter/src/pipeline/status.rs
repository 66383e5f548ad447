//! What `/status` shows: each collector, program and component with its state, reason and cost.

use std::time::Duration;

use serde::Serialize;

use crate::bpf;
use crate::snapshot::{Outcome, Section};
use crate::supervise::{self, Component};
use crate::telemetry;

/// The last outcome of one collector.
#[derive(Clone, Debug, Serialize)]
pub struct CollectorStatus {
    pub collector: &'static str,
    /// Whether `/metrics` shows it; a collector may run for the detector alone.
    pub exposed: bool,
    /// `off`, `unasked`, `ok`, `absent` or `failed`.
    pub state: &'static str,
    /// Why it is absent or failed; empty otherwise.
    pub reason: String,
    /// Items that failed in the last reading while the rest went on.
    pub faults: Vec<String>,
    pub seconds: f64,
}

/// A kernel program and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramStatus {
    pub program: &'static str,
    pub hook: &'static str,
    pub verdict: &'static str,
    pub reason: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub uptime_seconds: f64,
    pub collectors: Vec<CollectorStatus>,
    pub programs: Vec<ProgramStatus>,
    pub components: Vec<Component>,
    /// `KANARY_` variables that nothing knows.
    pub unknown_variables: Vec<String>,
}

impl From<&bpf::Status> for ProgramStatus {
    fn from(status: &bpf::Status) -> Self {
        let bpf::Status { program, hook, verdict, reason } = status;
        ProgramStatus { program, hook, verdict: verdict.label(), reason: reason.clone() }
    }
}

impl Status {
    /// The same, with what changes by itself as it is now.
    pub(super) fn now(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: telemetry::started().elapsed().as_secs_f64(),
            components: supervise::components(),
            ..self.clone()
        }
    }

    /// Notes what came of a reading.
    pub(super) fn note(&mut self, section: &Section) {
        if let Some(c) = self.collectors.iter_mut().find(|c| c.collector == section.collector) {
            c.update(&section.outcome, &section.faults, section.took);
        }
    }
}

impl CollectorStatus {
    /// A collector that was not asked yet, or is switched off.
    pub fn new(collector: &'static str, runs: bool, exposed: bool) -> Self {
        let state = if runs { "unasked" } else { "off" };
        CollectorStatus { collector, exposed, state, reason: String::new(), faults: Vec::new(), seconds: 0.0 }
    }

    fn update(&mut self, outcome: &Outcome, faults: &[String], took: Duration) {
        let (state, reason) = match outcome {
            Outcome::Ok => ("ok", ""),
            Outcome::Absent(why) => ("absent", why.as_str()),
            Outcome::Failed(why) => ("failed", why.as_str()),
        };
        self.state = state;
        if self.reason != reason {
            self.reason = reason.into();
        }
        if self.faults != faults {
            self.faults = faults.into();
        }
        self.seconds = took.as_secs_f64();
    }
}
