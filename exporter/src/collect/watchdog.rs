//! Hardware watchdogs of `/sys/class/watchdog` (Documentation/ABI/testing/sysfs-class-watchdog): `watchdog0/timeleft` in
//! seconds. A watchdog has the files that its driver supports.

use compact_str::CompactString;

use super::attribute::{Attribute, Scale};
use super::listing::Listing;
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::metric::{Family, hardware};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "watchdog",
    default: true,
    options: &[],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/watchdog"));
        Ok(Box::new(Watchdogs { class, known: Vec::new() }))
    },
};

static NUMBERS: [(&str, &Family); 7] = [
    ("bootstatus", &hardware::WATCHDOG_BOOTSTATUS),
    ("fw_version", &hardware::WATCHDOG_FW_VERSION),
    ("nowayout", &hardware::WATCHDOG_NOWAYOUT),
    ("timeleft", &hardware::WATCHDOG_TIMELEFT),
    ("timeout", &hardware::WATCHDOG_TIMEOUT),
    ("pretimeout", &hardware::WATCHDOG_PRETIMEOUT),
    ("access_cs0", &hardware::WATCHDOG_ACCESS_CS0),
];
/// Files of the labels of [`hardware::WATCHDOG`] after the name.
const LABELS: [&str; 5] = ["options", "identity", "state", "status", "pretimeout_governor"];

struct Watchdogs {
    class: Listing,
    known: Vec<Watchdog>,
}

struct Watchdog {
    name: CompactString,
    numbers: Vec<(&'static Family, Attribute)>,
    labels: [Option<Attribute>; LABELS.len()],
}

impl Collector for Watchdogs {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            self.known = self.class.names().into_iter().map(|name| find(&self.class, name)).collect();
        }
        self.known.iter_mut().for_each(|watchdog| watchdog.put(out));
        Ok(())
    }
}

fn find(class: &Listing, name: &str) -> Watchdog {
    let dir = class.path().join(name);
    let numbers = NUMBERS.iter().map(|(file, family)| (*family, dir.join(file))).filter(|(_, path)| path.is_file());
    Watchdog {
        name: name.into(),
        numbers: numbers.map(|(family, path)| (family, Attribute::number(path))).collect(),
        labels: LABELS.map(|file| Some(dir.join(file)).filter(|path| path.is_file()).map(Attribute::text)),
    }
}

impl Watchdog {
    fn put(&mut self, out: &mut Sink) {
        for (family, file) in &mut self.numbers {
            file.put(family, &[&self.name], Scale::ONE, out);
        }
        let texts = self.labels.each_mut().map(|file| file.as_mut().map(|f| f.take_text(out)).unwrap_or_default());
        let [options, identity, state, status, governor] = texts.each_ref().map(CompactString::as_str);
        out.number(&hardware::WATCHDOG, &[&self.name, options, identity, state, status, governor], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    #[test]
    fn files_that_are_there() {
        let host = Host::new(&[
            ("sys/class/watchdog/watchdog0/timeleft", b"300\n"),
            ("sys/class/watchdog/watchdog0/identity", b"Software Watchdog\n"),
            ("sys/class/watchdog/watchdog0/nowayout", b"no\n"),
        ]);
        std::fs::create_dir(host.path().join("sys/class/watchdog/watchdog1")).unwrap();
        let reading = host.read("watchdog", &[]);
        let info = |name: &str, identity: &str| {
            format!(
                r#"node_watchdog_info{{name="{name}",options="",identity="{identity}",state="",status="",pretimeout_governor=""}} 1"#
            )
        };
        let expected = [
            r#"node_watchdog_timeleft_seconds{name="watchdog0"} 300"#.into(),
            info("watchdog0", "Software Watchdog"),
            info("watchdog1", ""),
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1);
        assert!(matches!(Host::new(&[]).read("watchdog", &[]).error, Some(Error::Absent(_))));
    }
}
