//! What udev's database and sysfs say about a block device: model, serial number, file system, device mapper, ATA.
//!
//! `<udev data>/b<major>:<minor>` holds a property per line (`E:ID_MODEL=SuperMicro_SSD`, udevadm(8)). udevd replaces
//! these files by renaming, which changes the time of the directory: one look at the directory tells whether what was
//! read is still true. A change within the same tick of the file system's clock is caught by reading once more at the
//! next look.

use std::path::{Path, PathBuf};

use compact_str::{CompactString, ToCompactString};
use rustix::fs::stat;

use super::fields::{fraction, valid_utf8};
use super::procfile::read_once;
use crate::metric::{Family, disk};
use crate::snapshot::Sink;

/// The database.
pub struct Udev {
    data: PathBuf,
    block: PathBuf,
    /// Time of the directory when it was last looked at, in seconds and nanoseconds.
    seen: Option<(i64, u64)>,
    settled: bool,
    generation: u64,
}

impl Udev {
    pub fn new(data: &Path, sys: &Path) -> Self {
        Udev { data: data.into(), block: sys.join("block"), seen: None, settled: false, generation: 0 }
    }

    /// Looks whether the database changed.
    pub fn refresh(&mut self) {
        let time = stat(&self.data).ok().map(|s| (s.st_mtime, s.st_mtime_nsec));
        let unchanged = time == self.seen;
        if !(unchanged && self.settled) {
            self.generation += 1;
        }
        self.settled = unchanged;
        self.seen = time;
    }

    /// Changes when what was looked up is to be looked up again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Facts of the device; those that are not known are empty.
    pub fn disk(&self, name: &str, (major, minor): (u64, u64)) -> Disk {
        let data = read_once(&self.data.join(format!("b{major}:{minor}"))).unwrap_or_default();
        let rotational = self.block.join(name.replace('/', "!")).join("queue/rotational");
        let rotational = read_once(&rotational).unwrap_or_default();
        let rotational = if rotational.trim_ascii() == b"1" { "1" } else { "0" };
        Disk::new(&Properties::parse(&data), major, minor, rotational)
    }
}

/// Properties of one device.
#[derive(Debug, Default)]
struct Properties<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Properties<'a> {
    fn parse(data: &'a [u8]) -> Self {
        let pair = |line: &'a [u8]| {
            let property = line.strip_prefix(b"E:")?;
            let equals = property.iter().position(|b| *b == b'=')?;
            Some((&property[..equals], &property[equals + 1..]))
        };
        Properties(data.split(|b| *b == b'\n').filter_map(pair).collect())
    }
    /// The last value of a property, as udev means it; empty when there is none.
    fn get(&self, name: &str) -> CompactString {
        self.find(name).map(|value| valid_utf8(value).into()).unwrap_or_default()
    }
    fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().rev().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }
    fn first_of(&self, names: &[&str]) -> CompactString {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_empty()).unwrap_or_default()
    }
}

/// Label values and facts of one device, ready to be put.
#[derive(Debug)]
pub struct Disk {
    /// Labels of [`disk::INFO`] after the device.
    info: [CompactString; 8],
    /// Labels of [`disk::FILESYSTEM_INFO`] after the device.
    filesystem: Option<[CompactString; 4]>,
    /// Labels of [`disk::DEVICE_MAPPER_INFO`] after the device.
    mapper: Option<[CompactString; 5]>,
    ata: Vec<(&'static Family, f64)>,
}

/// Properties that are values of their own on ATA disks.
static ATA: [(&str, &Family); 3] = [
    ("ID_ATA_WRITE_CACHE", &disk::ATA_WRITE_CACHE),
    ("ID_ATA_WRITE_CACHE_ENABLED", &disk::ATA_WRITE_CACHE_ENABLED),
    ("ID_ATA_ROTATION_RATE_RPM", &disk::ATA_ROTATION_RATE),
];

impl Disk {
    fn new(properties: &Properties, major: u64, minor: u64, rotational: &str) -> Self {
        let get = |name| properties.get(name);
        // The serial number printed on the disk, or the next best.
        let serial = properties.first_of(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]);
        let info = [
            major.to_compact_string(),
            minor.to_compact_string(),
            get("ID_PATH"),
            get("ID_WWN"),
            get("ID_MODEL"),
            serial,
            get("ID_REVISION"),
            rotational.into(),
        ];
        let filesystem = ["ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION"].map(get);
        let mapper = ["DM_NAME", "DM_UUID", "DM_VG_NAME", "DM_LV_NAME", "DM_LV_LAYER"].map(get);
        let number = |(name, family): &(&str, &'static Family)| Some((*family, fraction(properties.find(name)?)?));
        let is_ata = !get("ID_ATA").is_empty();
        Disk {
            info,
            filesystem: Some(filesystem).filter(|labels| !labels[0].is_empty()),
            mapper: Some(mapper).filter(|labels| !labels[0].is_empty()),
            ata: if is_ata { ATA.iter().filter_map(number).collect() } else { Vec::new() },
        }
    }

    pub fn put_info(&self, device: &str, out: &mut Sink) {
        put(&disk::INFO, device, &self.info, out);
    }

    pub fn put_facts(&self, device: &str, out: &mut Sink) {
        if let Some(labels) = &self.filesystem {
            put(&disk::FILESYSTEM_INFO, device, labels, out);
        }
        if let Some(labels) = &self.mapper {
            put(&disk::DEVICE_MAPPER_INFO, device, labels, out);
        }
        for (family, value) in &self.ata {
            out.number(family, &[device], *value);
        }
    }
}

fn put(family: &'static Family, device: &str, labels: &[CompactString], out: &mut Sink) {
    let labels: smallvec::SmallVec<[&str; 10]> =
        std::iter::once(device).chain(labels.iter().map(CompactString::as_str)).collect();
    out.number(family, &labels, 1.0);
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    const STAT: &[u8] = b"8 0 sda 1 1 1 1 1 1 1 1 1 1 1\n";

    fn lines(properties: &[u8]) -> Vec<String> {
        let mut lines = Host::new(&[
            ("proc/diskstats", STAT),
            ("udev/b8:0", properties),
            ("sys/block/sda/queue/rotational", b"1\n"),
        ])
        .read("diskstats", &[])
        .lines;
        lines.drain(1..12);
        lines
    }

    #[test]
    fn identity_falls_back_for_the_serial_number() {
        let info = |serial: &str| {
            format!(
                r#"node_disk_info{{device="sda",major="8",minor="0",path="pci-1",wwn="",model="M",serial="{serial}",revision="",rotational="1"}} 1"#
            )
        };
        let properties = "E:ID_MODEL=M\nE:ID_PATH=pci-1\nS:disk\nE:ID_SERIAL=long\n";
        assert_eq!(lines(properties.as_bytes()), [info("long")]);
        assert_eq!(lines(format!("{properties}E:ID_SERIAL_SHORT=short\n").as_bytes()), [info("short")]);
    }

    #[test]
    fn file_system_mapper_and_ata() {
        let properties = b"E:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=u=1\nE:DM_NAME=vg-lv\n\
            E:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_ROTATION_RATE_RPM=x\n";
        let expected = [
            r#"node_disk_filesystem_info{device="sda",type="ext4",usage="filesystem",uuid="u=1",version=""} 1"#,
            r#"node_disk_device_mapper_info{device="sda",name="vg-lv",uuid="",vg_name="",lv_name="",lv_layer=""} 1"#,
            r#"node_disk_ata_write_cache{device="sda"} 1"#,
        ];
        assert_eq!(lines(properties)[1..], expected);
        assert_eq!(lines(b"E:ID_FS_TYPE=\nE:ID_ATA_WRITE_CACHE=1\n\xff\n").len(), 1);
    }
}
