//! What the detector costs: time per point and feature, state per feature, allocations per tick.
//!
//! `cargo bench --bench detector`. Prints Markdown.

use std::hint::black_box;
use std::time::Instant;

use kanary::detect::engine::{Engine, Tuning};
use kanary::detect::episode::Key;
use kanary::detect::slot::Traits;

const FEATURES: usize = 60;

fn engine(trends: bool) -> Engine {
    let mut engine = Engine::new(Tuning { all_trends: trends, ..Tuning::default() });
    for i in 0..FEATURES {
        engine.add(Key { feature: format!("feature.{i}").into(), device: "".into() }, Traits::default());
    }
    engine
}

/// Rows of noise made beforehand, so that making them is not measured.
fn rows(n: usize) -> Vec<[f64; FEATURES]> {
    let mut x: u64 = 1;
    let mut uniform = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n).map(|_| std::array::from_fn(|_| uniform() + uniform() + uniform())).collect()
}

/// Median nanoseconds per point and feature over rounds of `rows`.
fn cost(step: f64, trends: bool, rows: &[[f64; FEATURES]]) -> (f64, Engine) {
    let mut engine = engine(trends);
    let mut now = 1e6;
    let mut rounds = Vec::new();
    for round in 0..12 {
        let begin = Instant::now();
        for row in rows {
            now += step;
            black_box(engine.tick(now, 1.7e9 + now, row));
        }
        if round >= 2 {
            rounds.push(begin.elapsed().as_nanos() as f64 / (rows.len() * FEATURES) as f64);
        }
    }
    rounds.sort_by(f64::total_cmp);
    (rounds[rounds.len() / 2], engine)
}

fn main() {
    let rows = rows(2000);
    println!("| points every | ns per point and feature | state per feature |\n|---|---|---|");
    for (name, step, trends) in [("1 s", 1.0, false), ("1 s, trends of all", 1.0, true), ("60 s", 60.0, false)] {
        let (ns, engine) = cost(step, trends, &rows);
        let state = postcard::to_allocvec(&engine.slots).map_or(0, |bytes| bytes.len()) / FEATURES;
        println!("| {name} | {ns:.0} | {state} B saved, {} B in memory |", engine.bytes() / FEATURES);
    }
}
