//! Snapshots in, scores, episodes and trends out. A pure function of what it is given: no clock, no I/O.
//!
//! ```text
//! Snapshot ── extract ──▶ row of features ── engine ──▶ verdict per feature (model: level, novelty, tail)
//!                                              ├──────▶ state of the host (host: pca, forest, tails), every minute
//!                                              ├──────▶ onset of the host (onset), every ten seconds
//!                                              └──────▶ episodes, trends ──▶ publish (metrics), report (JSON)
//! ```
//!
//! The table of features is `features`. The numbers this design rests on are in BENCHMARKS.md, *Detector*.

mod array;
pub mod engine;
pub mod episode;
mod extract;
mod feature;
pub mod features;
mod forest;
mod host;
mod level;
mod model;
mod novelty;
mod onset;
mod pace;
mod pca;
mod publish;
mod report;
pub mod slot;
mod tail;
mod trend;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use features::{period, sources};
pub use report::Report;

use crate::config::{self, Config, Setting, flag};
use crate::snapshot::{Sink, Snapshot, Stamp};
use crate::telemetry::{Loss, lost};
use engine::{Engine, Tuning};
use extract::Extractor;
use publish::Extras;

pub const ZSCORE: Setting =
    Setting::new("KANARY_DETECTOR_ZSCORE", "0", "0 or 1", "exposes each feature's z and the isolation forest's score");
pub const TRENDS: Setting = Setting::new(
    "KANARY_DETECTOR_TRENDS",
    "0",
    "0 or 1",
    "exposes the trend of every feature, not only towards limits",
);

/// The detector's own settings.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    [&ZSCORE, &TRENDS].into_iter()
}

/// Oldest state that is resumed: the level's memory is half a day.
const RESUMABLE: Duration = Duration::from_secs(12 * 3600);
/// Difference by which two clocks may have drifted apart before the host must have restarted.
const DRIFT: f64 = 60.0;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    tuning: Tuning,
    extras: Extras,
}

impl Settings {
    /// # Errors
    /// A value that cannot be used.
    pub fn from_config(config: &Config) -> Result<Self, config::Error> {
        let tuning = Tuning { warmup: config.detector_warmup, all_trends: config.vars.parse(&TRENDS, flag)? };
        Ok(Settings { tuning, extras: Extras { zscore: config.vars.parse(&ZSCORE, flag)? } })
    }

    /// What the engine is told.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }
}

/// The running detector.
pub struct Detector {
    settings: Settings,
    engine: Engine,
    extractor: Extractor,
    clock: Clock,
    /// When the last snapshot was taken.
    last: Option<Stamp>,
    took: Duration,
    report: Arc<Report>,
    /// Blocks the report knows of.
    reported: u64,
}

/// The engine's seconds: boot time, shifted so that they go on after a restart of the host.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Clock {
    shift: f64,
}

impl Clock {
    fn seconds(self, at: Stamp) -> f64 {
        at.boot.as_secs_f64() + self.shift
    }
}

/// What is kept across restarts.
#[derive(Serialize, Deserialize)]
struct Saved {
    boot: f64,
    wall: f64,
    clock: Clock,
    engine: Engine,
}

impl Detector {
    pub fn new(settings: Settings) -> Self {
        Detector {
            settings,
            engine: Engine::new(settings.tuning),
            extractor: Extractor::default(),
            clock: Clock::default(),
            last: None,
            took: Duration::ZERO,
            report: Arc::default(),
            reported: 0,
        }
    }

    /// Takes in a snapshot. What was seen at an earlier time is dropped.
    pub fn tick(&mut self, snapshot: &Snapshot) {
        self.last = Some(snapshot.at);
        let row = self.extractor.row(snapshot, &mut self.engine);
        if !self.engine.tick(self.clock.seconds(snapshot.at), snapshot.at.wall.as_secs_f64(), row) {
            lost(Loss::PointRefused, 1);
        }
    }

    /// What the last tick cost, as its caller measured it.
    pub fn note_cost(&mut self, took: Duration) {
        self.took = took;
    }

    /// Writes the detector's families.
    pub fn publish(&self, out: &mut Sink) {
        publish::publish(&self.engine, self.settings.extras, self.took, out);
    }

    /// The view for the JSON API; made anew when a block has ended since.
    pub fn report(&mut self) -> Arc<Report> {
        if self.reported != self.engine.blocks {
            self.reported = self.engine.blocks;
            self.report = Arc::new(Report::of(&self.engine));
        }
        self.report.clone()
    }

    /// The state as bytes; empty before the first snapshot.
    pub fn save(&self) -> Vec<u8> {
        let Some(at) = self.last else { return Vec::new() };
        let saved = SavedRef {
            boot: at.boot.as_secs_f64(),
            wall: at.wall.as_secs_f64(),
            clock: self.clock,
            engine: &self.engine,
        };
        postcard::to_allocvec(&saved).unwrap_or_default()
    }

    /// Goes on from a saved state; says how old it was.
    ///
    /// # Errors
    /// Why it cannot be used, in one line; the detector is as before.
    pub fn restore(&mut self, bytes: &[u8], now: Stamp) -> Result<String, String> {
        let saved: Saved = postcard::from_bytes(bytes).map_err(|e| format!("not this detector's state: {e}"))?;
        let (boot, wall) = (now.boot.as_secs_f64(), now.wall.as_secs_f64());
        let age = wall - saved.wall;
        if age > RESUMABLE.as_secs_f64() {
            return Err(format!("{:.1} h old, {} h at most", age / 3600.0, RESUMABLE.as_secs() / 3600));
        }
        if age < -DRIFT {
            return Err(format!("written {:.0} s from now", -age));
        }
        if !saved.engine.fits(self.settings.tuning) {
            return Err("made with another KANARY_DETECTOR_WARMUP or KANARY_DETECTOR_TRENDS".into());
        }
        let same_boot = boot >= saved.boot && ((boot - saved.boot) - age).abs() < DRIFT;
        let shift = if same_boot { saved.clock.shift } else { saved.boot + saved.clock.shift + age.max(0.0) - boot };
        (self.clock, self.last) = (Clock { shift }, Some(now));
        self.engine = saved.engine;
        Ok(format!("{:.0} s old, {} features, {} ticks", age.max(0.0), self.engine.slots.len(), self.engine.ticks))
    }
}

#[derive(Serialize)]
struct SavedRef<'a> {
    boot: f64,
    wall: f64,
    clock: Clock,
    engine: &'a Engine,
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
