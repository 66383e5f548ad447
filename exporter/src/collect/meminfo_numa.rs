//! Memory of each NUMA node: `/sys/devices/system/node/node0/{meminfo,numastat}` (drivers/base/node.c).
//!
//! ```text
//! Node 0 Active(anon):     691324 kB
//! numa_hit 193460335812
//! ```

use compact_str::CompactString;

use super::fields::{MAX_LINES, count, metric_key, words};
use super::listing::{Listing, number_of};
use super::procfile::{ProcFile, Text, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::memory;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "meminfo_numa",
    default: false,
    options: &[],
    build: |setup| {
        let nodes = Listing::new(setup.config.paths.sys.join("devices/system/node"));
        Ok(Box::new(MemInfoNuma { nodes, known: Vec::new() }))
    },
};

struct MemInfoNuma {
    nodes: Listing,
    known: Vec<Node>,
}

struct Node {
    number: CompactString,
    meminfo: ProcFile,
    numastat: ProcFile,
}

impl Collector for MemInfoNuma {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.nodes.has_changed().map_err(Unreadable::or_absent)? {
            let file = |name: &str, file: &str| ProcFile::new(self.nodes.path().join(name).join(file));
            let node = |name: &str| {
                let number = number_of(name, "node")?.into();
                Some(Node { number, meminfo: file(name, "meminfo"), numastat: file(name, "numastat") })
            };
            self.known = self.nodes.names().into_iter().filter_map(node).collect();
        }
        for node in &mut self.known {
            each_line(&mut node.meminfo, out, |line, out| put_memory(line, &node.number, out));
            each_line(&mut node.numastat, out, |line, out| put_event(line, &node.number, out));
        }
        Ok(())
    }
}

fn each_line(file: &mut ProcFile, out: &mut Sink, put: impl Fn(&[u8], &mut Sink) -> Result<(), &'static str>) {
    let note = |text: Text, out: &mut Sink| {
        for line in text.lines().take(MAX_LINES) {
            if let Err(why) = put(line, out) {
                out.fault(text.offends(line, why));
            }
        }
    };
    match file.read() {
        Ok(text) => note(text, out),
        Err(e) if e.is_absence() => {}
        Err(e) => out.fault(e.to_string()),
    }
}

/// A line that says of which node it is, then what `/proc/meminfo` says.
fn put_memory(line: &[u8], node: &str, out: &mut Sink) -> Result<(), &'static str> {
    let mut rest = words(line).skip(2);
    let key = rest.next().and_then(|key| metric_key(key.strip_suffix(b":")?)).ok_or("has no key")?;
    let number = rest.next().and_then(count).ok_or("has no number")?;
    let value = match rest.next() {
        None => number,
        Some(b"kB") => number * 1024.0,
        Some(_) => return Err("has an unknown unit"),
    };
    out.keyed_number(&memory::NUMA, &key, &[node], value);
    Ok(())
}

fn put_event(line: &[u8], node: &str, out: &mut Sink) -> Result<(), &'static str> {
    let mut rest = words(line);
    let key = rest.next().and_then(metric_key).ok_or("has no key")?;
    let value = rest.next().and_then(count).ok_or("has no number")?;
    out.keyed_number(&memory::NUMA_EVENTS, &key, &[node], value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn memory_and_events_of_each_node() {
        let host = Host::new(&[
            (
                "sys/devices/system/node/node1/meminfo",
                b"Node 1 Active(anon):  4 kB\nNode 1 HugePages_Free:  3\nNode 1\n",
            ),
            ("sys/devices/system/node/node1/numastat", b"numa_hit 12\nlocal_node x\n"),
            ("sys/devices/system/node/node0/numastat", b"numa_hit 7\n"),
            ("sys/devices/system/node/possible", b"0-1\n"),
        ]);
        let reading = host.read("meminfo_numa", &[]);
        let expected = [
            r#"node_memory_numa_numa_hit_total{node="0"} 7"#,
            r#"node_memory_numa_numa_hit_total{node="1"} 12"#,
            r#"node_memory_numa_Active_anon{node="1"} 4096"#,
            r#"node_memory_numa_HugePages_Free{node="1"} 3"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 2, "{:?}", reading.faults);
        assert!(matches!(Host::new(&[]).read("meminfo_numa", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>) {
            let mut out = Sink::default();
            let _ = (put_memory(&line, "0", &mut out), put_event(&line, "0", &mut out));
            let _ = put_memory(&[b"Node 0 ", &line[..]].concat(), "0", &mut out);
        }
    }
}
