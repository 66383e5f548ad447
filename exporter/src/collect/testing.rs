//! For tests of collectors: a host made of literal files, and one reading of it as exposition lines.

use std::path::Path;

use tempfile::TempDir;

use super::{ALL, Collector, Error, Setup};
use crate::bpf::Programs;
use crate::config::{self, Config, Vars};
use crate::snapshot::{Samples, Sink, Value};

/// A directory with `proc`, `sys`, `root` and `udev`.
pub struct Host(TempDir);

/// What one collection gave.
#[derive(Debug)]
pub struct Reading {
    /// `name{label="value"} number`, in the order collected.
    pub lines: Vec<String>,
    pub faults: Vec<String>,
    pub error: Option<Error>,
}

impl Host {
    /// `files` are pairs of path and content.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let host = Host(TempDir::new().unwrap());
        for dir in ["proc", "sys", "root", "udev"] {
            std::fs::create_dir(host.path().join(dir)).unwrap();
        }
        for (path, content) in files {
            host.write(path, content);
        }
        host
    }
    pub fn path(&self) -> &Path {
        self.0.path()
    }
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    pub fn config(&self, vars: &[(&str, &str)]) -> Config {
        let root = |dir: &str| self.path().join(dir).display().to_string();
        let roots = [("PROC_ROOT", "proc"), ("SYS_ROOT", "sys"), ("ROOTFS", "root"), ("UDEV_DATA", "udev")];
        let roots = roots.map(|(name, dir)| (format!("KANARY_{name}"), root(dir)));
        let vars: Vars = vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).chain(roots).collect();
        Config::from_vars(vars, std::iter::empty()).unwrap()
    }
    pub fn try_build(&self, id: &str, vars: &[(&str, &str)]) -> Result<Box<dyn Collector>, config::Error> {
        let row = ALL.iter().find(|r| r.id == id).unwrap();
        (row.build)(&mut Setup { config: &self.config(vars), programs: &mut Programs::default() })
    }
    pub fn build(&self, id: &str, vars: &[(&str, &str)]) -> Box<dyn Collector> {
        self.try_build(id, vars).unwrap()
    }
    pub fn read(&self, id: &str, vars: &[(&str, &str)]) -> Reading {
        read(&mut *self.build(id, vars))
    }
}

/// One collection.
pub fn read(collector: &mut dyn Collector) -> Reading {
    let mut sink = Sink::default();
    let error = collector.collect(&mut sink).err();
    let (samples, faults) = sink.finish();
    Reading { lines: samples.iter().flat_map(lines).collect(), faults, error }
}

fn lines(samples: &Samples) -> impl Iterator<Item = String> {
    let name = samples.name().concat();
    samples.points.iter().map(move |point| {
        let names = samples.family.labels.iter();
        let labels: Vec<String> = names.zip(&point.labels).map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        match &point.value {
            Value::Number(n) => format!("{name}{labels} {n}"),
            Value::Histogram(h) => format!("{name}{labels} {} in {}", h.count(), h.sum),
        }
    })
}
