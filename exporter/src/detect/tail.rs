//! How rare a statistic is: the probability that a normal block shows at least this value.
//!
//! A statistic is given on its *log scale* `y` (log2 of a distance, a sum of surprises), where a heavy tail is a
//! straight one. A histogram that forgets counts the body; beyond its upper few per cent an exponential law in `y`, that is
//! a Pareto law in the value, is fitted by its mean excess (Hill's estimator) with a prior worth some points. Values
//! that are strange already are counted as "at least so much" (a censored observation), and only as many as a
//! bucket of tokens allows: an incident of hours must not become the norm.

use std::f32::consts::LOG10_E;

use serde::{Deserialize, Serialize};

/// Bins of the histogram.
const BINS: usize = 128;
/// Share of observations that make the tail, and the fewest that do.
const TAIL_SHARE: f32 = 0.02;
const TAIL_LEAST: f32 = 20.0;
/// Observations that the prior mean excess is worth.
const PRIOR: f32 = 10.0;
/// Observations that make one strange one: beyond one in so many, or one in all that were seen, a value is strange to a
/// gated tail.
const STRANGE: f32 = 1000.0;
/// Observations before the gate closes.
const YOUNG: f32 = 100.0;
/// Strange observations a gated tail may learn at once, at first and at most, and how many more for each that the
/// definition of strange lets expect.
const TOKENS_FIRST: f32 = 2.0;
const TOKENS: f32 = 20.0;
const TOKENS_PER_EXPECTED: f32 = 2.0;

/// What a tail is told about its statistic.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bins per unit of `y`.
    pub resolution: f32,
    /// Mean excess expected before anything is known, in units of `y`.
    pub excess: f32,
    /// Whether an incident is kept from becoming the norm.
    pub gated: bool,
}

/// Distribution of one statistic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    #[serde(with = "super::array")]
    bins: [f32; BINS],
    /// Weight of one new observation; grows instead of every bin shrinking.
    unit: f32,
    /// Sum of `bins`, in the same inflated units.
    total: f32,
    /// `y` of the lower edge of bin 1; NaN until the first finite value.
    origin: f32,
    /// Observations, capped at the memory.
    seen: f32,
    tokens: f32,
    /// Bin where the tail begins; 0 while there is none.
    threshold: u8,
    /// Share of observations in the tail, and their mean excess in bins.
    above: f32,
    excess: f32,
}

impl Tail {
    pub fn new(shape: Shape) -> Self {
        Tail {
            bins: [0.0; BINS],
            unit: 1.0,
            total: 0.0,
            origin: f32::NAN,
            seen: 0.0,
            tokens: TOKENS_FIRST,
            threshold: 0,
            above: 1.0,
            excess: shape.excess * shape.resolution,
        }
    }

    /// Position in bins, not clamped. -infinity (a distance of 0) and NaN lie in bin 0.
    fn position(&self, shape: Shape, y: f32) -> f32 {
        let at = 1.0 + (y - self.origin) * shape.resolution;
        if at > 0.0 { at } else { 0.0 }
    }

    /// Surprise, -log10 p, of a value before it is learned. The first distance of a series that never moved is only known
    /// to be one in so many.
    pub fn surprise(&self, shape: Shape, y: f32) -> f32 {
        if self.seen < 1.0 {
            return 0.0;
        }
        if self.origin.is_nan() && y.is_finite() {
            return (self.seen + 1.0).log10();
        }
        let at = self.position(shape, y);
        let threshold = f32::from(self.threshold);
        let surprise = if self.threshold > 0 && at >= threshold {
            (at - threshold) / self.excess * LOG10_E - self.above.log10()
        } else {
            -self.counted(at).log10()
        };
        surprise.max(0.0)
    }

    /// Share of observations at or above a position.
    fn counted(&self, at: f32) -> f32 {
        let bin = (at as usize).min(BINS - 1);
        let above: f32 = self.bins[bin + 1..].iter().sum();
        let part = self.bins[bin] * (1.0 - at.fract());
        ((above + part + 0.5 * self.unit) / (self.total + self.unit)).min(1.0)
    }

    /// Learns a value; `memory` is in observations.
    pub fn learn(&mut self, shape: Shape, y: f32, memory: f32) {
        if y.is_finite() && self.origin.is_nan() {
            self.origin = y - 0.6 * BINS as f32 / shape.resolution;
        }
        let mut at = self.position(shape, y);
        if shape.gated {
            let one_in = self.seen.clamp(1.0, STRANGE);
            let strange = one_in.log10();
            self.tokens = (self.tokens + TOKENS_PER_EXPECTED / one_in).min(TOKENS);
            if self.seen > YOUNG && self.surprise(shape, y) >= strange {
                if self.tokens < 1.0 {
                    return;
                }
                self.tokens -= 1.0;
                at = at.min(self.position_of(strange));
            }
        }
        self.count((at as usize).min(BINS - 1), memory);
        self.refit(shape);
    }

    /// Position of a surprise.
    fn position_of(&self, surprise: f32) -> f32 {
        f32::from(self.threshold) + ((surprise + self.above.log10()) / LOG10_E * self.excess).max(0.0)
    }

    fn count(&mut self, bin: usize, memory: f32) {
        self.bins[bin] += self.unit;
        self.total += self.unit;
        self.seen = (self.seen + 1.0).min(memory);
        if self.seen >= memory {
            self.unit *= memory / (memory - 1.0);
        }
        if self.unit > 1e4 {
            let scale = 1.0 / self.unit;
            self.bins.iter_mut().for_each(|b| *b *= scale);
            self.total *= scale;
            self.unit = 1.0;
        }
    }

    /// Finds where the tail begins and its mean excess.
    fn refit(&mut self, shape: Shape) {
        let want = (TAIL_LEAST * self.unit).max(self.total * TAIL_SHARE).min(self.total * 0.2);
        let (mut mass, mut moment, mut bin) = (0.0, 0.0, BINS);
        while mass < want && bin > 1 {
            bin -= 1;
            moment += mass;
            mass += self.bins[bin];
        }
        let prior = PRIOR * self.unit;
        self.threshold = bin as u8;
        self.above = (mass + 0.5 * self.unit) / (self.total + self.unit);
        self.excess = (moment + 0.5 * mass + prior * shape.excess * shape.resolution) / (mass + prior);
    }
}
