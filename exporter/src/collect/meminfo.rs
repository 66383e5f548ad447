//! `/proc/meminfo` (fs/proc/meminfo.c): `MemTotal:        3742148 kB`, `HugePages_Total:       0`.
//!
//! A key is exposed as it is, with parentheses turned into `_`, and with `_bytes` when the line has a unit. Keys that
//! the catalogue does not know are exposed too.

use compact_str::CompactString;

use super::fields::{LineMemo, count, metric_key, words};
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::metric::{Family, memory};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "meminfo",
    default: true,
    options: &[],
    build: |setup| {
        let file = ProcFile::piece(setup.config.paths.proc.join("meminfo"));
        Ok(Box::new(MemInfo { file, memo: LineMemo::default() }))
    },
};

struct MemInfo {
    file: ProcFile,
    memo: LineMemo<Option<Target>>,
}

/// A family of the catalogue, or the key of the open one.
#[derive(Debug)]
enum Target {
    Known(&'static Family),
    Open(CompactString),
}

impl Collector for MemInfo {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read()?;
        self.memo.rewind();
        let mut good = false;
        for line in text.lines() {
            match put(line, &mut self.memo, out) {
                Ok(()) => good = true,
                Err(why) => out.fault(text.offends(line, why)),
            }
        }
        if good { Ok(()) } else { Err(text.failed(text.bytes, "has no line `key: value`")) }
    }
}

fn put(line: &[u8], memo: &mut LineMemo<Option<Target>>, out: &mut Sink) -> Result<(), &'static str> {
    let colon = line.iter().position(|b| *b == b':').ok_or("is not `key: value`")?;
    let (key, mut rest) = (&line[..colon], words(&line[colon + 1..]));
    let number = rest.next().and_then(count).ok_or("has no number")?;
    let unit = rest.next();
    let value = match unit {
        None => number,
        Some(b"kB") => number * 1024.0,
        Some(_) => return Err("has an unknown unit"),
    };
    match memo.next(key, |key| target(key, unit.is_some())).ok_or("repeats a key")? {
        Some(Target::Known(family)) => out.number(family, &[], value),
        Some(Target::Open(key)) => out.keyed(&memory::OTHER_MEMORY, key, value),
        None => return Err("has a key that is no metric name"),
    }
    Ok(())
}

/// Where the values of a key go; `None` when no metric can be named after it.
fn target(key: &[u8], bytes: bool) -> Option<Target> {
    let mut name = metric_key(key)?;
    if bytes {
        name.push_str("_bytes");
    }
    Some(match known(&name) {
        Some(family) => Target::Known(family),
        None => Target::Open(name),
    })
}

fn known(name: &str) -> Option<&'static Family> {
    let prefix = memory::OTHER_MEMORY.name.trim_end_matches('*');
    memory::ALL.iter().find(|f| f.name.strip_prefix(prefix) == Some(name)).copied()
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::{Host, Reading};

    fn reading(text: &str) -> Reading {
        Host::new(&[("proc/meminfo", text.as_bytes())]).read("meminfo", &[])
    }

    #[test]
    fn keys_become_names_and_unknown_ones_are_kept() {
        let text = "MemTotal:  4 kB\nActive(anon):   2 kB\nHugePages_Total:       3\nBalloon:    1 kB\n";
        let expected = [
            "node_memory_MemTotal_bytes 4096",
            "node_memory_Active_anon_bytes 2048",
            "node_memory_HugePages_Total 3",
            "node_memory_Balloon_bytes 1024",
        ];
        assert_eq!(reading(text).lines, expected);
    }

    #[test]
    fn a_bad_line_costs_itself() {
        let text = "MemTotal: 4 kB\nMemFree\nBuffers: x kB\nCached: 1 MB\nMemTotal: 5 kB\nA-b: 1 kB\nDirty: 1 kB\n";
        let read = reading(text);
        assert_eq!(read.lines, ["node_memory_MemTotal_bytes 4096", "node_memory_Dirty_bytes 1024"]);
        assert_eq!(read.faults.len(), 5);
        assert!(read.faults[2].ends_with("proc/meminfo: `Cached: 1 MB` has an unknown unit"), "{:?}", read.faults);
    }

    #[test]
    fn nothing_but_garbage_is_a_failure() {
        assert!(reading("\u{1}\u{2}").error.is_some());
        assert!(reading("").error.is_some());
        assert!(Host::new(&[]).read("meminfo", &[]).error.is_some());
    }
}
