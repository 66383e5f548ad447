//! Dashboards: valid for Grafana, reading only what the catalogue has, and filled by a real Prometheus.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::daemon::{Daemon, kanary, prometheus, wait_for};
use crate::harness::http::prom_query;
use crate::harness::promql::{is_known, names};
use crate::harness::tools::{find, tool};
use crate::harness::{ebpf_lock, shared, workspace};

/// Recording rules of alerts/kanary.rules.yml; dashboards do without, so that they work before the rules are loaded.
const RECORDED: &[String] = &[];

fn dashboards() -> Vec<(String, Value)> {
    ["fleet", "host", "incident", "cost"]
        .into_iter()
        .map(|name| {
            let file = workspace().join("dashboards").join(format!("{name}.json"));
            (name.to_string(), parse(&file))
        })
        .collect()
}

fn parse(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The panels that show data, with their place for messages.
fn panels(dashboards: &[(String, Value)]) -> impl Iterator<Item = (String, &Value)> {
    dashboards.iter().flat_map(|(name, dashboard)| {
        list(dashboard, "panels")
            .iter()
            .filter(|p| p["type"] != "row")
            .map(move |p| (format!("{name}/{}", string(p, "title")), p))
    })
}

fn complaints(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("Grafana's schemas are valid");
    validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

/// The schema of one definition of a file.
fn definition(file: &Value, name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}"), "definitions": file["definitions"]})
}

#[test]
fn dashboards_are_valid_for_grafana() {
    let Some(schemas) = shared("dashboards_are_valid_for_grafana", "grafana-schema") else { return };
    let schema = |name: &str| parse(&schemas.join(format!("{}.jsonschema.json", name.replace('-', ""))));
    let (whole, prometheus, all) = (schema("dashboard"), schema("prometheus"), dashboards());
    for (place, panel) in panels(&all) {
        let own = schema(string(panel, "type"));
        let mut faults = complaints(&definition(&whole, "Panel"), panel);
        faults.extend(complaints(&definition(&own, "Options"), &panel["options"]));
        if let Some(custom) = panel["fieldConfig"]["defaults"].get("custom") {
            faults.extend(complaints(&definition(&own, "FieldConfig"), custom));
        }
        for target in list(panel, "targets") {
            faults.extend(complaints(&prometheus, target));
        }
        assert!(faults.is_empty(), "{place}: {faults:#?}");
    }
    for (name, dashboard) in &all {
        let faults = complaints(&whole, dashboard);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn panels_explain_themselves_and_do_not_overlap() {
    for (name, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let title = string(panel, "title");
            assert!(ids.insert(panel["id"].as_u64()), "{name}/{title}: id twice");
            assert!(
                panel["type"] == "row" || !string(panel, "description").is_empty(),
                "{name}/{title}: what to look at?"
            );
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a grid position");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && cells.insert((x, y)), "{name}/{title} lies on another panel");
                }
            }
        }
    }
}

#[test]
fn panels_read_what_the_catalogue_has() {
    let all = dashboards();
    for (place, panel) in panels(&all) {
        for target in list(panel, "targets") {
            let unknown: Vec<String> =
                names(string(target, "expr")).into_iter().filter(|name| !is_known(name, RECORDED)).collect();
            assert!(unknown.is_empty(), "{place}: {unknown:?}");
        }
    }
}

/// A newer Prometheus stores no `_bucket`, `_sum` or `_count` series beside a native histogram.
#[test]
fn histograms_are_read_as_native_or_classic() {
    let all = dashboards();
    for (place, panel) in panels(&all) {
        for target in list(panel, "targets") {
            let names = names(string(target, "expr"));
            for family in kanary::metric::all().filter(|f| f.kind == kanary::metric::Kind::Histogram) {
                let native = names.iter().any(|n| n == family.name);
                let classic = names.iter().any(|n| n.len() > family.name.len() && n.starts_with(family.name));
                assert_eq!(native, classic, "{place}: {}", family.name);
            }
        }
    }
}

/// Panels that are empty on a healthy host, and why.
const EMPTY: &[(&str, &str)] = &[
    ("fleet/Which features are odd", "nothing is odd"),
    ("fleet/Full within a day", "nothing runs out"),
    ("fleet/Alerts firing", "no alert fires"),
    ("host/Stuck call", "no call is stuck"),
    ("host/Oldest stuck call", "no call is stuck"),
    ("host/Why", "contributions exist only while the state is at least 1/3"),
    ("host/Features that score", "nothing scores"),
    ("host/Time to limit", "nothing runs out"),
    ("incident/What broke first", "no episode"),
    ("incident/Time in episodes", "no episode"),
    ("incident/Alerts", "no alert fires"),
    ("cost/Sources that fail", "none fails"),
];

/// As Grafana would fill it in, for a range of a few seconds.
fn without_variables(expression: &str) -> String {
    [("$__rate_interval", "10s"), ("$__range", "30s"), ("$cluster", ".*"), ("$job", ".*"), ("$instance", ".*")]
        .into_iter()
        .chain([("$syscall", ".*"), ("offset 1d", "offset 5s")])
        .fold(expression.into(), |text: String, (variable, value)| text.replace(variable, value))
}

/// Work for the panels: files are written, flushed and looked for in vain.
fn work(folder: &Path) {
    for n in 0..20 {
        let path = folder.join(format!("work{n}"));
        let file = File::create(&path).expect("a temporary folder is writable");
        file.sync_all().expect("a fresh file can be flushed");
        std::fs::rename(&path, folder.join("work")).expect("within one folder");
        let _ = std::fs::write(folder, "a folder is no file: EISDIR");
    }
    std::fs::remove_file(folder.join("work")).expect("it was just written");
}

fn scrape_config(kanary: &Daemon) -> String {
    let target = kanary.url.trim_start_matches("http://");
    format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: kanary, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
}

/// Targets without data at `server`, with what it said.
fn empty_targets(server: &Daemon, all: &[(String, Value)]) -> Vec<String> {
    let mut empty = Vec::new();
    for (place, panel) in panels(all) {
        for target in list(panel, "targets") {
            let expression = without_variables(string(target, "expr"));
            match prom_query(&server.url, &expression) {
                Ok(result) if !result.is_empty() => {}
                Ok(_) if EMPTY.iter().any(|(known, _)| *known == place) => {}
                Ok(_) => empty.push(format!("{place}: no data: {expression}")),
                Err(error) => empty.push(format!("{place}: {error}: {expression}")),
            }
        }
    }
    empty
}

#[test]
fn every_panel_shows_data() {
    let test = "every_panel_shows_data";
    let Some(old) = tool(test, "prometheus") else { return };
    let Some(_lock) = ebpf_lock(test) else { return };
    let all = dashboards();
    for (place, why) in EMPTY {
        assert!(panels(&all).any(|(p, _)| p == *place), "{place} ({why}) is no panel");
    }
    let kanary = kanary(&[("KANARY_DETECTOR_WARMUP", "1")]);
    let config = scrape_config(&kanary);
    let native = &["--enable-feature=native-histograms"];
    let mut servers = vec![prometheus(&old, &config, &[]), prometheus(&old, &config, native)];
    servers.extend(find("prometheus3").map(|new| prometheus(&new, &config, native)));
    for server in &servers {
        let mut empty = Vec::new();
        wait_for(Duration::from_secs(120), || {
            work(server.folder());
            empty = empty_targets(server, &all);
            empty.is_empty()
        });
        assert!(empty.is_empty(), "{empty:#?}");
    }
}
