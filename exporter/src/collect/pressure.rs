//! `/proc/pressure/{cpu,io,memory,irq}` (kernel/sched/psi.c): stall totals in microseconds.
//!
//! ```text
//! some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802
//! full avg10=0.18 avg60=0.34 avg300=0.10 total=159229614
//! ```
//!
//! `irq` (6.1 and later) has a `full` line only. A kernel without PSI has no files, one booted with `psi=0` refuses to
//! read them.

use super::fields::{count, words};
use super::procfile::{ProcFile, Text};
use super::{Collector, Error, Row};
use crate::metric::{Family, system};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "pressure",
    default: true,
    options: &[],
    build: |setup| {
        let dir = setup.config.paths.proc.join("pressure");
        let resource =
            |(name, some, full): (&str, _, _)| Resource { file: ProcFile::piece(dir.join(name)), some, full };
        Ok(Box::new(Pressure(RESOURCES.map(resource))))
    },
};

type Lines = (&'static str, Option<&'static Family>, Option<&'static Family>);

/// Resource and what its `some` and `full` lines become.
const RESOURCES: [Lines; 4] = [
    ("cpu", Some(&system::CPU_WAITING), None),
    ("io", Some(&system::IO_WAITING), Some(&system::IO_STALLED)),
    ("memory", Some(&system::MEMORY_WAITING), Some(&system::MEMORY_STALLED)),
    ("irq", None, Some(&system::IRQ_STALLED)),
];

struct Pressure([Resource; 4]);

struct Resource {
    file: ProcFile,
    some: Option<&'static Family>,
    full: Option<&'static Family>,
}

impl Collector for Pressure {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let mut found = false;
        let mut failed = None;
        for resource in &mut self.0 {
            match resource.file.read() {
                Ok(text) => {
                    found = true;
                    put(&text, resource.some, resource.full, out);
                }
                Err(e) => {
                    if !e.is_absence() {
                        out.fault(e.to_string());
                    }
                    failed.get_or_insert(e);
                }
            }
        }
        match failed {
            Some(e) if !found => Err(e.or_absent()),
            _ => Ok(()),
        }
    }
}

fn put(text: &Text, some: Option<&'static Family>, full: Option<&'static Family>, out: &mut Sink) {
    for (key, family) in [(&b"some"[..], some), (b"full", full)] {
        let Some(family) = family else { continue };
        match total(text, key) {
            Some(microseconds) => out.number(family, &[], microseconds / 1000.0 / 1000.0),
            None => out.fault(text.offends(text.bytes, "has no total of a line it should have")),
        }
    }
}

/// Total of the line that begins with `key`, in microseconds.
fn total(text: &Text, key: &[u8]) -> Option<f64> {
    let line = text.lines().find(|line| words(line).next() == Some(key))?;
    words(line).find_map(|word| word.strip_prefix(b"total=")).and_then(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    const BOTH: &[u8] = b"some avg10=0.18 avg60=0.34 avg300=0.10 total=14036781\nfull avg10=0.18 total=5000000\n";

    #[test]
    fn waiting_and_stalled() {
        let host = Host::new(&[
            ("proc/pressure/cpu", BOTH),
            ("proc/pressure/io", BOTH),
            ("proc/pressure/irq", b"full avg10=0.00 avg60=0.00 avg300=0.00 total=8494"),
        ]);
        let expected = [
            "node_pressure_cpu_waiting_seconds_total 14.036781000000001",
            "node_pressure_io_waiting_seconds_total 14.036781000000001",
            "node_pressure_io_stalled_seconds_total 5",
            "node_pressure_irq_stalled_seconds_total 0.008494",
        ];
        assert_eq!(host.read("pressure", &[]).lines, expected);
    }

    #[test]
    fn no_psi_is_absence_and_garbage_costs_its_line() {
        assert!(matches!(Host::new(&[]).read("pressure", &[]).error, Some(Error::Absent(_))));
        let host =
            Host::new(&[("proc/pressure/io", b"some total=\nfull total=1000000\n"), ("proc/pressure/cpu", BOTH)]);
        let read = host.read("pressure", &[]);
        assert_eq!(read.lines.len(), 2);
        assert_eq!(read.faults.len(), 1);
        assert!(read.error.is_none());
    }
}
