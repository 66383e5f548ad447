//! What OTLP targets receive: a strict one and a real database.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kanary::snapshot::Histogram;
use serde_json::{Value as Json, json};

use crate::fixed::push::Push;
use crate::fixed::{self, snapshot};
use crate::harness::daemon::{Daemon, kanary, temp_dir, wait_for};
use crate::harness::http::{free_port, get_json};
use crate::harness::tools::tool;
use crate::harness::workspace;

/// The strict target, and its two ports.
pub fn strict(test: &str, files: &[&Path]) -> Option<(Daemon, u16, u16)> {
    let python = tool(test, "python3")?;
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/otlp_target.py")).args(files);
    let daemon = Daemon::start("otlp_target", &mut command, temp_dir(), String::new());
    assert!(wait_for(Duration::from_secs(20), || daemon.log().contains("\"http\": ")), "{}", daemon.log());
    let ports: Json = serde_json::from_str(daemon.log().lines().next().unwrap()).unwrap();
    let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
    let (grpc, http) = (port("grpc"), port("http"));
    Some((daemon, grpc, http))
}

/// Waits for `n` requests, none of which may have a fault.
pub fn requests(daemon: &Daemon, n: usize) -> Vec<Json> {
    assert!(wait_for(Duration::from_secs(20), || all_requests(daemon).len() >= n), "{}", daemon.log());
    let requests = all_requests(daemon);
    for request in &requests {
        assert_eq!(request["faults"], json!([]));
    }
    requests
}

/// What the target has said of each request so far.
fn all_requests(daemon: &Daemon) -> Vec<Json> {
    let log = daemon.log();
    // A line that is still being written does not parse.
    log.lines().skip(1).filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// Values by metric and attributes (as JSON text, sorted).
pub fn values(request: &Json) -> BTreeMap<(String, String), Json> {
    let mut all = BTreeMap::new();
    for (name, metric) in request["metrics"].as_object().unwrap() {
        for point in metric["points"].as_array().unwrap() {
            all.insert((name.clone(), point["attributes"].to_string()), point["value"].clone());
        }
    }
    all
}

/// Everything that the fixed snapshot means in OTLP.
pub fn expected(histogram: impl Fn(&Histogram) -> Json) -> BTreeMap<(String, String), Json> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, attributes: Json, value: Json| {
        all.insert((name.to_string(), attributes.to_string()), value);
    };
    for (mode, seconds) in [("user", 9653.880000000001), ("idle", 123456789.25 + 1e-7), ("interrupt", 6.75)] {
        add("system.cpu.time", json!({ "cpu.mode": mode }), json!(seconds));
    }
    add("system.memory.limit", json!({}), json!(25277706240u64));
    add("system.memory.linux.available", json!({}), json!(24000000001u64));
    for (state, bytes) in [("used", 1277706239u64), ("free", 20000000000), ("buffers", 4096)] {
        add("system.memory.usage", json!({ "system.memory.state": state }), json!(bytes));
    }
    // Beyond an int64: sent as a double.
    let minor_in = json!({ "system.paging.direction": "in", "system.paging.fault.type": "minor" });
    add("system.paging.operations", minor_in, json!(18446744073709551615.0));
    for (name, labels, value) in fixed::series(&snapshot()) {
        let attributes = json!({ "kanary.syscall": labels.first().map(|(_, v)| v) });
        match (name.as_str(), value) {
            ("kanary_syscalls_total", kanary::snapshot::Value::Number(v)) => {
                add("kanary.syscall.calls", attributes, json!(v as u64));
            }
            ("kanary_syscall_duration_seconds", kanary::snapshot::Value::Histogram(h)) => {
                add("kanary.syscall.duration", attributes, histogram(&h));
            }
            _ => {}
        }
    }
    add("kanary.syscall.errors", json!({ "error.type": "_OTHER", "kanary.syscall": "read" }), json!(3));
    all
}

pub fn exponential(h: &Histogram) -> Json {
    let filled: Vec<usize> = (1..Histogram::LEN).filter(|&i| h.buckets[i] > 0).collect();
    let range = filled.first().map_or(0..0, |first| *first..filled[filled.len() - 1] + 1);
    // Boundaries are at 2^(i/8 - 27); OTLP's bucket of index 0 begins at 1.
    let offset = filled.first().map_or(0, |first| *first as i64 - 27 * 8 - 1);
    json!({
        "count": h.count(), "sum": h.sum, "scale": 3, "zero": h.buckets[0], "offset": offset,
        "buckets": h.buckets[range],
    })
}

fn explicit(h: &Histogram) -> Json {
    let bounds: Vec<f64> = (-10..=2).map(|k| 4f64.powi(k)).collect();
    let mut buckets = vec![0; bounds.len() + 1];
    for (i, n) in h.buckets.iter().enumerate() {
        buckets[bounds.iter().position(|b| Histogram::upper(i) <= *b).unwrap_or(bounds.len())] += n;
    }
    json!({ "count": h.count(), "sum": h.sum, "bounds": bounds, "buckets": buckets })
}

/// Numbers may be written differently in JSON (1 and 1.0) and still be equal.
pub fn same(got: &BTreeMap<(String, String), Json>, want: &BTreeMap<(String, String), Json>) {
    let plain = |v: &Json| v.as_f64().map_or_else(|| v.to_string(), |f| format!("{f:?}"));
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (key, value) in want {
        assert_eq!(plain(&got[key]), plain(value), "{key:?}");
    }
}

#[test]
fn a_strict_target_over_http_gets_every_value() {
    let Some((target, _, port)) = strict("a_strict_target_over_http_gets_every_value", &[]) else { return };
    let endpoint = format!("http://127.0.0.1:{port}/");
    let _push = Push::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=birds"),
    ]);
    let requests = requests(&target, 3);
    same(&values(&requests[2]), &expected(exponential));
    let headers = &requests[0]["headers"];
    assert_eq!((&headers["api-key"], &headers["content-encoding"]), (&json!("a b"), &json!("gzip")));
    assert_eq!(headers["user-agent"], concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        (&requests[0]["resource"]["team"], &requests[0]["resource"]["os.type"]),
        (&json!("birds"), &json!("linux"))
    );
    let metrics = &requests[0]["metrics"];
    assert_eq!(
        (&metrics["system.cpu.time"]["kind"], &metrics["system.cpu.time"]["unit"]),
        (&json!("monotonic_sum"), &json!("s"))
    );
    assert_eq!(metrics["system.memory.usage"]["kind"], "sum");
    assert_eq!(metrics["kanary.syscall.duration"]["kind"], "exponential_histogram");
}

#[test]
fn a_strict_target_over_grpc_gets_every_value() {
    let Some((target, port, _)) = strict("a_strict_target_over_grpc_gets_every_value", &[]) else { return };
    for (compression, requests_before) in [("none", 0), ("gzip", 2)] {
        let _push = Push::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Api-Key=x"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
        ]);
        let requests = requests(&target, requests_before + 2);
        let last = &requests[requests.len() - 1];
        same(&values(last), &expected(explicit));
        assert_eq!(last["headers"]["api-key"], "x");
        assert!(last["headers"]["user-agent"].as_str().unwrap().starts_with("OTel-OTLP-Exporter-Rust/"));
    }
}

#[test]
fn the_binary_pushes_what_a_strict_target_takes() {
    for protocol in ["grpc", "http/protobuf"] {
        let Some((target, grpc, http)) = strict("the_binary_pushes_what_a_strict_target_takes", &[]) else { return };
        let port = if protocol == "grpc" { grpc } else { http };
        let _kanary = kanary(&[
            ("KANARY_EBPF", "off"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ]);
        let requests = requests(&target, 4);
        let metrics = requests[0]["metrics"].as_object().unwrap();
        for name in ["cpu.time", "memory.usage", "disk.io", "network.io", "filesystem.usage"] {
            assert!(metrics.contains_key(&format!("system.{name}")), "{name} is not among {:?}", metrics.keys());
        }
    }
}

/// A certificate authority, a server and a client certificate of it, made by openssl.
fn certificates(test: &str, folder: &Path) -> Option<()> {
    let openssl = tool(test, "openssl")?;
    let run = |args: &str| {
        let out = Command::new(&openssl).args(args.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
    std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    for name in ["server", "client"] {
        run(&format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile san"
        ));
    }
    Some(())
}

#[test]
fn both_protocols_speak_mutual_tls() {
    let test = "both_protocols_speak_mutual_tls";
    let folder = temp_dir();
    let Some(()) = certificates(test, folder.path()) else { return };
    let path = |name: &str| folder.path().join(name);
    let Some((target, grpc, http)) = strict(test, &[&path("server.pem"), &path("server.key"), &path("ca.pem")]) else {
        return;
    };
    let text = |name: &str| path(name).to_str().unwrap().to_string();
    for (n, (protocol, port)) in [("grpc", grpc), ("http/protobuf", http)].into_iter().enumerate() {
        let _push = Push::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("https://localhost:{port}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &text("ca.pem")),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &text("client.pem")),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &text("client.key")),
            ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
        ]);
        let via = |r: &Json| protocol.starts_with(r["via"].as_str().unwrap());
        let all = requests(&target, n + 1);
        let seen = wait_for(Duration::from_secs(10), || requests(&target, all.len()).iter().any(via));
        assert!(seen, "{protocol}: {}", target.log());
    }
}

#[test]
fn victoria_metrics_stores_what_it_is_sent() {
    let Some(program) = tool("victoria_metrics_stores_what_it_is_sent", "victoria-metrics") else { return };
    let folder = temp_dir();
    let port = free_port();
    let mut command = Command::new(program);
    command
        .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args(["-opentelemetry.usePrometheusNaming", "-search.latencyOffset=0s", "-loggerLevel=WARN"]);
    let daemon =
        Daemon::start("victoria-metrics", &mut command, folder, format!("http://127.0.0.1:{port}")).ready("/health");
    let _push = Push::start(&[
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{}/opentelemetry/v1/metrics", daemon.url)),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
    ]);
    let ask = |query: &str| {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get_json(&format!("{}/api/v1/query?query={query}", daemon.url));
        answer["data"]["result"][0]["value"][1].as_str().map(|v| v.parse::<f64>().unwrap())
    };
    let wait = |query: &str| {
        let mut found = None;
        wait_for(Duration::from_secs(20), || {
            found = ask(query);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("{query} finds nothing: {}", daemon.log()))
    };
    assert_eq!(wait("system_cpu_time_seconds_total{cpu_mode=\"interrupt\"}"), 6.75);
    assert_eq!(wait("system_memory_usage_bytes{system_memory_state=\"used\"}"), 1277706239.0);
    assert_eq!(wait("kanary_syscall_duration_seconds_count{kanary_syscall=\"read\"}"), 10_000.0);
    for q in [0.1, 0.5, 0.99] {
        let got = wait(&format!(
            "histogram_quantile({q}, kanary_syscall_duration_seconds_bucket{{kanary_syscall=\"read\"}})"
        ));
        assert!((got / fixed::quantile(q) - 1.0).abs() < 0.09, "q{q} is {got}");
    }
}
