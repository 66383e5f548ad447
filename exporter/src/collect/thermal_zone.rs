//! Thermal zones and cooling devices of `/sys/class/thermal` (Documentation/driver-api/thermal/sysfs-api.rst):
//! `thermal_zone0/temp` in thousandths of a degree, `cooling_device0/cur_state` (-1 when it does not know).
//!
//! A zone's sensor may be far (firmware, a bus) or switched off: its reading is left out while it fails.

use compact_str::CompactString;

use super::attribute::{Attribute, Scale, Value};
use super::devices::{Device, Devices};
use super::listing::{Listing, number_of};
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::metric::{Family, sensor};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "thermal_zone",
    default: true,
    options: &[],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/thermal"));
        Ok(Box::new(Thermal { class, devices: Devices::default() }))
    },
};

/// What is read of devices whose names begin alike.
struct Kind {
    prefix: &'static str,
    readings: &'static [(&'static str, &'static Family, Scale)],
}

static KINDS: [Kind; 2] = [
    Kind { prefix: "thermal_zone", readings: &[("temp", &sensor::ZONE_TEMP, Scale::over(1000.0))] },
    Kind {
        prefix: "cooling_device",
        readings: &[("cur_state", &sensor::COOLING_CUR, Scale::ONE), ("max_state", &sensor::COOLING_MAX, Scale::ONE)],
    },
];

struct Thermal {
    class: Listing,
    devices: Devices<(&'static Kind, CompactString)>,
}

impl Collector for Thermal {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            let found = self.class.names().into_iter().filter_map(|name| find(&self.class, name));
            self.devices.replace(found.collect::<Vec<_>>());
        }
        self.devices.read(out, put);
        Ok(())
    }
}

fn find(class: &Listing, name: &str) -> Option<Device<(&'static Kind, CompactString)>> {
    let (kind, number) = KINDS.iter().find_map(|kind| Some((kind, number_of(name, kind.prefix)?)))?;
    let path = class.path().join(name);
    let mut attributes = vec![Attribute::constant(path.join("type"))];
    attributes.extend(kind.readings.iter().map(|(file, ..)| Attribute::number(path.join(file))));
    Some(Device { about: (kind, number.into()), path, attributes })
}

fn put((kind, number): &(&'static Kind, CompactString), values: &[Option<Value>], out: &mut Sink) {
    let [is, readings @ ..] = values else { return };
    let labels = [number.as_str(), is.as_ref().map_or("", Value::text)];
    for ((_, family, scale), reading) in kind.readings.iter().zip(readings) {
        if let Some(number) = reading.as_ref().and_then(Value::number) {
            out.number(family, &labels, scale.of(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::{Host, read};

    #[test]
    fn zones_and_cooling_devices() {
        let host = Host::new(&[
            ("sys/class/thermal/thermal_zone0/type", b"x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone0/temp", b"-12376\n"),
            ("sys/class/thermal/thermal_zone0/mode", b"enabled\n"),
            ("sys/class/thermal/thermal_zone1/type", b"acpitz\n"),
            ("sys/class/thermal/thermal_zone1/temp", b"hot\n"),
            ("sys/class/thermal/cooling_device10/type", b"intel_powerclamp\n"),
            ("sys/class/thermal/cooling_device10/cur_state", b"-1\n"),
            ("sys/class/thermal/cooling_device10/max_state", b"50\n"),
        ]);
        let mut thermal = host.build("thermal_zone", &[]);
        let reading = read(&mut *thermal);
        let expected = [
            r#"node_cooling_device_cur_state{name="10",type="intel_powerclamp"} -1"#,
            r#"node_cooling_device_max_state{name="10",type="intel_powerclamp"} 50"#,
            r#"node_thermal_zone_temp{zone="0",type="x86_pkg_temp"} -12.376"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
        host.write("sys/class/thermal/thermal_zone1/temp", b"40000\n");
        host.write("sys/class/thermal/thermal_zone2/temp", b"41000\n");
        let lines = read(&mut *thermal).lines;
        assert_eq!(
            lines[3..],
            [r#"node_thermal_zone_temp{zone="1",type="acpitz"} 40"#, r#"node_thermal_zone_temp{zone="2",type=""} 41"#,]
        );
    }

    #[test]
    fn a_host_without_is_no_failure() {
        assert!(
            Host::new(&[])
                .read("thermal_zone", &[])
                .error
                .is_some_and(|e| matches!(e, crate::collect::Error::Absent(_)))
        );
        let host = Host::new(&[]);
        std::fs::create_dir_all(host.path().join("sys/class/thermal")).unwrap();
        assert!(host.read("thermal_zone", &[]).error.is_none());
    }
}
