//! Prometheus text 0.0.4 and OpenMetrics text 1.0: one writer, one flag.
//!
//! Formats: prometheus.io/docs/instrumenting/exposition_formats and the OpenMetrics 1.0 specification. `le` is written
//! as Go does (`16`, not `16.0`) in both, or a series would change identity between them.

use super::buckets::{self, CLASSIC_LE};
use super::number;
use super::page::Page;
use crate::metric::Kind;
use crate::snapshot::{Histogram, Point, Samples, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0: counter families without `_total`, `unknown`, `# EOF`.
    OpenMetrics,
}

/// Appends the page to `out`.
pub fn render(page: &Page, format: Format, out: &mut Vec<u8>) {
    for (samples, points) in page.families() {
        write_head(samples, format, out);
        for point in points {
            write_point(samples, point, out);
        }
    }
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn write_head(samples: &Samples, format: Format, out: &mut Vec<u8>) {
    let counter = samples.family.kind == Kind::Counter;
    let name = samples.name();
    // In OpenMetrics the samples of a counter end in `_total` and its family does not.
    let bare = !samples.family.clashes
        && name.iter().rfind(|part| !part.is_empty()).is_some_and(|last| last.ends_with("_total"));
    let cut = if format == Format::OpenMetrics && counter && bare { "_total".len() } else { 0 };
    let kind = match (samples.family.kind, format) {
        (Kind::Counter, Format::OpenMetrics) if !bare => "unknown",
        (Kind::Counter, _) => "counter",
        (Kind::Gauge, _) => "gauge",
        (Kind::Histogram, _) => "histogram",
        (Kind::Untyped, Format::Text) => "untyped",
        (Kind::Untyped, Format::OpenMetrics) => "unknown",
    };
    out.extend_from_slice(b"# HELP ");
    push_all(&name, out);
    out.truncate(out.len() - cut);
    out.push(b' ');
    for part in samples.help() {
        escape(part, format == Format::OpenMetrics, out);
    }
    out.extend_from_slice(b"\n# TYPE ");
    push_all(&name, out);
    out.truncate(out.len() - cut);
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
}

fn write_point(samples: &Samples, point: &Point, out: &mut Vec<u8>) {
    match &point.value {
        Value::Number(v) => {
            write_series(samples, point, "", None, out);
            number::write(*v, out);
            out.push(b'\n');
        }
        Value::Histogram(h) => write_histogram(samples, point, h, out),
    }
}

fn write_histogram(samples: &Samples, point: &Point, histogram: &Histogram, out: &mut Vec<u8>) {
    let count = histogram.count();
    let bounds = CLASSIC_LE.into_iter().zip(buckets::classic(histogram)).chain([("+Inf", count)]);
    for (le, n) in bounds {
        write_series(samples, point, "_bucket", Some(le), out);
        write_count(n, out);
    }
    write_series(samples, point, "_sum", None, out);
    number::write(histogram.sum, out);
    out.push(b'\n');
    write_series(samples, point, "_count", None, out);
    write_count(count, out);
}

fn write_count(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    out.push(b'\n');
}

/// Name, labels and the space before the value.
fn write_series(samples: &Samples, point: &Point, suffix: &str, le: Option<&str>, out: &mut Vec<u8>) {
    push_all(&samples.name(), out);
    out.extend_from_slice(suffix.as_bytes());
    let mut before = b'{';
    for (name, value) in samples.labels(point) {
        write_label(before, name, value, out);
        before = b',';
    }
    if let Some(le) = le {
        write_label(before, "le", le, out);
        before = b',';
    }
    out.extend_from_slice(if before == b',' { b"} " } else { b" " });
}

fn write_label(before: u8, name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(before);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape(value, true, out);
    out.push(b'"');
}

fn push_all(parts: &[&str], out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Backslash and newline always, quotes where the text stands in quotes (and in OpenMetrics' HELP).
fn escape(text: &str, quotes: bool, out: &mut Vec<u8>) {
    let special = |b: u8| b == b'\\' || b == b'\n' || (quotes && b == b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&b| special(b)) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(if rest[at] == b'\n' { b'n' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing::{self, HITS, LATENCY, LEVEL, OPEN};
    use crate::snapshot::{Sink, Snapshot};

    fn text(fill: fn(&mut Sink), format: Format) -> String {
        let snapshot: Snapshot = testing::snapshot(&[fill]);
        let mut out = Vec::new();
        render(&Page::new(&snapshot, 1000), format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn counters_escape_and_lose_total_in_openmetrics_only() {
        let fill: fn(&mut Sink) = |s| s.number(&HITS, &["a\"b\\c\nd", ""], 1e21);
        assert_eq!(
            text(fill, Format::Text),
            concat!(
                "# HELP kanary_test_hits_total Hits with \"quotes\", \\\\ and\\nnewline.\n",
                "# TYPE kanary_test_hits_total counter\n",
                "kanary_test_hits_total{who=\"a\\\"b\\\\c\\nd\",what=\"\"} 1e+21\n",
            )
        );
        assert_eq!(
            text(fill, Format::OpenMetrics),
            concat!(
                "# HELP kanary_test_hits Hits with \\\"quotes\\\", \\\\ and\\nnewline.\n",
                "# TYPE kanary_test_hits counter\n",
                "kanary_test_hits_total{who=\"a\\\"b\\\\c\\nd\",what=\"\"} 1e+21\n# EOF\n",
            )
        );
    }

    #[test]
    fn untyped_is_unknown_in_openmetrics() {
        let fill: fn(&mut Sink) = |s| {
            s.keyed(&OPEN, "pgfault", 7.5);
            s.number(&LEVEL, &[], f64::NAN);
        };
        assert_eq!(
            text(fill, Format::Text),
            concat!(
                "# HELP kanary_test_pgfault Field pgfault of a test.\n# TYPE kanary_test_pgfault untyped\n",
                "kanary_test_pgfault 7.5\n",
                "# HELP kanary_test_level A level.\n# TYPE kanary_test_level gauge\nkanary_test_level NaN\n",
            )
        );
        assert!(text(fill, Format::OpenMetrics).contains("# TYPE kanary_test_pgfault unknown\n"));
    }

    #[test]
    fn histograms_are_classic() {
        let got = text(|s| s.histogram(&LATENCY, &["read"], testing::histogram()), Format::Text);
        let name = "kanary_test_duration_seconds";
        let mut want = format!("# HELP {name} Durations.\n# TYPE {name} histogram\n");
        for (k, le) in CLASSIC_LE.iter().enumerate() {
            let n = if k < 10 { 1 } else { 3 };
            want += &format!("{name}_bucket{{call=\"read\",le=\"{le}\"}} {n}\n");
        }
        want += &format!("{name}_bucket{{call=\"read\",le=\"+Inf\"}} 6\n");
        want += &format!("{name}_sum{{call=\"read\"}} 9000.5\n{name}_count{{call=\"read\"}} 6\n");
        assert_eq!(got, want);
    }

    #[test]
    fn the_catalogues_names_keep_their_meaning_in_openmetrics() {
        use std::collections::BTreeSet;
        let names: BTreeSet<&str> = crate::metric::all().map(|f| f.name).collect();
        for family in crate::metric::all().filter(|f| f.kind == Kind::Counter) {
            let bare = family.name.strip_suffix("_total").unwrap_or_else(|| panic!("{}", family.name));
            // Open families of the same beginning have different keys.
            let clashes = names.contains(bare) && !family.is_open();
            assert_eq!(clashes, family.clashes, "{}", family.name);
        }
        for family in crate::metric::all().filter(|f| f.kind == Kind::Histogram) {
            for suffix in ["_bucket", "_sum", "_count"] {
                assert!(!names.contains(format!("{}{suffix}", family.name).as_str()), "{}{suffix}", family.name);
            }
        }
    }
}
