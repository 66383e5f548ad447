//! Prometheus' protobuf exposition, delimited, straight from the snapshot.
//!
//! A histogram is given both ways in one message: native at schema 3 and classic buckets, so that either kind of
//! Prometheus finds what it stores. The underflow is the zero bucket, the overflow the first bucket above the highest
//! boundary, so that the counts agree. Message: prometheus/client_model `io.prometheus.client.MetricFamily`.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prost::Message;

use super::buckets;
use super::page::Page;
use crate::metric::Kind;
use crate::snapshot::{Histogram, Point, Samples, Value};

/// Appends the page to `out`, each family behind its length.
pub fn render(page: &Page, out: &mut Vec<u8>) {
    for (samples, points) in page.families() {
        // A Vec grows: encoding into it cannot fail.
        let _ = family(samples, points).encode_length_delimited(out);
    }
}

fn family(samples: &Samples, points: &[&Point]) -> model::MetricFamily {
    let kind = match samples.family.kind {
        Kind::Counter => model::MetricType::Counter,
        Kind::Gauge => model::MetricType::Gauge,
        Kind::Untyped => model::MetricType::Untyped,
        Kind::Histogram => model::MetricType::Histogram,
    };
    model::MetricFamily {
        name: samples.name().concat(),
        help: samples.help().concat(),
        r#type: kind.into(),
        metric: points.iter().map(|point| metric(samples, point)).collect(),
        unit: String::new(),
    }
}

fn metric(samples: &Samples, point: &Point) -> model::Metric {
    let label = samples.labels(point).map(|(name, value)| model::LabelPair { name: name.into(), value: value.into() });
    let mut metric = model::Metric { label: label.collect(), ..Default::default() };
    match (&point.value, samples.family.kind) {
        (Value::Histogram(h), _) => metric.histogram = Some(histogram(h)),
        (Value::Number(value), Kind::Counter) => {
            metric.counter = Some(model::Counter { value: *value, ..Default::default() });
        }
        (Value::Number(value), Kind::Gauge) => metric.gauge = Some(model::Gauge { value: *value }),
        (Value::Number(value), _) => metric.untyped = Some(model::Untyped { value: *value }),
    }
    metric
}

fn histogram(histogram: &Histogram) -> model::Histogram {
    let classic = buckets::classic(histogram).into_iter().enumerate().map(|(k, cumulative_count)| model::Bucket {
        cumulative_count,
        upper_bound: buckets::classic_upper(k),
        ..Default::default()
    });
    let (positive_span, positive_delta) = spans(histogram);
    model::Histogram {
        sample_count: histogram.count(),
        sample_sum: histogram.sum,
        bucket: classic.collect(),
        schema: Histogram::SCHEMA,
        zero_threshold: buckets::zero_threshold(),
        zero_count: histogram.buckets[0],
        positive_span,
        positive_delta,
        ..Default::default()
    }
}

/// Runs of native buckets, and each bucket's difference to the one written before it. The first span's offset is an
/// index, a later one's the distance from the end of the span before.
fn spans(histogram: &Histogram) -> (Vec<model::BucketSpan>, Vec<i64>) {
    let mut spans = Vec::new();
    let mut deltas = Vec::new();
    let mut next = 0;
    let mut last = 0;
    for (first, counts) in buckets::runs(histogram) {
        let index = buckets::native_index(first);
        spans.push(model::BucketSpan { offset: index - next, length: counts.len() as u32 });
        next = index + counts.len() as i32;
        for &n in counts {
            deltas.push(n as i64 - last);
            last = n as i64;
        }
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::expose::testing::{self, HITS, LATENCY, OPEN};

    fn families(bytes: &[u8]) -> Vec<model::MetricFamily> {
        let mut rest = bytes;
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(model::MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        families
    }

    #[test]
    fn kinds_stay_what_they_are() {
        let snapshot = testing::snapshot(&[|s| {
            s.number(&HITS, &["a", ""], 2.5);
            s.keyed(&OPEN, "pgfault", 7.0);
        }]);
        let mut out = Vec::new();
        render(&Page::new(&snapshot, 100), &mut out);
        let got = families(&out);
        assert_eq!(got[0].name, "kanary_test_hits_total");
        assert_eq!(got[0].metric[0].counter.as_ref().unwrap().value, 2.5);
        assert_eq!(got[0].metric[0].label[1], model::LabelPair { name: "what".into(), value: String::new() });
        assert_eq!(got[1].name, "kanary_test_pgfault");
        assert_eq!(got[1].help, "Field pgfault of a test.");
        assert_eq!(got[1].metric[0].untyped.unwrap().value, 7.0);
        assert_eq!(got[1].metric[0].gauge, None);
    }

    #[test]
    fn histograms_are_native_and_classic_with_agreeing_counts() {
        let snapshot = testing::snapshot(&[|s| s.histogram(&LATENCY, &["read"], testing::histogram())]);
        let mut out = Vec::new();
        render(&Page::new(&snapshot, 100), &mut out);
        let h = families(&out)[0].metric[0].histogram.clone().unwrap();
        assert_eq!((h.schema, h.sample_count, h.sample_sum, h.zero_count), (3, 6, 9000.5, 1));
        assert_eq!(h.zero_threshold, 2f64.powi(-27));
        let spans: Vec<_> = h.positive_span.iter().map(|s| (s.offset, s.length)).collect();
        assert_eq!(spans, [(0, 1), (80, 1)]);
        assert_eq!(h.positive_delta, [2, 1]);
        assert_eq!(h.bucket.len(), 13);
        assert_eq!((h.bucket[10].upper_bound, h.bucket[10].cumulative_count), (1.0, 3));
    }

    proptest! {
        #[test]
        fn spans_give_every_bucket_back(filled in prop::collection::btree_map(0..Histogram::LEN, 0u64..1000, 0..40)) {
            let mut h = Histogram::empty();
            for (i, n) in filled {
                h.buckets[i] = n;
            }
            let native = histogram(&h);
            let mut back = Histogram::empty();
            back.buckets[0] = native.zero_count;
            let mut index = 0;
            let mut n = 0;
            let mut deltas = native.positive_delta.iter();
            for span in &native.positive_span {
                index += span.offset;
                for _ in 0..span.length {
                    n += deltas.next().unwrap();
                    back.buckets[(index + 216) as usize] = n as u64;
                    index += 1;
                }
            }
            prop_assert_eq!(deltas.next(), None);
            prop_assert_eq!(back, h);
        }
    }
}
