//! Test: any snapshot, rendered in each format and parsed back by strict readers, gives the same series.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use proptest::prelude::*;
use prost::Message;

use super::page::Page;
use super::testing::{self, HITS, LATENCY, LEVEL, OPEN};
use super::text::{self, Format};
use super::{number, protobuf};
use crate::snapshot::{Histogram, Sink, Snapshot};

/// Names and values, `le` among them.
type Labels = Vec<(String, String)>;
/// Name and labels, and the value's bits.
type Series = BTreeMap<(String, Labels), u64>;

/// Reads a text page, accepting nothing but what the format allows.
fn read(page: &str, format: Format) -> Result<Series, String> {
    let mut series = Series::new();
    let mut families = BTreeSet::new();
    let body = match format {
        Format::Text => page,
        Format::OpenMetrics => page.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?,
    };
    let mut lines = body.split_terminator('\n').peekable();
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line is not ended".into());
    }
    while let Some(line) = lines.next() {
        let (family, help) = after(line, "# HELP ")?.split_once(' ').ok_or("HELP without text")?;
        unescape(help, format == Format::OpenMetrics)?;
        let line = lines.next().ok_or("HELP without TYPE")?;
        let (named, kind) = after(line, "# TYPE ")?.split_once(' ').ok_or("TYPE without a type")?;
        if named != family || !families.insert(family.to_string()) {
            return Err(format!("{family} is described twice or not"));
        }
        while let Some(line) = lines.next_if(|l| !l.starts_with('#')) {
            let (name, labels, value) = sample(line)?;
            if !suffixes(kind, format)?.iter().any(|s| name.strip_prefix(family) == Some(*s)) {
                return Err(format!("{name} is no sample of the {kind} {family}"));
            }
            if series.insert((name, labels), bits(value)).is_some() {
                return Err(format!("{line}: twice"));
            }
        }
    }
    Ok(series)
}

fn after<'a>(line: &'a str, prefix: &str) -> Result<&'a str, String> {
    line.strip_prefix(prefix).ok_or_else(|| format!("`{line}` does not begin with `{prefix}`"))
}

fn suffixes(kind: &str, format: Format) -> Result<&'static [&'static str], String> {
    match (kind, format) {
        ("counter", Format::OpenMetrics) => Ok(&["_total"]),
        ("counter" | "gauge", _) | ("untyped", Format::Text) | ("unknown", Format::OpenMetrics) => Ok(&[""]),
        ("histogram", _) => Ok(&["_bucket", "_sum", "_count"]),
        _ => Err(format!("{kind} is no type")),
    }
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, quoted) = rest.split_once("=\"").ok_or("a label without a value")?;
            let close = closing(quoted).ok_or("a label value without an end")?;
            labels.push((label.to_string(), unescape(&quoted[..close], true)?));
            rest = &quoted[close + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').ok_or("labels without an end")?;
    }
    let legal = |n: &str| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !n.is_empty();
    if !legal(name) || !labels.iter().all(|(n, _)| legal(n)) {
        return Err(format!("{line}: an illegal name"));
    }
    labels.sort();
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok((name.into(), labels, value.parse().map_err(|_| format!("{value} is no number"))?))
}

/// Index of the quote that is not escaped.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if quotes => '"',
                other => return Err(format!("\\{other:?} is no escape")),
            },
            '"' if quotes => return Err("a bare quote".into()),
            other => other,
        });
    }
    Ok(out)
}

/// Reads a protobuf page as Prometheus would store it with classic buckets.
fn read_protobuf(mut page: &[u8]) -> Series {
    let mut series = Series::new();
    while !page.is_empty() {
        let family = model::MetricFamily::decode_length_delimited(&mut page).unwrap();
        for metric in &family.metric {
            let mut add = |suffix: &str, le: Option<f64>, value: f64| {
                let mut labels: Vec<_> = metric.label.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
                labels.extend(le.map(|le| ("le".to_string(), text_of(le))));
                labels.sort();
                assert!(series.insert((format!("{}{suffix}", family.name), labels), bits(value)).is_none());
            };
            let Some(h) = &metric.histogram else {
                let counter = metric.counter.as_ref().map(|c| c.value);
                let other = metric.gauge.map(|g| g.value).or(metric.untyped.map(|u| u.value));
                add("", None, counter.or(other).unwrap());
                continue;
            };
            h.bucket.iter().for_each(|b| add("_bucket", Some(b.upper_bound), b.cumulative_count as f64));
            add("_bucket", Some(f64::INFINITY), h.sample_count as f64);
            add("_sum", None, h.sample_sum);
            add("_count", None, h.sample_count as f64);
        }
    }
    series
}

fn text_of(v: f64) -> String {
    let mut out = Vec::new();
    number::write(v, &mut out);
    String::from_utf8(out).unwrap()
}

/// Equal for what the formats cannot tell apart: every NaN, both zeros.
fn bits(v: f64) -> u64 {
    if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() }
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let text = || prop_oneof!["[a-z]{0,3}", any::<String>(), "[\\\\\"\n,={} ]{0,4}"];
    let hits = prop::collection::vec((text(), text(), any::<f64>()), 0..8);
    let open = prop::collection::vec(("[a-z]{1,3}", any::<f64>()), 0..4);
    let buckets = prop::collection::btree_map(0..Histogram::LEN, 0..1u64 << 40, 0..20);
    let calls = prop::collection::vec((text(), buckets, 0.0..1e9f64), 0..3);
    (hits, open, calls, any::<f64>()).prop_map(|(hits, open, calls, level)| {
        let mut s = Sink::default();
        hits.iter().for_each(|(who, what, v)| s.number(&HITS, &[who, what], *v));
        open.iter().for_each(|(key, v)| s.keyed(&OPEN, key, *v));
        s.number(&LEVEL, &[], level);
        for (call, buckets, sum) in calls {
            let mut h = Histogram::empty();
            h.sum = sum;
            buckets.into_iter().for_each(|(i, n)| h.buckets[i] = n);
            s.histogram(&LATENCY, &[&call], h.into());
        }
        let mut snapshot = testing::snapshot(&[|_| {}]);
        std::sync::Arc::get_mut(&mut snapshot.sections[0]).unwrap().samples = s.finish().0;
        snapshot
    })
}

proptest! {
    #[test]
    fn every_format_gives_the_same_series(snapshot in any_snapshot()) {
        let page = Page::new(&snapshot, 100_000);
        let text = |format| {
            let mut out = Vec::new();
            text::render(&page, format, &mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = read(&text(Format::Text), Format::Text).unwrap();
        let open = read(&text(Format::OpenMetrics), Format::OpenMetrics).unwrap();
        prop_assert_eq!(&plain, &open);
        let mut out = Vec::new();
        protobuf::render(&page, &mut out);
        prop_assert_eq!(&plain, &read_protobuf(&out));
        let series: usize = page.families().map(|(s, points)| {
            let each = if s.family.kind == crate::metric::Kind::Histogram { super::page::HISTOGRAM_SERIES } else { 1 };
            each * points.len()
        }).sum();
        prop_assert_eq!(plain.len(), series);
    }
}

#[test]
fn the_strict_reader_is_strict() {
    let head = "# HELP a_total x\n# TYPE a_total counter\n";
    assert_eq!(read(&format!("{head}a_total 1\n"), Format::Text).map(|s| s.len()), Ok(1));
    for bad in [
        "a_total 1",
        "a_total\n",
        "a_total  1\n",
        "a_totals 1\n",
        "a_total{b=\"c} 1\n",
        "a_total{b=\"\\x\"} 1\n",
        "a_total{b=\"c\",} 1\n",
        "a_total one\n",
        "a_total 1\na_total 2\n",
        "# HELP a_total y\n# TYPE a_total counter\n",
    ] {
        assert!(read(&format!("{head}{bad}"), Format::Text).is_err(), "{bad}");
    }
    assert!(read(&format!("{head}a_total 1\n"), Format::OpenMetrics).is_err());
}
