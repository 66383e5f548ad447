//! NVMe controllers and their namespaces: `/sys/class/nvme` (drivers/nvme/host/sysfs.c).
//!
//! `nvme0/model` describes a controller, `nvme0/nvme0n1/size` a namespace. Asking `nuse` (Linux 6.8) asks the device,
//! hence the watched threads. Bytes are node_exporter's: each count times the logical block size, also that of `size`,
//! which the kernel gives in units of 512 bytes.

use std::path::Path;

use compact_str::CompactString;

use super::attribute::{Attribute, Value};
use super::devices::{Device, Devices};
use super::listing::{Listing, number_of};
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::metric::hardware;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "nvme",
    default: true,
    options: &[],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/nvme"));
        Ok(Box::new(Nvme { class, controllers: Devices::default() }))
    },
};

/// Files of the labels of [`hardware::NVME`] after the device.
const LABELS: [&str; 5] = ["firmware_rev", "model", "serial", "state", "cntlid"];
/// Files of a namespace; the last is a label.
const NUMBERS: [&str; 3] = ["queue/logical_block_size", "size", "nuse"];
const PER_NAMESPACE: usize = NUMBERS.len() + 1;

struct Nvme {
    class: Listing,
    controllers: Devices<Controller>,
}

struct Controller {
    name: CompactString,
    /// Numbers of its namespaces.
    namespaces: Vec<CompactString>,
}

impl Collector for Nvme {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            let found: Vec<_> = self.class.names().into_iter().map(|name| find(self.class.path(), name)).collect();
            self.controllers.replace(found);
        }
        self.controllers.read(out, put);
        Ok(())
    }
}

fn find(class: &Path, name: &str) -> Device<Controller> {
    let path = class.join(name);
    let mut controller = Controller { name: name.into(), namespaces: Vec::new() };
    let mut attributes: Vec<Attribute> = LABELS.iter().map(|file| Attribute::text(path.join(file))).collect();
    let mut folders = Listing::new(&path);
    if folders.has_changed().is_ok() {
        for folder in folders.names() {
            let Some(number) = namespace(folder) else { continue };
            let dir = path.join(folder);
            controller.namespaces.push(number.into());
            attributes.extend(NUMBERS.iter().map(|file| Attribute::number(dir.join(file))));
            attributes.push(Attribute::text(dir.join("ana_state")));
        }
    }
    Device { about: controller, path, attributes }
}

/// `nvme0n1` is namespace 1.
fn namespace(folder: &str) -> Option<&str> {
    let (controller, number) = folder.split_once('n').and_then(|(_, rest)| rest.split_once('n'))?;
    number_of(controller, "vme")?;
    number_of(number, "")
}

fn put(controller: &Controller, values: &[Option<Value>], out: &mut Sink) {
    let Some((texts, namespaces)) = values.split_at_checked(LABELS.len()) else { return };
    let name = controller.name.as_str();
    let mut labels = [name, "", "", "", "", ""];
    for (label, text) in labels.iter_mut().skip(1).zip(texts) {
        *label = text.as_ref().map_or("", Value::text);
    }
    out.number(&hardware::NVME, &labels, 1.0);
    for (id, values) in controller.namespaces.iter().zip(namespaces.chunks_exact(PER_NAMESPACE)) {
        put_namespace([name, id], values, out);
    }
}

fn put_namespace(labels: [&str; 2], values: &[Option<Value>], out: &mut Sink) {
    let number = |at: usize| values.get(at).and_then(Option::as_ref).and_then(Value::number);
    let state = values.last().and_then(Option::as_ref).map_or("unknown", Value::text);
    out.number(&hardware::NVME_NAMESPACE, &[labels[0], labels[1], state], 1.0);
    let Some(block) = number(0) else { return };
    out.number(&hardware::NVME_BLOCK_SIZE, &labels, block);
    if let Some(size) = number(1) {
        out.number(&hardware::NVME_CAPACITY, &labels, size * block);
        out.number(&hardware::NVME_SIZE, &labels, size * block);
    }
    if let Some(used) = number(2) {
        out.number(&hardware::NVME_USED, &labels, used * block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    #[test]
    fn controllers_and_namespaces() {
        let host = Host::new(&[
            ("sys/class/nvme/nvme0/model", b"Maker SSD 1TB  \n"),
            ("sys/class/nvme/nvme0/state", b"live\n"),
            ("sys/class/nvme/nvme0/nvme0n1/size", b"1000\n"),
            ("sys/class/nvme/nvme0/nvme0n1/queue/logical_block_size", b"4096\n"),
            ("sys/class/nvme/nvme0/nvme0c0n2/size", b"1\n"),
            ("sys/class/nvme/nvme1/state", b"dead\n"),
        ]);
        let expected = [
            r#"node_nvme_info{device="nvme0",firmware_revision="",model="Maker SSD 1TB",serial="",state="live",cntlid=""} 1"#,
            r#"node_nvme_info{device="nvme1",firmware_revision="",model="",serial="",state="dead",cntlid=""} 1"#,
            r#"node_nvme_namespace_info{device="nvme0",nsid="1",ana_state="unknown"} 1"#,
            r#"node_nvme_namespace_logical_block_size_bytes{device="nvme0",nsid="1"} 4096"#,
            r#"node_nvme_namespace_capacity_bytes{device="nvme0",nsid="1"} 4096000"#,
            r#"node_nvme_namespace_size_bytes{device="nvme0",nsid="1"} 4096000"#,
        ];
        let reading = host.read("nvme", &[]);
        assert_eq!((&reading.lines[..], reading.faults.len()), (&expected.map(String::from)[..], 0));
        assert!(matches!(Host::new(&[]).read("nvme", &[]).error, Some(Error::Absent(_))));
    }

    #[test]
    fn names_of_namespaces() {
        assert_eq!(namespace("nvme0n1"), Some("1"));
        for none in ["nvme0c0n1", "ng0n1", "nvme0", "hwmon3", "nvme0n1p1", "nvmen1", "nnn", "xvme0n1x"] {
            assert_eq!(namespace(none), None, "{none}");
        }
    }
}
