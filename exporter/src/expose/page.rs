//! What of a snapshot goes on a page: each family once, each series once, no more series than the limit.
//!
//! The last line of defence: collectors are not supposed to give a series twice. What is left out is counted.

use std::borrow::Cow;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::buckets::CLASSIC_LE;
use crate::metric::Kind;
use crate::snapshot::{Labels, Point, Samples, Snapshot};
use crate::telemetry::{Loss, lost};

/// Series of a histogram with classic buckets: those, `+Inf`, sum and count.
pub const HISTOGRAM_SERIES: usize = CLASSIC_LE.len() + 3;

/// Up to so many points are compared with each other, more are hashed.
const COMPARED: usize = 6;

/// References into a snapshot, in the order of exposition.
pub struct Page<'a> {
    groups: Vec<(&'a Samples, Range<usize>)>,
    points: Vec<&'a Point>,
    /// Points left out because the same labels came before.
    pub duplicates: u64,
    /// Series left out because of the limit.
    pub overflow: u64,
}

impl<'a> Page<'a> {
    /// `limit` in series: a histogram is [`HISTOGRAM_SERIES`] of them.
    pub fn new(snapshot: &'a Snapshot, limit: usize) -> Self {
        let mut page = Page { groups: Vec::new(), points: Vec::new(), duplicates: 0, overflow: 0 };
        let mut room = limit;
        let mut seen = HashSet::new();
        for parts in families(snapshot) {
            let start = page.points.len();
            page.points.extend(parts.iter().flat_map(|s| &s.points));
            page.drop_duplicates(start, &mut seen);
            let series = if parts[0].family.kind == Kind::Histogram { HISTOGRAM_SERIES } else { 1 };
            page.drop_overflow(start, series, &mut room);
            if page.points.len() > start {
                page.groups.push((parts[0], start..page.points.len()));
            }
        }
        page
    }

    /// The same, and what is left out counted as lost.
    pub fn counted(snapshot: &'a Snapshot, limit: usize) -> Self {
        let page = Self::new(snapshot, limit);
        lost(Loss::SeriesTwice, page.duplicates);
        lost(Loss::SeriesCap, page.overflow);
        page
    }

    /// Each family with its points.
    pub fn families(&self) -> impl Iterator<Item = (&'a Samples, &[&'a Point])> {
        self.groups.iter().map(|(samples, range)| (*samples, &self.points[range.clone()]))
    }

    fn drop_duplicates(&mut self, start: usize, seen: &mut HashSet<&'a Labels>) {
        let points = &self.points[start..];
        let unique = if points.len() <= COMPARED {
            (1..points.len()).all(|i| points[..i].iter().all(|p| p.labels != points[i].labels))
        } else {
            seen.clear();
            points.iter().all(|p| seen.insert(&p.labels))
        };
        if !unique {
            let mut kept: HashSet<&Labels> = HashSet::new();
            let before = self.points.len();
            let tail: Vec<&Point> = self.points.drain(start..).filter(|p| kept.insert(&p.labels)).collect();
            self.points.extend(tail);
            self.duplicates += (before - self.points.len()) as u64;
        }
    }

    fn drop_overflow(&mut self, start: usize, series: usize, room: &mut usize) {
        let keep = (self.points.len() - start).min(*room / series);
        self.overflow += ((self.points.len() - start - keep) * series) as u64;
        self.points.truncate(start + keep);
        *room -= keep * series;
    }
}

/// Samples that share a name, wherever they stand in the snapshot, in order of first appearance.
fn families(snapshot: &Snapshot) -> Vec<SmallVec<[&Samples; 1]>> {
    let mut index: HashMap<Cow<str>, usize> = HashMap::with_capacity(512);
    let mut families: Vec<SmallVec<[&Samples; 1]>> = Vec::with_capacity(512);
    for samples in snapshot.samples().filter(|s| !s.points.is_empty()) {
        let at = *index.entry(name(samples)).or_insert(families.len());
        match families.get_mut(at) {
            Some(parts) => parts.push(samples),
            None => families.push(SmallVec::from_slice(&[samples])),
        }
    }
    families
}

fn name(samples: &Samples) -> Cow<'_, str> {
    if samples.family.is_open() { samples.name().concat().into() } else { samples.family.name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing::{self, HITS, LATENCY, LEVEL, OPEN};

    #[test]
    fn a_family_from_two_sections_stands_once_and_in_first_place() {
        let snapshot = testing::snapshot(&[
            |s| s.number(&HITS, &["a", "x"], 1.0),
            |s| {
                s.keyed(&OPEN, "k", 2.0);
                s.number(&HITS, &["b", "x"], 3.0);
                s.number(&HITS, &["a", "x"], 4.0);
            },
        ]);
        let page = Page::new(&snapshot, 100);
        let shape: Vec<_> = page.families().map(|(s, p)| (s.family.name, p.len())).collect();
        assert_eq!(shape, [(HITS.name, 2), (OPEN.name, 1)]);
        assert_eq!(page.duplicates, 1);
    }

    #[test]
    fn keys_of_an_open_family_are_families() {
        let snapshot = testing::snapshot(&[|s| {
            s.keyed(&OPEN, "one", 1.0);
            s.keyed(&OPEN, "two", 2.0);
        }]);
        assert_eq!(Page::new(&snapshot, 100).families().count(), 2);
    }

    #[test]
    fn a_key_that_makes_the_name_of_another_family_joins_it() {
        let snapshot = testing::snapshot(&[|s| {
            s.number(&LEVEL, &[], 1.0);
            s.keyed(&OPEN, "level", 2.0);
        }]);
        let page = Page::new(&snapshot, 100);
        assert_eq!((page.families().count(), page.duplicates), (1, 1));
    }

    #[test]
    fn many_duplicates_are_found_by_hash() {
        let snapshot = testing::snapshot(&[|s| {
            for i in 0..50 {
                s.number(&HITS, &[&format!("{}", i % 20), "x"], f64::from(i));
            }
        }]);
        let page = Page::new(&snapshot, 1000);
        assert_eq!(page.duplicates, 30);
        let first: Vec<_> = page.families().flat_map(|(_, p)| p.iter().map(|p| p.labels[0].to_string())).collect();
        assert_eq!(first, (0..20).map(|i| i.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_limit_counts_histograms_by_their_series() {
        let snapshot = testing::snapshot(&[|s| {
            s.number(&HITS, &["a", "x"], 1.0);
            for call in ["read", "write"] {
                s.histogram(&LATENCY, &[call], testing::histogram());
            }
            s.keyed(&OPEN, "k", 1.0);
        }]);
        let page = Page::new(&snapshot, HISTOGRAM_SERIES + 2);
        assert_eq!(page.families().map(|(_, p)| p.len()).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(page.overflow, HISTOGRAM_SERIES as u64);
    }
}
