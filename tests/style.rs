//! What the compiler does not check: who may know whom, where a metric's name may stand, how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::harness::workspace;

/// ARCHITECTURE.md, "Who may know whom": what each stage may import. Stages that are not listed wire the others.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("metric", &[]),
    ("config", &[]),
    ("supervise", &[]),
    ("telemetry", &["config"]),
    ("snapshot", &["metric"]),
    ("bpf", &["config", "snapshot", "telemetry"]),
    ("collect", &["bpf", "config", "metric", "snapshot", "supervise", "telemetry"]),
    ("detect", &["config", "metric", "snapshot", "telemetry"]),
    ("expose", &["config", "detect", "metric", "snapshot", "supervise", "telemetry"]),
];

const LONGEST: usize = 400;
/// Tables may be longer: of misbehaving receivers.
const TABLES: &[&str] = &["tests/otlp.rs"];

/// Every file of Rust or C, by its path in the checkout.
fn sources() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in ["exporter", "bpf", "tests"] {
        visit(&workspace().join(folder), &mut files);
    }
    assert!(files.len() > 30, "the checkout is elsewhere");
    files
}

fn visit(folder: &Path, files: &mut BTreeMap<String, String>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            visit(&path, files);
        } else if path.extension().is_some_and(|e| ["rs", "c", "h", "sh"].iter().any(|known| e == *known)) {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.insert(in_checkout(&path), text);
        }
    }
}

fn in_checkout(path: &Path) -> String {
    let top: PathBuf = workspace();
    path.strip_prefix(&top).expect("below the checkout").display().to_string()
}

/// `exporter/src/expose/http/mod.rs` is of `expose`.
fn stage(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("exporter/src/")?;
    Some(inside.split(['/', '.']).next().unwrap_or(inside))
}

/// A file without its tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

#[test]
fn stages_know_only_whom_they_may() {
    let import = Regex::new(r"\bcrate::([a-z_]+|\{)").expect("a valid pattern");
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(own) = stage(&path) else { continue };
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == own) else { continue };
        for (_, [known]) in import.captures_iter(code(&text)).map(|found| found.extract()) {
            if known != own && !allowed.contains(&known) {
                faults.push(format!("{path}: {own} may not know {known}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_metric_name_is_written_once() {
    let name = Regex::new(r#""(node|kanary)_[a-z0-9_]+["{ ]"#).expect("a valid pattern");
    let of_tests = |path: &str| path.ends_with("tests.rs") || path.ends_with("testing.rs");
    let faults: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| stage(path).is_some_and(|s| s != "metric" && s != "bpf") && !of_tests(path))
        .flat_map(|(path, text)| name.find_iter(code(text)).map(move |m| format!("{path}: {}", m.as_str())))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_are_one_idea_long() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| text.lines().count() > LONGEST && !TABLES.contains(&path.as_str()))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let path = Regex::new(r#"(?m)(?:^|[\s"'=(])/(?:root|home|work)/[a-z.]"#).expect("a valid pattern");
    let faults: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| path.as_str() != "tests/style.rs")
        .flat_map(|(file, text)| path.find_iter(code(text)).map(move |m| format!("{file}: {}", m.as_str())))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
