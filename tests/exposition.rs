//! What real Prometheus servers store of a snapshot, in every format they can ask for, value by value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use kanary::snapshot::{Histogram, Value};
use serde_json::Value as Json;

use crate::fixed::{self, Server};
use crate::harness::daemon::{Daemon, kanary, prometheus, wait_for};
use crate::harness::http::get_json;
use crate::harness::tools::tool;
use crate::harness::{ebpf_lock, is_root};

type Labels = BTreeMap<String, String>;

/// `le` of the classic buckets, in powers of four.
const CLASSIC: std::ops::RangeInclusive<i32> = -10..=2;

/// How histograms are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Classic,
    Native,
    Both,
}

#[test]
fn prometheus_2_stores_every_format_alike() {
    let Some(program) = tool("prometheus_2_stores_every_format_alike", "prometheus") else { return };
    let server = Server::of_snapshot();
    let text = relay(&server, "text/plain;version=0.0.4");
    let config = config(&[("openmetrics", server.address.port(), ""), ("text", text, "")]);
    let plain = prometheus(&program, &config, &[]);
    check(&plain, "openmetrics", Stored::Classic);
    check(&plain, "text", Stored::Classic);
    same_identities(&plain, &["openmetrics", "text"]);

    let config = self::config(&[("protobuf", server.address.port(), "")]);
    let native = prometheus(&program, &config, &["--enable-feature=native-histograms"]);
    check(&native, "protobuf", Stored::Native);
    check_quantiles(&native, "protobuf", Stored::Native);
    check_quantiles(&plain, "text", Stored::Classic);
}

#[test]
fn prometheus_3_stores_every_format_alike() {
    let Some(program) = tool("prometheus_3_stores_every_format_alike", "prometheus3") else { return };
    let server = Server::of_snapshot();
    let port = server.address.port();
    let config = config(&[
        ("text", port, "scrape_protocols: [PrometheusText0.0.4]"),
        ("openmetrics", port, "scrape_protocols: [OpenMetricsText1.0.0]"),
        ("native", port, "scrape_protocols: [PrometheusProto]"),
        ("both", port, "scrape_protocols: [PrometheusProto]\n    always_scrape_classic_histograms: true"),
    ]);
    let daemon = prometheus(&program, &config, &["--enable-feature=native-histograms"]);
    check(&daemon, "text", Stored::Classic);
    check(&daemon, "openmetrics", Stored::Classic);
    check(&daemon, "native", Stored::Native);
    check(&daemon, "both", Stored::Both);
    same_identities(&daemon, &["text", "openmetrics", "both"]);
    check_quantiles(&daemon, "native", Stored::Native);
    check_quantiles(&daemon, "text", Stored::Classic);
    check_types(&daemon, "text");
    check_types(&daemon, "openmetrics");
    check_types(&daemon, "native");
}

#[test]
fn the_binary_is_stored_alike_in_every_format() {
    let test = "the_binary_is_stored_alike_in_every_format";
    let Some(program) = tool(test, "prometheus3") else { return };
    let lock = is_root().then(|| ebpf_lock(test)).flatten();
    let kanary = kanary(if lock.is_some() { &[] } else { &[("KANARY_EBPF", "off")] });
    let port = kanary.url.rsplit(':').next().unwrap().parse().unwrap();
    let config = config(&[
        ("text", port, "scrape_protocols: [PrometheusText0.0.4]"),
        ("openmetrics", port, "scrape_protocols: [OpenMetricsText1.0.0]"),
        ("both", port, "scrape_protocols: [PrometheusProto]\n    always_scrape_classic_histograms: true"),
    ]);
    let daemon = prometheus(&program, &config, &["--enable-feature=native-histograms"]);
    let stored = |job: &str| {
        // What comes and goes with load (errnos, anomalies, calls under way) is not there at every moment.
        let query = format!(
            "{{job=\"{job}\",__name__!~\"up|scrape_.*|kanary_anomal.*|kanary_trend.*|kanary_syscall.*\"}} \
             or {{job=\"{job}\",__name__=~\"kanary_syscall_duration_seconds_bucket\",syscall=\"~other\"}}"
        );
        raw(&daemon, &query).iter().map(labels).collect::<BTreeSet<_>>()
    };
    let mut all = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    let alike = wait_for(Duration::from_secs(20), || {
        all = ["text", "openmetrics", "both"].map(stored);
        all[0].len() > 150 && all[0] == all[1] && all[0] == all[2]
    });
    let difference = |other: usize| all[0].symmetric_difference(&all[other]).collect::<Vec<_>>();
    assert!(alike, "{} series: {:?} {:?}", all[0].len(), difference(1), difference(2));
    assert!(query(&daemon, "scrape_samples_scraped > 0").len() == 3);
}

/// One job each: name, port, more settings.
fn config(jobs: &[(&str, u16, &str)]) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_string();
    for (name, port, more) in jobs {
        let _ = writeln!(text, "  - job_name: {name}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]");
        if !more.is_empty() {
            let _ = writeln!(text, "    {more}");
        }
    }
    text
}

/// A port that passes on what the server answers to this `Accept`, whatever it was asked with: Prometheus 2 cannot be
/// told to scrape plain text.
fn relay(server: &Server, accept: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = server.url("/metrics");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let Ok(mut answer) = ureq::get(&url).header("accept", accept).call() else { return };
            let kind = answer.headers()["content-type"].to_str().unwrap().to_string();
            let body = answer.body_mut().read_to_string().unwrap();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

/// Waits for a scrape of the job and compares everything it stored with the snapshot.
fn check(daemon: &Daemon, job: &str, stored: Stored) {
    let scraped = wait_for(Duration::from_secs(20), || {
        query(daemon, &format!("up{{job=\"{job}\"}} == 1 and scrape_samples_scraped > 0")).len() == 1
    });
    let targets = || daemon.get("/api/v1/targets");
    assert!(scraped, "{job} was not scraped: {}\n{}", targets(), daemon.log());
    let mut expected = expected(stored);
    for sample in query(daemon, &format!("{{job=\"{job}\"}}")) {
        let (labels, value) = sample;
        if labels["__name__"].starts_with("scrape_") || labels["__name__"] == "up" {
            continue;
        }
        let want = expected.remove(&labels).unwrap_or_else(|| panic!("{job}: {labels:?} is not in the snapshot"));
        assert_eq!(value, want, "{job}: {labels:?}");
    }
    assert!(expected.is_empty(), "{job}: not stored: {expected:#?}");
}

/// What a Prometheus should hold: numbers and native histograms as comparable text.
fn expected(stored: Stored) -> BTreeMap<Labels, String> {
    let mut all = BTreeMap::new();
    for (name, labels, value) in fixed::series(&fixed::snapshot()) {
        let mut add = |suffix: &str, more: Option<(&str, String)>, value: String| {
            let more = more.map(|(n, v)| (n.to_string(), v));
            let own = [("__name__".to_string(), format!("{name}{suffix}"))];
            all.insert(own.into_iter().chain(labels.iter().cloned()).chain(more).collect(), value);
        };
        match value {
            Value::Number(v) => add("", None, number(v)),
            Value::Histogram(h) => {
                if stored != Stored::Classic {
                    add("", None, native(&h));
                }
                if stored != Stored::Native {
                    for k in CLASSIC {
                        let below: u64 = (0..Histogram::LEN)
                            .filter(|&i| Histogram::upper(i) <= 4f64.powi(k))
                            .map(|i| h.buckets[i])
                            .sum();
                        add("_bucket", Some(("le", number(4f64.powi(k)))), number(below as f64));
                    }
                    add("_bucket", Some(("le", number(f64::INFINITY))), number(h.count() as f64));
                    add("_sum", None, number(h.sum));
                    add("_count", None, number(h.count() as f64));
                }
            }
        }
    }
    all
}

/// A float as its bits: NaN equals NaN, and 0 is not -0.
fn number(v: f64) -> String {
    if v.is_nan() { "NaN".into() } else { format!("{v:?} {:x}", v.to_bits()) }
}

/// Count, sum and the filled buckets by their upper boundary.
fn native(h: &Histogram) -> String {
    let mut text = format!("{} {}", number(h.count() as f64), number(h.sum));
    for i in (0..Histogram::LEN).filter(|&i| h.buckets[i] > 0) {
        // The overflow is stored as the one bucket above the highest boundary.
        let upper =
            if i + 1 == Histogram::LEN { (f64::from(Histogram::HIGH) + 0.125).exp2() } else { Histogram::upper(i) };
        let _ = write!(text, " {:.9e}:{}", upper, h.buckets[i]);
    }
    text
}

fn stored_native(h: &Json) -> String {
    let float = |v: &Json| v.as_str().unwrap().parse::<f64>().unwrap();
    let mut text = format!("{} {}", number(float(&h["count"])), number(float(&h["sum"])));
    for bucket in h["buckets"].as_array().into_iter().flatten().filter(|b| float(&b[3]) > 0.0) {
        let _ = write!(text, " {:.9e}:{}", float(&bucket[2]), float(&bucket[3]));
    }
    text
}

/// Labels (without job and instance; `le` as a number) and value of every series that a query finds.
fn query(daemon: &Daemon, query: &str) -> Vec<(Labels, String)> {
    raw(daemon, query)
        .into_iter()
        .map(|r| {
            let mut labels = labels(&r);
            if let Some(le) = labels.get_mut("le") {
                *le = number(le.parse().unwrap());
            }
            let value = match &r["value"][1] {
                Json::String(v) => number(v.parse().unwrap()),
                _ => stored_native(&r["histogram"][1]),
            };
            (labels, value)
        })
        .collect()
}

fn raw(daemon: &Daemon, query: &str) -> Vec<Json> {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let answer = get_json(&format!("{}/api/v1/query?query={query}", daemon.url));
    answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

fn labels(result: &Json) -> Labels {
    let labels = result["metric"].as_object().unwrap().iter();
    let labels = labels.map(|(n, v)| (n.clone(), v.as_str().unwrap().to_string()));
    labels.filter(|(n, _)| n != "job" && n != "instance").collect()
}

/// A series keeps its identity, `le` included to the letter, whichever format it came in.
fn same_identities(daemon: &Daemon, jobs: &[&str]) {
    let of = |job: &str| {
        let all = raw(daemon, &format!("{{job=\"{job}\",__name__!~\"up|scrape_.*\",__name__!=\"\"}}"));
        all.iter().map(labels).collect::<BTreeSet<_>>()
    };
    let first = of(jobs[0]);
    assert!(first.iter().any(|l| l.contains_key("le")));
    for job in &jobs[1..] {
        // Native histograms are series of their own name; no other format has those.
        let other: BTreeSet<_> = of(job).into_iter().filter(|l| first.contains(l) || !is_native(l)).collect();
        assert_eq!(other, first, "{job} differs from {}", jobs[0]);
    }
}

fn is_native(labels: &Labels) -> bool {
    labels["__name__"] == "kanary_syscall_duration_seconds"
}

/// Quantiles of a known distribution: within 9 % over native buckets; over classic ones, four times apart, within what
/// a straight line across such a bucket can be wrong on this distribution.
fn check_quantiles(daemon: &Daemon, job: &str, stored: Stored) {
    let suffix = if stored == Stored::Native { "" } else { "_bucket" };
    let bound = if stored == Stored::Native { 1.09 } else { 1.27 };
    for q in [0.01, 0.1, 0.5, 0.9, 0.99] {
        let series = format!("kanary_syscall_duration_seconds{suffix}{{job=\"{job}\",syscall=\"read\"}}");
        let found = raw(daemon, &format!("histogram_quantile({q}, {series})"));
        let got: f64 = found[0]["value"][1].as_str().unwrap().parse().unwrap();
        let ratio = got / fixed::quantile(q);
        assert!((1.0 / bound..bound).contains(&ratio), "{job}: q{q} is {got}, {ratio} of the true value");
    }
}

fn check_types(daemon: &Daemon, job: &str) {
    let target: String = form_urlencoded::byte_serialize(format!("{{job=\"{job}\"}}").as_bytes()).collect();
    let answer = get_json(&format!("{}/api/v1/targets/metadata?match_target={target}", daemon.url));
    let types: BTreeMap<&str, &str> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["metric"].as_str().unwrap(), m["type"].as_str().unwrap()))
        .collect();
    let counter = if job == "openmetrics" { "node_cpu_seconds" } else { "node_cpu_seconds_total" };
    for (name, kind) in [
        (counter, "counter"),
        ("node_memory_MemTotal_bytes", "gauge"),
        ("kanary_test_open_one", "unknown"),
        ("node_vmstat_pgpgin", "unknown"),
        ("kanary_syscall_duration_seconds", "histogram"),
    ] {
        assert_eq!(types.get(name), Some(&kind), "{job}: {name}");
    }
}
