//! Families and snapshots for the tests of the renderers.

use std::sync::Arc;
use std::time::Duration;

use crate::metric::{Family, Per};
use crate::snapshot::{Histogram, Outcome, Section, Sink, Snapshot, Stamp};

pub static HITS: Family = Family::counter("test", "kanary_test_hits_total", "Hits with \"quotes\", \\ and\nnewline.")
    .labels(&["who", "what"])
    .budget(10, Per::Host);
pub static LEVEL: Family = Family::gauge("test", "kanary_test_level", "A level.");
pub static OPEN: Family = Family::untyped("test", "kanary_test_*", "Field * of a test.");
pub static LATENCY: Family =
    Family::histogram("test", "kanary_test_duration_seconds", "Durations.").labels(&["call"]).budget(10, Per::Host);

pub const AT: Stamp = Stamp { boot: Duration::from_secs(1000), wall: Duration::from_secs(1_700_000_000) };

/// One section for each of `fill`.
pub fn snapshot(fill: &[fn(&mut Sink)]) -> Snapshot {
    let section = |fill: &fn(&mut Sink)| {
        let mut sink = Sink::default();
        fill(&mut sink);
        let (samples, faults) = sink.finish();
        let took = Duration::from_millis(1);
        Arc::new(Section { collector: "test", at: AT, took, outcome: Outcome::Ok, faults, samples })
    };
    Snapshot { at: AT, sections: fill.iter().map(section).collect() }
}

/// Underflow 1, 2 in a bucket just below a second, overflow 3.
pub fn histogram() -> Arc<Histogram> {
    let mut h = Histogram::empty();
    h.buckets[0] = 1;
    h.buckets[216] = 2;
    h.buckets[Histogram::LEN - 1] = 3;
    h.sum = 9000.5;
    Arc::new(h)
}
