//! The host's onset: a fast and forgetting look for what begins, on blocks of ten seconds.
//!
//! Each feature keeps a level of the last minutes and a spread of the last hour, neither gated: what lasts is soon no
//! onset any more. The three largest deviations of a block go through a tail that remembers a day.

use serde::{Deserialize, Serialize};

use super::level::Grain;
use super::tail::{Shape, Tail};

const SHAPE: Shape = Shape { resolution: 8.0, excess: 0.5, gated: false };
/// Blocks the level remembers (ten minutes), the spread (an hour) and the tail (a day).
const LEVEL: f32 = 60.0;
const SPREAD: f32 = 360.0;
const TAIL: f32 = 8640.0;
/// Blocks before a feature is heard.
const YOUNG: f32 = 30.0;
const CLIP: f32 = 100.0;
/// Least spread as a share of the level, and of the largest deviation seen.
const FLOOR: f32 = 1e-3;
const FLOOR_PEAK: f32 = 0.01;
const STEPS: usize = 3;

/// One feature's last minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fast {
    grain: Grain,
    n: f32,
    mean: f64,
    var: f32,
    peak: f32,
}

impl Fast {
    pub fn new(grain: Grain) -> Self {
        Fast { grain, n: 0.0, mean: 0.0, var: 0.0, peak: 0.0 }
    }

    /// Signed deviation of a block's mean from the last minutes, in standard deviations; learned at once.
    pub fn block(&mut self, x: f64) -> f32 {
        let away = if self.n > 0.0 { (x - self.mean) as f32 } else { 0.0 };
        let floor = (self.mean.abs() as f32 * FLOOR).max(self.peak * FLOOR_PEAK).max(self.grain.at(self.mean));
        let z = if away == 0.0 { 0.0 } else { (away / self.var.sqrt().max(floor)).clamp(-CLIP, CLIP) };
        self.n += 1.0;
        self.mean += if self.n < 2.0 { x } else { f64::from(away / self.n.min(LEVEL)) };
        self.var += (away * away - self.var) / self.n.min(SPREAD);
        self.peak = self.peak.max(away.abs());
        if self.n > YOUNG { z } else { 0.0 }
    }
}

/// The host's voice for what begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Onset {
    tail: Tail,
    n: f32,
    top: [f32; STEPS],
    /// Surprise per minute that is held, and since when.
    peak: f32,
    since: f64,
}

impl Default for Onset {
    fn default() -> Self {
        Onset { tail: Tail::new(SHAPE), n: 0.0, top: [0.0; STEPS], peak: 0.0, since: f64::NEG_INFINITY }
    }
}

impl Onset {
    /// Hears one feature of the current block.
    pub fn hear(&mut self, z: f32) {
        let mut z = z;
        for slot in &mut self.top {
            if z > *slot {
                std::mem::swap(slot, &mut z);
            }
        }
    }

    /// Ends the block. `per_minute`: blocks in a minute; `warmup` in blocks; a peak is held for `hold` seconds.
    pub fn block(&mut self, now: f64, per_minute: f32, warmup: f32, hold: f64) {
        let y = std::mem::take(&mut self.top).iter().sum::<f32>().log2();
        let surprise = (self.tail.surprise(SHAPE, y) - per_minute.log10()).max(0.0);
        self.n += 1.0;
        if self.n > YOUNG {
            self.tail.learn(SHAPE, y, TAIL);
        }
        let surprise = if self.n > warmup { surprise } else { 0.0 };
        if surprise >= self.peak || now - self.since >= hold {
            (self.peak, self.since) = (surprise, now);
        }
    }

    /// Surprise per minute, its peak held.
    pub fn surprise(&self) -> f32 {
        self.peak
    }
}
