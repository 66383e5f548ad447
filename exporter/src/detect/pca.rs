//! Streaming principal components of the host's standardised features, and what they leave unexplained.
//!
//! Candid covariance-free incremental PCA (Weng, Zhang, Hwang 2003): each component is a running mean of the data
//! projected on its own direction, deflated by the components before it. O(rank x features) per block.

use serde::{Deserialize, Serialize};

/// Components kept.
pub const RANK: usize = 6;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pca {
    /// Unnormalised components, one row of `width` each; the length of a row is its eigenvalue.
    rows: [Vec<f32>; RANK],
    norm: [f32; RANK],
    n: f32,
    #[serde(skip)]
    rest: Vec<f32>,
}

impl Pca {
    /// Memory beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(Vec::capacity).sum();
        (rows + self.rest.capacity()) * size_of::<f32>()
    }

    /// Mean square of what the components leave of `x`.
    pub fn residual(&mut self, x: &[f32]) -> f32 {
        self.widen(x.len());
        self.rest.copy_from_slice(x);
        for (row, norm) in self.rows.iter().zip(self.norm) {
            deflate(&mut self.rest, row, norm);
        }
        dot(&self.rest, &self.rest) / x.len().max(1) as f32
    }

    /// Learns `x`; `memory` is in blocks.
    pub fn learn(&mut self, x: &[f32], memory: f32) {
        self.widen(x.len());
        self.rest.copy_from_slice(x);
        self.n = (self.n + 1.0).min(memory);
        let w = 1.0 / self.n;
        for (row, norm) in self.rows.iter_mut().zip(&mut self.norm) {
            let along = if *norm > 0.0 { dot(&self.rest, row) / *norm } else { dot(&self.rest, &self.rest).sqrt() };
            for (r, x) in row.iter_mut().zip(&self.rest) {
                *r += w * (along * x - *r);
            }
            *norm = dot(row, row).sqrt();
            deflate(&mut self.rest, row, *norm);
        }
    }

    /// Makes room for features that appeared.
    fn widen(&mut self, width: usize) {
        for row in &mut self.rows {
            row.resize(width, 0.0);
        }
        self.rest.resize(width, 0.0);
    }
}

fn deflate(rest: &mut [f32], row: &[f32], norm: f32) {
    if norm > 1e-9 {
        let along = dot(rest, row) / (norm * norm);
        for (x, r) in rest.iter_mut().zip(row) {
            *x -= along * r;
        }
    }
}

/// Dot product in eight lanes, so that the compiler may use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f32>() + tail
}
