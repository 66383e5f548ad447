//! `/proc/zoneinfo` (mm/vmstat.c): watermarks and counters of each memory zone, in pages.
//!
//! ```text
//! Node 0, zone      DMA
//!   per-node stats
//!       nr_inactive_anon 95612
//!   pages free     2949
//!         min      8
//!         protection: (0, 2039, 31932, 31932, 31932)
//! ```
//!
//! The statistics of a node stand in its first zone. Keys that no family is named after are passed over.

use compact_str::ToCompactString;

use super::fields::{MAX_LINES, count, words};
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::{Family, zone};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "zoneinfo",
    default: false,
    options: &[],
    build: |setup| Ok(Box::new(ZoneInfo { file: ProcFile::new(setup.config.paths.proc.join("zoneinfo")) })),
};

static KEYS: [(&str, &Family); 34] = [
    ("nr_free_pages", &zone::FREE),
    ("min", &zone::MIN),
    ("low", &zone::LOW),
    ("high", &zone::HIGH),
    ("scanned", &zone::SCANNED),
    ("spanned", &zone::SPANNED),
    ("present", &zone::PRESENT),
    ("managed", &zone::MANAGED),
    ("nr_active_anon", &zone::ACTIVE_ANON),
    ("nr_inactive_anon", &zone::INACTIVE_ANON),
    ("nr_isolated_anon", &zone::ISOLATED_ANON),
    ("nr_anon_pages", &zone::ANON),
    ("nr_anon_transparent_hugepages", &zone::ANON_HUGE),
    ("nr_active_file", &zone::ACTIVE_FILE),
    ("nr_inactive_file", &zone::INACTIVE_FILE),
    ("nr_isolated_file", &zone::ISOLATED_FILE),
    ("nr_file_pages", &zone::FILE),
    ("nr_slab_reclaimable", &zone::SLAB_RECLAIMABLE),
    ("nr_slab_unreclaimable", &zone::SLAB_UNRECLAIMABLE),
    ("nr_mlock_stack", &zone::MLOCK_STACK),
    ("nr_kernel_stack", &zone::KERNEL_STACKS),
    ("nr_mapped", &zone::MAPPED),
    ("nr_dirty", &zone::DIRTY),
    ("nr_writeback", &zone::WRITEBACK),
    ("nr_unevictable", &zone::UNEVICTABLE),
    ("nr_shmem", &zone::SHMEM),
    ("nr_dirtied", &zone::DIRTIED),
    ("nr_written", &zone::WRITTEN),
    ("numa_hit", &zone::NUMA_HIT),
    ("numa_miss", &zone::NUMA_MISS),
    ("numa_foreign", &zone::NUMA_FOREIGN),
    ("numa_interleave", &zone::NUMA_INTERLEAVE),
    ("numa_local", &zone::NUMA_LOCAL),
    ("numa_other", &zone::NUMA_OTHER),
];
/// Most numbers of `protection`: the kernel has at most six zones.
const MAX_ZONES: usize = 16;

struct ZoneInfo {
    file: ProcFile,
}

impl Collector for ZoneInfo {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let mut labels = None;
        // A CPU has four lines in each zone.
        for line in text.lines().take(16 * MAX_LINES) {
            if line.starts_with(b"Node ") {
                labels = heading(line);
                if labels.is_none() {
                    out.fault(text.offends(line, "is not a node and its zone"));
                }
            } else if let Some(labels) = labels
                && put(line, &labels, out).is_none()
            {
                out.fault(text.offends(line, "has no number"));
            }
        }
        Ok(())
    }
}

fn heading(line: &[u8]) -> Option<[&str; 2]> {
    let line = std::str::from_utf8(line).ok()?;
    let (node, zone) = line.strip_prefix("Node ")?.split_once(", zone")?;
    let zone = zone.trim();
    (!zone.is_empty()).then_some([node.trim(), zone])
}

/// `None` when a key that is known has no number.
fn put(line: &[u8], labels: &[&str; 2], out: &mut Sink) -> Option<()> {
    let mut rest = words(line);
    let key = rest.next()?;
    if key == b"protection:" {
        let numbers = rest.map(|word| count(bare(word)));
        for (index, number) in numbers.enumerate().take(MAX_ZONES) {
            out.keyed_number(&zone::PROTECTION, &index.to_compact_string(), labels, number?);
        }
    } else if let Some((_, family)) = KEYS.iter().find(|(known, _)| known.as_bytes() == key) {
        out.number(family, labels, count(rest.next()?)?);
    }
    Some(())
}

/// A number of `(0, 2039, 31932)`.
fn bare(word: &[u8]) -> &[u8] {
    let word = word.strip_prefix(b"(").unwrap_or(word);
    word.strip_suffix(b",").or_else(|| word.strip_suffix(b")")).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn keys_become_families_of_their_zone() {
        let text =
            b"Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 95612\n  pages free     2949\n        \
            high     14\n        protection: (0, 2039, 7)\n      nr_written x\n  pagesets\n    cpu: 0\n              \
            high:  378\nNode 0, zone   Normal\n        min      8\nNode 1\n        low      8\n";
        let reading = Host::new(&[("proc/zoneinfo", text)]).read("zoneinfo", &[]);
        let expected = [
            r#"node_zoneinfo_nr_inactive_anon_pages{node="0",zone="DMA"} 95612"#,
            r#"node_zoneinfo_high_pages{node="0",zone="DMA"} 14"#,
            r#"node_zoneinfo_protection_0{node="0",zone="DMA"} 0"#,
            r#"node_zoneinfo_protection_1{node="0",zone="DMA"} 2039"#,
            r#"node_zoneinfo_protection_2{node="0",zone="DMA"} 7"#,
            r#"node_zoneinfo_min_pages{node="0",zone="Normal"} 8"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 2, "{:?}", reading.faults);
        assert!(matches!(Host::new(&[]).read("zoneinfo", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            let mut out = Sink::default();
            let _ = (heading(&line), put(&line, &["0", "DMA"], &mut out));
            put(&[b"protection: ", &line[..]].concat(), &["0", "DMA"], &mut out);
        }
        #[test]
        fn headings_round_trip(node: u8, zone in "[A-Z][A-Za-z0-9]{1,8}") {
            let line = format!("Node {node}, zone {zone:>8}");
            prop_assert_eq!(heading(line.as_bytes()), Some([&*node.to_string(), &*zone]));
        }
    }
}
