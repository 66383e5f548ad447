//! CPU time of `/proc/stat` (fs/proc/stat.c, ticks of 1/USER_HZ), topology and throttling of sysfs, `/proc/cpuinfo`.
//!
//! ```text
//! cpu0 44490 19 21045 1087069 220 1 3410 0 2 1
//! ```
//!
//! The kernel's idle and iowait counters may go back a little: a counter never does here. When a CPU's idle time falls
//! by 3 s or more, the CPU was plugged anew and all its counters start over. A CPU that is offline has no line.

use std::path::{Path, PathBuf};

use compact_str::CompactString;

use super::cpuinfo::CpuInfo;
use super::fields::{count, integer, number_list, words};
use super::procfile::{ProcFile, Text, read_once};
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::{Family, cpu};
use crate::snapshot::Sink;

const INFO: Setting = Setting::new("KANARY_CPU_INFO", "0", "0 or 1", "facts of /proc/cpuinfo");
const FLAGS: Setting = Setting::new(
    "KANARY_CPU_INFO_FLAGS_INCLUDE",
    "",
    "a regular expression",
    "which flags of /proc/cpuinfo; switches KANARY_CPU_INFO on",
);
const BUGS: Setting = Setting::new(
    "KANARY_CPU_INFO_BUGS_INCLUDE",
    "",
    "a regular expression",
    "which bugs of /proc/cpuinfo; switches KANARY_CPU_INFO on",
);
const GUEST: Setting = Setting::new("KANARY_CPU_GUEST", "1", "0 or 1", "time spent in guests");

pub const ROW: Row = Row {
    id: "cpu",
    default: true,
    options: &[&INFO, &FLAGS, &BUGS, &GUEST],
    build: |setup| {
        let (paths, vars) = (&setup.config.paths, &setup.config.vars);
        let info = CpuInfo::new(&paths.proc, vars, &FLAGS, &BUGS)?;
        let wanted = vars.parse(&INFO, config::flag)? || info.is_filtered();
        let sys = paths.sys.join("devices/system/cpu");
        Ok(Box::new(Cpu {
            stat: ProcFile::new(paths.proc.join("stat")),
            info: wanted.then_some(info),
            guest: vars.parse(&GUEST, config::flag)?,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            previous: Vec::new(),
            current: Vec::new(),
            isolated: ProcFile::new(sys.join("isolated")),
            topology: Topology { dir: sys, throttles: Vec::new(), online: None },
        }))
    },
};

const IDLE: usize = 3;
/// Columns of `/proc/stat` that are modes, then those that are guest time.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
/// Seconds by which idle time falls when a CPU was plugged anew.
const PLUGGED: f64 = 3.0;

/// Ticks by column; `columns` of them are there.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    columns: usize,
    by_column: [u64; MODES.len() + GUEST_MODES.len()],
}

struct Cpu {
    stat: ProcFile,
    info: Option<CpuInfo>,
    guest: bool,
    ticks_per_second: f64,
    /// Number of each CPU and what was exposed of it, from the last reading and from this one.
    previous: Vec<(CompactString, Ticks)>,
    current: Vec<(CompactString, Ticks)>,
    isolated: ProcFile,
    topology: Topology,
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.times(out)?;
        if let Some(info) = &mut self.info {
            info.put(out);
        }
        put_list(&mut self.isolated, out);
        let same_cpus = self.previous.iter().map(|(id, _)| id).eq(self.current.iter().map(|(id, _)| id));
        self.topology.put(!same_cpus, out);
        std::mem::swap(&mut self.previous, &mut self.current);
        Ok(())
    }
}

impl Cpu {
    /// Fills `current` and puts it.
    fn times(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.stat.read()?;
        self.current.clear();
        for line in text.lines().take_while(|line| line.starts_with(b"cpu")) {
            match parse(line) {
                Parsed::Cpu(id, now) if self.current.iter().all(|(known, _)| known != id) => {
                    let index = self.current.len();
                    let before = find(&self.previous, index, id);
                    let shown = before.map_or(now, |before| before.advanced_to(now, self.ticks_per_second));
                    self.current.push((id.into(), shown));
                }
                Parsed::Total => {}
                _ => out.fault(text.offends(line, "is not a CPU and its ticks")),
            }
        }
        if self.current.is_empty() {
            return Err(text.failed(text.bytes, "has no CPU"));
        }
        for (id, ticks) in &self.current {
            ticks.put(id, self.ticks_per_second, self.guest, out);
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
enum Parsed<'a> {
    /// The sum of all CPUs.
    Total,
    Cpu(&'a str, Ticks),
    Garbage,
}

fn parse(line: &[u8]) -> Parsed<'_> {
    let mut rest = words(line);
    let id = match rest.next().and_then(|word| word.strip_prefix(b"cpu")) {
        Some([]) => return Parsed::Total,
        Some(id) if integer(id).is_some() => std::str::from_utf8(id).unwrap_or_default(),
        _ => return Parsed::Garbage,
    };
    let mut ticks = Ticks { columns: 0, by_column: Default::default() };
    for (column, word) in ticks.by_column.iter_mut().zip(rest) {
        let Some(n) = integer(word) else { return Parsed::Garbage };
        *column = n;
        ticks.columns += 1;
    }
    if ticks.columns > IDLE { Parsed::Cpu(id, ticks) } else { Parsed::Garbage }
}

/// What is known of a CPU: CPUs keep their line until one is plugged.
fn find<'a>(known: &'a [(CompactString, Ticks)], index: usize, id: &str) -> Option<&'a Ticks> {
    let there = known.get(index).filter(|(other, _)| other == id);
    there.or_else(|| known.iter().find(|(other, _)| other == id)).map(|(_, ticks)| ticks)
}

impl Ticks {
    /// `now`, with no column behind what was shown before, unless the CPU was plugged anew.
    fn advanced_to(&self, now: Ticks, ticks_per_second: f64) -> Ticks {
        let fell = self.by_column[IDLE].saturating_sub(now.by_column[IDLE]);
        if fell as f64 >= PLUGGED * ticks_per_second {
            return now;
        }
        let mut shown = now;
        for (shown, before) in shown.by_column.iter_mut().zip(self.by_column) {
            *shown = before.max(*shown);
        }
        shown
    }

    fn put(&self, id: &str, ticks_per_second: f64, guest: bool, out: &mut Sink) {
        let seconds = self.by_column[..self.columns].iter().map(|ticks| *ticks as f64 / ticks_per_second);
        for (mode, seconds) in MODES.iter().zip(seconds.clone()) {
            out.number(&cpu::SECONDS, &[id, mode], seconds);
        }
        if guest {
            for (mode, seconds) in GUEST_MODES.iter().zip(seconds.skip(MODES.len())) {
                out.number(&cpu::GUEST_SECONDS, &[id, mode], seconds);
            }
        }
    }
}

/// `isolated`: a list of CPUs; older kernels have no such file.
fn put_list(file: &mut ProcFile, out: &mut Sink) {
    match file.read() {
        Ok(text) => match number_list(text.bytes) {
            Some(cpus) => cpus.iter().for_each(|id| out.number(&cpu::ISOLATED, &[&id.to_string()], 1.0)),
            None => out.fault(text.offends(text.bytes, "is not a list of CPUs")),
        },
        Err(e) if e.is_absence() => {}
        Err(e) => out.fault(e.to_string()),
    }
}

/// What sysfs says about CPUs, looked up when the set of CPUs changes.
struct Topology {
    dir: PathBuf,
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
    fn put(&mut self, changed: bool, out: &mut Sink) {
        if changed {
            self.discover();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, read};
    use proptest::prelude::*;

    const STAT: &[u8] = b"cpu  3 4\ncpu0 44490 19 21045 1087069 220 1 3410 0 2 1\nintr 5\n";

    fn ticks(by_column: [u64; 10]) -> Ticks {
        Ticks { columns: 10, by_column }
    }

    #[test]
    fn eight_modes_and_guests() {
        let host = Host::new(&[("proc/stat", STAT)]);
        let lines = host.read("cpu", &[]).lines;
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], r#"node_cpu_seconds_total{cpu="0",mode="user"} 444.9"#);
        assert_eq!(lines[3], r#"node_cpu_seconds_total{cpu="0",mode="idle"} 10870.69"#);
        assert_eq!(lines[9], r#"node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.01"#);
        assert_eq!(host.read("cpu", &[("KANARY_CPU_GUEST", "0")]).lines.len(), 8);
    }

    #[test]
    fn counters_never_go_back_but_for_a_cpu_plugged_anew() {
        let before = ticks([100, 0, 50, 1000, 70, 0, 0, 0, 0, 0]);
        let back = ticks([101, 0, 49, 999, 60, 0, 0, 0, 0, 0]);
        assert_eq!(before.advanced_to(back, 100.0), ticks([101, 0, 50, 1000, 70, 0, 0, 0, 0, 0]));
        let plugged = ticks([1, 0, 1, 700, 0, 0, 0, 0, 0, 0]);
        assert_eq!(before.advanced_to(plugged, 100.0), plugged);
    }

    #[test]
    fn an_offline_cpu_vanishes_and_the_others_stay_clamped() {
        let host = Host::new(&[("proc/stat", b"cpu0 1 1 1 1\ncpu1 2 2 2 2\ncpu2 3 3 3 3\n")]);
        let mut cpu = host.build("cpu", &[]);
        assert_eq!(read(&mut *cpu).lines.len(), 12);
        host.write("proc/stat", b"cpu0 1 1 1 1\ncpu2 2 3 3 3\n");
        let lines = read(&mut *cpu).lines;
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[4], r#"node_cpu_seconds_total{cpu="2",mode="user"} 0.03"#);
    }

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

    #[test]
    fn a_bad_line_costs_itself() {
        let read = Host::new(&[("proc/stat", b"cpu0 1 1 1 1\ncpu1 1 x\ncpux 1\ncpu0 1 1 1 1\n")]).read("cpu", &[]);
        assert_eq!((read.lines.len(), read.faults.len()), (4, 3));
        assert!(Host::new(&[("proc/stat", b"\xff")]).read("cpu", &[]).error.is_some());
    }

    proptest! {
        #[test]
        fn ticks_round_trip(columns: [u64; 10], id: u16) {
            let words: Vec<String> = columns.iter().map(ToString::to_string).collect();
            let line = format!("cpu{id} {}", words.join(" "));
            prop_assert_eq!(parse(line.as_bytes()), Parsed::Cpu(&id.to_string(), ticks(columns)));
        }
    }
}
