//! What is normal for a series: its level, its spread, the spread of its steps and its profile of the day.
//!
//! Every estimate is gated: what lies beyond [`GATE`] deviations is pulled in before it is learned, so that an incident
//! moves the norm slowly and a lasting change still does. Estimates start as plain means (1/n) and end as exponential
//! ones: the level with a memory of half a day, spreads and profile with one of [`MEMORY`].

use serde::{Deserialize, Serialize};

/// Seconds after which an observation's weight in a spread has fallen to 1/e.
pub const MEMORY: f64 = 14.0 * 86400.0;
/// The level's memory as a share of [`MEMORY`].
const LEVEL_SHARE: f32 = 0.5 / 14.0;
/// Deviations beyond which an observation is pulled in. 2 detects better than 3 on every set measured.
const GATE: f32 = 2.0;
/// Blocks before deviations are stated (a spread made of fewer is a guess), and before the gate closes.
const SPEAKS: f32 = 5.0;
const YOUNG: f32 = 30.0;
/// Least deviation as a share of the range seen during warm-up: constant series stay safe.
const FLOOR: f64 = 0.05;

/// Differences too small to matter to anybody, however steady the series is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grain {
    /// In the unit of the series.
    pub absolute: f32,
    /// As a share of its level.
    pub relative: f32,
}

impl Grain {
    /// The difference at a level.
    pub fn at(self, level: f64) -> f32 {
        self.absolute.max(self.relative * level.abs() as f32)
    }
}

/// The norm of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Level {
    grain: Grain,
    /// Blocks learned, capped at the memory.
    n: f32,
    mean: f64,
    var: f32,
    steps: f32,
    step_var: f32,
    low: f64,
    high: f64,
    floor: f32,
    /// Last block's value; NaN after a gap.
    previous: f64,
    profile: Profile,
}

/// A block's value against the norm, in standard deviations, signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// From level and time of day.
    pub z: f32,
    /// From the block before; 0 after a gap.
    pub step: f32,
}

impl Level {
    /// Deviations are never stated in units smaller than `grain`.
    pub fn new(grain: Grain) -> Self {
        Level {
            grain,
            n: 0.0,
            mean: 0.0,
            var: 0.0,
            steps: 0.0,
            step_var: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            floor: 0.0,
            previous: f64::NAN,
            profile: Profile::default(),
        }
    }

    /// Blocks learned, capped at the memory.
    pub fn blocks(&self) -> f32 {
        self.n
    }

    /// Judges without learning. `wall` is in seconds since the epoch, UTC.
    pub fn judge(&self, x: f64, wall: f64) -> Deviation {
        if self.n < SPEAKS {
            return Deviation::default();
        }
        let residual = (x - self.mean) as f32 - self.profile.expected(wall);
        let step = if self.previous.is_nan() { 0.0 } else { (x - self.previous) as f32 };
        Deviation { z: ratio(residual, self.spread()), step: ratio(step, self.step_spread()) }
    }

    fn spread(&self) -> f32 {
        self.var.sqrt().max(self.least())
    }

    fn step_spread(&self) -> f32 {
        self.step_var.sqrt().max(self.least())
    }

    fn least(&self) -> f32 {
        self.floor.max(self.grain.at(self.mean))
    }

    /// Learns a block's value; `memory` and `warmup` are in blocks.
    pub fn learn(&mut self, x: f64, wall: f64, memory: f32, warmup: f32) {
        self.n = (self.n + 1.0).min(memory);
        self.widen(x, warmup);
        if self.n < 2.0 {
            self.mean = x;
        } else {
            let season = self.profile.expected(wall);
            let residual = gated((x - self.mean) as f32 - season, self.n, self.spread());
            self.profile.learn(wall, residual + season, self.n);
            self.mean += f64::from(residual / self.n.min((memory * LEVEL_SHARE).max(YOUNG)));
            self.var += (residual * residual - self.var) / self.n;
            self.learn_step(x, memory);
        }
        self.previous = x;
    }

    fn learn_step(&mut self, x: f64, memory: f32) {
        if self.previous.is_nan() {
            return;
        }
        self.steps = (self.steps + 1.0).min(memory);
        let step = gated((x - self.previous) as f32, self.steps, self.step_spread());
        self.step_var += (step * step - self.step_var) / self.steps;
    }

    /// The floor: a share of the range of the warm-up, or of the first change of what was constant until then.
    fn widen(&mut self, x: f64, warmup: f32) {
        if self.n <= warmup || self.low == self.high {
            self.low = self.low.min(x);
            self.high = self.high.max(x);
            let range = FLOOR * (self.high - self.low);
            self.floor = range.max(self.mean.abs() * 1e-6) as f32;
        }
    }

    /// After a gap the next step is unknown.
    pub fn interrupt(&mut self) {
        self.previous = f64::NAN;
    }
}

fn gated(x: f32, n: f32, spread: f32) -> f32 {
    let limit = if n < YOUNG { f32::INFINITY } else { GATE * spread };
    x.clamp(-limit, limit)
}

/// `x` in units of `scale`; a change of something that never changed is 100.
fn ratio(x: f32, scale: f32) -> f32 {
    if x == 0.0 {
        0.0
    } else if scale > 0.0 {
        (x / scale).clamp(-1e6, 1e6)
    } else {
        100.0_f32.copysign(x)
    }
}

/// Bins of a day.
const BINS: usize = 48;
const BIN_SECONDS: f64 = 86400.0 / BINS as f64;
/// Blocks at which a bin is half believed.
const SHRINK: f32 = 1.0;
/// Fewest blocks a bin remembers.
const LEAST: f32 = 20.0;

/// Mean deviation from the level by half-hour of the day (UTC), read between the middles of two bins.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Profile {
    #[serde(with = "super::array")]
    mean: [f32; BINS],
    #[serde(with = "super::array")]
    n: [f32; BINS],
}

impl Default for Profile {
    fn default() -> Self {
        Profile { mean: [0.0; BINS], n: [0.0; BINS] }
    }
}

impl Profile {
    fn expected(&self, wall: f64) -> f32 {
        let at = wall.rem_euclid(86400.0) / BIN_SECONDS + BINS as f64 - 0.5;
        let (bin, part) = (at as usize, at.fract() as f32);
        self.bin(bin % BINS) * (1.0 - part) + self.bin((bin + 1) % BINS) * part
    }

    fn bin(&self, bin: usize) -> f32 {
        self.mean[bin] * (self.n[bin] / (self.n[bin] + SHRINK))
    }

    fn learn(&mut self, wall: f64, deviation: f32, blocks: f32) {
        let bin = (wall.rem_euclid(86400.0) / BIN_SECONDS) as usize % BINS;
        self.n[bin] = (self.n[bin] + 1.0).min((blocks / BINS as f32).max(LEAST));
        self.mean[bin] += (deviation - self.mean[bin]) / self.n[bin];
    }
}
