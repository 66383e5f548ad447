//! Tests of the conversion, on a catalogue of their own.

use proto::metric::Data;
use proto::number_data_point::Value::{AsDouble, AsInt};

use super::*;
use crate::expose::testing::{self, AT};
use crate::metric::{LabelMap, OtelKind};
use crate::snapshot::Sink;

static TIME: OtelMetric = OtelMetric::new("test.cpu.time", "s", OtelKind::Counter, "Time.");
static USAGE: OtelMetric = OtelMetric::new("test.usage", "By", OtelKind::UpDownCounter, "Usage.");
static LEVEL: OtelMetric = OtelMetric::new("test.level", "1", OtelKind::Gauge, "Level.");
static DURATION: OtelMetric = OtelMetric::new("test.duration", "s", OtelKind::Histogram, "Durations.");

const MODE: LabelMap = LabelMap::to("mode", "cpu.mode").renaming(&[("irq", "interrupt"), ("softirq", "interrupt")]);
const USED: &[(&str, &str)] = &[("state", "used")];
const FREE: &[(&str, &str)] = &[("state", "free")];
const DEVICE: &[LabelMap] = &[LabelMap::to("device", "system.device")];

static SECONDS: Family = Family::counter("test", "node_test_seconds_total", "x")
    .labels(&["cpu", "mode"])
    .otel(&[Term::of(&TIME).map(&[MODE])]);
static SIZE: Family = Family::gauge("test", "node_test_size_bytes", "x")
    .labels(&["device"])
    .otel(&[Term::of(&USAGE).with(USED).map(DEVICE)]);
static FREE_BYTES: Family = Family::gauge("test", "node_test_free_bytes", "x")
    .labels(&["device"])
    .otel(&[Term::of(&USAGE).with(USED).minus().map(DEVICE), Term::of(&USAGE).with(FREE).map(DEVICE)]);
static RATIO: Family = Family::gauge("test", "kanary_test_ratio", "x").otel(&[Term::of(&LEVEL)]);
static SPANS: Family =
    Family::histogram("test", "kanary_test_duration_seconds", "x").labels(&["call"]).otel(&[Term::of(&DURATION)]);

const EPOCH: Epoch = Epoch { boot: 1_000, process: 2_000 };

fn converter(histograms: Histograms) -> Converter {
    let families = [&SECONDS, &SIZE, &FREE_BYTES, &RATIO, &SPANS];
    Converter::new(families.into_iter(), Resource::default(), histograms, EPOCH)
}

fn convert(fill: fn(&mut Sink)) -> Vec<proto::Metric> {
    metrics(&mut converter(Histograms::Exponential), fill)
}

fn metrics(converter: &mut Converter, fill: fn(&mut Sink)) -> Vec<proto::Metric> {
    let snapshot = testing::snapshot(&[fill]);
    let mut request = converter.convert(&Page::new(&snapshot, 1000), snapshot.at);
    request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
}

/// Attributes as text and value of each point of a sum.
fn sum(metric: &proto::Metric) -> Vec<(String, proto::number_data_point::Value)> {
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    assert_eq!(sum.aggregation_temporality, Cumulative as i32);
    sum.data_points.iter().map(|p| (text(&p.attributes), p.value.unwrap())).collect()
}

fn text(attributes: &[KeyValue]) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
    let one = |kv: &KeyValue| match kv.value.as_ref().unwrap().value.as_ref().unwrap() {
        StringValue(v) => format!("{}={v}", kv.key),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(one).collect::<Vec<_>>().join(",")
}

#[test]
fn labels_are_mapped_renamed_and_summed_over() {
    let metrics = convert(|s| {
        for (cpu, mode, v) in [("0", "idle", 1.5), ("0", "irq", 0.25), ("1", "idle", 2.0), ("1", "softirq", 0.5)] {
            s.number(&SECONDS, &[cpu, mode], v);
        }
    });
    assert_eq!(metrics.len(), 1);
    assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("test.cpu.time", "s"));
    assert_eq!(
        sum(&metrics[0]),
        [("cpu.mode=idle".into(), AsDouble(3.5)), ("cpu.mode=interrupt".into(), AsDouble(0.75))]
    );
    let Some(Data::Sum(s)) = &metrics[0].data else { panic!() };
    assert!(s.is_monotonic);
    let time = AT.wall.as_nanos() as u64;
    assert!(s.data_points.iter().all(|p| p.start_time_unix_nano == EPOCH.boot && p.time_unix_nano == time));
}

#[test]
fn a_point_needs_every_term() {
    let metrics = convert(|s| {
        s.number(&SIZE, &["sda"], 100.0);
        s.number(&SIZE, &["sdb"], 7.0);
        s.number(&FREE_BYTES, &["sda"], 60.0);
        s.number(&FREE_BYTES, &["sdc"], f64::NAN);
    });
    assert_eq!(
        sum(&metrics[0]),
        [("state=used,system.device=sda".into(), AsInt(40)), ("state=free,system.device=sda".into(), AsInt(60))]
    );
}

#[test]
fn gauges_have_no_start_and_own_counts_start_with_the_process() {
    let metrics = convert(|s| {
        s.number(&RATIO, &[], 0.5);
        s.histogram(&SPANS, &["read"], testing::histogram());
    });
    let Some(Data::Gauge(g)) = &metrics[0].data else { panic!() };
    assert_eq!((g.data_points[0].start_time_unix_nano, g.data_points[0].value), (0, Some(AsDouble(0.5))));
    let Some(Data::ExponentialHistogram(h)) = &metrics[1].data else { panic!() };
    assert_eq!(h.data_points[0].start_time_unix_nano, EPOCH.process);
}

#[test]
fn exponential_buckets_start_one_below_prometheus_index() {
    let metrics = convert(|s| {
        s.histogram(&SPANS, &["read"], testing::histogram());
        s.histogram(&SPANS, &["write"], testing::histogram());
    });
    let Some(Data::ExponentialHistogram(h)) = &metrics[0].data else { panic!() };
    assert_eq!(h.data_points.len(), 1);
    let p = &h.data_points[0];
    assert_eq!((p.scale, p.count, p.sum, p.zero_count), (3, 12, Some(18001.0), 2));
    assert_eq!(p.zero_threshold, 2f64.powi(-27));
    let buckets = p.positive.as_ref().unwrap();
    // Bucket 216 ends at one second: (2^(-1/8), 2^0].
    assert_eq!((buckets.offset, buckets.bucket_counts.len()), (-1, 82));
    assert_eq!((buckets.bucket_counts[0], buckets.bucket_counts[81]), (4, 6));
    assert_eq!(buckets.bucket_counts.iter().sum::<u64>() + p.zero_count, p.count);
}

#[test]
fn explicit_buckets_when_asked() {
    let metrics =
        metrics(&mut converter(Histograms::Explicit), |s| s.histogram(&SPANS, &["read"], testing::histogram()));
    let Some(Data::Histogram(h)) = &metrics[0].data else { panic!() };
    let p = &h.data_points[0];
    assert_eq!(p.explicit_bounds[10], 1.0);
    assert_eq!(p.bucket_counts, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3]);
    assert_eq!(p.bucket_counts.len(), p.explicit_bounds.len() + 1);
}

#[test]
fn an_empty_histogram_is_sent_as_such() {
    let metrics = convert(|s| s.histogram(&SPANS, &["read"], Arc::new(Histogram::empty())));
    let Some(Data::ExponentialHistogram(h)) = &metrics[0].data else { panic!() };
    assert_eq!((h.data_points[0].count, &h.data_points[0].positive), (0, &None));
}

#[test]
fn a_counter_that_went_back_starts_where_it_was_last_seen() {
    let mut converter = converter(Histograms::Exponential);
    let mut at = |seconds: u64, value: f64| {
        let mut sink = Sink::default();
        sink.number(&SECONDS, &["0", "idle"], value);
        let mut snapshot = testing::snapshot(&[|_| {}]);
        snapshot.at.wall = std::time::Duration::from_secs(seconds);
        Arc::get_mut(&mut snapshot.sections[0]).unwrap().samples = sink.finish().0;
        let request = converter.convert(&Page::new(&snapshot, 1000), snapshot.at);
        let Some(Data::Sum(s)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else { panic!() };
        s.data_points[0].start_time_unix_nano
    };
    assert_eq!(at(100, 5.0), EPOCH.boot);
    assert_eq!(at(160, 6.0), EPOCH.boot);
    assert_eq!(at(220, 1.0), 160_000_000_000);
}
