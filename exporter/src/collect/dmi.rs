//! What the firmware says about the machine: `/sys/class/dmi/id` (drivers/firmware/dmi-id.c), a file for each fact.
//!
//! It stays what it is until the next boot, so it is read once. Serial numbers are readable for root only; what is not
//! known is an empty label.

use std::path::{Path, PathBuf};

use compact_str::CompactString;

use super::attribute::Attribute;
use super::{Collector, Error, Row};
use crate::metric::hardware::{DMI, DMI_LABELS};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "dmi",
    default: true,
    options: &[],
    build: |setup| Ok(Box::new(Dmi { dir: setup.config.paths.sys.join("class/dmi/id"), known: None })),
};

struct Dmi {
    dir: PathBuf,
    known: Option<Facts>,
}

type Facts = [CompactString; DMI_LABELS.len()];

impl Collector for Dmi {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let facts = match &mut self.known {
            Some(facts) => facts,
            none => none.insert(facts(&self.dir)?),
        };
        out.number(&DMI, &facts.each_ref().map(CompactString::as_str), 1.0);
        Ok(())
    }
}

fn facts(dir: &Path) -> Result<Facts, Error> {
    if !dir.is_dir() {
        return Err(Error::Absent(format!("{}: no such directory", dir.display())));
    }
    Ok(DMI_LABELS.map(|label| {
        let file = if label == "system_vendor" { "sys_vendor" } else { label };
        // Unreadable for others than root.
        let value = Attribute::text(dir.join(file)).read().ok().flatten();
        value.map(|value| value.text().into()).unwrap_or_default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, read};

    #[test]
    fn facts_become_labels_once() {
        let host = Host::new(&[
            ("sys/class/dmi/id/sys_vendor", b"Maker Inc.\n"),
            ("sys/class/dmi/id/product_version", b"\xff[\xfe\n"),
            ("sys/class/dmi/id/modalias", b"dmi:x\n"),
        ]);
        let mut dmi = host.build("dmi", &[]);
        let first = read(&mut *dmi).lines;
        assert_eq!(first.len(), 1);
        assert!(
            first[0].contains("product_version=\"\u{fffd}[\u{fffd}\",system_vendor=\"Maker Inc.\"} 1"),
            "{first:?}"
        );
        assert!(first[0].contains("board_serial=\"\""));
        host.write("sys/class/dmi/id/sys_vendor", b"Other\n");
        assert_eq!(read(&mut *dmi).lines, first);
        assert!(matches!(Host::new(&[]).read("dmi", &[]).error, Some(Error::Absent(_))));
    }
}
