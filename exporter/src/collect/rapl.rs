//! Energy that parts of the processor used: zones of `/sys/class/powercap` (Documentation/power/powercap/powercap.rst).
//!
//! `intel-rapl:0/energy_uj` counts microjoules of the zone that `intel-rapl:0/name` names, `package-0`. The kernel lets
//! root alone read it, and it starts over at `max_energy_range_uj`.

use compact_str::{CompactString, ToCompactString};

use super::attribute::{Attribute, Scale};
use super::fields::valid_utf8;
use super::listing::Listing;
use super::procfile::{Unreadable, read_once};
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::hardware;
use crate::snapshot::Sink;

const ZONE_LABEL: Setting =
    Setting::new("KANARY_RAPL_ENABLE_ZONE_LABEL", "0", "0 or 1", "one family for all zones, the zone as a label");

pub const ROW: Row = Row {
    id: "rapl",
    default: true,
    options: &[&ZONE_LABEL],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/powercap"));
        let zone_label = setup.config.vars.parse(&ZONE_LABEL, config::flag)?;
        Ok(Box::new(Rapl { class, zone_label, zones: Vec::new() }))
    },
};

const MICRO: Scale = Scale::over(1e6);

struct Rapl {
    class: Listing,
    zone_label: bool,
    zones: Vec<Zone>,
}

struct Zone {
    name: CompactString,
    index: CompactString,
    path: String,
    energy: Attribute,
}

impl Collector for Rapl {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            self.zones = find(&self.class);
        }
        for zone in &mut self.zones {
            let Some(microjoules) = zone.energy.take_number(out) else { continue };
            let (name, joules) = (&zone.name, MICRO.of(microjoules));
            if self.zone_label {
                out.number(&hardware::RAPL_JOULES, &[&zone.index, &zone.path, name], joules);
            } else {
                let key = as_key(name);
                out.keyed_number(&hardware::RAPL_ZONE_JOULES, &key, &[&zone.index, &zone.path], joules);
            }
        }
        Ok(())
    }
}

/// Zones of the same name are counted; folders without a name are none.
fn find(class: &Listing) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    for folder in class.names() {
        let dir = class.path().join(folder);
        let Ok(name) = read_once(&dir.join("name")) else { continue };
        let name = valid_utf8(name.trim_ascii());
        let (name, index) = match split(&name) {
            Some((name, index)) => (name, index),
            None => (&*name, zones.iter().rfind(|zone| zone.name == *name).map_or(0, |zone| next(&zone.index))),
        };
        if !as_key(name).is_empty() {
            let (path, energy) = (dir.display().to_string(), Attribute::number(dir.join("energy_uj")));
            zones.push(Zone { name: name.into(), index: index.to_compact_string(), path, energy });
        }
    }
    zones
}

/// `package-1` is the package with index 1.
fn split(name: &str) -> Option<(&str, u32)> {
    let (name, index) = name.split_once('-')?;
    Some((name, index.parse().ok()?))
}

fn next(index: &str) -> u32 {
    index.parse::<u32>().map_or(0, |index| index.saturating_add(1))
}

/// What a metric may be named after.
fn as_key(name: &str) -> CompactString {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    fn host() -> Host {
        Host::new(&[
            ("sys/class/powercap/intel-rapl/enabled", b"1\n"),
            ("sys/class/powercap/intel-rapl:0/name", b"package-1\n"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", b"240422366267\n"),
            ("sys/class/powercap/intel-rapl:0:0/name", b"dram\n"),
            ("sys/class/powercap/intel-rapl:0:0/energy_uj", b"1000000\n"),
            ("sys/class/powercap/intel-rapl:1:0/name", b"dram\n"),
            ("sys/class/powercap/intel-rapl:1:0/energy_uj", b"2000000\n"),
        ])
    }

    #[test]
    fn zones_by_name_and_index() {
        let host = host();
        let path = |zone: &str| host.path().join("sys/class/powercap").join(zone).display().to_string();
        let line = |zone: &str, index: u32, folder: &str, joules: &str| {
            format!("node_rapl_{zone}_joules_total{{index=\"{index}\",path=\"{}\"}} {joules}", path(folder))
        };
        let expected = [
            line("package", 1, "intel-rapl:0", "240422.366267"),
            line("dram", 0, "intel-rapl:0:0", "1"),
            line("dram", 1, "intel-rapl:1:0", "2"),
        ];
        assert_eq!(host.read("rapl", &[]).lines, expected);
        let labelled = host.read("rapl", &[("KANARY_RAPL_ENABLE_ZONE_LABEL", "1")]).lines;
        assert!(labelled[0].starts_with("node_rapl_joules_total{index=\"1\",path=\""));
        assert!(labelled[0].ends_with("\",rapl_zone=\"package\"} 240422.366267") && labelled.len() == 3);
        assert!(matches!(Host::new(&[]).read("rapl", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_name_is_survived(name: String) {
            split(&name);
            prop_assert!(as_key(&name).bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
    }
}
