//! Which chips there are, under names that are the same after a reboot.
//!
//! `hwmon<n>` is numbered by the order in which modules were loaded, so a chip is named after its device: `coretemp.0`
//! on the bus `platform` is `platform_coretemp_0`. Chips of one device (the bands of a radio) are told apart by what the
//! driver calls them, or else by their number.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use compact_str::{CompactString, format_compact};

use super::element::{clean, split};
use crate::collect::listing::Listing;
use crate::collect::procfile::read_once;

/// Most files of one chip.
const MAX_FILES: usize = 1024;
/// Read permission for anybody: what nobody may read can only be written.
const READABLE: u32 = 0o444;

/// A chip.
pub struct Chip {
    pub dir: PathBuf,
    /// The label `chip`.
    pub label: CompactString,
    /// What the driver calls it.
    pub name: Option<CompactString>,
}

/// A file of a sensor.
pub struct File {
    pub kind: &'static str,
    pub number: u32,
    pub element: CompactString,
    pub path: PathBuf,
}

/// Every chip, by the order of their folders' names.
pub fn find(class: &Listing) -> Vec<Chip> {
    let dirs = class.names().into_iter().map(|name| class.path().join(name)).filter(|dir| dir.is_dir());
    let chips: Vec<(PathBuf, CompactString, CompactString)> = dirs
        .filter_map(|dir| Some((base(&dir)?, driver(&dir), dir)))
        .map(|(base, name, dir)| (dir, base, name))
        .collect();
    let label = |dir: &Path, base: &CompactString, name: &CompactString| {
        let same_base = chips.iter().filter(|(_, b, _)| b == base);
        let same_name = same_base.clone().filter(|(_, _, n)| n == name).count();
        match (same_base.count(), same_name) {
            (1, _) => base.clone(),
            (_, 1) if !name.is_empty() => format_compact!("{base}_{name}"),
            _ => format_compact!("{base}_{}", clean_os(dir.file_name())),
        }
    };
    let chip = |(dir, base, name): &(PathBuf, CompactString, CompactString)| Chip {
        dir: dir.clone(),
        label: label(dir, base, name),
        name: Some(name.clone()).filter(|name| !name.is_empty()),
    };
    chips.iter().map(chip).collect()
}

/// The device's bus and name; without a device the driver's word or the folder's name.
fn base(dir: &Path) -> Option<CompactString> {
    if let Ok(device) = dir.join("device").canonicalize() {
        let bus = clean_os(device.parent().and_then(Path::file_name));
        let name = clean_os(device.file_name());
        match (bus.is_empty(), name.is_empty()) {
            (false, false) => return Some(format_compact!("{bus}_{name}")),
            (true, false) => return Some(name),
            _ => {}
        }
    }
    let folder = || dir.canonicalize().map(|real| clean_os(real.file_name())).unwrap_or_default();
    Some(driver(dir)).filter(|name| !name.is_empty()).or_else(|| Some(folder()).filter(|name| !name.is_empty()))
}

/// What the driver calls the chip; empty when it does not.
fn driver(dir: &Path) -> CompactString {
    let name = read_once(&dir.join("name")).unwrap_or_default();
    clean(&String::from_utf8_lossy(name.trim_ascii()))
}

fn clean_os(name: Option<&OsStr>) -> CompactString {
    clean(&name.unwrap_or_default().to_string_lossy())
}

impl Chip {
    /// Files of its sensors, those of one sensor together. The device's files come after the chip's own and count more.
    pub fn files(&self) -> Vec<File> {
        let mut files: Vec<File> = Vec::new();
        for dir in [self.dir.clone(), self.dir.join("device")] {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            files.extend(entries.filter_map(|entry| file(&entry.path())).take(MAX_FILES));
        }
        files.reverse();
        files.sort_by(|a, b| a.order().cmp(&b.order()));
        files.dedup_by(|a, b| a.order() == b.order());
        files
    }
}

impl File {
    fn order(&self) -> (&str, u32, &str) {
        (self.kind, self.number, &self.element)
    }
}

fn file(path: &Path) -> Option<File> {
    let (kind, number, element) = split(path.file_name()?.to_str()?)?;
    let about = fs::metadata(path).ok()?;
    let readable = about.is_file() && about.mode() & READABLE != 0;
    readable.then(|| File { kind, number, element: element.into(), path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A chip at `devices/<device>/hwmon/<name>`, linked to from its class.
    fn add(host: &Host, device: &str, folder: &str, name: &str) {
        let dir = format!("sys/devices/{device}/hwmon/{folder}");
        host.write(&format!("{dir}/name"), name.as_bytes());
        let class = host.path().join("sys/class/hwmon");
        fs::create_dir_all(&class).unwrap();
        symlink(format!("../../devices/{device}/hwmon/{folder}"), class.join(folder)).unwrap();
        symlink("../..", host.path().join(dir).join("device")).unwrap();
    }

    fn labels(host: &Host) -> Vec<String> {
        let mut class = Listing::new(host.path().join("sys/class/hwmon"));
        class.has_changed().unwrap();
        find(&class).iter().map(|chip| format!("{} {:?}", chip.label, chip.name.as_deref())).collect()
    }

    #[test]
    fn a_chip_is_named_after_its_device() {
        let host =
            Host::new(&[("sys/class/hwmon/hwmon2/name", b"nct6779\n"), ("sys/class/hwmon/hwmon3/in0_input", b"1")]);
        add(&host, "platform/coretemp.0", "hwmon0", "coretemp\n");
        host.write("sys/class/hwmon/README", b"");
        assert_eq!(
            labels(&host),
            ["platform_coretemp_0 Some(\"coretemp\")", "nct6779 Some(\"nct6779\")", "hwmon3 None"]
        );
    }

    #[test]
    fn chips_of_one_device_are_told_apart() {
        let host = Host::new(&[]);
        add(&host, "platform/asus-nb-wmi", "hwmon0", "asus");
        add(&host, "platform/asus-nb-wmi", "hwmon1", "asus_wmi_sensors");
        add(&host, "wifi/phy0", "hwmon2", "mt7996");
        add(&host, "wifi/phy0", "hwmon3", "mt7996");
        add(&host, "wifi/phy1", "hwmon4", "");
        let labels = labels(&host);
        let labels: Vec<&str> = labels.iter().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(
            labels,
            [
                "platform_asus_nb_wmi_asus",
                "platform_asus_nb_wmi_asus_wmi_sensors",
                "wifi_phy0_hwmon2",
                "wifi_phy0_hwmon3",
                "wifi_phy1",
            ]
        );
    }

    #[test]
    fn files_of_the_device_count_more_and_what_cannot_be_read_is_none() {
        let host = Host::new(&[]);
        add(&host, "p/d", "hwmon0", "x");
        host.write("sys/class/hwmon/hwmon0/temp1_input", b"1");
        host.write("sys/class/hwmon/hwmon0/temp1_reset", b"1");
        host.write("sys/devices/p/d/temp1_input", b"2");
        host.write("sys/devices/p/d/fan1_input", b"3");
        let secret = host.path().join("sys/class/hwmon/hwmon0/temp1_reset");
        fs::set_permissions(secret, fs::Permissions::from_mode(0o200)).unwrap();
        fs::create_dir(host.path().join("sys/devices/p/d/power")).unwrap();
        let mut class = Listing::new(host.path().join("sys/class/hwmon"));
        class.has_changed().unwrap();
        let files = find(&class)[0].files();
        let found: Vec<_> = files.iter().map(|f| (f.kind, f.number, fs::read(&f.path).unwrap())).collect();
        assert_eq!(found, [("fan", 1, b"3".to_vec()), ("temp", 1, b"2".to_vec())]);
    }
}
