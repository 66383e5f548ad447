//! Snapshots in, scores, episodes and trends out. (Interface only; replaced whole by the detector.)

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::snapshot::{Sink, Snapshot, Stamp};

#[derive(Clone)]
pub struct Settings;

impl Settings {
    pub fn from_config(_: &Config) -> Self {
        Settings
    }
}

#[derive(Default)]
pub struct Report(Vec<u8>);

impl Report {
    pub fn anomalies(&self, _limit: usize) -> &[u8] {
        &self.0
    }
    pub fn trends(&self) -> &[u8] {
        &self.0
    }
}

pub struct Detector(Settings);

impl Detector {
    pub fn new(settings: Settings) -> Self {
        Detector(settings)
    }
    pub fn tick(&mut self, _: &Snapshot) {}
    pub fn publish(&self, _: &mut Sink) {}
    pub fn report(&self) -> Arc<Report> {
        Arc::default()
    }
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    /// # Errors
    /// Why the state cannot be used.
    pub fn restore(&mut self, _: &[u8], _now: Stamp) -> Result<String, String> {
        Ok(String::new())
    }
}

/// How often the features want a collector; `None` when none of them needs it.
pub fn period(_collector: &str, _tick: Duration) -> Option<Duration> {
    None
}
