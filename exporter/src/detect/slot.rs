//! One feature in the engine: its points, its model, its trend and its episode.

use serde::{Deserialize, Serialize};

use super::episode::{Change, Key, OPEN, Watch};
use super::feature::Bad;
use super::host::{CLIP, SMOOTH};
use super::level::Grain;
use super::model::{Model, Verdict};
use super::onset::Fast;
use super::pace::{Block, Pace, Summary};
use super::trend::Trend;

/// Largest magnitude taken: its square still fits in an f32.
const HUGE: f64 = 1e18;
/// Deviations within which a feature is back to normal.
const BACK: f32 = 3.0;
/// Seconds after which what is held of a past surprise has halved.
const HALF_LIFE: f64 = 3600.0;

/// What is known of a feature beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traits {
    /// Where it must not arrive.
    pub limit: Option<f64>,
    pub grain: Grain,
    /// Only what lies in this direction counts.
    pub bad: Bad,
    /// Whether it only has a value when something happened (the latency of a call), so that an old value says nothing
    /// of now.
    pub sparse: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slot {
    pub key: Key,
    pub traits: Traits,
    model: Model,
    fast: Fast,
    /// Points of the current block of the state, and of the onset.
    state: Block,
    onset: Block,
    pace: Pace,
    value: f64,
    pub trend: Option<Trend>,
    pub verdict: Verdict,
    /// Whether the last block was judged.
    pub present: bool,
    /// Smoothed square of the deviation: the share in the host's state.
    pub energy: f32,
    /// Surprise that is held while the feature stays away from normal.
    pub held: f32,
    pub watch: Watch,
}

/// What a block is judged with: times in seconds, memory and warm-up in blocks.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub now: f64,
    pub wall: f64,
    pub length: f64,
    pub memory: f32,
    pub warmup: f32,
}

impl Slot {
    pub fn new(key: Key, traits: Traits, trend: bool) -> Self {
        Slot {
            key,
            traits,
            model: Model::new(traits.grain),
            fast: Fast::new(traits.grain),
            state: Block::default(),
            onset: Block::default(),
            pace: Pace::default(),
            value: f64::NAN,
            trend: trend.then(Trend::default),
            verdict: Verdict::default(),
            present: false,
            energy: 0.0,
            held: 0.0,
            watch: Watch::default(),
        }
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.trend.as_ref().map_or(0, Trend::heap_bytes)
    }

    /// Takes a point; what is not finite is missing.
    pub fn take(&mut self, x: f64, now: f64) {
        if !x.is_finite() {
            return;
        }
        let x = x.clamp(-HUGE, HUGE);
        self.pace.advance(now);
        self.value = x;
        self.state.add(x);
        self.onset.add(x);
        if let Some(trend) = &mut self.trend {
            trend.push(now, x, self.pace.interval().unwrap_or(1.0));
        }
    }

    /// The last value, while not more points are missing than may be held.
    fn held_value(&self, now: f64) -> Option<Summary> {
        let missing = now - self.pace.last()?;
        let holds = !self.traits.sparse && !self.pace.is_gap(missing);
        holds.then_some(Summary { mean: self.value, low: self.value, high: self.value })
    }

    /// Ends a block of the state: whether the feature's episode changed.
    pub fn end_state(&mut self, frame: &Frame) -> Change {
        let Some(block) = self.state.take().or_else(|| self.held_value(frame.now)) else {
            self.absent();
            return self.watch.block(0.0, frame.wall, frame.length);
        };
        self.present = true;
        self.verdict = self.model.block(block, frame.wall, frame.memory, frame.warmup);
        let deviation = &mut self.verdict.deviation;
        (deviation.z, deviation.step) = (self.traits.bad.part(deviation.z), self.traits.bad.part(deviation.step));
        let square = self.verdict.deviation.z.clamp(-CLIP, CLIP).powi(2);
        self.energy += (square - self.energy) / SMOOTH;
        self.hold(frame.length);
        self.watch.block(self.held, frame.wall, frame.length)
    }

    /// A surprise is held while the feature stays away from normal, and halves with time.
    fn hold(&mut self, length: f64) {
        let back = self.verdict.deviation.z.abs() < BACK;
        let kept = if back || self.held < OPEN / 2.0 { 0.0 } else { self.held * (-length / HALF_LIFE).exp2() as f32 };
        self.held = self.verdict.surprise.max(kept);
    }

    fn absent(&mut self) {
        self.present = false;
        self.verdict = Verdict::default();
        self.energy = 0.0;
        self.held = 0.0;
        self.model.interrupt();
    }

    /// Ends a block of the onset: deviation from the last minutes.
    pub fn end_onset(&mut self, now: f64) -> f32 {
        let block = self.onset.take().or_else(|| self.held_value(now));
        block.map_or(0.0, |b| self.traits.bad.part(self.fast.block(b.mean)).abs())
    }

    /// After a gap nothing of the current blocks counts.
    pub fn interrupt(&mut self) {
        (self.state, self.onset) = (Block::default(), Block::default());
        self.model.interrupt();
        if let Some(trend) = &mut self.trend {
            trend.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deviation and energy after a hundred steady minutes and a last one; `None` in the row is a minute without value.
    fn after(traits: Traits, last: Option<f64>) -> Slot {
        let mut slot = Slot::new(Key { feature: "f".into(), device: "".into() }, traits, false);
        for t in 0..=100 {
            let x = if t < 100 { Some(50.0 + f64::from(t % 2) * 0.01) } else { last };
            let now = 60.0 * f64::from(t);
            x.into_iter().for_each(|x| slot.take(x, now));
            slot.end_state(&Frame { now, wall: now, length: 60.0, memory: 1000.0, warmup: 50.0 });
        }
        slot
    }

    #[test]
    fn what_does_not_matter_is_no_deviation_however_steady_the_series() {
        let grain = Grain { absolute: 1.0, relative: 0.1 };
        assert!(after(Traits::default(), Some(51.0)).verdict.deviation.z > 20.0);
        let slot = after(Traits { grain, ..Traits::default() }, Some(51.0));
        assert!(slot.verdict.deviation.z < 0.5, "a tenth of 50 is the unit: {:?}", slot.verdict);
        assert!(slot.verdict.surprise < 0.5, "{:?}", slot.verdict);
        let slot = after(Traits { grain, ..Traits::default() }, Some(100.0));
        assert!(slot.verdict.deviation.z > 9.0 && slot.verdict.surprise > 1.9, "{:?}", slot.verdict);
    }

    #[test]
    fn only_the_bad_direction_counts() {
        for (bad, up, down) in [(Bad::High, true, false), (Bad::Low, false, true), (Bad::Either, true, true)] {
            let energy = |x: f64| after(Traits { bad, ..Traits::default() }, Some(x)).energy > 1.0;
            assert_eq!((energy(60.0), energy(40.0)), (up, down), "{bad:?}");
        }
    }

    #[test]
    fn the_latency_of_calls_that_nobody_makes_is_not_held() {
        let held = after(Traits::default(), None);
        assert!(held.present);
        let sparse = after(Traits { sparse: true, ..Traits::default() }, None);
        assert!(!sparse.present && sparse.energy == 0.0);
    }
}
