//! One feature's memory of normal, and its verdict on a block.

use serde::{Deserialize, Serialize};

use super::level::{Deviation, Grain, Level};
use super::novelty::Novelty;
use super::pace::Summary;
use super::tail::{Shape, Tail};

/// Distances to what is known, as log2. Not gated: what was seen once is no novelty any more.
const DISTANCE: Shape = Shape { resolution: 4.0, excess: 0.4, gated: false };
/// Blocks among whose extremes the strangest counts: an excursion is one novelty, not several.
const ROLL: usize = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    grain: Grain,
    level: Level,
    novelty: Novelty,
    tail: Tail,
    recent: [f32; ROLL],
    next: u8,
    /// Running mean of extremes.
    middle: f32,
}

/// What a feature says about a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub deviation: Deviation,
    /// -log10 of the probability that a normal block shows a value this far from all that were seen; 0 in warm-up.
    pub surprise: f32,
}

impl Model {
    pub fn new(grain: Grain) -> Self {
        Model {
            grain,
            level: Level::new(grain),
            novelty: Novelty::default(),
            tail: Tail::new(DISTANCE),
            recent: [f32::NAN; ROLL],
            next: 0,
            middle: 0.0,
        }
    }

    /// Judges a block, then learns it. `wall` in seconds since the epoch; `memory` and `warmup` in blocks.
    pub fn block(&mut self, block: Summary, wall: f64, memory: f32, warmup: f32) -> Verdict {
        let deviation = self.level.judge(block.mean, wall);
        let value = self.extreme(block);
        let distance = self.novelty.distance(value).map(|d| self.beyond_grain(d, value).log2());
        let surprise = distance.map_or(0.0, |d| self.tail.surprise(DISTANCE, d));
        let ready = self.level.blocks() >= warmup;
        self.level.learn(block.mean, wall, memory, warmup);
        self.novelty.learn(value, memory);
        if let Some(d) = distance {
            self.tail.learn(DISTANCE, d, memory);
        }
        Verdict { deviation, surprise: if ready { surprise } else { 0.0 } }
    }

    /// A distance, 0 where it is too small to matter.
    fn beyond_grain(&self, distance: f32, value: f32) -> f32 {
        if distance < self.grain.at(f64::from(value)) { 0.0 } else { distance }
    }

    /// Of the block's and the last ones' extremes the farthest from the running mean.
    fn extreme(&mut self, block: Summary) -> f32 {
        let (low, high) = (block.low as f32, block.high as f32);
        let far = |x: f32| (x - self.middle).abs();
        let own = if far(high) >= far(low) { high } else { low };
        self.recent[usize::from(self.next)] = own;
        let farthest =
            self.recent.iter().copied().filter(|x| !x.is_nan()).fold(own, |a, b| if far(b) > far(a) { b } else { a });
        self.next = (self.next + 1) % ROLL as u8;
        self.middle += (own - self.middle) / (self.level.blocks() + 1.0);
        farthest
    }

    /// After a gap nothing is known of the last blocks.
    pub fn interrupt(&mut self) {
        self.level.interrupt();
        self.recent = [f32::NAN; ROLL];
    }
}
