//! `/proc/interrupts` (kernel/irq/proc.c): a column for each CPU that is online, named in the heading.
//!
//! ```text
//!            CPU0       CPU1
//!   1:      17960        105  IR-IO-APIC-edge      i8042
//! NMI:         47       5031   Non-maskable interrupts
//! ERR:          0
//! ```
//!
//! A series for each interrupt and CPU, so it is off unless asked for, and can be narrowed.

use compact_str::CompactString;

use super::fields::{MAX_LINES, count, cpu_columns, integer, valid_utf8, words};
use super::filter::Filter;
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::cpu;
use crate::snapshot::Sink;

const EXCLUDE: Setting = Setting::new(
    "KANARY_INTERRUPTS_NAME_EXCLUDE",
    "",
    "a regular expression",
    "interrupts left out, as TYPE;INFO;DEVICES; not together with KANARY_INTERRUPTS_NAME_INCLUDE",
);
const INCLUDE: Setting = Setting::new(
    "KANARY_INTERRUPTS_NAME_INCLUDE",
    "",
    "a regular expression",
    "the only interrupts shown, as TYPE;INFO;DEVICES; not together with KANARY_INTERRUPTS_NAME_EXCLUDE",
);
const ZEROS: Setting =
    Setting::new("KANARY_INTERRUPTS_INCLUDE_ZEROS", "1", "0 or 1", "interrupts that a CPU has not seen yet");

pub const ROW: Row = Row {
    id: "interrupts",
    default: false,
    options: &[&EXCLUDE, &INCLUDE, &ZEROS],
    build: |setup| {
        let vars = &setup.config.vars;
        Ok(Box::new(Interrupts {
            file: ProcFile::new(setup.config.paths.proc.join("interrupts")),
            filter: Filter::new(vars, &INCLUDE, &EXCLUDE)?,
            zeros: vars.parse(&ZEROS, config::flag)?,
        }))
    },
};

struct Interrupts {
    file: ProcFile,
    filter: Filter,
    zeros: bool,
}

impl Collector for Interrupts {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let mut lines = text.lines();
        let cpus = cpu_columns(lines.next().unwrap_or_default());
        if cpus.is_empty() {
            return Err(text.failed(text.bytes, "has no heading with CPUs"));
        }
        for line in lines.take(MAX_LINES) {
            match parse(line, cpus.len()) {
                Ok(Some(interrupt)) if self.filter.passes(&interrupt.full_name()) => {
                    interrupt.put(&cpus, self.zeros, out);
                }
                Ok(_) => {}
                Err(why) => out.fault(text.offends(line, why)),
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Interrupt {
    name: CompactString,
    info: CompactString,
    devices: CompactString,
    counts: Vec<f64>,
}

impl Interrupt {
    fn full_name(&self) -> String {
        format!("{};{};{}", self.name, self.info, self.devices)
    }

    fn put(&self, cpus: &[&str], zeros: bool, out: &mut Sink) {
        for (cpu, count) in cpus.iter().zip(&self.counts).filter(|(_, count)| zeros || **count > 0.0) {
            out.number(&cpu::INTERRUPTS, &[cpu, &self.name, &self.info, &self.devices], *count);
        }
    }
}

/// `None` for a line that counts for all CPUs together. On ARM a count may follow the colon at once.
fn parse(line: &[u8], cpus: usize) -> Result<Option<Interrupt>, &'static str> {
    let colon = line.iter().position(|b| *b == b':').ok_or("is not `interrupt: counts`")?;
    let name = line[..colon].trim_ascii();
    let mut rest = words(&line[colon + 1..]);
    if rest.clone().take(cpus + 1).count() <= cpus {
        return Ok(None);
    }
    let counts =
        rest.by_ref().take(cpus).map(count).collect::<Option<Vec<f64>>>().ok_or("has no count for each CPU")?;
    // What is numbered has a chip and devices, the others a description.
    let chip = integer(name).is_some().then(|| rest.next()).flatten();
    let others = joined(rest);
    let (info, devices) = chip.map_or((others.clone(), CompactString::default()), |chip| (text(chip), others));
    Ok(Some(Interrupt { name: text(name), info, devices, counts }))
}

fn text(bytes: &[u8]) -> CompactString {
    valid_utf8(bytes).into()
}

fn joined<'a>(words: impl Iterator<Item = &'a [u8]>) -> CompactString {
    let mut joined = CompactString::default();
    for word in words {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(&valid_utf8(word));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"           CPU0       CPU2\n 16:  5 0  IR-IO-APIC-fasteoi   ehci_hcd:usb1, mmc0\n\
        NMI:  47  5031   Non-maskable interrupts\nIPI0:1 2 Rescheduling\nERR:  0\n 17: 1 x  chip\nx\n";

    #[test]
    fn a_series_for_each_interrupt_and_cpu() {
        let host = Host::new(&[("proc/interrupts", TEXT)]);
        let reading = host.read("interrupts", &[]);
        let line = |cpu: u32, rest: &str| format!("node_interrupts_total{{cpu=\"{cpu}\",{rest}");
        let usb = r#"type="16",info="IR-IO-APIC-fasteoi",devices="ehci_hcd:usb1, mmc0"}"#;
        let nmi = r#"type="NMI",info="Non-maskable interrupts",devices=""}"#;
        let ipi = r#"type="IPI0",info="Rescheduling",devices=""}"#;
        let expected = [
            line(0, &format!("{usb} 5")),
            line(2, &format!("{usb} 0")),
            line(0, &format!("{nmi} 47")),
            line(2, &format!("{nmi} 5031")),
            line(0, &format!("{ipi} 1")),
            line(2, &format!("{ipi} 2")),
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 2);
    }

    #[test]
    fn it_can_be_narrowed() {
        let host = Host::new(&[("proc/interrupts", TEXT)]);
        let lines = |name: &str, value: &str| host.read("interrupts", &[(name, value)]).lines.len();
        assert_eq!(lines("KANARY_INTERRUPTS_NAME_INCLUDE", "^NMI;"), 2);
        assert_eq!(lines("KANARY_INTERRUPTS_NAME_EXCLUDE", "mmc0$"), 4);
        assert_eq!(lines("KANARY_INTERRUPTS_INCLUDE_ZEROS", "0"), 5);
        assert!(Host::new(&[("proc/interrupts", b"\n")]).read("interrupts", &[]).error.is_some());
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>, cpus in 1usize..5) {
            let _ = parse(&line, cpus);
        }
        #[test]
        fn counts_round_trip(counts in prop::collection::vec(0u32.., 1..5), name in "[A-Z]{3}") {
            let words: Vec<String> = counts.iter().map(ToString::to_string).collect();
            let line = format!("{name}: {} some words", words.join("   "));
            let interrupt = parse(line.as_bytes(), counts.len()).unwrap().unwrap();
            prop_assert_eq!(&interrupt.counts, &counts.iter().map(|n| f64::from(*n)).collect::<Vec<_>>());
            prop_assert_eq!((&*interrupt.name, &*interrupt.info), (&*name, "some words"));
        }
    }
}
