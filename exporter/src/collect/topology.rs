//! CPUs in sysfs (Documentation/ABI/testing/sysfs-devices-system-cpu): throttling by core and package, which CPUs are
//! isolated, which are online.

use std::path::{Path, PathBuf};

use super::fields::{count, integer, number_list};
use super::procfile::{ProcFile, Text, read_once};
use crate::metric::{Family, cpu};
use crate::snapshot::Sink;

/// Reads `/sys/devices/system/cpu`. Which files there are is looked up when the set of CPUs changes.
pub struct Topology {
    dir: PathBuf,
    isolated: ProcFile,
    throttles: Vec<Throttle>,
    /// Where CPU 0 can be switched off: `online` of the directory, and every CPU there is.
    online: Option<(ProcFile, Vec<u32>)>,
}

struct Throttle {
    family: &'static Family,
    /// Package, and core unless the package is meant.
    labels: Vec<String>,
    file: ProcFile,
}

impl Topology {
    pub fn new(sys: &Path) -> Self {
        let dir = sys.join("devices/system/cpu");
        Topology { isolated: ProcFile::new(dir.join("isolated")), dir, throttles: Vec::new(), online: None }
    }

    /// `changed`: CPUs came or went since the last time.
    pub fn put(&mut self, changed: bool, out: &mut Sink) {
        if changed {
            self.discover();
        }
        put_isolated(&mut self.isolated, out);
        for throttle in &mut self.throttles {
            let labels: Vec<&str> = throttle.labels.iter().map(String::as_str).collect();
            match throttle.file.read() {
                Ok(text) => match count(text.bytes.trim_ascii()) {
                    Some(times) => out.number(throttle.family, &labels, times),
                    None => out.fault(text.offends(text.bytes, "is not a count")),
                },
                Err(e) => out.fault(e.to_string()),
            }
        }
        if let Some((file, cpus)) = &mut self.online {
            match file.read() {
                Ok(text) => put_online(&text, cpus, out),
                Err(e) => out.fault(e.to_string()),
            }
        }
    }

    /// Counts that siblings share are taken from the first CPU that has them.
    fn discover(&mut self) {
        let cpus = cpus(&self.dir);
        self.throttles.clear();
        for id in &cpus {
            let dir = self.dir.join(format!("cpu{id}"));
            let topology = |name| attribute(&dir.join("topology").join(name));
            let (Some(package), Some(core)) = (topology("physical_package_id"), topology("core_id")) else { continue };
            let throttle = dir.join("thermal_throttle");
            self.add(&cpu::CORE_THROTTLES, &[&package, &core], throttle.join("core_throttle_count"));
            self.add(&cpu::PACKAGE_THROTTLES, &[&package], throttle.join("package_throttle_count"));
        }
        let hotplug = self.dir.join("cpu0/online").exists();
        self.online = hotplug.then(|| (ProcFile::new(self.dir.join("online")), cpus));
    }

    fn add(&mut self, family: &'static Family, labels: &[&str], path: PathBuf) {
        let known = self.throttles.iter().any(|t| std::ptr::eq(t.family, family) && t.labels == labels);
        if !known && path.exists() {
            let labels = labels.iter().map(ToString::to_string).collect();
            self.throttles.push(Throttle { family, labels, file: ProcFile::new(path) });
        }
    }
}

fn put_online(text: &Text, cpus: &[u32], out: &mut Sink) {
    match number_list(text.bytes) {
        Some(online) => {
            for id in cpus {
                out.number(&cpu::ONLINE, &[&id.to_string()], f64::from(u8::from(online.contains(id))));
            }
        }
        None => out.fault(text.offends(text.bytes, "is not a list of CPUs")),
    }
}

/// Numbers of the `cpu<n>` directories, in the order of their names: node_exporter's choice of the first sibling.
fn cpus(dir: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("cpu")?.parse().ok();
    let mut cpus: Vec<u32> = entries.filter_map(|e| number(e.file_name())).collect();
    cpus.sort_by_cached_key(ToString::to_string);
    cpus
}

/// A number in a file of its own.
fn attribute(path: &Path) -> Option<String> {
    let text = read_once(path).ok()?;
    Some(integer(text.trim_ascii())?.to_string())
}

/// Older kernels have no such file.
fn put_isolated(file: &mut ProcFile, out: &mut Sink) {
    match file.read() {
        Ok(text) => match number_list(text.bytes) {
            Some(cpus) => cpus.iter().for_each(|id| out.number(&cpu::ISOLATED, &[&id.to_string()], 1.0)),
            None => out.fault(text.offends(text.bytes, "is not a list of CPUs")),
        },
        Err(e) if e.is_absence() => {}
        Err(e) => out.fault(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    const STAT: &[u8] = b"cpu0 44490 19 21045 1087069 220 1 3410 0 2 1\n";

    #[test]
    fn throttles_once_per_core_and_package() {
        let host = Host::new(&[("proc/stat", STAT), ("sys/devices/system/cpu/isolated", b"1,3-4\n")]);
        for (cpu, core, count) in [(0, 0, 5), (1, 0, 6), (2, 1, 9)] {
            let file = |name: &str, value: u32| {
                host.write(&format!("sys/devices/system/cpu/cpu{cpu}/{name}"), format!("{value}\n").as_bytes());
            };
            file("topology/physical_package_id", 0);
            file("topology/core_id", core);
            file("thermal_throttle/core_throttle_count", count);
            file("thermal_throttle/package_throttle_count", 30);
        }
        let expected = [
            r#"node_cpu_isolated{cpu="1"} 1"#,
            r#"node_cpu_isolated{cpu="3"} 1"#,
            r#"node_cpu_isolated{cpu="4"} 1"#,
            r#"node_cpu_core_throttles_total{package="0",core="0"} 5"#,
            r#"node_cpu_core_throttles_total{package="0",core="1"} 9"#,
            r#"node_cpu_package_throttles_total{package="0"} 30"#,
        ];
        assert_eq!(host.read("cpu", &[]).lines[10..], expected);
    }

    #[test]
    fn online_where_cpu_0_can_be_switched_off() {
        let files: [(&str, &[u8]); 4] = [
            ("proc/stat", STAT),
            ("sys/devices/system/cpu/online", b"0\n"),
            ("sys/devices/system/cpu/cpu0/online", b"1\n"),
            ("sys/devices/system/cpu/cpu1/online", b"0\n"),
        ];
        let lines = Host::new(&files).read("cpu", &[]).lines;
        assert_eq!(lines[10..], [r#"node_cpu_online{cpu="0"} 1"#, r#"node_cpu_online{cpu="1"} 0"#]);
    }
}
