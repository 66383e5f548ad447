//! The detector's core: rows of numbers in, verdicts, scores and episodes out. Knows nothing of metrics.
//!
//! A row is judged when it ends a block. Blocks of the state are one minute, of the onset ten seconds; with a warm-up so
//! short that it holds fewer than [`BLOCKS`] minutes both are shorter in proportion, so that tails have something to
//! count; so is the minute that probabilities are stated for. Points farther apart than a block are one
//! each, and judged per point.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::episode::{Change, Contribution, Key, Span, Watch};
use super::host::{Host, SMOOTH};
use super::level::MEMORY;
use super::model::Verdict;
use super::onset::Onset;
use super::pace::{Advance, Cutter, Pace};
use super::slot::{Frame, Slot, Traits};

/// Seconds of a block of the state, and how many blocks of the onset it holds.
const MINUTE: f64 = 60.0;
const ONSETS: f64 = 6.0;
/// Blocks that a warm-up should hold.
const BLOCKS: f64 = 200.0;
/// Fewest blocks to remember, however slow the series.
const LEAST_MEMORY: f32 = 1000.0;
/// Episodes kept, and contributions kept of each.
const EPISODES: usize = 256;
const NAMED: usize = 10;

/// What the engine is told once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Minutes, or points where points are farther apart than a minute.
    pub warmup: u32,
    /// Follow the trend of every feature, not only of those with a limit.
    pub all_trends: bool,
}

impl Default for Tuning {
    /// What applies when nothing is set.
    fn default() -> Self {
        Tuning { warmup: BLOCKS as u32, all_trends: false }
    }
}

/// An episode of the host or of a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub id: u64,
    /// `None` for the host.
    pub key: Option<Key>,
    pub span: Span,
    /// At the peak, largest first; of the host only.
    pub contributions: Vec<Contribution>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    warmup: u32,
    all_trends: bool,
    pace: Pace,
    state_cut: Cutter,
    onset_cut: Cutter,
    pub slots: Vec<Slot>,
    pub host: Host,
    pub onset: Onset,
    /// Surprise per minute of the host's last block.
    pub surprise: f32,
    pub watch: Watch,
    pub episodes: VecDeque<Episode>,
    next_episode: u64,
    pub ticks: u64,
    /// Counts blocks, so that others see when something may have changed.
    pub blocks: u64,
    pub ready: bool,
    #[serde(skip)]
    verdicts: Vec<Verdict>,
}

/// The minute that probabilities are stated for, in seconds. A warm-up shorter than [`BLOCKS`] minutes compresses time:
/// with a few minutes of baseline nothing can be said of one minute in a thousand, only of one block in so many.
fn minute(warmup: u32) -> f64 {
    MINUTE * (f64::from(warmup) / BLOCKS).min(1.0)
}

impl Engine {
    pub fn new(tuning: Tuning) -> Self {
        let length = minute(tuning.warmup);
        Engine {
            warmup: tuning.warmup,
            all_trends: tuning.all_trends,
            pace: Pace::default(),
            state_cut: Cutter::new(length),
            onset_cut: Cutter::new(length / ONSETS),
            slots: Vec::new(),
            host: Host::default(),
            onset: Onset::default(),
            surprise: 0.0,
            watch: Watch::default(),
            episodes: VecDeque::with_capacity(EPISODES),
            next_episode: 1,
            ticks: 0,
            blocks: 0,
            ready: false,
            verdicts: Vec::new(),
        }
    }

    /// Memory of the features and their share of the host's, in bytes.
    pub fn bytes(&self) -> usize {
        let slots: usize = self.slots.iter().map(Slot::bytes).sum();
        slots + self.host.bytes()
    }

    /// Whether a state made with other settings may go on with these.
    pub fn fits(&self, tuning: Tuning) -> bool {
        self.warmup == tuning.warmup && self.all_trends == tuning.all_trends
    }

    /// Time of the last row.
    pub fn last(&self) -> Option<f64> {
        self.pace.last()
    }

    /// Makes a place for a feature; rows are in the order of their making.
    pub fn add(&mut self, key: Key, traits: Traits) -> usize {
        let trend = self.all_trends || traits.limit.is_some();
        self.slots.push(Slot::new(key, traits, trend));
        self.slots.len() - 1
    }

    /// Takes a row: `values[i]` belongs to slot `i`, NaN is missing. `now` in seconds of a monotonic clock, `wall` since the
    /// epoch. False when the time did not go forward: then the row is dropped.
    pub fn tick(&mut self, now: f64, wall: f64, values: &[f64]) -> bool {
        let advance = self.pace.advance(now);
        if advance == Advance::Backward {
            return false;
        }
        self.ticks += 1;
        if advance == Advance::Gap {
            self.interrupt(now);
        }
        for (slot, x) in self.slots.iter_mut().zip(values) {
            slot.take(*x, now);
        }
        if let Some(interval) = self.pace.interval() {
            self.end_blocks(now, wall, interval);
        }
        true
    }

    fn interrupt(&mut self, now: f64) {
        let interval = self.pace.interval().unwrap_or_default();
        self.slots.iter_mut().for_each(Slot::interrupt);
        self.state_cut.restart(now, interval);
        self.onset_cut.restart(now, interval);
        self.surprise = 0.0;
    }

    fn end_blocks(&mut self, now: f64, wall: f64, interval: f64) {
        if self.onset_cut.cuts(now, interval) {
            self.end_onset(now, interval);
        }
        if self.state_cut.cuts(now, interval) {
            let length = self.state_cut.length(interval);
            let memory = ((MEMORY / length) as f32).max(LEAST_MEMORY);
            let frame = Frame { now, wall, length, memory, warmup: self.warmup_blocks(length) };
            self.end_state(&frame);
        }
    }

    /// Blocks of a length that the warm-up lasts.
    fn warmup_blocks(&self, length: f64) -> f32 {
        (f64::from(self.warmup) * (MINUTE / length).max(1.0)) as f32
    }

    fn end_onset(&mut self, now: f64, interval: f64) {
        for slot in &mut self.slots {
            self.onset.hear(slot.end_onset(now));
        }
        let length = self.onset_cut.length(interval);
        let hold = MINUTE.max(length);
        let per_minute = (minute(self.warmup) / length).max(1.0) as f32;
        self.onset.block(now, per_minute, self.warmup_blocks(length), hold);
    }

    fn end_state(&mut self, frame: &Frame) {
        self.blocks += 1;
        self.verdicts.clear();
        for i in 0..self.slots.len() {
            let change = self.slots[i].end_state(frame);
            self.verdicts.push(self.slots[i].verdict);
            self.note(change, Some(i));
        }
        if std::env::var("DBG").is_ok() {
            let mut v: Vec<(f32, String)> = self
                .slots
                .iter()
                .map(|s| {
                    (s.verdict.deviation.z, format!("{}@{}:{:.1}", s.key.feature, s.key.device, s.verdict.deviation.z))
                })
                .collect();
            v.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
            eprintln!("Z {}", v.iter().take(14).map(|x| x.1.clone()).collect::<Vec<_>>().join(" "));
        }
        let surprise = self.host.block(&self.verdicts, frame.now, frame.memory, frame.warmup);
        let blocks = (minute(self.warmup) / frame.length / f64::from(SMOOTH)).max(1.0);
        self.surprise = (surprise - blocks.log10() as f32).max(0.0);
        self.ready = self.host.ready(frame.warmup);
        let change = self.watch.block(self.surprise, frame.wall, frame.length);
        self.note(change, None);
    }

    /// Writes down what became of the episode of a slot or of the host.
    fn note(&mut self, change: Change, slot: Option<usize>) {
        let watch = slot.map_or(&self.watch, |i| &self.slots[i].watch);
        let Some(span) = watch.open else { return };
        match change {
            Change::Nothing => return,
            Change::Opened => self.begin(span, slot),
            Change::Peaked | Change::Closed => self.follow(change, span, slot),
        }
        if change == Change::Closed {
            slot.map_or(&mut self.watch, |i| &mut self.slots[i].watch).clear();
        }
    }

    fn begin(&mut self, span: Span, slot: Option<usize>) {
        if self.episodes.len() == EPISODES {
            self.episodes.pop_front();
        }
        let contributions = if slot.is_none() { self.largest() } else { Vec::new() };
        let key = slot.map(|i| self.slots[i].key.clone());
        self.episodes.push_back(Episode { id: self.next_episode, key, span, contributions });
        self.next_episode += 1;
    }

    fn follow(&mut self, change: Change, span: Span, slot: Option<usize>) {
        let contributions = (slot.is_none() && change == Change::Peaked).then(|| self.largest());
        let key = slot.map(|i| &self.slots[i].key);
        let found = self.episodes.iter_mut().rev().find(|e| e.key.as_ref() == key && e.span.end.is_none());
        if let Some(episode) = found {
            episode.span = span;
            if let Some(contributions) = contributions {
                episode.contributions = contributions;
            }
        }
    }

    fn largest(&self) -> Vec<Contribution> {
        let mut shares = self.contributions();
        shares.truncate(NAMED);
        shares
    }

    /// Shares of the features in the host's state, largest first; their sum is 1, or there are none.
    pub fn contributions(&self) -> Vec<Contribution> {
        let total: f64 = self.slots.iter().map(|s| f64::from(s.energy)).sum();
        if total <= 0.0 {
            return Vec::new();
        }
        let share = |s: &Slot| Contribution { key: s.key.clone(), share: f64::from(s.energy) / total };
        let mut shares: Vec<_> = self.slots.iter().filter(|s| s.energy > 0.0).map(share).collect();
        shares.sort_by(|a, b| b.share.total_cmp(&a.share));
        shares
    }
}
