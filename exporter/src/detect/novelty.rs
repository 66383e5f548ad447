//! Value novelty: how far a value is from everything seen before.
//!
//! At most [`PROTOTYPES`] values, sorted, stand for all values seen. A new value becomes a prototype; when there is no
//! room the two closest are merged by weight. Extremes are far from the rest and therefore stay: the memory of
//! ranges is long, that of densities short. O(log K) to ask, O(K) to learn.

use serde::{Deserialize, Serialize};

/// Most prototypes.
pub const PROTOTYPES: usize = 64;

/// Sorted representatives of the values seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Novelty {
    #[serde(with = "super::array")]
    value: [f32; PROTOTYPES],
    #[serde(with = "super::array")]
    weight: [f32; PROTOTYPES],
    len: u8,
}

impl Default for Novelty {
    fn default() -> Self {
        Novelty { value: [0.0; PROTOTYPES], weight: [0.0; PROTOTYPES], len: 0 }
    }
}

impl Novelty {
    /// Distance to the nearest prototype; `None` before the first.
    pub fn distance(&self, x: f32) -> Option<f32> {
        let known = &self.value[..usize::from(self.len)];
        let at = known.partition_point(|v| *v < x);
        let below = at.checked_sub(1).map(|i| x - known[i]);
        let above = known.get(at).map(|v| v - x);
        match (below, above) {
            (Some(b), Some(a)) => Some(b.min(a)),
            (one, other) => one.or(other),
        }
    }

    /// Makes `x` a prototype. Weights are capped at `memory`, so that old values can still move.
    pub fn learn(&mut self, x: f32, memory: f32) {
        let n = usize::from(self.len);
        let at = self.value[..n].partition_point(|v| *v < x);
        if at < n && self.value[at] == x {
            self.weight[at] = (self.weight[at] + 1.0).min(memory);
        } else if n < PROTOTYPES {
            self.insert(at, n, x);
            self.len += 1;
        } else {
            self.make_room(x, at, memory);
        }
    }

    fn insert(&mut self, at: usize, n: usize, x: f32) {
        self.value.copy_within(at..n, at + 1);
        self.weight.copy_within(at..n, at + 1);
        self.value[at] = x;
        self.weight[at] = 1.0;
    }

    /// Merges the closest two of the prototypes and `x`.
    fn make_room(&mut self, x: f32, at: usize, memory: f32) {
        let n = PROTOTYPES;
        let mut pair = 1;
        let mut least = f32::INFINITY;
        for i in 1..n {
            let gap = self.value[i] - self.value[i - 1];
            if gap < least {
                (least, pair) = (gap, i);
            }
        }
        let near = if at == n || (at > 0 && x - self.value[at - 1] < self.value[at] - x) { at - 1 } else { at };
        if (self.value[near] - x).abs() <= least {
            self.absorb(near, x, 1.0, memory);
            return;
        }
        self.absorb(pair - 1, self.value[pair], self.weight[pair], memory);
        self.value.copy_within(pair + 1..n, pair);
        self.weight.copy_within(pair + 1..n, pair);
        let at = if at > pair { at - 1 } else { at };
        // A merge beside the place of `x` moves no prototype across it: it stays between its neighbours.
        let at = at.min(n - 1);
        let at = if at > 0 && self.value[at - 1] > x { at - 1 } else { at };
        let at = if at < n - 1 && self.value[at] < x { at + 1 } else { at };
        self.insert(at, n - 1, x);
    }

    fn absorb(&mut self, i: usize, x: f32, weight: f32, memory: f32) {
        let sum = self.weight[i] + weight;
        self.value[i] += (x - self.value[i]) * (weight / sum);
        self.weight[i] = sum.min(memory);
    }
}
