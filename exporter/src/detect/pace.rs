//! Time as the detector sees it: how far apart points are, gaps, clocks that go back, and blocks.
//!
//! All times are seconds of one monotonic clock, given by the caller.

use serde::{Deserialize, Serialize};

/// Intervals that may be missing before what came before is forgotten.
pub const HELD: f64 = 3.0;
/// The same with room for jitter.
const TOLERATED: f64 = HELD + 0.5;

/// What a point's time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The next point, perhaps after some that are missing.
    Next,
    /// So many are missing that nothing before counts.
    Gap,
    /// Not later than the last: to be dropped.
    Backward,
}

/// The usual interval between points: the median of the last five.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    last: Option<f64>,
    intervals: [f64; 5],
    known: u8,
}

impl Pace {
    pub fn last(&self) -> Option<f64> {
        self.last
    }

    /// Seconds; `None` before the second point.
    pub fn interval(&self) -> Option<f64> {
        let mut sorted = self.intervals;
        let known = &mut sorted[..usize::from(self.known.min(5))];
        known.sort_unstable_by(f64::total_cmp);
        known.get(known.len() / 2).copied()
    }

    /// Takes note of a point.
    pub fn advance(&mut self, now: f64) -> Advance {
        let Some(last) = self.last else {
            self.last = Some(now);
            return Advance::Next;
        };
        let elapsed = now - last;
        if elapsed.is_nan() || elapsed <= 0.0 {
            return Advance::Backward;
        }
        let gap = self.is_gap(elapsed);
        self.intervals[usize::from(self.known) % 5] = elapsed;
        self.known = if self.known >= 9 { 5 } else { self.known + 1 };
        self.last = Some(now);
        if gap { Advance::Gap } else { Advance::Next }
    }

    /// Whether so much time is more than may be missing.
    pub fn is_gap(&self, elapsed: f64) -> bool {
        self.interval().is_some_and(|i| elapsed > i * TOLERATED)
    }
}

/// Cuts time into blocks of a length, or of one point where points are farther apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cutter {
    length: f64,
    since: f64,
}

impl Cutter {
    pub fn new(length: f64) -> Self {
        Cutter { length, since: f64::NAN }
    }

    /// Length of a block in seconds when points are `interval` apart.
    pub fn length(&self, interval: f64) -> f64 {
        self.length.max(interval)
    }

    /// Begins anew: the block's first point is the next one or the one at `now`.
    pub fn restart(&mut self, now: f64, interval: f64) {
        self.since = now - interval;
    }

    /// Whether the point at `now` is the last of its block.
    pub fn cuts(&mut self, now: f64, interval: f64) -> bool {
        if self.since.is_nan() {
            self.restart(now, 2.0 * interval);
        }
        let full = now - self.since >= self.length - 0.5 * interval;
        if full {
            self.since = now;
        }
        full
    }
}

/// Points of one series within a block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    sum: f64,
    n: u32,
    low: f64,
    high: f64,
}

impl Default for Block {
    fn default() -> Self {
        Block { sum: 0.0, n: 0, low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

/// What a block was: its mean, and of its extremes the one farther from the usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Block {
    pub fn add(&mut self, x: f64) {
        self.sum += x;
        self.n += 1;
        self.low = self.low.min(x);
        self.high = self.high.max(x);
    }

    /// Empties the block; `None` when it had no point.
    pub fn take(&mut self) -> Option<Summary> {
        let block = std::mem::take(self);
        (block.n > 0).then(|| Summary { mean: block.sum / f64::from(block.n), low: block.low, high: block.high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_a_median_and_gaps_are_longer_than_three() {
        let mut pace = Pace::default();
        for t in [0.0, 60.0, 120.0, 180.0] {
            assert_eq!(pace.advance(t), Advance::Next);
        }
        assert_eq!(pace.interval(), Some(60.0));
        assert_eq!(pace.advance(180.0), Advance::Backward);
        assert_eq!(pace.advance(100.0), Advance::Backward);
        assert_eq!(pace.advance(360.0), Advance::Next, "two are missing");
        assert_eq!(pace.advance(660.0), Advance::Gap);
        assert_eq!(pace.interval(), Some(60.0));
        assert_eq!(pace.advance(f64::NAN), Advance::Backward);
    }

    #[test]
    fn blocks_hold_a_minute_or_one_point() {
        let count = |interval: f64| {
            let mut cutter = Cutter::new(60.0);
            (1..=600).filter(|i| cutter.cuts(f64::from(*i) * interval, interval)).count()
        };
        assert_eq!(count(1.0), 10);
        assert_eq!(count(60.0), 600);
        assert_eq!(count(300.0), 600);
    }

    #[test]
    fn a_block_keeps_its_extremes() {
        let mut block = Block::default();
        assert_eq!(block.take(), None);
        [1.0, 9.0, 2.0].into_iter().for_each(|x| block.add(x));
        assert_eq!(block.take(), Some(Summary { mean: 4.0, low: 1.0, high: 9.0 }));
        assert_eq!(block.take(), None);
    }
}
