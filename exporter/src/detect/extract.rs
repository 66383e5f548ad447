//! Snapshots to rows of feature values: counters to rates, histograms to quantiles of their increase.
//!
//! A counter that went back was reset: its next increase counts. A device gets its place when it is first seen and keeps
//! it. What is not in a snapshot is missing, never 0.

use std::sync::Arc;

use compact_str::CompactString;

use super::engine::Engine;
use super::episode::Key;
use super::feature::{Dimension, Feature, Only, Term, Transform};
use super::features;
use super::pace::{Advance, Pace};
use crate::metric::Family;
use crate::snapshot::{Histogram, Point, Samples, Snapshot, Value};
use crate::telemetry::{Loss, lost};

/// Most names remembered per dimension, admitted or not.
const NAMES: usize = 256;
/// Seconds after which an increase too small to be judged is forgotten.
const PATIENCE: f64 = 60.0;

pub struct Extractor {
    /// Families needed, sorted by address, and where this snapshot has them: section and samples.
    families: Vec<&'static Family>,
    found: Vec<Option<(u32, u32)>>,
    devices: [Devices; Dimension::ALL.len()],
    /// By kind, then by device.
    cells: Vec<Vec<Cell>>,
    row: Vec<f64>,
}

/// Names of one dimension and the place each was given.
#[derive(Default)]
struct Devices {
    names: Vec<(CompactString, Option<usize>)>,
    admitted: usize,
    hint: usize,
}

/// One feature between two snapshots.
#[derive(Default)]
struct Cell {
    slot: Option<usize>,
    /// Sums of this snapshot, and which terms took part.
    of: f64,
    over: f64,
    terms: u16,
    histogram: Option<Arc<Histogram>>,
    pace: Pace,
    /// What increases are counted from.
    before: Option<Before>,
}

struct Before {
    at: f64,
    of: f64,
    over: f64,
    histogram: Option<Arc<Histogram>>,
}

impl Default for Extractor {
    fn default() -> Self {
        let mut families = features::families();
        families.sort_by_key(|f| address(f));
        Extractor {
            found: vec![None; families.len()],
            families,
            devices: Default::default(),
            cells: features::ALL.iter().map(|_| Vec::new()).collect(),
            row: Vec::new(),
        }
    }
}

fn address(family: &'static Family) -> usize {
    std::ptr::from_ref(family) as usize
}

impl Extractor {
    /// The row of a snapshot, in the order of the engine's slots; features that are new get their slot.
    pub fn row(&mut self, snapshot: &Snapshot, engine: &mut Engine) -> &[f64] {
        self.locate(snapshot);
        self.row.clear();
        self.row.resize(engine.slots.len(), f64::NAN);
        for (kind, feature) in features::ALL.iter().enumerate() {
            self.gather(snapshot, kind, feature);
            let Some(at) = self.time(snapshot, feature) else { continue };
            for i in 0..self.cells[kind].len() {
                let value = self.cells[kind][i].value(feature, at);
                if value.is_finite() {
                    self.put(kind, i, feature, value, engine);
                }
            }
        }
        &self.row
    }

    fn locate(&mut self, snapshot: &Snapshot) {
        self.found.fill(None);
        for (s, section) in snapshot.sections.iter().enumerate() {
            for (i, samples) in section.samples.iter().enumerate() {
                let place = self.families.binary_search_by_key(&address(samples.family), |f| address(f));
                if let Ok(at) = place {
                    self.found[at] = Some((s as u32, i as u32));
                }
            }
        }
    }

    fn place(&self, family: &'static Family) -> Option<(u32, u32)> {
        let at = self.families.binary_search_by_key(&address(family), |f| address(f));
        at.ok().and_then(|at| self.found[at])
    }

    /// When the feature's source was read.
    fn time(&self, snapshot: &Snapshot, feature: &Feature) -> Option<f64> {
        let (section, _) = self.place(feature.of[0].family)?;
        Some(snapshot.sections[section as usize].at.boot.as_secs_f64())
    }

    /// Adds up the samples of each device.
    fn gather(&mut self, snapshot: &Snapshot, kind: usize, feature: &'static Feature) {
        for cell in &mut self.cells[kind] {
            (cell.of, cell.over, cell.terms, cell.histogram) = (0.0, 0.0, 0, None);
        }
        for (t, term) in feature.of.iter().chain(feature.over).enumerate() {
            let Some((s, i)) = self.place(term.family) else { continue };
            let samples = &snapshot.sections[s as usize].samples[i as usize];
            if feature.dimension.is_none() && self.cells[kind].is_empty() {
                self.cells[kind].push(Cell::default());
            }
            if let (None, Some(cell)) = (feature.dimension, self.cells[kind].first_mut()) {
                cell.terms |= 1 << t;
            }
            for point in samples.points.iter().filter(|p| counts(term, samples, p)) {
                let Some(device) = self.device(feature.dimension, samples, point) else { continue };
                let cells = &mut self.cells[kind];
                while cells.len() <= device {
                    cells.push(Cell::default());
                }
                cells[device].add(term.weight, &point.value, t, feature.of.len());
            }
        }
    }

    /// Place of the point's device; `None` when it is not followed.
    fn device(&mut self, dimension: Option<Dimension>, samples: &Samples, point: &Point) -> Option<usize> {
        let Some(dimension) = dimension else { return Some(0) };
        let label = |name: &str| {
            let at = samples.family.labels.iter().position(|l| *l == name);
            at.and_then(|at| point.labels.get(at)).map_or("", CompactString::as_str)
        };
        let name = label(dimension.label());
        let devices = &mut self.devices[dimension as usize];
        if let Some(known) = devices.find(name) {
            return known;
        }
        let wanted = dimension.admits(name, label);
        let place = (wanted && devices.admitted < dimension.cap()).then_some(devices.admitted);
        if wanted && place.is_none() {
            lost(Loss::FeatureCap, 1);
        }
        devices.remember(name, place);
        place
    }

    fn put(&mut self, kind: usize, device: usize, feature: &Feature, value: f64, engine: &mut Engine) {
        let slot = match self.cells[kind][device].slot {
            Some(slot) => slot,
            None => {
                let slot = self.slot(feature, device, engine);
                self.cells[kind][device].slot = Some(slot);
                self.row.resize(engine.slots.len(), f64::NAN);
                slot
            }
        };
        self.row[slot] = value;
    }

    /// The slot of a feature: the one it had before a restart, or a new one.
    fn slot(&self, feature: &Feature, device: usize, engine: &mut Engine) -> usize {
        let name = feature.dimension.map_or("", |d| self.devices[d as usize].name(device));
        let key = Key { feature: feature.name.into(), device: name.into() };
        let known = engine.slots.iter().position(|s| s.key == key);
        known.unwrap_or_else(|| engine.add(key, feature.traits()))
    }
}

fn counts(term: &Term, samples: &Samples, point: &Point) -> bool {
    let has = |label: &str, values: &[&str]| {
        let at = samples.family.labels.iter().position(|l| *l == label);
        at.and_then(|at| point.labels.get(at)).is_some_and(|v| values.contains(&v.as_str()))
    };
    match term.only {
        Only::All => true,
        Only::With(label, values) => has(label, values),
        Only::Without(label, values) => !has(label, values),
    }
}

impl Devices {
    /// Devices come in the same order each time: the next one is nearly always the one after the last.
    fn find(&mut self, name: &str) -> Option<Option<usize>> {
        let n = self.names.len();
        for k in 0..n {
            let at = (self.hint + k) % n;
            if self.names[at].0 == name {
                self.hint = at + 1;
                return Some(self.names[at].1);
            }
        }
        None
    }

    fn remember(&mut self, name: &str, place: Option<usize>) {
        self.admitted += usize::from(place.is_some());
        if place.is_some() || self.names.len() < NAMES {
            self.names.push((name.into(), place));
        }
    }

    fn name(&self, place: usize) -> &str {
        self.names.iter().find(|(_, p)| *p == Some(place)).map_or("", |(n, _)| n)
    }
}

impl Cell {
    fn add(&mut self, weight: f64, value: &Value, term: usize, numerators: usize) {
        self.terms |= 1 << term;
        match value {
            Value::Number(x) if term < numerators => self.of += weight * x,
            Value::Number(x) => self.over += weight * x,
            Value::Histogram(h) => self.histogram = Some(h.clone()),
        }
    }

    /// The feature's value now; NaN when there is none.
    fn value(&mut self, feature: &Feature, at: f64) -> f64 {
        let terms = feature.of.len() + feature.over.len();
        if self.terms.count_ones() as usize != terms {
            return f64::NAN;
        }
        match feature.transform {
            Transform::Gauge if feature.over.is_empty() => self.of,
            Transform::Gauge => quotient(self.of, self.over),
            Transform::Rate => {
                self.increase(at, |was, now, elapsed| (now.of >= was.of).then(|| (now.of - was.of) / elapsed))
            }
            Transform::RatioOfRates { least } => self.increase(at, |was, now, _| {
                let over = now.over - was.over;
                (over >= least && now.of >= was.of).then(|| quotient(now.of - was.of, over))
            }),
            Transform::Quantile { q, least } => self
                .increase(at, |was, now, _| quantile(was.histogram.as_deref()?, now.histogram.as_deref()?, q, least)),
        }
    }

    /// What `judge` makes of the increase since `before`; when it makes nothing of it yet, `before` stays.
    fn increase(&mut self, at: f64, judge: impl Fn(&Before, &Before, f64) -> Option<f64>) -> f64 {
        let now = Before { at, of: self.of, over: self.over, histogram: self.histogram.clone() };
        let advance = self.pace.advance(at);
        let Some(was) = self.before.as_ref().filter(|_| advance != Advance::Gap) else {
            self.before = Some(now);
            return f64::NAN;
        };
        let value = judge(was, &now, at - was.at);
        let went_back = now.of < was.of || now.over < was.over;
        if value.is_some() || went_back || at - was.at > PATIENCE {
            self.before = Some(now);
        }
        value.unwrap_or(f64::NAN)
    }
}

fn quotient(of: f64, over: f64) -> f64 {
    if over > 0.0 { of / over } else { f64::NAN }
}

/// Quantile of what was counted between two histograms, in seconds, interpolated geometrically within its bucket.
/// `None` when there are fewer than `least` or when it was reset.
fn quantile(was: &Histogram, now: &Histogram, q: f64, least: u64) -> Option<f64> {
    let increase = |i: usize| now.buckets[i].checked_sub(*was.buckets.get(i)?);
    let total = (0..now.buckets.len()).try_fold(0, |sum, i| Some(sum + increase(i)?))?;
    if total < least.max(1) {
        return None;
    }
    let rank = q * total as f64;
    let mut below = 0.0;
    for i in 0..now.buckets.len() {
        let n = increase(i)? as f64;
        if below + n >= rank && n > 0.0 {
            let upper = Histogram::upper(i.min(Histogram::LEN - 2));
            return Some(upper * ((rank - below) / n - 1.0).mul_add(1.0 / 8.0, 0.0).exp2());
        }
        below += n;
    }
    None
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
