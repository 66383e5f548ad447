//! Alerts: rules against their unit tests, routing and inhibition against a real Alertmanager, names against the
//! catalogue, the runbook against the alerts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kanary::detect::features::ALL as FEATURES;
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::daemon::{Daemon, alertmanager, prometheus, run, wait_for};
use crate::harness::http::{get_json, post_json};
use crate::harness::promql::{is_known, names};
use crate::harness::tools::{find, tool};
use crate::harness::{skip, workspace};

fn alerts_file(name: &str) -> PathBuf {
    workspace().join("alerts").join(name).canonicalize().expect("the file is part of the project")
}

fn text(path: &Path) -> String {
    path.to_str().expect("the checkout's path is UTF-8").into()
}

/// Every rule, as Prometheus has loaded it; none (with a SKIP) without Prometheus.
fn loaded_rules(test: &str) -> Option<Vec<Value>> {
    let program = tool(test, "prometheus")?;
    let config = format!("rule_files: ['{}']\n", text(&alerts_file("kanary.rules.yml")));
    let server = prometheus(&program, &config, &[]);
    let groups = get_json(&format!("{}/api/v1/rules", server.url))["data"]["groups"].take();
    let rules = groups.as_array()?.iter().flat_map(|g| g["rules"].as_array().cloned().unwrap_or_default());
    Some(rules.collect())
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn is_alert(rule: &&Value) -> bool {
    string(rule, "type") == "alerting"
}

#[test]
fn every_alert_fires_on_its_case_and_not_on_its_look_alikes() {
    let test = "every_alert_fires_on_its_case_and_not_on_its_look_alikes";
    let Some(promtool) = tool(test, "promtool") else { return };
    let (week, cases) = (text(&alerts_file("kanary-week.test.yml")), text(&alerts_file("kanary.test.yml")));
    for promtool in [Some(promtool), find("promtool3")].into_iter().flatten() {
        let (ok, said) = run(&promtool, &["test", "rules", &cases, &week]);
        assert!(ok, "{}: {said}", promtool.display());
        let (ok, said) = run(&promtool, &["check", "rules", &text(&alerts_file("kanary.rules.yml"))]);
        assert!(ok, "{}: {said}", promtool.display());
    }
}

#[test]
fn every_alert_has_cases() {
    let Some(rules) = loaded_rules("every_alert_has_cases") else { return };
    let read = |file| std::fs::read_to_string(alerts_file(file)).expect("the file is readable");
    let cases = read("kanary.test.yml") + &read("kanary-week.test.yml");
    for rule in rules.iter().filter(is_alert) {
        let name = string(rule, "name");
        assert!(cases.contains(&format!("{{alertname=\"{name}\"")), "no case in which {name} fires");
    }
}

#[test]
fn rules_read_what_the_catalogue_has() {
    let Some(rules) = loaded_rules("rules_read_what_the_catalogue_has") else { return };
    let recorded: Vec<String> = rules.iter().filter(|r| !is_alert(r)).map(|r| string(r, "name").to_string()).collect();
    for rule in &rules {
        let unknown: Vec<String> =
            names(string(rule, "query")).into_iter().filter(|name| !is_known(name, &recorded)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", string(rule, "name"));
    }
}

#[test]
fn rules_name_features_there_are() {
    let Some(rules) = loaded_rules("rules_name_features_there_are") else { return };
    let matcher = Regex::new("feature=\"([^\"]*)\"").expect("a valid pattern");
    for rule in &rules {
        for (_, [feature]) in matcher.captures_iter(string(rule, "query")).map(|found| found.extract()) {
            assert!(FEATURES.iter().any(|f| f.name == feature), "{}: {feature}", string(rule, "name"));
        }
    }
}

#[test]
fn alerts_say_what_to_do_and_never_carry_a_feature() {
    let Some(rules) = loaded_rules("alerts_say_what_to_do_and_never_carry_a_feature") else { return };
    let runbook = std::fs::read_to_string(alerts_file("RUNBOOK.md")).expect("the runbook is readable");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules.iter().filter(is_alert) {
        let (name, notes, labels) = (string(rule, "name"), &rule["annotations"], &rule["labels"]);
        assert!(!string(notes, "summary").is_empty() && !string(notes, "description").is_empty(), "{name}");
        assert_eq!(string(notes, "runbook"), format!("alerts/RUNBOOK.md#{}", name.to_lowercase()));
        assert!(["page", "ticket", "digest"].contains(&string(labels, "severity")), "{name}: {labels}");
        assert!(!string(labels, "category").is_empty() && labels["feature"].is_null(), "{name}: {labels}");
        alerts.insert(name);
    }
    assert_eq!(alerts, sections, "one section of the runbook for each alert");
}

#[test]
fn alertmanager_routes_by_severity() {
    let Some(amtool) = tool("alertmanager_routes_by_severity", "amtool") else { return };
    let config = format!("--config.file={}", text(&alerts_file("alertmanager.yml")));
    let (ok, said) = run(&amtool, &["check-config", &text(&alerts_file("alertmanager.yml"))]);
    assert!(ok, "{said}");
    for (label, receiver) in
        [("severity=page", "page"), ("severity=ticket", "ticket"), ("severity=digest", "digest"), ("a=b", "ticket")]
    {
        let expected = format!("--verify.receivers={receiver}");
        let (ok, said) = run(&amtool, &["config", "routes", "test", &config, &expected, label]);
        assert!(ok, "{label} does not go to {receiver}: {said}");
    }
}

/// An alert as the API takes it, lasting longer than the test.
fn alert(labels: &Value) -> Value {
    json!({"labels": labels, "endsAt": "2100-01-01T00:00:00Z"})
}

/// Names of the alerts that Alertmanager holds back once it has all of `alerts`.
fn inhibited(server: &Daemon, alerts: &[Value]) -> Vec<String> {
    let list = format!("{}/api/v2/alerts", server.url);
    let body = Value::Array(alerts.iter().map(alert).collect());
    assert_eq!(post_json(&list, &body).0, 200);
    assert!(wait_for(Duration::from_secs(10), || {
        get_json(&list)
            .as_array()
            .is_some_and(|l| l.len() == alerts.len() && l.iter().all(|a| a["status"]["state"] != "unprocessed"))
    }));
    let mut held: Vec<String> = get_json(&list)
        .as_array()
        .into_iter()
        .flatten()
        .filter(|a| a["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty()))
        .map(|a| format!("{}@{}", string(&a["labels"], "alertname"), string(&a["labels"], "instance")))
        .collect();
    held.sort();
    held
}

#[test]
fn the_greater_alert_silences_the_lesser() {
    let test = "the_greater_alert_silences_the_lesser";
    let Some(program) = find("prometheus-alertmanager").or_else(|| find("alertmanager")) else {
        return skip(test, "no Alertmanager");
    };
    let page = |name, instance| json!({"alertname": name, "severity": "page", "category": "resource", "job": "k", "instance": instance});
    let ticket = |instance| json!({"alertname": "HostUnusualAndHurting", "severity": "ticket", "category": "anomaly", "job": "k", "instance": instance});
    let errno = |instance| json!({"alertname": "HostKernelErrno", "severity": "ticket", "category": "kernel", "job": "k", "instance": instance});
    let fleet = json!({"alertname": "FleetUnusual", "severity": "ticket", "category": "anomaly", "job": "k"});
    let down = |name, instance| json!({"alertname": name, "severity": "digest", "category": "self", "job": "k", "instance": instance});
    let maintenance = |labels: Value| {
        let mut alert = json!({"alertname": "Deploy", "category": "maintenance"});
        alert.as_object_mut().expect("an object").extend(labels.as_object().cloned().expect("an object"));
        alert
    };
    let cases: Vec<(&str, Vec<Value>, &[&str])> = vec![
        (
            "a page, its host's tickets",
            vec![page("HostMemoryExhaustion", "a"), ticket("a"), errno("a"), ticket("b")],
            &["HostKernelErrno@a", "HostUnusualAndHurting@a"],
        ),
        (
            "a page of no instance, tickets of none",
            vec![json!({"alertname": "P", "severity": "page"}), fleet.clone()],
            &[],
        ),
        (
            "a dead host",
            vec![down("NodeDown", "a"), page("HostStorageCallStuck", "a"), ticket("a"), ticket("b")],
            &["HostStorageCallStuck@a", "HostUnusualAndHurting@a"],
        ),
        (
            "a dead kanary",
            vec![down("KanaryDown", "a"), down("KanaryLosing", "a"), ticket("a"), page("HostMemoryExhaustion", "a")],
            &["HostUnusualAndHurting@a", "KanaryLosing@a"],
        ),
        (
            "the fleet, its hosts",
            vec![fleet.clone(), ticket("a"), ticket("b"), errno("a")],
            &["HostUnusualAndHurting@a", "HostUnusualAndHurting@b"],
        ),
        (
            "maintenance of a host",
            vec![maintenance(json!({"instance": "a"})), ticket("a"), ticket("b"), errno("a")],
            &["HostUnusualAndHurting@a"],
        ),
        ("a deploy of another job", vec![maintenance(json!({"job": "other"})), ticket("a")], &[]),
        (
            "a deploy of the job",
            vec![maintenance(json!({"job": "k"})), ticket("a"), fleet.clone()],
            &["FleetUnusual@", "HostUnusualAndHurting@a"],
        ),
        (
            "a deploy everywhere",
            vec![maintenance(json!({})), ticket("a"), page("HostFilesystemFull4h", "b")],
            &["HostUnusualAndHurting@a"],
        ),
    ];
    for (name, alerts, expected) in cases {
        let server = alertmanager(&program, &alerts_file("alertmanager.yml"));
        assert_eq!(inhibited(&server, &alerts), expected, "{name}");
    }
}
