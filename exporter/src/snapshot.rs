//! Samples of one collection. Immutable once made, shared by `Arc`.
//!
//! A [`Snapshot`] is a list of [`Section`]s, one per collector: a scrape that asks for some collectors gets those
//! sections, and sections younger than the reuse window are shared between scrapes.

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::metric::Family;

/// An instant on both clocks. Rates and windows use `boot`, the day profile uses `wall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// CLOCK_BOOTTIME.
    pub boot: Duration,
    /// CLOCK_REALTIME, since the Unix epoch (UTC).
    pub wall: Duration,
}

impl Stamp {
    /// Reads both clocks: the one place that does.
    pub fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let read = |id| {
            let t = clock_gettime(id);
            Duration::new(t.tv_sec.max(0) as u64, t.tv_nsec as u32)
        };
        Stamp { boot: read(ClockId::Boottime), wall: read(ClockId::Realtime) }
    }
}

/// Label values, in the order of [`Family::labels`].
pub type Labels = SmallVec<[CompactString; 3]>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Histogram(Arc<Histogram>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub labels: Labels,
    pub value: Value,
}

/// All points of one family.
#[derive(Clone, Debug)]
pub struct Samples {
    pub family: &'static Family,
    /// Fills the `*` of an open family's name; empty otherwise.
    pub key: CompactString,
    pub points: Vec<Point>,
}

impl Samples {
    /// The Prometheus name in up to three parts, to be written one after the other.
    pub fn name(&self) -> [&str; 3] {
        fill(self.family.name, &self.key)
    }
    /// Names and values of a point's labels that are to be written.
    pub fn labels<'a>(&self, point: &'a Point) -> impl Iterator<Item = (&'static str, &'a str)> {
        let pairs = self.family.labels.iter().zip(&point.labels).map(|(name, value)| (*name, value.as_str()));
        pairs.filter(|(_, value)| !(self.family.sparse && value.is_empty()))
    }
    /// The HELP text in up to three parts.
    pub fn help(&self) -> [&str; 3] {
        fill(self.family.help, &self.key)
    }
}

fn fill<'a>(template: &'a str, key: &'a str) -> [&'a str; 3] {
    match template.split_once('*') {
        Some((before, after)) if !key.is_empty() => [before, key, after],
        _ => [template, "", ""],
    }
}

/// What came of asking one collector.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Ok,
    /// This host has no such thing (no PSI, no disks): not an error.
    Absent(String),
    /// Could not be read: path and reason.
    Failed(String),
}

/// One collector's answer.
#[derive(Clone, Debug)]
pub struct Section {
    pub collector: &'static str,
    pub at: Stamp,
    pub took: Duration,
    pub outcome: Outcome,
    /// Single items that failed without failing the collector: path and reason.
    pub faults: Vec<String>,
    pub samples: Vec<Samples>,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub at: Stamp,
    pub sections: Vec<Arc<Section>>,
}

impl Snapshot {
    pub fn samples(&self) -> impl Iterator<Item = &Samples> {
        self.sections.iter().flat_map(|s| &s.samples)
    }
    /// The samples of a family that is not open.
    pub fn get(&self, family: &'static Family) -> Option<&Samples> {
        self.samples().find(|s| std::ptr::eq(s.family, family))
    }
    /// The samples of one key of an open family.
    pub fn get_key(&self, family: &'static Family, key: &str) -> Option<&Samples> {
        self.samples().find(|s| std::ptr::eq(s.family, family) && s.key == key)
    }
}

/// Most faults of one collection that are told one by one.
const MAX_FAULTS: usize = 16;

/// Where a collector puts what it found.
#[derive(Default)]
pub struct Sink {
    samples: Vec<Samples>,
    faults: Vec<String>,
    faults_left_out: usize,
    cursor: usize,
}

impl Sink {
    /// Adds one sample; `labels` in the order of the family's label names.
    pub fn number(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.push(family, "", labels, Value::Number(value));
    }
    /// Adds one sample of an open family.
    pub fn keyed(&mut self, family: &'static Family, key: &str, value: f64) {
        self.push(family, key, &[], Value::Number(value));
    }
    /// The same of a family with labels.
    pub fn keyed_number(&mut self, family: &'static Family, key: &str, labels: &[&str], value: f64) {
        self.push(family, key, labels, Value::Number(value));
    }
    pub fn histogram(&mut self, family: &'static Family, labels: &[&str], value: Arc<Histogram>) {
        self.push(family, "", labels, Value::Histogram(value));
    }
    /// Notes an item that failed while the rest of the collector goes on. The first [`MAX_FAULTS`] are kept, the
    /// rest counted in one more.
    pub fn fault(&mut self, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(what.into());
        } else {
            self.faults_left_out += 1;
        }
    }
    pub fn finish(mut self) -> (Vec<Samples>, Vec<String>) {
        if self.faults_left_out > 0 {
            self.faults.push(format!("{} more", self.faults_left_out));
        }
        (self.samples, self.faults)
    }

    fn push(&mut self, family: &'static Family, key: &str, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let at = self.place(family, key);
        let labels = labels.iter().map(|l| CompactString::new(l)).collect();
        self.samples[at].points.push(Point { labels, value });
        self.cursor = at;
    }

    /// Index of the family's samples. Collectors go through their families in the same order for each device, so
    /// the next one is nearly always where the cursor is or one further.
    fn place(&mut self, family: &'static Family, key: &str) -> usize {
        let is = |s: &Samples| std::ptr::eq(s.family, family) && s.key == key;
        let n = self.samples.len();
        for at in [self.cursor, self.cursor + 1, 0] {
            if at < n && is(&self.samples[at]) {
                return at;
            }
        }
        // Without labels a key has one sample, so it is new.
        if !(family.is_open() && family.labels.is_empty())
            && let Some(at) = self.samples.iter().position(is)
        {
            return at;
        }
        self.samples.push(Samples { family, key: CompactString::new(key), points: Vec::new() });
        n
    }
}

/// Durations, counted at schema 3: boundaries at exactly 2^(k/8) seconds.
///
/// `buckets[0]` holds values <= 2^[`Histogram::LOW`] s, `buckets[i]` those in (2^(LOW + (i-1)/8), 2^(LOW + i/8)], the
/// last those above 2^[`Histogram::HIGH`]. A bucket's geometric middle is within 4.4 % of every value in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// [`Histogram::LEN`] counts.
    pub buckets: Box<[u64]>,
    /// Seconds.
    pub sum: f64,
}

impl Histogram {
    /// Buckets per octave = 2^SCHEMA.
    pub const SCHEMA: i32 = 3;
    /// log2 of the lowest boundary in seconds.
    pub const LOW: i32 = -27;
    /// log2 of the highest boundary in seconds.
    pub const HIGH: i32 = 10;
    /// Number of buckets, under- and overflow included.
    pub const LEN: usize = ((Self::HIGH - Self::LOW) as usize) * 8 + 2;

    pub fn empty() -> Self {
        Histogram { buckets: vec![0; Self::LEN].into(), sum: 0.0 }
    }
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
    /// Upper boundary of bucket `i` in seconds; infinite for the last.
    pub fn upper(i: usize) -> f64 {
        if i + 1 >= Self::LEN { f64::INFINITY } else { (f64::from(Self::LOW) + i as f64 / 8.0).exp2() }
    }
}
