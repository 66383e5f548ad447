//! `/proc/diskstats` (block/genhd.c, Documentation/admin-guide/iostats.rst) and what udev knows of each device.
//!
//! ```text
//!    8       0 sda 25354637 34367663 1003346126 18492372 28444756 11134226 505697032 63877960 0 9653880 82621804
//! ```
//!
//! Columns after the name: 11, since 4.18 15 (discards), since 5.5 17 (flushes). Sectors are 512 bytes whatever the
//! device, times milliseconds. Facts about a device are looked up when it appears and when udev's database changes.

use compact_str::CompactString;

use super::fields::{LineMemo, integer, valid_utf8, words};
use super::filter::Filter;
use super::procfile::ProcFile;
use super::udev::{Disk, Udev};
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::{Family, disk};
use crate::snapshot::Sink;

const EXCLUDE: Setting = Setting::new(
    "KANARY_DISKSTATS_DEVICE_EXCLUDE",
    r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
    "a regular expression",
    "devices left out; not together with KANARY_DISKSTATS_DEVICE_INCLUDE",
);
const INCLUDE: Setting = Setting::new(
    "KANARY_DISKSTATS_DEVICE_INCLUDE",
    "",
    "a regular expression",
    "the only devices shown; not together with KANARY_DISKSTATS_DEVICE_EXCLUDE",
);

pub const ROW: Row = Row {
    id: "diskstats",
    default: true,
    options: &[&EXCLUDE, &INCLUDE],
    build: |setup| {
        let paths = &setup.config.paths;
        Ok(Box::new(DiskStats {
            file: ProcFile::new(paths.proc.join("diskstats")),
            filter: Filter::new(&setup.config.vars, &INCLUDE, &EXCLUDE)?,
            udev: Udev::new(&paths.udev, &paths.sys),
            memo: LineMemo::default(),
        }))
    },
};

const SECTOR: f64 = 512.0;
/// Seconds in a millisecond; multiplied by, not divided, so that the result is node_exporter's to the last bit.
const MILLI: f64 = 1.0 / 1000.0;

/// Family and unit of each column after the name.
static COLUMNS: [(&Family, f64); 17] = [
    (&disk::READS_COMPLETED, 1.0),
    (&disk::READS_MERGED, 1.0),
    (&disk::READ_BYTES, SECTOR),
    (&disk::READ_TIME, MILLI),
    (&disk::WRITES_COMPLETED, 1.0),
    (&disk::WRITES_MERGED, 1.0),
    (&disk::WRITTEN_BYTES, SECTOR),
    (&disk::WRITE_TIME, MILLI),
    (&disk::IO_NOW, 1.0),
    (&disk::IO_TIME_SECONDS, MILLI),
    (&disk::IO_TIME_WEIGHTED, MILLI),
    (&disk::DISCARDS_COMPLETED, 1.0),
    (&disk::DISCARDS_MERGED, 1.0),
    (&disk::DISCARDED_SECTORS, 1.0),
    (&disk::DISCARD_TIME, MILLI),
    (&disk::FLUSH_REQUESTS, 1.0),
    (&disk::FLUSH_TIME, MILLI),
];
/// Columns that every kernel has.
const ALWAYS: usize = 11;

struct DiskStats {
    file: ProcFile,
    filter: Filter,
    udev: Udev,
    /// By device name; `None` for one that is left out.
    memo: LineMemo<Option<Device>>,
}

#[derive(Debug)]
struct Device {
    number: (u64, u64),
    name: CompactString,
    about: Disk,
    /// [`Udev::generation`] of `about`.
    generation: u64,
}

impl Collector for DiskStats {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.udev.refresh();
        let text = self.file.read().map_err(super::procfile::Unreadable::or_absent)?;
        let mut good = text.bytes.is_empty();
        self.memo.rewind();
        for line in text.lines() {
            match put(line, &mut self.memo, &self.filter, &self.udev, out) {
                Ok(()) => good = true,
                Err(why) => out.fault(text.offends(line, why)),
            }
        }
        if good { Ok(()) } else { Err(text.failed(text.bytes, "has no device")) }
    }
}

fn put(
    line: &[u8],
    memo: &mut LineMemo<Option<Device>>,
    filter: &Filter,
    udev: &Udev,
    out: &mut Sink,
) -> Result<(), &'static str> {
    let line = parse(line).ok_or("is not a device and its 11 or more counters")?;
    let learn = |name: &[u8]| {
        let name = valid_utf8(name);
        filter.passes(&name).then(|| Device::look_up(&name, line.number, udev))
    };
    let Some(device) = memo.next(line.name, learn).ok_or("repeats a device")? else { return Ok(()) };
    if device.number != line.number || device.generation != udev.generation() {
        *device = Device::look_up(&device.name, line.number, udev);
    }
    device.about.put_info(&device.name, out);
    for ((family, unit), value) in COLUMNS.iter().zip(line.columns()) {
        out.number(family, &[&device.name], *value as f64 * unit);
    }
    device.about.put_facts(&device.name, out);
    Ok(())
}

impl Device {
    fn look_up(name: &str, number: (u64, u64), udev: &Udev) -> Self {
        Device { number, name: name.into(), about: udev.disk(name, number), generation: udev.generation() }
    }
}

#[derive(Debug, PartialEq)]
struct Line<'a> {
    /// Major and minor.
    number: (u64, u64),
    name: &'a [u8],
    count: usize,
    values: [u64; COLUMNS.len()],
}

impl Line<'_> {
    fn columns(&self) -> &[u64] {
        &self.values[..self.count]
    }
}

/// Columns that a later kernel adds are ignored.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut rest = words(line);
    let number = (integer(rest.next()?)?, integer(rest.next()?)?);
    let mut line = Line { number, name: rest.next()?, count: 0, values: Default::default() };
    for (value, word) in line.values.iter_mut().zip(rest) {
        *value = integer(word)?;
        line.count += 1;
    }
    (line.count >= ALWAYS).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, read};
    use proptest::prelude::*;

    const SDA: &str = "   8       0 sda 25 34 1003 18492372 28 11 5056 638 0 9653880 826";

    #[test]
    fn columns_become_families_as_far_as_they_go() {
        let text = format!("{SDA}\n   8  16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n   8  1 sda1 1 1 1\n");
        let host = Host::new(&[("proc/diskstats", text.as_bytes())]);
        let reading = host.read("diskstats", &[]);
        assert_eq!(reading.faults.len(), 1);
        let of = |device: &str| reading.lines.iter().filter(|l| l.contains(&format!("device=\"{device}\""))).count();
        assert_eq!((of("sda"), of("sdb")), (12, 18));
        assert!(reading.lines.contains(&r#"node_disk_read_bytes_total{device="sda"} 513536"#.into()));
        assert!(reading.lines.contains(&r#"node_disk_io_time_seconds_total{device="sda"} 9653.880000000001"#.into()));
        assert!(reading.lines.contains(&r#"node_disk_discarded_sectors_total{device="sdb"} 14"#.into()));
    }

    #[test]
    fn filters_choose_devices() {
        let text = format!("{SDA}\n{}\n{}\n", SDA.replace("sda", "sda1"), SDA.replace("sda", "nvme0n1p2"));
        let host = Host::new(&[("proc/diskstats", text.as_bytes())]);
        assert_eq!(host.read("diskstats", &[]).lines.len(), 12);
        assert_eq!(host.read("diskstats", &[("KANARY_DISKSTATS_DEVICE_EXCLUDE", "^$")]).lines.len(), 36);
        assert_eq!(host.read("diskstats", &[("KANARY_DISKSTATS_DEVICE_INCLUDE", "nvme")]).lines.len(), 12);
        assert!(matches!(Host::new(&[]).read("diskstats", &[]).error, Some(Error::Absent(_))));
        assert!(Host::new(&[("proc/diskstats", b"\xff")]).read("diskstats", &[]).error.is_some());
    }

    #[test]
    fn facts_follow_udev_and_the_device_number() {
        let host = Host::new(&[("proc/diskstats", SDA.as_bytes()), ("udev/b8:0", b"E:ID_MODEL=Old\n")]);
        let mut disks = host.build("diskstats", &[]);
        let info = |collector: &mut dyn Collector| read(collector).lines.remove(0);
        assert!(info(&mut *disks).contains("model=\"Old\""));
        host.write("udev/b8:0.new", b"E:ID_MODEL=New\n");
        std::fs::rename(host.path().join("udev/b8:0.new"), host.path().join("udev/b8:0")).unwrap();
        assert!(info(&mut *disks).contains("model=\"New\""));
        host.write("proc/diskstats", SDA.replace("8       0", "8 16").as_bytes());
        assert!(info(&mut *disks).contains("minor=\"16\",path=\"\",wwn=\"\",model=\"\""));
    }

    proptest! {
        #[test]
        fn lines_round_trip(number: (u64, u64), values: [u64; 17], count in ALWAYS..=17) {
            let words: Vec<String> = values[..count].iter().map(ToString::to_string).collect();
            let text = format!("{:4} {:7} sda {}", number.0, number.1, words.join(" "));
            let line = parse(text.as_bytes()).unwrap();
            prop_assert_eq!((line.number, line.name, line.columns()), (number, &b"sda"[..], &values[..count]));
        }
    }
}
