//! `/proc/softirqs` (fs/proc/softirqs.c): a column for each possible CPU, named in the heading.
//!
//! ```text
//!                     CPU0       CPU1
//!           HI:          7          1
//!        TIMER:     424191     108342
//! ```

use super::fields::{MAX_LINES, count, cpu_columns, words};
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::cpu;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "softirqs",
    default: false,
    options: &[],
    build: |setup| Ok(Box::new(Softirqs { file: ProcFile::piece(setup.config.paths.proc.join("softirqs")) })),
};

struct Softirqs {
    file: ProcFile,
}

impl Collector for Softirqs {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let mut lines = text.lines();
        let cpus = cpu_columns(lines.next().unwrap_or_default());
        if cpus.is_empty() {
            return Err(text.failed(text.bytes, "has no heading with CPUs"));
        }
        for line in lines.take(MAX_LINES) {
            match parse(line) {
                Some((name, counts)) => {
                    for (cpu, count) in cpus.iter().zip(counts) {
                        match count {
                            Some(count) => out.number(&cpu::SOFTIRQS, &[cpu, name], count),
                            None => out.fault(text.offends(line, "has a count that is none")),
                        }
                    }
                }
                None => out.fault(text.offends(line, "is not `softirq: counts`")),
            }
        }
        Ok(())
    }
}

/// Name and counts.
fn parse(line: &[u8]) -> Option<(&str, impl Iterator<Item = Option<f64>>)> {
    let mut rest = words(line);
    let name = std::str::from_utf8(rest.next()?.strip_suffix(b":")?).ok()?;
    Some((name, rest.map(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn a_series_for_each_softirq_and_cpu() {
        let text = b"      CPU0  CPU1\n  HI:  7  1\n  TIMER:  4 x\nNET_RX 1\n";
        let reading = Host::new(&[("proc/softirqs", text)]).read("softirqs", &[]);
        let expected = [
            r#"node_softirqs_functions_total{cpu="0",type="HI"} 7"#,
            r#"node_softirqs_functions_total{cpu="1",type="HI"} 1"#,
            r#"node_softirqs_functions_total{cpu="0",type="TIMER"} 4"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 2);
        assert!(Host::new(&[("proc/softirqs", b"\xff")]).read("softirqs", &[]).error.is_some());
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            let _ = parse(&line).map(|(_, counts)| counts.count());
        }
        #[test]
        fn counts_round_trip(counts: [u32; 3]) {
            let line = format!("RCU: {} {} {}", counts[0], counts[1], counts[2]);
            let (name, read) = parse(line.as_bytes()).unwrap();
            prop_assert_eq!(name, "RCU");
            prop_assert_eq!(read.flatten().collect::<Vec<_>>(), counts.map(f64::from));
        }
    }
}
