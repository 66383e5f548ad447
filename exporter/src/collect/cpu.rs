//! CPU time of `/proc/stat` (fs/proc/stat.c, ticks of 1/USER_HZ), with what `cpuinfo` and `topology` have to say.
//!
//! ```text
//! cpu0 44490 19 21045 1087069 220 1 3410 0 2 1
//! ```
//!
//! The kernel's idle and iowait counters may go back a little: a counter never does here. When a CPU's idle time falls
//! by 3 s or more, the CPU was plugged anew and all its counters start over. A CPU that is offline has no line.

use compact_str::CompactString;

use super::cpuinfo::CpuInfo;
use super::fields::{integer, words};
use super::procfile::Text;
use super::shared_file::SharedFile;
use super::topology::Topology;
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::cpu;
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
        Ok(Box::new(Cpu {
            stat: SharedFile::new(&paths.proc.join("stat")),
            info: wanted.then_some(info),
            guest: vars.parse(&GUEST, config::flag)?,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            previous: Vec::new(),
            current: Vec::new(),
            topology: Topology::new(&paths.sys),
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
    stat: SharedFile,
    info: Option<CpuInfo>,
    guest: bool,
    ticks_per_second: f64,
    /// From the last reading and from this one.
    previous: Cpus,
    current: Cpus,
    topology: Topology,
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let (previous, current, hz) = (&self.previous, &mut self.current, self.ticks_per_second);
        self.stat.read(|text| advance(&text, previous, current, hz, out))??;
        for (id, ticks) in &self.current {
            ticks.put(id, hz, self.guest, out);
        }
        if let Some(info) = &mut self.info {
            info.put(out);
        }
        let same_cpus = self.previous.iter().map(|(id, _)| id).eq(self.current.iter().map(|(id, _)| id));
        self.topology.put(!same_cpus, out);
        std::mem::swap(&mut self.previous, &mut self.current);
        Ok(())
    }
}

/// CPUs and what is exposed of each. The kernel lists them by number.
type Cpus = Vec<(CompactString, Ticks)>;

/// Fills `current`.
fn advance(text: &Text, previous: &Cpus, current: &mut Cpus, hz: f64, out: &mut Sink) -> Result<(), Error> {
    current.clear();
    let mut last = None;
    for line in text.lines().take_while(|line| line.starts_with(b"cpu")) {
        match parse(line) {
            Parsed::Cpu(id, now) if integer(id.as_bytes()) > last => {
                last = integer(id.as_bytes());
                let before = find(previous, current.len(), id);
                current.push((id.into(), before.map_or(now, |before| before.advanced_to(now, hz))));
            }
            Parsed::Total => {}
            _ => out.fault(text.offends(line, "is not the next CPU and its ticks")),
        }
    }
    if current.is_empty() { Err(text.failed(text.bytes, "has no CPU")) } else { Ok(()) }
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
fn find<'a>(known: &'a Cpus, index: usize, id: &str) -> Option<&'a Ticks> {
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
