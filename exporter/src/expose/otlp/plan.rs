//! Which Prometheus families add up to which OTLP points: the catalogue's terms, turned round once.

use crate::metric::{Family, OtelMetric, Term};

/// All terms by the metric and the fixed attributes they share.
pub struct Plan {
    pub metrics: Vec<MetricPlan>,
}

pub struct MetricPlan {
    pub metric: &'static OtelMetric,
    pub groups: Vec<Group>,
}

/// What adds up to one point (for each set of mapped labels): sent only when every term was seen.
pub struct Group {
    pub attributes: &'static [(&'static str, &'static str)],
    pub terms: Vec<(&'static Family, &'static Term)>,
}

impl Plan {
    /// In the order of `families`. Metrics are the same when their names are.
    pub fn new(families: impl Iterator<Item = &'static Family>) -> Self {
        let mut metrics: Vec<MetricPlan> = Vec::new();
        for family in families {
            for term in family.otel {
                let at = metrics.iter().position(|m| m.metric.name == term.metric.name).unwrap_or_else(|| {
                    metrics.push(MetricPlan { metric: term.metric, groups: Vec::new() });
                    metrics.len() - 1
                });
                metrics[at].add(family, term);
            }
        }
        Plan { metrics }
    }
}

impl MetricPlan {
    fn add(&mut self, family: &'static Family, term: &'static Term) {
        match self.groups.iter_mut().find(|g| same(g.attributes, term.attributes)) {
            Some(group) => group.terms.push((family, term)),
            None => self.groups.push(Group { attributes: term.attributes, terms: vec![(family, term)] }),
        }
    }
}

fn same(a: &[(&str, &str)], b: &[(&str, &str)]) -> bool {
    a.len() == b.len() && a.iter().all(|pair| b.contains(pair))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::metric::{self, Kind, OtelKind};

    #[test]
    fn the_catalogue_says_one_thing_of_each_metric() {
        let mut seen: BTreeMap<&str, &OtelMetric> = BTreeMap::new();
        for term in metric::all().flat_map(|f| f.otel) {
            let m = *seen.entry(term.metric.name).or_insert(term.metric);
            assert_eq!((m.unit, m.kind), (term.metric.unit, term.metric.kind), "{}", m.name);
        }
    }

    #[test]
    fn the_catalogues_terms_fit_their_families() {
        for family in metric::all() {
            for term in family.otel {
                let histogram = term.metric.kind == OtelKind::Histogram;
                assert_eq!(histogram, family.kind == Kind::Histogram, "{}", family.name);
                for map in term.labels {
                    assert!(family.labels.contains(&map.label), "{} has no label {}", family.name, map.label);
                }
            }
        }
    }

    #[test]
    fn terms_of_one_point_have_the_same_attributes() {
        for m in Plan::new(metric::all()).metrics {
            for group in m.groups {
                let names = |t: &Term| t.labels.iter().map(|l| l.attribute).collect::<BTreeSet<_>>();
                let first = names(group.terms[0].1);
                // Each term has a bit.
                assert!(group.terms.len() < 64, "{}", m.metric.name);
                assert!(group.terms.iter().all(|(_, t)| names(t) == first), "{}", m.metric.name);
            }
        }
    }
}
