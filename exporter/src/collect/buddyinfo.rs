//! `/proc/buddyinfo` (mm/vmstat.c): free blocks of 2^n pages.
//!
//! ```text
//! Node 0, zone    DMA32    759    572    791    475    194     45     12      0      0      0      0
//! ```

use super::fields::{MAX_LINES, count, words};
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::zone;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "buddyinfo",
    default: false,
    options: &[],
    build: |setup| Ok(Box::new(BuddyInfo { file: ProcFile::new(setup.config.paths.proc.join("buddyinfo")) })),
};

struct BuddyInfo {
    file: ProcFile,
}

impl Collector for BuddyInfo {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        for line in text.lines().take(MAX_LINES) {
            let Some(([node, zone], blocks)) = parse(line) else {
                out.fault(text.offends(line, "is not a zone and its free blocks"));
                continue;
            };
            for (size, blocks) in blocks.enumerate().take(MAX_LINES) {
                match blocks {
                    Some(blocks) => out.number(&zone::BUDDYINFO_BLOCKS, &[node, zone, &size.to_string()], blocks),
                    None => out.fault(text.offends(line, "has a count that is none")),
                }
            }
        }
        Ok(())
    }
}

/// Node, zone and its counts.
fn parse(line: &[u8]) -> Option<([&str; 2], impl Iterator<Item = Option<f64>>)> {
    let mut rest = words(line);
    let mut after = |key: &[u8]| {
        let value = (rest.next()? == key).then(|| rest.next()).flatten()?;
        std::str::from_utf8(value).ok().map(|value| value.trim_end_matches(','))
    };
    let labels = [after(b"Node")?, after(b"zone")?];
    Some((labels, rest.map(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn blocks_by_size() {
        let text = b"Node 0, zone      DMA      1      0  \nNode 0, zone   Normal   4381  x\nzone\n";
        let reading = Host::new(&[("proc/buddyinfo", text)]).read("buddyinfo", &[]);
        let expected = [
            r#"node_buddyinfo_blocks{node="0",zone="DMA",size="0"} 1"#,
            r#"node_buddyinfo_blocks{node="0",zone="DMA",size="1"} 0"#,
            r#"node_buddyinfo_blocks{node="0",zone="Normal",size="0"} 4381"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 2);
        assert!(matches!(Host::new(&[]).read("buddyinfo", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            let _ = parse(&line).map(|(_, blocks)| blocks.count());
        }
        #[test]
        fn lines_round_trip(node: u8, zone in "[A-Z][A-Za-z0-9]{1,8}", blocks: [u32; 11]) {
            let words: Vec<String> = blocks.iter().map(|n| format!("{n:6}")).collect();
            let line = format!("Node {node}, zone {zone:>8} {} ", words.join(" "));
            let (labels, read) = parse(line.as_bytes()).unwrap();
            prop_assert_eq!(labels, [&*node.to_string(), &*zone]);
            prop_assert_eq!(read.flatten().collect::<Vec<_>>(), blocks.map(f64::from));
        }
    }
}
