//! Software RAID: `/proc/mdstat` (drivers/md/md.c) and `/sys/block/md*/md` (Documentation/admin-guide/md.rst).
//!
//! ```text
//! md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]
//!       195310144 blocks [2/1] [U_]
//!       [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec
//! ```
//!
//! `[2/1]`: two disks are required, one is active. Blocks are of 1 KiB. What an array does is shown in place of
//! `active`. sysfs is searched for arrays when others stand in mdstat than last time.

use std::path::Path;

use compact_str::CompactString;

use super::attribute::{Attribute, Scale};
use super::fields::{count, integer, words};
use super::listing::Listing;
use super::procfile::{ProcFile, Text, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::hardware;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "mdadm",
    default: true,
    options: &[],
    build: |setup| {
        let paths = &setup.config.paths;
        Ok(Box::new(MdAdm {
            mdstat: ProcFile::new(paths.proc.join("mdstat")),
            block: Listing::new(paths.sys.join("block")),
            names: None,
            raids: Vec::new(),
        }))
    },
};

const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];
/// Words of a line about progress, and the state they mean; a reshape is none of node_exporter's states.
const ACTIONS: [(&str, &str); 4] =
    [("recovery", "recovering"), ("reshape", "reshape"), ("check", "check"), ("resync", "resync")];
/// Levels without redundancy: all disks are required, and listed.
const STRIPED: [&str; 2] = ["raid0", "linear"];

struct MdAdm {
    mdstat: ProcFile,
    block: Listing,
    /// Of the arrays in mdstat last time.
    names: Option<Vec<CompactString>>,
    raids: Vec<Raid>,
}

impl Collector for MdAdm {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.mdstat.read().map_err(Unreadable::or_absent)?;
        let arrays = parse(&text);
        arrays.iter().for_each(|array| array.put(&text, out));
        let known = self.names.as_ref().is_some_and(|names| arrays.iter().map(|a| a.name).eq(names));
        if !known {
            self.names = Some(arrays.iter().map(|array| array.name.into()).collect());
            self.raids = raids(&mut self.block);
        }
        self.raids.iter_mut().for_each(|raid| raid.put(out));
        Ok(())
    }
}

/// An array of mdstat.
#[derive(Debug, Default, PartialEq)]
struct Array<'a> {
    name: &'a str,
    state: &'a str,
    /// Disks that are required and those that are active.
    disks: Option<(f64, f64)>,
    failed: usize,
    spare: usize,
    blocks: Option<f64>,
    synced: Option<f64>,
}

fn parse<'a>(text: &Text<'a>) -> Vec<Array<'a>> {
    let mut arrays: Vec<Array> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            if let Some(array) = arrays.last_mut().filter(|_| inside) {
                array.detail(line);
            }
        } else {
            let array = Array::heading(line);
            inside = array.is_some();
            arrays.extend(array);
        }
    }
    arrays
}

impl<'a> Array<'a> {
    /// `md6 : active raid1 sdb2[2](F) sda2[0]`; other lines are none.
    fn heading(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (name, rest) = line.split_once(" : ")?;
        let mut rest = rest.split_ascii_whitespace();
        let state = rest.next().filter(|state| state.bytes().all(|b| b.is_ascii_alphabetic()))?;
        let is_disk = |word: &str| word.contains('[');
        let level = rest.clone().find(|word| !is_disk(word) && !word.starts_with('(')).unwrap_or_default();
        let marked = |mark: &str| rest.clone().filter(|word| is_disk(word) && word.contains(mark)).count();
        let (failed, spare) = (marked("(F)"), marked("(S)"));
        let listed = rest.filter(|word| is_disk(word)).count() as f64;
        let disks = match state {
            "inactive" => Some((0.0, 0.0)),
            _ => STRIPED.contains(&level).then_some((listed, listed)),
        };
        Some(Array { name, state, disks, failed, spare, ..Array::default() })
    }

    fn detail(&mut self, line: &[u8]) {
        let mut rest = words(line);
        if let (Some(blocks), Some(b"blocks")) = (rest.next().and_then(count), rest.next()) {
            self.blocks = Some(blocks);
            self.synced = Some(blocks);
            self.disks = self.disks.or_else(|| rest.find_map(|word| pair(word, b'[', b']')));
        } else if let Some((action, state)) = ACTIONS.iter().find(|(action, _)| words(line).any(|w| is(w, action))) {
            self.state = state;
            let waits = words(line).any(|word| is(word, action) && word.len() > action.len() + 1);
            let done = words(line).find_map(|word| pair(word, b'(', b')')).map(|(done, _)| done);
            self.synced = if waits { Some(0.0) } else { done };
        }
    }

    fn put(&self, text: &Text, out: &mut Sink) {
        let name = self.name;
        if let Some((required, _)) = self.disks {
            out.number(&hardware::MD_DISKS_REQUIRED, &[name], required);
        }
        let counts = [
            ("active", self.disks.map(|d| d.1)),
            ("failed", Some(self.failed as f64)),
            ("spare", Some(self.spare as f64)),
        ];
        for (state, count) in counts {
            if let Some(count) = count {
                out.number(&hardware::MD_DISKS, &[name, state], count);
            }
        }
        for state in STATES {
            out.number(&hardware::MD_STATE, &[name, state], f64::from(u8::from(state == self.state)));
        }
        for (family, blocks) in [(&hardware::MD_BLOCKS, self.blocks), (&hardware::MD_BLOCKS_SYNCED, self.synced)] {
            if let Some(blocks) = blocks {
                out.number(family, &[name], blocks);
            }
        }
        if self.blocks.is_none() {
            out.fault(text.offends(name.as_bytes(), "has no line `n blocks`"));
        } else if self.disks.is_none() || self.synced.is_none() {
            out.fault(text.offends(name.as_bytes(), "does not say its disks or its progress"));
        }
    }
}

/// `recovery`, `resync=DELAYED`.
fn is(word: &[u8], action: &str) -> bool {
    word.strip_prefix(action.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

/// `[2/1]`, `(16775552/195310144)`.
fn pair(word: &[u8], open: u8, close: u8) -> Option<(f64, f64)> {
    let inside = word.strip_prefix(&[open])?.strip_suffix(&[close])?;
    let slash = inside.iter().position(|b| *b == b'/')?;
    Some((count(&inside[..slash])?, count(&inside[slash + 1..])?))
}

/// An array of sysfs.
struct Raid {
    device: CompactString,
    level: Attribute,
    disks: Attribute,
    degraded: Attribute,
}

/// Devices that have a folder `md`.
fn raids(block: &mut Listing) -> Vec<Raid> {
    if block.has_changed().is_err() {
        return Vec::new();
    }
    let is_array = |name: &&str| name.starts_with("md") && block.path().join(name).join("md").is_dir();
    block.names().into_iter().filter(is_array).map(|name| Raid::new(block.path(), name)).collect()
}

impl Raid {
    fn new(block: &Path, device: &str) -> Self {
        let dir = block.join(device).join("md");
        Raid {
            device: device.into(),
            level: Attribute::text(dir.join("level")),
            disks: Attribute::text(dir.join("raid_disks")),
            degraded: Attribute::number(dir.join("degraded")),
        }
    }

    fn put(&mut self, out: &mut Sink) {
        let labels = [self.device.as_str()];
        let Some(level) = self.level.take(out) else { return };
        // Containers have no disks of their own. While it grows an array says `11 (10)`.
        if !matches!(level.text(), "" | "container" | "imsm" | "ddf") {
            let disks = self.disks.take_text(out);
            if let Some(disks) = disks.split_ascii_whitespace().next().and_then(|n| integer(n.as_bytes())) {
                out.number(&hardware::MD_RAID_DISKS, &labels, disks as f64);
            }
        }
        if matches!(level.text(), "raid1" | "raid4" | "raid5" | "raid6" | "raid10") {
            self.degraded.put(&hardware::MD_DEGRADED, &labels, Scale::ONE, out);
        } else {
            out.number(&hardware::MD_DEGRADED, &labels, 0.0);
        }
    }
}

#[cfg(test)]
mod tests;
