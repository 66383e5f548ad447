//! What the JSON API shows: episodes and trends, as the last blocks left them.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::engine::{Engine, Episode};
use super::episode::{Contribution, Key, Span};
use super::features;
use super::trend::Line;

/// The detector's view. Immutable, shared by `Arc`.
#[derive(Default)]
pub struct Report {
    /// Newest last.
    episodes: Vec<Episode>,
    trends: Vec<TrendOf>,
}

/// A feature's trend.
#[derive(Clone, Serialize)]
pub struct TrendOf {
    #[serde(flatten)]
    feature: Named,
    unit: &'static str,
    #[serde(flatten)]
    line: Line,
    limit: Option<f64>,
    time_to_limit: Option<f64>,
}

/// A key as its labels: `{"feature": "disk.busy", "device": "sda"}`.
#[derive(Clone)]
struct Named(Key);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("feature", &self.0.feature)?;
        let kind = features::ALL.iter().find(|f| f.name == self.0.feature);
        if let Some(dimension) = kind.and_then(|f| f.dimension) {
            map.serialize_entry(dimension.label(), &self.0.device)?;
        }
        map.end()
    }
}

/// An episode as the API shows it. `scope` is `host` or `feature`.
#[derive(Serialize)]
pub struct Shown {
    id: u64,
    scope: &'static str,
    #[serde(flatten)]
    feature: Option<Named>,
    #[serde(flatten)]
    span: Span,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contributions: Vec<Share>,
}

#[derive(Serialize)]
struct Share {
    #[serde(flatten)]
    feature: Named,
    share: f64,
}

impl Report {
    pub fn of(engine: &Engine) -> Self {
        let trends = engine.slots.iter().filter_map(|slot| {
            let line = slot.trend.as_ref()?.line()?;
            Some(TrendOf {
                feature: Named(slot.key.clone()),
                unit: features::ALL.iter().find(|f| f.name == slot.key.feature).map_or("", |f| f.unit),
                line,
                limit: slot.traits.limit,
                time_to_limit: slot.traits.limit.and_then(|l| line.time_to(l)),
            })
        });
        Report { episodes: engine.episodes.iter().cloned().collect(), trends: trends.collect() }
    }

    /// The latest `limit` episodes, newest first.
    pub fn anomalies(&self, limit: usize) -> Vec<Shown> {
        self.episodes.iter().rev().take(limit).map(Shown::from).collect()
    }

    /// Every trend that is followed.
    pub fn trends(&self) -> &[TrendOf] {
        &self.trends
    }
}

impl From<&Episode> for Shown {
    fn from(episode: &Episode) -> Self {
        let share = |c: &Contribution| Share { feature: Named(c.key.clone()), share: c.share };
        Shown {
            id: episode.id,
            scope: if episode.key.is_some() { "feature" } else { "host" },
            feature: episode.key.clone().map(Named),
            span: episode.span,
            contributions: episode.contributions.iter().map(share).collect(),
        }
    }
}
