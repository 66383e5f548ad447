//! Tape drives: `/sys/class/scsi_tape/st0/stats` (Documentation/scsi/st.rst), times in nanoseconds.
//!
//! `st0a`, `nst0` and the like are other ways to open the same drive.

use compact_str::CompactString;
use regex::Regex;

use super::attribute::{Attribute, Scale};
use super::filter::pattern;
use super::listing::{Listing, number_of};
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::{Family, hardware};
use crate::snapshot::Sink;

const IGNORED: Setting =
    Setting::new("KANARY_TAPESTATS_IGNORED_DEVICES", "^$", "a regular expression", "tape drives left out");

pub const ROW: Row = Row {
    id: "tapestats",
    default: true,
    options: &[&IGNORED],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/scsi_tape"));
        Ok(Box::new(Tapes { class, ignored: pattern(&setup.config.vars, &IGNORED)?, known: Vec::new() }))
    },
};

const NANO: Scale = Scale::by(0.000000001);

static COUNTERS: [(&str, &Family, Scale); 10] = [
    ("in_flight", &hardware::TAPE_IO_NOW, Scale::ONE),
    ("io_ns", &hardware::TAPE_IO_TIME, NANO),
    ("other_cnt", &hardware::TAPE_OTHERS, Scale::ONE),
    ("read_byte_cnt", &hardware::TAPE_READ_BYTES, Scale::ONE),
    ("read_cnt", &hardware::TAPE_READS, Scale::ONE),
    ("read_ns", &hardware::TAPE_READ_TIME, NANO),
    ("resid_cnt", &hardware::TAPE_RESIDUAL, Scale::ONE),
    ("write_byte_cnt", &hardware::TAPE_WRITTEN_BYTES, Scale::ONE),
    ("write_cnt", &hardware::TAPE_WRITES, Scale::ONE),
    ("write_ns", &hardware::TAPE_WRITE_TIME, NANO),
];

struct Tapes {
    class: Listing,
    ignored: Option<Regex>,
    known: Vec<(CompactString, [Attribute; COUNTERS.len()])>,
}

impl Collector for Tapes {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            let shown = |name: &&str| {
                number_of(name, "st").is_some() && !self.ignored.as_ref().is_some_and(|p| p.is_match(name))
            };
            let file =
                |name: &str, file: &str| Attribute::number(self.class.path().join(name).join("stats").join(file));
            let tape = |name: &str| (name.into(), COUNTERS.each_ref().map(|(counter, ..)| file(name, counter)));
            self.known = self.class.names().into_iter().filter(shown).map(tape).collect();
        }
        for (name, files) in &mut self.known {
            for ((_, family, scale), file) in COUNTERS.iter().zip(files) {
                file.put(family, &[name], *scale, out);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    #[test]
    fn a_drive_counts_once() {
        let host = Host::new(&[
            ("sys/class/scsi_tape/st0/stats/in_flight", b"1\n"),
            ("sys/class/scsi_tape/st0/stats/io_ns", b"9247011087720\n"),
            ("sys/class/scsi_tape/nst0/stats/in_flight", b"1\n"),
            ("sys/class/scsi_tape/st0a/stats/in_flight", b"1\n"),
        ]);
        let expected =
            [r#"node_tape_io_now{device="st0"} 1"#, r#"node_tape_io_time_seconds_total{device="st0"} 9247.01108772"#];
        assert_eq!(host.read("tapestats", &[]).lines, expected);
        assert_eq!(host.read("tapestats", &[("KANARY_TAPESTATS_IGNORED_DEVICES", "^st0$")]).lines.len(), 0);
        assert!(matches!(Host::new(&[]).read("tapestats", &[]).error, Some(Error::Absent(_))));
    }
}
