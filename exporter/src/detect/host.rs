//! The host's state: how unusual all features together are, gated, for as long as it lasts.
//!
//! Voices, each through its own tail: mean square of the seasonal deviations (smoothed: the verdict's backbone), the
//! three largest steps, what principal components leave, mean surprise of the features, isolation forest, the three
//! largest deviations (smoothed). Their weighted sum goes through one more tail, so that the result is calibrated
//! whatever the voices share. Tails learn late: what begins must not raise the bar that it is about to be held against.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::forest::Forest;
use super::model::Verdict;
use super::pca::Pca;
use super::tail::{Shape, Tail};

/// Statistics on log2 scales.
const VOICE: Shape = Shape { resolution: 8.0, excess: 0.5, gated: true };
/// Sums of surprises.
const SUM: Shape = Shape { resolution: 8.0, excess: 0.45, gated: true };
/// Blocks over which deviations are smoothed.
pub const SMOOTH: f32 = 10.0;
/// Deviations beyond which a feature says no more: for the mean square, the steps, the multivariate voices.
pub const CLIP: f32 = 20.0;
const CLIP_STEP: f32 = 100.0;
const CLIP_SHAPE: f32 = 10.0;
/// Mean square from which a block is not learned by components and forest.
const UNUSUAL: f32 = 9.0;
/// Share of the warm-up before tails and components learn: levels come first.
const SETTLE: f32 = 0.1;
/// Largest steps and deviations that count.
const LARGEST: usize = 3;
/// Blocks after which the tails learn what was seen.
const LATE: usize = SMOOTH as usize;

/// Weights, measured on labelled sets (BENCHMARKS.md).
const WEIGHTS: [f32; VOICES] = [1.0, 0.25, 0.5, 0.25, 0.1, 0.25];
const VOICES: usize = 6;

/// What the voices said of a block, and their sum.
type Statement = ([f32; VOICES], f32);

/// Blocks after which the forest is grown first, and from when on and how often again.
const FIRST_GROWTH: u64 = 128;
const GROWTH_EVERY: u64 = 4096;

/// Why a model was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retrain {
    /// More of what is normal became known: at each doubling of the blocks seen.
    Growing,
    /// Its time had come.
    Scheduled,
}

impl Retrain {
    pub const ALL: [Retrain; 2] = [Retrain::Growing, Retrain::Scheduled];

    pub fn label(self) -> &'static str {
        match self {
            Retrain::Growing => "growing",
            Retrain::Scheduled => "scheduled",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    n: f32,
    energy: f32,
    surprise: f32,
    peak: f32,
    pca: Pca,
    forest: Forest,
    tails: [Tail; VOICES],
    total: Tail,
    /// Not learned yet, oldest first.
    pending: VecDeque<Statement>,
    /// Trainings by reason, and when the last one was.
    pub retrains: [u64; Retrain::ALL.len()],
    pub trained_at: Option<f64>,
    pub isolation: f32,
    #[serde(skip)]
    z: Vec<f32>,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            n: 0.0,
            energy: 0.0,
            surprise: 0.0,
            peak: 0.0,
            pca: Pca::default(),
            forest: Forest::default(),
            tails: std::array::from_fn(|_| Tail::new(VOICE)),
            total: Tail::new(SUM),
            pending: VecDeque::with_capacity(LATE + 1),
            retrains: [0; Retrain::ALL.len()],
            trained_at: None,
            isolation: 0.5,
            z: Vec::new(),
        }
    }
}

impl Host {
    /// Judges a block by what the features said of it, then learns it: surprise per block, 0 in warm-up. `memory` and
    /// `warmup` in blocks, `now` in seconds.
    pub fn block(&mut self, verdicts: &[Verdict], now: f64, memory: f32, warmup: f32) -> f32 {
        self.n += 1.0;
        let count = verdicts.len().max(1) as f32;
        let square = verdicts.iter().map(|v| v.deviation.z.clamp(-CLIP, CLIP).powi(2)).sum::<f32>() / count;
        let surprise = verdicts.iter().map(|v| v.surprise).sum::<f32>() / count;
        let share = (1.0 / SMOOTH).max(1.0 / self.n);
        self.energy += (square - self.energy) * share;
        self.surprise += (surprise - self.surprise) * share;
        self.peak += (largest(verdicts.iter().map(|v| v.deviation.z.abs().min(CLIP))) - self.peak) * share;
        self.z.clear();
        self.z.extend(verdicts.iter().map(|v| v.deviation.z.clamp(-CLIP_SHAPE, CLIP_SHAPE)));
        let residual = self.pca.residual(&self.z);
        self.isolation = self.forest.score(&self.z);
        let statistics = [
            self.energy.log2(),
            largest(verdicts.iter().map(|v| v.deviation.step.abs().min(CLIP_STEP))).log2(),
            residual.log2(),
            4.0 * self.surprise,
            8.0 * self.isolation,
            self.peak.log2(),
        ];
        let voices = self.tails.iter().zip(statistics).zip(WEIGHTS);
        let sum: f32 = voices.map(|((tail, y), w)| w * tail.surprise(VOICE, y)).sum();
        let verdict = self.total.surprise(SUM, sum);
        if self.n > SETTLE * warmup {
            if square < UNUSUAL {
                self.learn_shape(now, memory);
            }
            self.learn_late((statistics, sum), memory);
        }
        if self.n > warmup { verdict } else { 0.0 }
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        let pending = self.pending.capacity() * size_of::<Statement>();
        size_of::<Self>() + pending + self.pca.heap_bytes() + self.forest.heap_bytes()
    }

    /// Whether blocks are judged.
    pub fn ready(&self, warmup: f32) -> bool {
        self.n >= warmup
    }

    fn learn_late(&mut self, statement: Statement, memory: f32) {
        self.pending.push_back(statement);
        if self.pending.len() > LATE
            && let Some((statistics, sum)) = self.pending.pop_front()
        {
            self.tails.iter_mut().zip(statistics).for_each(|(tail, y)| tail.learn(VOICE, y, memory));
            self.total.learn(SUM, sum, memory);
        }
    }

    fn learn_shape(&mut self, now: f64, memory: f32) {
        self.pca.learn(&self.z, memory);
        self.forest.offer(&self.z);
        let seen = self.forest.offered();
        let why = if (FIRST_GROWTH..GROWTH_EVERY).contains(&seen) && seen.is_power_of_two() {
            Retrain::Growing
        } else if seen > 0 && seen.is_multiple_of(GROWTH_EVERY) {
            Retrain::Scheduled
        } else {
            return;
        };
        self.forest.grow();
        self.retrains[why as usize] += 1;
        self.trained_at = Some(now);
    }
}

/// Sum of the largest values.
fn largest(values: impl Iterator<Item = f32>) -> f32 {
    let mut top = [0.0f32; LARGEST];
    for mut value in values {
        for place in &mut top {
            if value > *place {
                std::mem::swap(place, &mut value);
            }
        }
    }
    top.iter().sum()
}
