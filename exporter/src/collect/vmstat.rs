//! `/proc/vmstat` (mm/vmstat.c): `pgfault 2320168809`. Which fields is a setting; untyped, as node_exporter has it.

use compact_str::CompactString;
use regex::Regex;

use super::fields::{LineMemo, count, words};
use super::filter::pattern;
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::{Family, memory};
use crate::snapshot::Sink;

const FIELDS: Setting = Setting::new(
    "KANARY_VMSTAT_FIELDS",
    "^(oom_kill|pgpg|pswp|pg.*fault).*",
    "a regular expression",
    "which fields are exposed",
);

pub const ROW: Row = Row {
    id: "vmstat",
    default: true,
    options: &[&FIELDS],
    build: |setup| {
        let file = ProcFile::new(setup.config.paths.proc.join("vmstat"));
        let wanted = pattern(&setup.config.vars, &FIELDS)?;
        Ok(Box::new(VmStat { file, wanted, memo: LineMemo::default() }))
    },
};

struct VmStat {
    file: ProcFile,
    wanted: Option<Regex>,
    memo: LineMemo<Verdict>,
}

/// What becomes of a field.
#[derive(Debug)]
enum Verdict {
    Ignored,
    Known(&'static Family),
    Open(CompactString),
}

impl Collector for VmStat {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read()?;
        let wanted = self.wanted.as_ref();
        self.memo.rewind();
        let mut good = false;
        for line in text.lines() {
            match put(line, &mut self.memo, wanted, out) {
                Ok(()) => good = true,
                Err(why) => out.fault(text.offends(line, why)),
            }
        }
        if good { Ok(()) } else { Err(text.failed(text.bytes, "has no line `field number`")) }
    }
}

fn put(line: &[u8], memo: &mut LineMemo<Verdict>, wanted: Option<&Regex>, out: &mut Sink) -> Result<(), &'static str> {
    let mut rest = words(line);
    let key = rest.next().ok_or("is blank")?;
    let verdict = memo.next(key, |key| verdict(key, wanted)).ok_or("repeats a field")?;
    if matches!(verdict, Verdict::Ignored) {
        return Ok(());
    }
    let value = rest.next().and_then(count).ok_or("has no number")?;
    match verdict {
        Verdict::Known(family) => out.number(family, &[], value),
        Verdict::Open(key) => out.keyed(&memory::OTHER_VMSTAT, key, value),
        Verdict::Ignored => {}
    }
    Ok(())
}

/// A field whose name no metric can have is ignored whatever the pattern.
fn verdict(key: &[u8], wanted: Option<&Regex>) -> Verdict {
    let prefix = memory::OTHER_VMSTAT.name.trim_end_matches('*');
    match std::str::from_utf8(key) {
        Ok(key) if is_name(key) && wanted.is_none_or(|w| w.is_match(key)) => memory::ALL
            .iter()
            .find(|f| f.name.strip_prefix(prefix) == Some(key))
            .map_or_else(|| Verdict::Open(key.into()), |family| Verdict::Known(family)),
        _ => Verdict::Ignored,
    }
}

fn is_name(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::{Host, read};

    const TEXT: &[u8] = b"nr_free_pages 977769\npgpgin 73\npgfault 23\npgmajfault 5\noom_kill 0\n";

    #[test]
    fn the_pattern_chooses() {
        let host = Host::new(&[("proc/vmstat", TEXT)]);
        let default =
            ["node_vmstat_pgpgin 73", "node_vmstat_pgfault 23", "node_vmstat_pgmajfault 5", "node_vmstat_oom_kill 0"];
        let mut collector = host.build("vmstat", &[]);
        assert_eq!(read(&mut *collector).lines, default);
        assert_eq!(read(&mut *collector).lines, default);
        let all = host.read("vmstat", &[("KANARY_VMSTAT_FIELDS", ".")]);
        assert_eq!(all.lines.len(), 5);
        assert_eq!(all.lines[0], "node_vmstat_nr_free_pages 977769");
    }

    #[test]
    fn a_bad_line_costs_itself() {
        let host = Host::new(&[("proc/vmstat", b"pgpgin x\npgpgin 1\npg\xfffault 1\npgfault 2\npgpgout\n")]);
        let reading = host.read("vmstat", &[]);
        assert_eq!(reading.lines, ["node_vmstat_pgfault 2"]);
        assert_eq!(reading.faults.len(), 3, "{:?}", reading.faults);
        assert!(host.try_build("vmstat", &[("KANARY_VMSTAT_FIELDS", "(")]).is_err());
    }
}
