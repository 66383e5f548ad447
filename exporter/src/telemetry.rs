//! kanary's own log and its own counters.
//!
//! A loss is counted and logged by the same call, so that the two cannot disagree; the log line comes at most once a
//! minute per kind of loss.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tracing::Level;

use crate::config::LogFormat;

/// Declares [`Loss`] and the table of its labels.
macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident = $hop:literal, $reason:literal;)*) => {
        /// Everything that can be lost on the way, with the labels of `kanary_lost_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Loss { $($(#[$doc])* $name,)* }

        impl Loss {
            /// Every kind, in the order of exposition.
            pub const ALL: &'static [Loss] = &[$(Loss::$name,)*];
            /// Stage at which it was lost.
            pub fn hop(self) -> &'static str { match self { $(Loss::$name => $hop,)* } }
            pub fn reason(self) -> &'static str { match self { $(Loss::$name => $reason,)* } }
        }
    };
}

losses! {
    /// A syscall was counted but its start time was overwritten by another task's.
    StartMissing = "syscalls", "start_missing";
    /// A duration that was counted under `~other` because its syscall found no row of buckets.
    BucketsFull = "syscalls", "buckets_full";
    /// A call that a kernel program did not see: a task was preempted inside the program on that CPU.
    ProgramBusy = "syscalls", "program_busy";
    /// A CPU that was added after the programs were loaded.
    CpuAdded = "syscalls", "cpu_added";
    /// A duration that came out negative.
    ClockBackward = "syscalls", "clock_backward";
    /// A request came while the sampler's queue was full.
    QueueFull = "pipeline", "queue_full";
    /// A request was answered too late to be of use.
    Late = "pipeline", "deadline";
    /// Series beyond `KANARY_MAX_SERIES`.
    SeriesCap = "expose", "max_series";
    /// Series that came twice in one snapshot.
    SeriesTwice = "expose", "duplicate_series";
    /// Connections refused because too many are open.
    Connections = "expose", "connections";
    /// An OTLP request that was replaced by a newer one before the target took it.
    OtlpReplaced = "otlp", "replaced";
    /// An OTLP request that the target refused for good.
    OtlpRejected = "otlp", "rejected";
    /// Points that the target refused of a request it took.
    OtlpPartial = "otlp", "partial_success";
    /// A tick that came too late: the sampler was busy.
    TickSkipped = "detector", "tick_skipped";
    /// A value that is not finite or came with time going backward.
    PointRefused = "detector", "point_refused";
    /// Devices beyond a feature's cap.
    FeatureCap = "detector", "feature_cap";
    /// The state could not be written.
    StateWrite = "state", "write_failed";
}

#[derive(Default)]
struct Counter {
    total: AtomicU64,
    /// Seconds since start (+1) of the last log line; 0 = none yet.
    logged: AtomicU64,
}

static LOST: [Counter; Loss::ALL.len()] =
    [const { Counter { total: AtomicU64::new(0), logged: AtomicU64::new(0) } }; Loss::ALL.len()];

/// Counts `n` losses and says so in the log.
pub fn lost(loss: Loss, n: u64) {
    if n == 0 {
        return;
    }
    let counter = &LOST[loss as usize];
    let total = counter.total.fetch_add(n, Relaxed) + n;
    let now = started().elapsed().as_secs() + 1;
    let last = counter.logged.load(Relaxed);
    if last == 0 || now >= last + 60 {
        counter.logged.store(now, Relaxed);
        tracing::warn!(hop = loss.hop(), reason = loss.reason(), n, total, "lost");
    }
}

/// What was lost so far.
pub fn lost_total(loss: Loss) -> u64 {
    LOST[loss as usize].total.load(Relaxed)
}

/// When this process began to count.
pub fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

/// Starts the log on stderr.
pub fn start_log(level: Level, format: LogFormat) {
    started();
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_and_have_labels_of_their_own() {
        let before = lost_total(Loss::SeriesTwice);
        lost(Loss::SeriesTwice, 2);
        lost(Loss::SeriesTwice, 0);
        lost(Loss::SeriesTwice, 1);
        assert_eq!(lost_total(Loss::SeriesTwice) - before, 3);
        let labels: std::collections::BTreeSet<_> = Loss::ALL.iter().map(|l| (l.hop(), l.reason())).collect();
        assert_eq!(labels.len(), Loss::ALL.len());
    }
}
