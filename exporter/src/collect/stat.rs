//! `/proc/stat` but for its CPU lines (fs/proc/stat.c): interrupts, context switches, forks, boot time, run queue.
//!
//! ```text
//! intr 8885917 17 0 0 ...
//! ctxt 38014093
//! btime 1418183276
//! processes 26442
//! procs_running 2
//! procs_blocked 0
//! softirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444
//! ```

use super::fields::{count, words};
use super::procfile::Text;
use super::shared_file::SharedFile;
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::{Family, system};
use crate::snapshot::Sink;

const SOFTIRQ: Setting = Setting::new("KANARY_STAT_SOFTIRQ", "0", "0 or 1", "soft interrupts by vector");

pub const ROW: Row = Row {
    id: "stat",
    default: true,
    options: &[&SOFTIRQ],
    build: |setup| {
        let file = SharedFile::new(&setup.config.paths.proc.join("stat"));
        Ok(Box::new(Stat { file, softirq: setup.config.vars.parse(&SOFTIRQ, config::flag)? }))
    },
};

/// Soft interrupt vectors in the order of linux/interrupt.h.
const VECTORS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

struct Stat {
    file: SharedFile,
    softirq: bool,
}

impl Collector for Stat {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.file.read(|text| put_all(&text, self.softirq, out))?
    }
}

fn put_all(text: &Text, softirq: bool, out: &mut Sink) -> Result<(), Error> {
    let mut good = false;
    for line in text.lines() {
        good |= put(text, line, softirq, out);
    }
    if good { Ok(()) } else { Err(text.failed(text.bytes, "has no counter")) }
}

/// Puts one line; whether it was one of those wanted.
fn put(text: &Text, line: &[u8], softirq: bool, out: &mut Sink) -> bool {
    let mut rest = words(line);
    let Some(family) = rest.next().and_then(|key| family(key, softirq)) else { return false };
    let Some(total) = rest.next().and_then(count) else {
        out.fault(text.offends(line, "has no number"));
        return false;
    };
    if !std::ptr::eq(family, &system::SOFTIRQS) {
        out.number(family, &[], total);
        return true;
    }
    for (vector, calls) in VECTORS.iter().zip(rest) {
        match count(calls) {
            Some(calls) => out.number(family, &[vector], calls),
            None => out.fault(text.offends(line, "has no number for each vector")),
        }
    }
    true
}

fn family(key: &[u8], softirq: bool) -> Option<&'static Family> {
    match key {
        b"intr" => Some(&system::INTR),
        b"ctxt" => Some(&system::CONTEXT_SWITCHES),
        b"btime" => Some(&system::BOOT_TIME),
        b"processes" => Some(&system::FORKS),
        b"procs_running" => Some(&system::PROCS_RUNNING),
        b"procs_blocked" => Some(&system::PROCS_BLOCKED),
        b"softirq" if softirq => Some(&system::SOFTIRQS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::{Host, Reading};

    fn reading(text: &str, softirq: &str) -> Reading {
        Host::new(&[("proc/stat", text.as_bytes())]).read("stat", &[("KANARY_STAT_SOFTIRQ", softirq)])
    }

    #[test]
    fn counters_and_soft_interrupts() {
        let text = "cpu 1 2\nintr 885 17 0\nctxt 38\nbtime 1418183276\nnew_key 1\nsoftirq 55 1 2 3\n";
        let plain = ["node_intr_total 885", "node_context_switches_total 38", "node_boot_time_seconds 1418183276"];
        assert_eq!(reading(text, "0").lines, plain);
        let lines = reading(text, "1").lines;
        assert_eq!(
            lines[3..],
            [
                r#"node_softirqs_total{vector="hi"} 1"#,
                r#"node_softirqs_total{vector="timer"} 2"#,
                r#"node_softirqs_total{vector="net_tx"} 3"#,
            ]
        );
    }

    #[test]
    fn a_bad_line_costs_itself() {
        let read = reading("intr many\nctxt 38\nprocesses\nsoftirq 1 x 2\n", "1");
        assert_eq!(read.lines, ["node_context_switches_total 38", r#"node_softirqs_total{vector="timer"} 2"#]);
        assert_eq!(read.faults.len(), 3, "{:?}", read.faults);
        assert!(reading("\u{1}\n", "1").error.is_some());
    }
}
