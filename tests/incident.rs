//! The whole way, for real: load on this host becomes scores with the right contributions, an alert that names them
//! reaches Alertmanager, and it resolves.
//!
//! Runs alone (`make incident`): other load would be part of what the detector takes for normal.

use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::daemon::{Daemon, alertmanager, kanary, prometheus, temp_dir, wait_for};
use crate::harness::http::{get_json, prom_query};
use crate::harness::tools::tool;
use crate::harness::{ebpf_lock, workspace};

/// What the detector learns as normal; less than half of it is the warm-up.
const BASELINE: Duration = Duration::from_secs(300);
/// Minutes, with points a second apart.
const WARMUP: &str = "2";
/// How long each load lasts, and the calm between two.
const LOAD: Duration = Duration::from_secs(50);
const CALM: Duration = Duration::from_secs(60);

const RULES: &str = r#"
groups:
  - name: test
    interval: 2s
    rules:
      - alert: TestUnusual
        expr: kanary_anomaly_host_state_score > 0.5
        labels: {severity: ticket}
        annotations:
          summary: '{{ range query (printf "topk(3, kanary_anomaly_contribution{instance=\"%s\"})" $labels.instance) }}{{ .Labels.feature }} {{ .Value | humanizePercentage }}; {{ end }}'
"#;

/// Load that ends with the test.
struct Load(Child);

impl Load {
    fn start(program: &Path, folder: &Path, args: &[&str]) -> Self {
        let seconds = LOAD.as_secs().to_string();
        let mut command = Command::new(program);
        command.args(["--temp-path", folder.to_str().expect("UTF-8"), "--timeout", &seconds]).args(args);
        Load(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("stress-ng starts"))
    }
    fn end(mut self) {
        let _ = self.0.wait();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::INT);
        let _ = self.0.wait();
    }
}

struct Host {
    kanary: Daemon,
    prometheus: Daemon,
    alertmanager: Daemon,
    begin: Instant,
}

impl Host {
    fn start(prometheus_program: &Path, alertmanager_program: &Path) -> Self {
        let env = [("KANARY_DETECTOR_WARMUP", WARMUP), ("KANARY_EBPF", "require")];
        let kanary = kanary(&env);
        let folder = temp_dir();
        let routes = folder.path().join("alertmanager.yml");
        std::fs::write(&routes, "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("writable");
        let alertmanager = alertmanager(alertmanager_program, &routes);
        let rules = folder.path().join("rules.yml");
        std::fs::write(&rules, RULES).expect("writable");
        let mut config = String::from("global: {scrape_interval: 2s, evaluation_interval: 2s}\n");
        let target = |d: &Daemon| d.url.trim_start_matches("http://").to_string();
        let _ = write!(
            config,
            "rule_files: ['{}']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
             scrape_configs: [{{job_name: kanary, static_configs: [{{targets: ['{}']}}]}}]\n",
            rules.display(),
            target(&alertmanager),
            target(&kanary)
        );
        let prometheus = prometheus(prometheus_program, &config, &["--enable-feature=native-histograms"]);
        Host { kanary, prometheus, alertmanager, begin: Instant::now() }
    }

    /// Where the test is: how the host scores and which alerts are out.
    fn say(&self, what: &str) {
        let scores = ["kanary_anomaly_host_onset_score", "kanary_anomaly_host_state_score"].map(|s| self.highest(s));
        eprintln!(
            "{:>4} s {what}: onset, state {scores:?}, alerts {:?}",
            self.begin.elapsed().as_secs(),
            self.alerts()
        );
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        prom_query(&self.prometheus.url, expression).unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// The highest value among the results; NaN when there is none.
    fn highest(&self, expression: &str) -> f64 {
        let values = self.query(expression);
        let values = values.iter().filter_map(|r| r["value"][1].as_str()?.parse::<f64>().ok());
        values.fold(f64::NAN, f64::max)
    }

    /// Summaries of the test's alerts that are active in Alertmanager.
    fn alerts(&self) -> Vec<String> {
        let alerts = get_json(&format!("{}/api/v2/alerts?active=true", self.alertmanager.url));
        let alerts = alerts.as_array().cloned().unwrap_or_default();
        alerts.iter().map(|a| a["annotations"]["summary"].as_str().unwrap_or("").to_string()).collect()
    }
}

/// A load and the features that it must move.
struct Stage {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Regular expression of RE2, as PromQL writes it.
    features: &'static str,
    /// What the alert names: the beginning of a feature.
    named: &'static [&'static str],
}

const STAGES: [Stage; 3] = [
    Stage { name: "cpu", arguments: &["--cpu", "0"], features: r"cpu\\..*|psi\\.cpu.*", named: &["cpu.", "psi.cpu"] },
    Stage {
        name: "memory",
        arguments: &["--vm", "2", "--vm-bytes", "50%", "--vm-keep"],
        features: r"memory\\..*",
        named: &["memory."],
    },
    Stage {
        name: "disk",
        arguments: &["--hdd", "2", "--hdd-opts", "fsync", "--hdd-bytes", "256M"],
        features: r"disk\\..*|syscall\\..*|psi\\.io.*",
        named: &["disk.", "psi.io", "cpu.iowait"],
    },
];

impl Stage {
    /// Under the load features score at least 0.5 and contribute, and an alert names them; after it the alert resolves.
    fn run(&self, host: &Host, stress: &Path, folder: &Path) {
        assert_eq!(host.alerts(), Vec::<String>::new(), "quiet before {}", self.name);
        let (load, begin) = (Load::start(stress, folder, self.arguments), Instant::now());
        let most = |family: &str| {
            let since = begin.elapsed().as_secs().max(1);
            host.highest(&format!("max_over_time({family}{{feature=~\"{}\"}}[{since}s])", self.features))
        };
        let names = |summary: &String| self.named.iter().any(|name| summary.contains(name));
        let [mut scored, mut alerted] = [false; 2];
        wait_for(LOAD + Duration::from_secs(15), || {
            scored |= most("kanary_anomaly_score") >= 0.5 && most("kanary_anomaly_contribution") > 0.05;
            alerted |= host.alerts().iter().any(names);
            scored && alerted
        });
        host.say(self.name);
        let (score, share) = (most("kanary_anomaly_score"), most("kanary_anomaly_contribution"));
        assert!(scored, "{}: score {score}, share {share}", self.name);
        assert!(alerted, "{}: no alert named one of {:?}: {:?}", self.name, self.named, host.alerts());
        load.end();
        assert!(wait_for(Duration::from_secs(240), || host.alerts().is_empty()), "resolved: {:?}", host.alerts());
        host.say("resolved");
    }
}

#[test]
fn load_is_scored_explained_alerted_and_resolved() {
    let name = "incident";
    let Some(_lock) = ebpf_lock(name) else { return };
    let (Some(prometheus), Some(alertmanager), Some(stress)) =
        (tool(name, "prometheus"), tool(name, "prometheus-alertmanager"), tool(name, "stress-ng"))
    else {
        return;
    };
    let host = Host::start(&prometheus, &alertmanager);
    let disk = tempfile::tempdir_in(workspace().join("target")).expect("target is writable");
    std::thread::sleep(BASELINE);
    host.say("baseline");
    assert_eq!(host.highest("kanary_detector_ready"), 1.0, "ready after the warm-up");
    for stage in &STAGES {
        stage.run(&host, &stress, disk.path());
        std::thread::sleep(CALM);
    }
    quantiles(&host);
    let page = host.kanary.get("/metrics");
    let episodes = page.lines().find_map(|l| l.strip_prefix("kanary_host_anomalies_total ")?.parse::<f64>().ok());
    assert!(episodes >= Some(STAGES.len() as f64), "episodes of the host: {episodes:?}");
}

/// `histogram_quantile` answers over native and, from a page without them, over classic buckets.
fn quantiles(host: &Host) {
    let native = "histogram_quantile(0.5, sum(rate(kanary_syscall_duration_seconds[1m])))";
    let value = host.highest(native);
    assert!(value > 1e-8 && value < 10.0, "{native}: {value}");
    let text = host.kanary.get("/metrics");
    assert!(text.contains("kanary_syscall_duration_seconds_bucket{"));
}
