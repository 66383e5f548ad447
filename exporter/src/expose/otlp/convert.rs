//! A page as an OTLP request: each point is the weighted sum of the catalogue's terms.
//!
//! Whole units (`By`, `{...}`) are sent as integers, others as doubles. What is not finite is left out.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proto::AggregationTemporality::Cumulative;
use proto::exponential_histogram_data_point::Buckets;
use smallvec::SmallVec;

use super::plan::{Group, MetricPlan, Plan};
use super::resource::attribute;
use super::settings::Histograms;
pub use super::starts::Epoch;
use super::starts::Starts;
use crate::expose::buckets;
use crate::expose::page::Page;
use crate::metric::{Family, OtelKind, OtelMetric, Term};
use crate::snapshot::{Histogram, Point, Stamp, Value};

/// Version of the conventions that the catalogue's names are from.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Attributes that come from labels, sorted by name.
type Mapped<'a> = SmallVec<[(&'static str, &'a str); 4]>;
/// Points by family; an open family has a part for each key.
type Index<'a, 'p> = HashMap<*const Family, SmallVec<[&'p [&'a Point]; 1]>>;

pub struct Converter {
    plan: Plan,
    resource: Resource,
    histograms: Histograms,
    epoch: Epoch,
    starts: Starts,
    hasher: DefaultHashBuilder,
}

/// What has come together for one point.
struct Sum<'a> {
    mapped: Mapped<'a>,
    number: f64,
    histogram: Option<Arc<Histogram>>,
    /// One bit for each term of the group.
    seen: u64,
    /// Whether kanary itself does the counting.
    own: bool,
}

/// When a point is of, and since when it counts; nanoseconds.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    time: u64,
}

impl Converter {
    pub fn new(
        families: impl Iterator<Item = &'static Family>,
        resource: Resource,
        histograms: Histograms,
        epoch: Epoch,
    ) -> Self {
        let (starts, hasher) = (Starts::default(), DefaultHashBuilder::default());
        Converter { plan: Plan::new(families), resource, histograms, epoch, starts, hasher }
    }

    /// The whole page, of a snapshot taken at `at`, as one request.
    pub fn convert(&mut self, page: &Page, at: Stamp) -> ExportMetricsServiceRequest {
        let time = u64::try_from(at.wall.as_nanos()).unwrap_or(u64::MAX);
        self.starts.begin(time);
        let mut index = Index::new();
        for (samples, points) in page.families() {
            index.entry(std::ptr::from_ref(samples.family)).or_default().push(points);
        }
        let plan = std::mem::replace(&mut self.plan, Plan { metrics: Vec::new() });
        let metrics = plan.metrics.iter().filter_map(|m| self.metric(m, &index, time)).collect();
        self.plan = plan;
        let scope = InstrumentationScope {
            name: "kanary".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let scope_metrics = proto::ScopeMetrics { scope: Some(scope), metrics, schema_url: SCHEMA_URL.into() };
        let resource_metrics = proto::ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![scope_metrics],
            schema_url: SCHEMA_URL.into(),
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
    }

    fn metric(&mut self, plan: &MetricPlan, index: &Index, time: u64) -> Option<proto::Metric> {
        let mut points = Points::new(plan.metric, self.histograms);
        for group in &plan.groups {
            for sum in sums(group, index) {
                let span = self.span(plan.metric, group, &sum, time);
                let fixed = group.attributes.iter().copied();
                let attributes = fixed.chain(sum.mapped.iter().copied()).map(|(n, v)| attribute(n, v)).collect();
                points.push(&sum, span, attributes);
            }
        }
        points.finish().map(|data| proto::Metric {
            name: plan.metric.name.into(),
            description: plan.metric.description.into(),
            unit: plan.metric.unit.into(),
            metadata: Vec::new(),
            data: Some(data),
        })
    }

    fn span(&mut self, metric: &OtelMetric, group: &Group, sum: &Sum, time: u64) -> Span {
        let epoch = if sum.own { self.epoch.process } else { self.epoch.boot };
        let start = match metric.kind {
            OtelKind::Gauge => 0,
            OtelKind::UpDownCounter => epoch.min(time),
            OtelKind::Counter | OtelKind::Histogram => {
                let total = sum.histogram.as_ref().map_or(sum.number, |h| h.count() as f64);
                let hash = self.hasher.hash_one((metric.name, group.attributes, &sum.mapped));
                self.starts.start(hash, total, epoch)
            }
        };
        Span { start, time }
    }
}

/// The points of one group, in order of first appearance; those that lack a term left out.
fn sums<'a>(group: &Group, index: &Index<'a, '_>) -> Vec<Sum<'a>> {
    let mut sums: Vec<Sum<'a>> = Vec::new();
    let mut places: HashMap<Mapped<'a>, usize> = HashMap::new();
    for (bit, (family, term)) in group.terms.iter().enumerate() {
        let own = family.name.starts_with("kanary_");
        for point in index.get(&std::ptr::from_ref(*family)).into_iter().flatten().copied().flatten() {
            let mapped = mapped(family, term, point);
            let at = *places.entry(mapped).or_insert_with_key(|mapped| {
                sums.push(Sum { mapped: mapped.clone(), number: 0.0, histogram: None, seen: 0, own });
                sums.len() - 1
            });
            sums[at].seen |= 1 << bit;
            sums[at].add(&point.value, term.weight);
        }
    }
    let whole = (1 << group.terms.len()) - 1;
    sums.retain(|s| s.seen == whole && s.number.is_finite());
    sums
}

fn mapped<'a>(family: &Family, term: &Term, point: &'a Point) -> Mapped<'a> {
    let mut mapped: Mapped<'a> = SmallVec::new();
    for map in term.labels {
        let at = family.labels.iter().position(|l| *l == map.label);
        let Some(value) = at.and_then(|at| point.labels.get(at)).filter(|v| !v.is_empty()) else { continue };
        let renamed = map.values.iter().find(|(from, _)| *from == value.as_str()).map(|(_, to)| *to);
        mapped.push((map.attribute, renamed.unwrap_or(value)));
    }
    mapped.sort_unstable_by_key(|(name, _)| *name);
    mapped
}

impl Sum<'_> {
    fn add(&mut self, value: &Value, weight: f64) {
        match (value, &mut self.histogram) {
            (Value::Number(n), _) => self.number += weight * n,
            (Value::Histogram(h), None) => self.histogram = Some(Arc::clone(h)),
            (Value::Histogram(h), Some(sum)) => {
                let sum = Arc::make_mut(sum);
                sum.buckets.iter_mut().zip(&h.buckets).for_each(|(a, b)| *a += b);
                sum.sum += h.sum;
            }
        }
    }
}

/// The points of one metric, in the shape its kind has.
struct Points<'m> {
    metric: &'m OtelMetric,
    numbers: Vec<proto::NumberDataPoint>,
    exponential: Vec<proto::ExponentialHistogramDataPoint>,
    explicit: Vec<proto::HistogramDataPoint>,
    histograms: Histograms,
}

impl<'m> Points<'m> {
    fn new(metric: &'m OtelMetric, histograms: Histograms) -> Self {
        Points { metric, numbers: Vec::new(), exponential: Vec::new(), explicit: Vec::new(), histograms }
    }

    fn push(&mut self, sum: &Sum, span: Span, attributes: Vec<KeyValue>) {
        match (&sum.histogram, self.metric.kind == OtelKind::Histogram, self.histograms) {
            (Some(h), true, Histograms::Exponential) => self.exponential.push(exponential(h, span, attributes)),
            (Some(h), true, Histograms::Explicit) => self.explicit.push(explicit(h, span, attributes)),
            (None, false, _) => self.numbers.push(proto::NumberDataPoint {
                attributes,
                start_time_unix_nano: span.start,
                time_unix_nano: span.time,
                value: Some(number(sum.number, self.metric.unit)),
                ..Default::default()
            }),
            _ => {}
        }
    }

    fn finish(self) -> Option<proto::metric::Data> {
        use proto::metric::Data;
        if self.numbers.is_empty() && self.exponential.is_empty() && self.explicit.is_empty() {
            return None;
        }
        let aggregation_temporality = Cumulative.into();
        let sum =
            |is_monotonic, data_points| Data::Sum(proto::Sum { data_points, aggregation_temporality, is_monotonic });
        Some(match (self.metric.kind, self.histograms) {
            (OtelKind::Counter, _) => sum(true, self.numbers),
            (OtelKind::UpDownCounter, _) => sum(false, self.numbers),
            (OtelKind::Gauge, _) => Data::Gauge(proto::Gauge { data_points: self.numbers }),
            (OtelKind::Histogram, Histograms::Exponential) => Data::ExponentialHistogram(proto::ExponentialHistogram {
                data_points: self.exponential,
                aggregation_temporality,
            }),
            (OtelKind::Histogram, Histograms::Explicit) => {
                Data::Histogram(proto::Histogram { data_points: self.explicit, aggregation_temporality })
            }
        })
    }
}

/// Whole units as integers, as long as the value is one.
fn number(value: f64, unit: &str) -> proto::number_data_point::Value {
    use proto::number_data_point::Value::{AsDouble, AsInt};
    let whole = unit == "By" || unit.starts_with('{');
    if whole && value.trunc() == value && value.abs() < i64::MAX as f64 { AsInt(value as i64) } else { AsDouble(value) }
}

/// Scale 3 of base 2: bucket i above the offset holds (2^((offset+i)/8), 2^((offset+i+1)/8)], so the offset is one less
/// than Prometheus' index. The underflow is the zero bucket.
fn exponential(h: &Histogram, span: Span, attributes: Vec<KeyValue>) -> proto::ExponentialHistogramDataPoint {
    let above = &h.buckets[1..];
    let first = above.iter().position(|&n| n > 0);
    let positive = first.map(|first| {
        let last = above.iter().rposition(|&n| n > 0).unwrap_or(first);
        Buckets { offset: buckets::native_index(first + 1) - 1, bucket_counts: above[first..=last].to_vec() }
    });
    proto::ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: span.start,
        time_unix_nano: span.time,
        count: h.count(),
        sum: Some(h.sum),
        scale: Histogram::SCHEMA,
        zero_count: h.buckets[0],
        zero_threshold: buckets::zero_threshold(),
        positive,
        ..Default::default()
    }
}

fn explicit(h: &Histogram, span: Span, attributes: Vec<KeyValue>) -> proto::HistogramDataPoint {
    let mut before = 0;
    let cumulative = buckets::classic(h);
    let counts = cumulative.into_iter().chain([h.count()]).map(|n| n - std::mem::replace(&mut before, n));
    proto::HistogramDataPoint {
        attributes,
        start_time_unix_nano: span.start,
        time_unix_nano: span.time,
        count: h.count(),
        sum: Some(h.sum),
        bucket_counts: counts.collect(),
        explicit_bounds: (0..cumulative.len()).map(buckets::classic_upper).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
