//! Monitoring chips of `/sys/class/hwmon` (Documentation/hwmon/sysfs-interface.rst): temperatures, fans, voltages.
//!
//! `temp1_input`, `temp1_crit`, `temp1_label`: sensor `temp1` of this chip, its reading and its limit in thousandths of
//! a degree, what it is. Old drivers have these files in the folder of the device. Which files there are is looked up
//! when a chip comes or goes.

mod chip;
mod element;

use compact_str::{CompactString, format_compact};

use super::attribute::{Attribute, Scale, Value};
use super::devices::{Device, Devices};
use super::filter::Filter;
use super::listing::Listing;
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::sensor;
use crate::snapshot::Sink;
use chip::{Chip, File};
use element::{Meaning, clean, meaning};

const CHIP_EXCLUDE: Setting = Setting::new(
    "KANARY_HWMON_CHIP_EXCLUDE",
    "",
    "a regular expression",
    "chips left out; not together with KANARY_HWMON_CHIP_INCLUDE",
);
const CHIP_INCLUDE: Setting = Setting::new(
    "KANARY_HWMON_CHIP_INCLUDE",
    "",
    "a regular expression",
    "the only chips shown; not together with KANARY_HWMON_CHIP_EXCLUDE",
);
const SENSOR_EXCLUDE: Setting = Setting::new(
    "KANARY_HWMON_SENSOR_EXCLUDE",
    "",
    "a regular expression",
    "sensors left out, as CHIP;SENSOR; not together with KANARY_HWMON_SENSOR_INCLUDE",
);
const SENSOR_INCLUDE: Setting = Setting::new(
    "KANARY_HWMON_SENSOR_INCLUDE",
    "",
    "a regular expression",
    "the only sensors shown, as CHIP;SENSOR; not together with KANARY_HWMON_SENSOR_EXCLUDE",
);

pub const ROW: Row = Row {
    id: "hwmon",
    default: true,
    options: &[&CHIP_EXCLUDE, &CHIP_INCLUDE, &SENSOR_EXCLUDE, &SENSOR_INCLUDE],
    build: |setup| {
        let vars = &setup.config.vars;
        Ok(Box::new(HwMon {
            class: Listing::new(setup.config.paths.sys.join("class/hwmon")),
            chips: Filter::new(vars, &CHIP_INCLUDE, &CHIP_EXCLUDE)?,
            sensors: Filter::new(vars, &SENSOR_INCLUDE, &SENSOR_EXCLUDE)?,
            found: Devices::default(),
        }))
    },
};

struct HwMon {
    class: Listing,
    chips: Filter,
    sensors: Filter,
    found: Devices<Sensors>,
}

/// The sensors of a chip and what its attributes mean.
struct Sensors {
    chip: Chip,
    names: Vec<CompactString>,
    /// One for each attribute.
    elements: Vec<Element>,
}

struct Element {
    /// Index of the sensor.
    sensor: usize,
    is: Is,
}

enum Is {
    Label,
    /// A frequency is shown under its label: index of that attribute.
    Frequency(usize),
    Reading(Meaning),
}

impl Collector for HwMon {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            let chips = chip::find(&self.class).into_iter().filter(|chip| self.chips.passes(&chip.label));
            let found: Vec<_> = chips.map(|chip| device(chip, &self.sensors)).collect();
            self.found.replace(found);
        }
        self.found.read(out, put);
        Ok(())
    }
}

/// Words in place of numbers (drivers/hwmon/acpi_power_meter.c).
const WORDS: [&str; 3] = ["model_number", "serial_number", "oem_info"];

fn device(chip: Chip, wanted: &Filter) -> Device<Sensors> {
    let (path, files) = (chip.dir.clone(), chip.files());
    let mut sensors = Sensors { chip, names: Vec::new(), elements: Vec::new() };
    let mut attributes = Vec::new();
    for files in files.chunk_by(|a, b| (a.kind, a.number) == (b.kind, b.number)) {
        let Some(first) = files.first() else { continue };
        let name = format_compact!("{}{}", first.kind, first.number);
        if wanted.passes(&format_compact!("{};{name}", sensors.chip.label)) {
            sensors.add(name, files, &mut attributes);
        }
    }
    Device { about: sensors, path, attributes }
}

impl Sensors {
    /// A sensor and its files.
    fn add(&mut self, name: CompactString, files: &[File], attributes: &mut Vec<Attribute>) {
        let has_plain = files.iter().any(|file| file.element.is_empty());
        let mut label = None;
        // The label first: a frequency needs it.
        for file in files.iter().filter(|file| file.element == "label") {
            label = Some(attributes.len());
            attributes.push(Attribute::constant(&file.path));
            self.elements.push(Element { sensor: self.names.len(), is: Is::Label });
        }
        for file in files.iter().filter(|file| file.element != "label" && !WORDS.contains(&&*file.element)) {
            let is = match (file.kind, &*file.element) {
                ("freq", "input") => label.map(Is::Frequency),
                (kind, element) => meaning(kind, element, has_plain).map(Is::Reading),
            };
            if let Some(is) = is {
                attributes.push(Attribute::number(&file.path));
                self.elements.push(Element { sensor: self.names.len(), is });
            }
        }
        self.names.push(name);
    }
}

fn put(sensors: &Sensors, values: &[Option<Value>], out: &mut Sink) {
    let chip = &sensors.chip;
    if let Some(name) = &chip.name {
        out.number(&sensor::CHIP_NAMES, &[&chip.label, name], 1.0);
    }
    for (element, value) in sensors.elements.iter().zip(values) {
        let (Some(name), Some(value)) = (sensors.names.get(element.sensor), value) else { continue };
        match (&element.is, value) {
            (Is::Label, Value::Text(label)) => out.number(&sensor::SENSOR_LABEL, &[&chip.label, name, label], 1.0),
            (Is::Frequency(label), Value::Number(hertz)) => {
                let label = values.get(*label).and_then(Option::as_ref).map_or("", Value::text);
                out.number(&sensor::FREQ, &[&chip.label, &clean(label)], Scale::over(1e6).of(*hertz));
            }
            (Is::Reading(meaning), Value::Number(number)) => meaning.put(&[&chip.label, name], *number, out),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::{Host, read};

    fn host() -> Host {
        Host::new(&[
            ("sys/class/hwmon/hwmon0/name", b"coretemp\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", b"-55500\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", b"Core 0\n"),
            ("sys/class/hwmon/hwmon0/temp1_crit", b"100000\n"),
            ("sys/class/hwmon/hwmon0/temp2_input", b"oops\n"),
            ("sys/class/hwmon/hwmon1/name", b"amdgpu\n"),
            ("sys/class/hwmon/hwmon1/freq1_input", b"214000000\n"),
            ("sys/class/hwmon/hwmon1/freq1_label", b"sclk\n"),
            ("sys/class/hwmon/hwmon1/freq2_input", b"300000000\n"),
            ("sys/class/hwmon/hwmon1/power1_model_number", b"X-1\n"),
        ])
    }

    #[test]
    fn readings_limits_and_labels() {
        let reading = host().read("hwmon", &[]);
        let expected = [
            r#"node_hwmon_chip_names{chip="coretemp",chip_name="coretemp"} 1"#,
            r#"node_hwmon_chip_names{chip="amdgpu",chip_name="amdgpu"} 1"#,
            r#"node_hwmon_sensor_label{chip="coretemp",sensor="temp1",label="Core 0"} 1"#,
            r#"node_hwmon_sensor_label{chip="amdgpu",sensor="freq1",label="sclk"} 1"#,
            r#"node_hwmon_temp_crit_celsius{chip="coretemp",sensor="temp1"} 100"#,
            r#"node_hwmon_temp_celsius{chip="coretemp",sensor="temp1"} -55.5"#,
            r#"node_hwmon_freq_freq_mhz{chip="amdgpu",sensor="sclk"} 214"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
    }

    #[test]
    fn chips_and_sensors_can_be_chosen() {
        let host = host();
        let lines = |name: &str, value: &str| host.read("hwmon", &[(name, value)]).lines.len();
        assert_eq!(lines("KANARY_HWMON_CHIP_INCLUDE", "amd"), 3);
        assert_eq!(lines("KANARY_HWMON_CHIP_EXCLUDE", "amd"), 4);
        assert_eq!(lines("KANARY_HWMON_SENSOR_INCLUDE", "^coretemp;temp1$"), 5);
        assert_eq!(lines("KANARY_HWMON_SENSOR_EXCLUDE", "^coretemp;temp1$"), 4);
        let both = [("KANARY_HWMON_CHIP_INCLUDE", "a"), ("KANARY_HWMON_CHIP_EXCLUDE", "b")];
        assert!(host.try_build("hwmon", &both).is_err());
    }

    #[test]
    fn chips_come_and_go() {
        let host = host();
        let mut hwmon = host.build("hwmon", &[]);
        assert_eq!(read(&mut *hwmon).lines.len(), 7);
        host.write("sys/class/hwmon/hwmon2/in0_input", b"1000\n");
        assert_eq!(read(&mut *hwmon).lines[7], r#"node_hwmon_in_volts{chip="hwmon2",sensor="in0"} 1"#);
        std::fs::remove_dir_all(host.path().join("sys/class/hwmon/hwmon1")).unwrap();
        assert_eq!(read(&mut *hwmon).lines.len(), 5);
        std::fs::remove_dir_all(host.path().join("sys/class/hwmon")).unwrap();
        assert!(read(&mut *hwmon).error.is_some());
    }
}
