//! The detector's metric families.

use std::time::Duration;

use super::engine::Engine;
use super::episode::{KEEP, Key, score};
use super::feature::Dimension;
use super::features;
use super::host::Retrain;
use super::slot::Slot;
use crate::metric::{Family, anomaly};
use crate::snapshot::Sink;

/// What is shown on request only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Robust z of each feature, and the isolation forest's score.
    pub zscore: bool,
}

/// Writes every family. `took` is the time of the last tick.
pub fn publish(engine: &Engine, extras: Extras, took: Duration, out: &mut Sink) {
    for slot in &engine.slots {
        feature(slot, engine.ready, extras, out);
    }
    host(engine, extras, out);
    detector(engine, took, out);
}

/// Values of the labels of `anomaly::FEATURE`.
pub fn labels(key: &Key) -> [&str; 4] {
    let mut labels = [key.feature.as_str(), "", "", ""];
    let kind = features::ALL.iter().find(|f| f.name == key.feature);
    if let Some(dimension) = kind.and_then(|f| f.dimension) {
        labels[position(dimension)] = key.device.as_str();
    }
    labels
}

fn position(dimension: Dimension) -> usize {
    anomaly::FEATURE.iter().position(|l| *l == dimension.label()).unwrap_or(0)
}

fn feature(slot: &Slot, ready: bool, extras: Extras, out: &mut Sink) {
    let labels = labels(&slot.key);
    let mut put = |family: &'static Family, value: f64| out.number(family, &labels, value);
    put(&anomaly::ANOMALIES, slot.watch.count as f64);
    put(&anomaly::SECONDS, slot.watch.seconds);
    if let Some(span) = slot.watch.open {
        put(&anomaly::ONSET_TIMESTAMP, span.onset);
    }
    if !slot.present {
        return;
    }
    put(&anomaly::SCORE, score(slot.held));
    if extras.zscore && ready {
        put(&anomaly::ZSCORE, f64::from(slot.verdict.deviation.z));
    }
    let Some(line) = slot.trend.as_ref().and_then(|t| t.line()) else { return };
    put(&anomaly::TREND_SLOPE, line.slope);
    if let Some(seconds) = slot.traits.limit.and_then(|l| line.time_to(l)) {
        put(&anomaly::TIME_TO_LIMIT, seconds);
    }
}

fn host(engine: &Engine, extras: Extras, out: &mut Sink) {
    out.number(&anomaly::ONSET, &[], score(engine.onset.surprise()));
    out.number(&anomaly::STATE, &[], score(engine.surprise));
    if engine.surprise >= KEEP {
        for contribution in engine.contributions() {
            out.number(&anomaly::CONTRIBUTION, &labels(&contribution.key), contribution.share);
        }
    }
    out.number(&anomaly::HOST_ANOMALIES, &[], engine.watch.count as f64);
    out.number(&anomaly::HOST_SECONDS, &[], engine.watch.seconds);
    if extras.zscore && engine.ready {
        out.number(&anomaly::ISOLATION, &[], f64::from(engine.host.isolation));
    }
}

fn detector(engine: &Engine, took: Duration, out: &mut Sink) {
    out.number(&anomaly::READY, &[], f64::from(u8::from(engine.ready)));
    out.number(&anomaly::TICKS, &[], engine.ticks as f64);
    out.number(&anomaly::TICK_DURATION, &[], took.as_secs_f64());
    for reason in Retrain::ALL {
        out.number(&anomaly::RETRAINS, &[reason.label()], engine.host.retrains[reason as usize] as f64);
    }
    if let (Some(trained), Some(now)) = (engine.host.trained_at, engine.last()) {
        out.number(&anomaly::MODEL_AGE, &[], now - trained);
    }
}
