//! Isolation forest (Liu, Ting, Zhou 2008) over the host's standardised features.
//!
//! A sample of normal blocks is kept by reservoir sampling; trees split at random features and values until a point
//! stands alone. Strange points are alone early: the score is 2^(-depth / expected depth).

use serde::{Deserialize, Serialize};

const TREES: usize = 32;
/// Blocks a tree is grown from; also the size of the reservoir.
pub const SAMPLE: usize = 128;
const DEPTH: usize = 7;
const NODES: usize = 1 << (DEPTH + 1);

/// A node of an implicit binary tree: children of `i` are `2i` and `2i + 1`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Node {
    /// Feature to split at; `LEAF` when this is the end.
    feature: u16,
    /// Where to split, or the expected depth still to go in a leaf.
    at: f32,
}

const LEAF: u16 = u16::MAX;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Forest {
    nodes: Vec<Node>,
    reservoir: Vec<f32>,
    width: usize,
    kept: usize,
    offered: u64,
    seed: u64,
    order: Vec<u16>,
}

impl Forest {
    /// Memory beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.reservoir.capacity() * size_of::<f32>()
    }

    /// Whether there are trees to ask.
    pub fn grown(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Blocks offered since the last clearing.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Offers a normal block to the reservoir.
    pub fn offer(&mut self, x: &[f32]) {
        if x.len() != self.width {
            *self = Forest { width: x.len(), seed: self.seed, ..Forest::default() };
            self.reservoir.resize(SAMPLE * x.len(), 0.0);
            self.order.reserve(SAMPLE);
        }
        let slot = if self.kept < SAMPLE { self.kept } else { (self.random() % (self.offered + 1)) as usize };
        self.offered += 1;
        if slot < SAMPLE {
            self.reservoir[slot * self.width..][..self.width].copy_from_slice(x);
            self.kept = self.kept.max(slot + 1);
        }
    }

    /// Grows all trees anew from the reservoir.
    pub fn grow(&mut self) {
        self.nodes.clear();
        self.nodes.resize(TREES * NODES, Node { feature: LEAF, at: 0.0 });
        let mut order = std::mem::take(&mut self.order);
        for tree in 0..TREES {
            order.clear();
            order.extend((0..SAMPLE as u16).filter(|i| usize::from(*i) < self.kept));
            self.split(tree * NODES, 1, 0, &mut order);
        }
        self.order = order;
    }

    fn split(&mut self, base: usize, node: usize, depth: usize, items: &mut [u16]) {
        let leaf = Node { feature: LEAF, at: expected_depth(items.len()) };
        self.nodes[base + node] = leaf;
        if depth >= DEPTH || items.len() < 2 {
            return;
        }
        let Some((feature, at)) = self.choose(items) else { return };
        self.nodes[base + node] = Node { feature: feature as u16, at };
        let mut left = 0;
        for i in 0..items.len() {
            if self.reservoir[usize::from(items[i]) * self.width + feature] < at {
                items.swap(i, left);
                left += 1;
            }
        }
        let (a, b) = items.split_at_mut(left);
        self.split(base, 2 * node, depth + 1, a);
        self.split(base, 2 * node + 1, depth + 1, b);
    }

    /// A random feature that is not constant among the items, and a random value within its range.
    fn choose(&mut self, items: &[u16]) -> Option<(usize, f32)> {
        for _ in 0..8 {
            let feature = (self.random() % self.width as u64) as usize;
            let values = items.iter().map(|i| self.reservoir[usize::from(*i) * self.width + feature]);
            let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            let part = (self.random() >> 40) as f32 / (1u64 << 24) as f32;
            let at = low + (high - low) * part;
            if at > low && at < high {
                return Some((feature, at));
            }
        }
        None
    }

    /// Isolation score in (0, 1): 0.5 is ordinary.
    pub fn score(&self, x: &[f32]) -> f32 {
        if !self.grown() || x.len() != self.width {
            return 0.5;
        }
        let total: f32 = (0..TREES).map(|t| depth(&self.nodes[t * NODES..][..NODES], x)).sum();
        (-total / (TREES as f32 * expected_depth(self.kept))).exp2()
    }

    /// splitmix64: every run gives the same trees.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn depth(tree: &[Node], x: &[f32]) -> f32 {
    let (mut node, mut depth) = (1, 0.0);
    loop {
        let Node { feature, at } = tree[node];
        if feature == LEAF {
            return depth + at;
        }
        node = 2 * node + usize::from(x[usize::from(feature)] >= at);
        depth += 1.0;
    }
}

/// Mean depth of an unsuccessful search in a binary search tree of `n` items.
fn expected_depth(n: usize) -> f32 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => 2.0 * (((n - 1) as f32).ln() + 0.577_215_7) - 2.0 * (n - 1) as f32 / n as f32,
    }
}
