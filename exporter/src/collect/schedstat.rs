//! `/proc/schedstat` (kernel/sched/stats.c, Documentation/scheduler/sched-stats.rst).
//!
//! ```text
//! cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306
//! ```
//!
//! The last three of the nine are nanoseconds that tasks ran here, nanoseconds they waited for it, and timeslices, in
//! every version since 15 (Linux 2.6.30). Lines of domains are not looked at.

use super::fields::{integer, words};
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::cpu;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "schedstat",
    default: true,
    options: &[],
    build: |setup| Ok(Box::new(SchedStat { file: ProcFile::new(setup.config.paths.proc.join("schedstat")) })),
};

/// Columns before the three.
const SKIPPED: usize = 6;
const NANO: f64 = 1e9;

struct SchedStat {
    file: ProcFile,
}

impl Collector for SchedStat {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let mut good = false;
        for line in text.lines().filter(|line| line.starts_with(b"cpu")) {
            match parse(line) {
                Some((cpu, [running, waiting, slices])) => {
                    good = true;
                    out.number(&cpu::RUNNING, &[cpu], running as f64 / NANO);
                    out.number(&cpu::WAITING, &[cpu], waiting as f64 / NANO);
                    out.number(&cpu::TIMESLICES, &[cpu], slices as f64);
                }
                None => out.fault(text.offends(line, "is not a CPU and its nine counters")),
            }
        }
        if good { Ok(()) } else { Err(text.failed(text.bytes, "has no CPU")) }
    }
}

/// CPU and its last three counters.
fn parse(line: &[u8]) -> Option<(&str, [u64; 3])> {
    let mut rest = words(line);
    let cpu = rest.next()?.strip_prefix(b"cpu")?;
    integer(cpu)?;
    let mut counters = rest.skip(SKIPPED).map(integer);
    let counters = [counters.next()??, counters.next()??, counters.next()??];
    Some((std::str::from_utf8(cpu).ok()?, counters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn three_counters_of_each_cpu() {
        let text = b"version 15\ntimestamp 1\ncpu0 1 0 3 4 5 6 2000000000 500000000 9\ndomain0 03 1 2\ncpu1 1 2\n";
        let reading = Host::new(&[("proc/schedstat", text)]).read("schedstat", &[]);
        let expected = [
            r#"node_schedstat_running_seconds_total{cpu="0"} 2"#,
            r#"node_schedstat_waiting_seconds_total{cpu="0"} 0.5"#,
            r#"node_schedstat_timeslices_total{cpu="0"} 9"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1);
    }

    #[test]
    fn without_a_file_it_is_absent() {
        assert!(matches!(Host::new(&[]).read("schedstat", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn counters_round_trip(cpu: u16, counters: [u64; 9]) {
            let words: Vec<String> = counters.iter().map(ToString::to_string).collect();
            let line = format!("cpu{cpu} {}", words.join(" "));
            let expected = [counters[6], counters[7], counters[8]];
            prop_assert_eq!(parse(line.as_bytes()), Some((&*cpu.to_string(), expected)));
        }
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            parse(&line);
            parse(&[b"cpu1 1 1 1 1 1 1 ", &line[..]].concat());
        }
    }
}
