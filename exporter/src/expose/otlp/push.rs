//! When to push: one collection an interval, at most one request in flight and one snapshot waiting behind it. A newer
//! snapshot replaces a waiting one: totals are cumulative, so only resolution is lost, and that is counted.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::convert::{Converter, Epoch};
use super::resource::resource;
use super::settings::Settings;
use super::{Client, Outcome};
use crate::expose::page::Page;
use crate::expose::{Source, Want};
use crate::metric;
use crate::snapshot::{Snapshot, Stamp};
use crate::supervise;
use crate::telemetry::{self, Loss, lost};

/// Name of this part in `/status`.
pub const COMPONENT: &str = "otlp";
/// First and longest pause between attempts when the target names none, and the longest it may name.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Pushes until dropped, at most `max_series` of a snapshot. `rootfs` is where the host's root is mounted.
///
/// # Errors
/// When no client can be made of the settings: one line.
pub async fn run<S: Source>(
    source: S,
    settings: Settings,
    rootfs: &Path,
    max_series: usize,
) -> Result<Infallible, String> {
    let client = Client::new(&settings)?;
    // Once for the process: after a restart of this part its points must not seem reset.
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| epoch(Stamp::now(), telemetry::started().elapsed()));
    let converter = Converter::new(metric::all(), resource(&settings, rootfs), settings.histograms, *epoch);
    let target = Target { client, converter, max_series, pause: Pause::default() };
    let slot = Slot::default();
    tokio::select! {
        never = collect(&source, &settings, &slot) => match never {},
        never = send(target, &slot) => match never {},
    }
}

fn epoch(now: Stamp, running: Duration) -> Epoch {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    Epoch { boot: nanos(now.wall.saturating_sub(now.boot)), process: nanos(now.wall.saturating_sub(running)) }
}

/// The one snapshot that waits.
#[derive(Default)]
struct Slot {
    waiting: Mutex<Option<Arc<Snapshot>>>,
    filled: Notify,
}

impl Slot {
    fn put(&self, snapshot: Arc<Snapshot>) {
        if self.waiting.lock().unwrap_or_else(PoisonError::into_inner).replace(snapshot).is_some() {
            lost(Loss::OtlpReplaced, 1);
        }
        self.filled.notify_one();
    }

    fn take(&self) -> Option<Arc<Snapshot>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn wait(&self) -> Arc<Snapshot> {
        loop {
            if let Some(snapshot) = self.take() {
                return snapshot;
            }
            self.filled.notified().await;
        }
    }
}

async fn collect<S: Source>(source: &S, settings: &Settings, slot: &Slot) -> Infallible {
    let mut ticks = interval_at(Instant::now() + settings.interval, settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let deadline = Instant::now() + settings.export_timeout;
        // A late collection is counted by whoever is late.
        if let Ok(snapshot) = source.collect(Want::Exposed, deadline).await {
            slot.put(snapshot);
        }
    }
}

async fn send(mut target: Target, slot: &Slot) -> Infallible {
    loop {
        let mut snapshot = slot.wait().await;
        while let Some(wait) = target.attempt(&snapshot).await {
            sleep(wait).await;
            if let Some(newer) = slot.take() {
                lost(Loss::OtlpReplaced, 1);
                snapshot = newer;
            }
        }
    }
}

/// Who receives, in which words, and how patient we are with it.
struct Target {
    client: Client,
    converter: Converter,
    max_series: usize,
    pause: Pause,
}

impl Target {
    /// One request. How long to wait before the next, if this snapshot should be tried again.
    async fn attempt(&mut self, snapshot: &Snapshot) -> Option<Duration> {
        let request = self.converter.convert(&Page::counted(snapshot, self.max_series), snapshot.at);
        match self.client.export(request).await {
            Outcome::Taken { rejected, message } => {
                self.pause = Pause::default();
                supervise::up(COMPONENT);
                lost(Loss::OtlpPartial, rejected);
                if !message.is_empty() {
                    tracing::debug!(rejected, message, "the OTLP target took the request");
                }
                None
            }
            Outcome::Refused { why } => {
                lost(Loss::OtlpRejected, 1);
                report(&why);
                None
            }
            Outcome::Again { after, why } => {
                report(&why);
                Some(after.map_or_else(|| self.pause.next(jitter()), |wish| wish.min(LONGEST_WISH)))
            }
        }
    }
}

/// Logs a failure when it is another than the last one.
fn report(why: &str) {
    let known = supervise::components().iter().any(|c| c.component == COMPONENT && !c.up && c.reason == why);
    if !known {
        tracing::warn!(reason = why, "the OTLP target did not take the request");
    }
    supervise::down(COMPONENT, why);
}

/// Exponential back-off.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(FIRST_PAUSE)
    }
}

impl Pause {
    /// The next pause: somewhere between half and all of the current step, by `jitter` in [0, 1).
    fn next(&mut self, jitter: f64) -> Duration {
        let step = self.0;
        self.0 = (step * 2).min(LONGEST_PAUSE);
        step.mul_f64(0.5 + jitter / 2.0)
    }
}

/// Random in [0, 1): enough to keep a fleet from coming back in step.
fn jitter() -> f64 {
    (RandomState::new().hash_one(()) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pause = Pause::default();
        let pauses: Vec<f64> = (0..8).map(|_| pause.next(1.0).as_secs_f64()).collect();
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(Pause::default().next(0.0), Duration::from_millis(500));
        assert!((0..100).all(|_| (0.0..1.0).contains(&jitter())));
    }

    #[test]
    fn the_newer_snapshot_replaces_the_one_that_waits() {
        let slot = Slot::default();
        let snapshot = |seconds| {
            let mut snapshot = testing::snapshot(&[]);
            snapshot.at.boot = Duration::from_secs(seconds);
            Arc::new(snapshot)
        };
        let before = telemetry::lost_total(Loss::OtlpReplaced);
        slot.put(snapshot(1));
        slot.put(snapshot(2));
        assert_eq!(slot.take().unwrap().at.boot.as_secs(), 2);
        assert!(slot.take().is_none());
        assert_eq!(telemetry::lost_total(Loss::OtlpReplaced) - before, 1);
    }

    #[test]
    fn kernel_counts_start_at_boot_and_own_ones_with_the_process() {
        let epoch = epoch(testing::AT, Duration::from_secs(10));
        assert_eq!(epoch.boot, 1_699_999_000_000_000_000);
        assert_eq!(epoch.process, 1_699_999_990_000_000_000);
    }
}
