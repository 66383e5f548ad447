//! Every collector on node_exporter's fixtures, with each file in turn missing, empty, cut short, huge or random: it
//! panics nowhere and costs the collector that reads that file, and no other.
//!
//! The fixtures lie beside the checkout; a clone without them skips the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::testing::read;
use super::{ALL, Setup};
use crate::bpf::Programs;
use crate::config::{Config, Vars};

#[path = "../../../tests/harness/fixtures.rs"]
mod fixtures;

/// Rows that read no file below the roots: kernel programs, kanary itself.
const OWN: [&str; 3] = ["syscalls", "bpf", "self"];
/// Rows whose values come from the living host whatever the files say: only their series count.
const LIVE: [&str; 4] = ["filesystem", "netdev", "time", "timex"];
/// Files that more than one collector reads.
const SHARED: &[(&str, &[&str])] = &[("proc/stat", &["cpu", "stat"])];

/// One collection by collector: its lines, its faults and its error.
type Page = BTreeMap<&'static str, (Vec<String>, Option<String>)>;

fn upstream() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/node_exporter");
    if !folder.exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no ../shared/node_exporter beside the checkout");
        eprintln!("SKIP damaged_host: no ../shared/node_exporter beside the checkout");
        return None;
    }
    Some(folder)
}

fn shell(script: &str) -> String {
    let out = Command::new("env").args(["-i", "PATH=/usr/bin:/bin", "sh", "-c", script]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Settings of `golden.env` for a copy of the fixtures at `root`.
fn settings(upstream: &Path, root: &Path) -> Vars {
    let text = shell(&format!("set -a; . {}/golden.env; env -0", upstream.display()));
    let root = root.display().to_string();
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    let own = pairs.filter(|(name, _)| name.starts_with("KANARY_"));
    own.map(|(name, value)| (name.into(), value.replace("collector/fixtures", &root))).collect()
}

fn collect(vars: &Vars) -> Page {
    let owned: Vec<&str> = super::options().map(|s| s.name).collect();
    let config = Config::from_vars(vars.clone(), owned.into_iter()).unwrap();
    let rows = ALL.iter().filter(|row| !OWN.contains(&row.id));
    rows.map(|row| {
        let mut collector = (row.build)(&mut Setup { config: &config, programs: &mut Programs::default() }).unwrap();
        let mut reading = read(&mut *collector);
        if LIVE.contains(&row.id) {
            reading.lines.iter_mut().for_each(|line| line.truncate(line.rfind(' ').unwrap_or(0)));
        }
        (row.id, (reading.lines, reading.error.map(|e| e.to_string())))
    })
    .collect()
}

/// Lines that two collections of the same files share; what is read live differs.
fn steady(one: &Page, other: &Page) -> Page {
    let both = |id: &&'static str| {
        let lines = one[id].0.iter().filter(|line| other[id].0.contains(line)).cloned().collect();
        (*id, (lines, one[id].1.clone()))
    };
    one.keys().map(both).collect()
}

/// Collectors whose steady lines are not all there any more.
fn changed(sound: &Page, now: &Page) -> Vec<&'static str> {
    let differs = |id: &&'static str| !sound[id].0.iter().all(|line| now[id].0.contains(line));
    sound.keys().copied().filter(|id| differs(id)).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

/// Bytes without meaning, the same in each run.
fn noise(length: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 56) as u8
    };
    (0..length).map(step).collect()
}

/// The `way`th way to damage a file.
fn damage(file: &Path, text: &[u8], way: usize) {
    match way {
        0 => return std::fs::remove_file(file).unwrap(),
        1 => std::fs::write(file, ""),
        2 => std::fs::write(file, &text[..text.len() / 2]),
        3 => std::fs::write(file, b"x 1\n".repeat(1_500_000)),
        _ => std::fs::write(file, noise(4096)),
    }
    .unwrap();
}

#[test]
fn each_damaged_file_costs_its_collector_alone() {
    let Some(upstream) = upstream() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("fixtures");
    fixtures::unpack(&upstream.join("fixtures"), &root);
    shell(&format!("chmod -R u+w {}", root.display()));
    let vars = settings(&upstream, &root);
    let sound = steady(&collect(&vars), &collect(&vars));
    assert!(sound.values().map(|(lines, _)| lines.len()).sum::<usize>() > 200, "{sound:?}");
    let mut all = Vec::new();
    ["proc", "sys", "udev", "textfile"].iter().for_each(|dir| files(&root.join(dir), &mut all));
    all.sort();
    for (n, file) in all.iter().enumerate() {
        let text = std::fs::read(file).unwrap();
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        // Of the many small files of sysfs each is damaged in one way.
        let ways = if name.starts_with("sys/") { n % 5..n % 5 + 1 } else { 0..5 };
        for way in ways {
            damage(file, &text, way);
            let changed = changed(&sound, &collect(&vars));
            std::fs::write(file, &text).unwrap();
            let expected = SHARED.iter().any(|(path, ids)| *path == name && changed.iter().all(|id| ids.contains(id)));
            assert!(changed.len() <= 1 || expected, "{name} damaged in way {way} costs {changed:?}");
        }
    }
    assert!(changed(&sound, &collect(&vars)).is_empty(), "whole again");
}
