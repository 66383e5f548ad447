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

/// What the detector learns as normal; half of it is the warm-up.
const BASELINE: Duration = Duration::from_secs(240);
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

/// During `load`, features that match `features` score at least 0.5 and are among what contributes.
fn shows(host: &Host, load: Load, name: &str, features: &str) {
    let seconds = (LOAD + Duration::from_secs(20)).as_secs();
    let score = format!("max_over_time(kanary_anomaly_score{{feature=~\"{features}\"}}[{seconds}s])");
    let share = format!("max_over_time(kanary_anomaly_contribution{{feature=~\"{features}\"}}[{seconds}s])");
    let seen = wait_for(LOAD + Duration::from_secs(15), || host.highest(&score) >= 0.5 && host.highest(&share) > 0.05);
    let all = format!("max_over_time(kanary_anomaly_score[{seconds}s]) > 0");
    assert!(
        seen,
        "{name}: score {} share {}; others: {:?}",
        host.highest(&score),
        host.highest(&share),
        host.query(&all).iter().map(|r| format!("{} {}", r["metric"]["feature"], r["value"][1])).collect::<Vec<_>>()
    );
    load.end();
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
    let start = |args: &[&str]| Load::start(&stress, disk.path(), args);
    std::thread::sleep(BASELINE);
    host.say("baseline");
    assert_eq!(host.highest("kanary_detector_ready"), 1.0, "ready after the warm-up");
    assert_eq!(host.alerts(), Vec::<String>::new(), "quiet before the load");

    let load = start(&["--cpu", "0"]);
    let alerted = wait_for(LOAD, || host.alerts().iter().any(|s| s.contains("cpu.")));
    shows(&host, load, "cpu", "cpu\\\\..*|psi\\\\.cpu.*");
    host.say("after cpu");
    assert!(alerted, "an alert names cpu: {:?}", host.alerts());
    quantiles(&host);
    assert!(wait_for(Duration::from_secs(240), || host.alerts().is_empty()), "resolved: {:?}", host.alerts());

    host.say("resolved");
    std::thread::sleep(CALM);
    shows(&host, start(&["--vm", "2", "--vm-bytes", "50%", "--vm-keep"]), "memory", "memory\\\\..*");
    host.say("after memory");
    std::thread::sleep(CALM);
    let load = start(&["--hdd", "2", "--hdd-opts", "fsync", "--hdd-bytes", "256M"]);
    shows(&host, load, "disk", "disk\\\\..*|syscall\\\\..*|psi\\\\.io.*");
    host.say("after disk");
    assert!(host.kanary.get("/metrics").contains("kanary_host_anomalies_total"));
}

/// `histogram_quantile` answers over native and, from a page without them, over classic buckets.
fn quantiles(host: &Host) {
    let native = "histogram_quantile(0.5, sum(rate(kanary_syscall_duration_seconds[1m])))";
    let value = host.highest(native);
    assert!(value > 1e-8 && value < 10.0, "{native}: {value}");
    let text = host.kanary.get("/metrics");
    assert!(text.contains("kanary_syscall_duration_seconds_bucket{"));
}
