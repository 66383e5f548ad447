//! Dashboards: valid for Grafana, reading only what the catalogue has, and filled by a real Prometheus.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::promql::{is_known, names};
use crate::harness::{shared, workspace};

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
