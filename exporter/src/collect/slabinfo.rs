//! `/proc/slabinfo` (mm/slab_common.c, version 2.1), which root alone may read.
//!
//! ```text
//! # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
//! kmalloc-8192         132    148   8192    4    8 : tunables    0    0    0 : slabdata     37     37      0
//! ```

use compact_str::CompactString;

use super::fields::{LineMemo, count, valid_utf8, words};
use super::filter::Filter;
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::{Family, memory};
use crate::snapshot::Sink;

const EXCLUDE: Setting = Setting::new(
    "KANARY_SLABINFO_SLABS_EXCLUDE",
    "",
    "a regular expression",
    "slabs left out; not together with KANARY_SLABINFO_SLABS_INCLUDE",
);
const INCLUDE: Setting = Setting::new(
    "KANARY_SLABINFO_SLABS_INCLUDE",
    "",
    "a regular expression",
    "the only slabs shown; not together with KANARY_SLABINFO_SLABS_EXCLUDE",
);

pub const ROW: Row = Row {
    id: "slabinfo",
    default: false,
    options: &[&EXCLUDE, &INCLUDE],
    build: |setup| {
        let file = ProcFile::new(setup.config.paths.proc.join("slabinfo"));
        let filter = Filter::new(&setup.config.vars, &INCLUDE, &EXCLUDE)?;
        Ok(Box::new(SlabInfo { file, filter, memo: LineMemo::default() }))
    },
};

/// Columns after the name.
static COLUMNS: [&Family; 5] =
    [&memory::SLAB_ACTIVE, &memory::SLAB_OBJECTS, &memory::SLAB_SIZE, &memory::SLAB_PER_SLAB, &memory::SLAB_PAGES];

struct SlabInfo {
    file: ProcFile,
    filter: Filter,
    /// `None` for a slab that is left out.
    memo: LineMemo<Option<CompactString>>,
}

impl Collector for SlabInfo {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        self.memo.rewind();
        let is_slab = |line: &&[u8]| !line.starts_with(b"#") && !line.starts_with(b"slabinfo - ");
        for line in text.lines().filter(is_slab) {
            let Some((name, columns)) = parse(line) else {
                out.fault(text.offends(line, "is not a slab and its five numbers"));
                continue;
            };
            let learn =
                |name: &[u8]| Some(CompactString::from(valid_utf8(name))).filter(|name| self.filter.passes(name));
            match self.memo.next(name, learn) {
                Some(Some(name)) => COLUMNS.iter().zip(columns).for_each(|(f, n)| out.number(f, &[name], n)),
                Some(None) => {}
                None => out.fault(text.offends(name, "stands twice")),
            }
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], [f64; COLUMNS.len()])> {
    let mut rest = words(line);
    let name = rest.next()?;
    let mut columns = [0.0; COLUMNS.len()];
    for column in &mut columns {
        *column = count(rest.next()?)?;
    }
    Some((name, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"slabinfo - version: 2.1\n# name <active_objs>\nkmalloc-8k 132 148 8192 4 8 : tunables 0\n\
        kmem_cache 1 2 3 4 5 : tunables 0 0 0 : slabdata 10 10 0\nbad 1\nkmem_cache 1 2 3 4 5\n";

    #[test]
    fn five_numbers_of_each_slab() {
        let host = Host::new(&[("proc/slabinfo", TEXT)]);
        let reading = host.read("slabinfo", &[]);
        assert_eq!((reading.lines.len(), reading.faults.len()), (10, 2));
        assert_eq!(reading.lines[0], r#"node_slabinfo_active_objects{slab="kmalloc-8k"} 132"#);
        assert_eq!(reading.lines[9], r#"node_slabinfo_pages_per_slab{slab="kmem_cache"} 5"#);
        assert_eq!(host.read("slabinfo", &[("KANARY_SLABINFO_SLABS_INCLUDE", "^kmalloc")]).lines.len(), 5);
        assert_eq!(host.read("slabinfo", &[("KANARY_SLABINFO_SLABS_EXCLUDE", "^kmalloc")]).lines.len(), 5);
        assert!(matches!(Host::new(&[]).read("slabinfo", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn lines_round_trip(name in "[a-zA-Z0-9_:-]{1,20}", columns: [u32; 5]) {
            let words: Vec<String> = columns.iter().map(|n| format!("{n:6}")).collect();
            let line = format!("{name:17} {} : tunables 0 0 0", words.join(" "));
            prop_assert_eq!(parse(line.as_bytes()), Some((name.as_bytes(), columns.map(f64::from))));
        }
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            parse(&line);
        }
    }
}
