//! Writes `METRICS.md` from the catalogue.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Family, Kind, Per, all};

const HEAD: &str = "# Metrics

Generated from the catalogue (`exporter/src/metric/`): change it there. Host families bear node_exporter's names, labels
and types. *Series* is the most a family may have; a histogram counts as one native series, or as 16 classic ones
(14 buckets, sum, count). *OTLP* names what is sent for it; a family without is not sent, because neither the semantic
conventions nor kanary have a counterpart.
";

const BLIND: &str = "
## What it does not see

* Work that io_uring does passes no syscall tracepoint: it is neither counted nor timed.
* Calls answered by the vDSO (`clock_gettime`, `gettimeofday`, `getcpu`) never enter the kernel.
* 32-bit (ia32) and x32 calls are counted together as `~other`: their numbers mean other calls.
* `exit` and `exit_group` never return: counted, not timed. A call that a dying process never finishes is neither. A call
  under way when kanary attached is counted when it returns, not timed.
* Counts are kernel entries: a call that the kernel restarts after a signal is counted again.
* kanary's own calls are left out.
";

fn page() -> String {
    let mut areas: BTreeMap<&str, Vec<&Family>> = BTreeMap::new();
    for family in all() {
        areas.entry(family.collector).or_default().push(family);
    }
    let mut text = String::from(HEAD);
    for (collector, mut families) in areas {
        families.sort_by_key(|f| f.name);
        families.dedup_by_key(|f| f.name);
        let _ = write!(text, "\n## {collector}\n\n{}\n\n", budget(&families));
        text += "| family | type | labels | series | OTLP | meaning |\n|---|---|---|---|---|---|\n";
        families.iter().for_each(|f| row(&mut text, f));
    }
    text + BLIND
}

fn row(text: &mut String, family: &Family) {
    let mut otel: Vec<&str> = family.otel.iter().map(|t| t.metric.name).collect();
    otel.dedup();
    let _ = writeln!(
        text,
        "| `{}` | {} | {} | {} | {} | {} |",
        family.name,
        kind(family.kind),
        family.labels.join(", "),
        series(family.budget.count, family.budget.per),
        otel.join(", "),
        family.help.replace('|', "\\|").replace('\n', " ")
    );
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Untyped => "untyped",
        Kind::Histogram => "histogram",
    }
}

fn per(per: Per) -> &'static str {
    match per {
        Per::Host => "",
        Per::Cpu => " per CPU",
        Per::Disk => " per disk",
        Per::Mount => " per mount",
        Per::Interface => " per interface",
        Per::Device => " per device",
        Per::Sensor => " per sensor",
        Per::Collector => " per collector",
    }
}

fn series(count: u32, unit: Per) -> String {
    format!("{count}{}", per(unit))
}

/// `Series budget: 3, 10 per CPU.`
fn budget(families: &[&Family]) -> String {
    let units = [Per::Host, Per::Cpu, Per::Disk, Per::Mount, Per::Interface, Per::Device, Per::Sensor, Per::Collector];
    let sum = |unit| families.iter().filter(|f| f.budget.per == unit).map(|f| f.budget.count).sum::<u32>();
    let parts: Vec<String> = units.into_iter().filter(|u| sum(*u) > 0).map(|u| series(sum(u), u)).collect();
    format!("Series budget: {}.", parts.join(", "))
}

#[test]
fn metrics_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
    let page = page();
    if std::fs::read_to_string(path).unwrap_or_default() != page {
        std::fs::write(path, page).unwrap();
        panic!("METRICS.md was out of date and has been rewritten: commit it");
    }
}

#[test]
fn names_are_written_once_and_well_formed() {
    let mut seen: BTreeMap<&str, &Family> = BTreeMap::new();
    for family in all() {
        let name = family.name.replacen('*', "x", 1);
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        assert!(!family.help.is_empty(), "{name}: no help");
        assert!(family.budget.count > 0, "{name}: no budget");
        if let Some(other) = seen.insert(family.name, family) {
            // One family may have several rows when its dimension differs from row to row. On a page with several the
            // first one's help counts.
            assert_eq!(family.kind, other.kind, "{name}");
            assert_ne!(family.labels, other.labels, "{name} stands twice");
        }
    }
}
