//! Batteries and mains adapters of `/sys/class/power_supply` (Documentation/ABI/testing/sysfs-class-power): a file for
//! each property, `voltage_now` in microvolts, `temp` in tenths of a degree.
//!
//! A property that the battery does not know just now is left out.

use std::path::Path;

use compact_str::CompactString;
use regex::Regex;

use super::attribute::{Attribute, Scale, Value};
use super::devices::{Device, Devices};
use super::filter::pattern;
use super::listing::Listing;
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::hardware;
use crate::snapshot::Sink;

const IGNORED: Setting =
    Setting::new("KANARY_POWERSUPPLYCLASS_IGNORED_SUPPLIES", "^$", "a regular expression", "power supplies left out");

pub const ROW: Row = Row {
    id: "powersupplyclass",
    default: true,
    options: &[&IGNORED],
    build: |setup| {
        let class = Listing::new(setup.config.paths.sys.join("class/power_supply"));
        let ignored = pattern(&setup.config.vars, &IGNORED)?;
        Ok(Box::new(PowerSupplies { class, ignored, supplies: Devices::default() }))
    },
};

const MICRO: Scale = Scale::over(1e6);
const TENTH: Scale = Scale::over(10.0);

/// Files that are numbers, and what node_exporter calls them.
static NUMBERS: [(&str, &str, Scale); 49] = [
    ("authentic", "authentic", Scale::ONE),
    ("calibrate", "calibrate", Scale::ONE),
    ("capacity", "capacity", Scale::ONE),
    ("capacity_alert_max", "capacity_alert_max", Scale::ONE),
    ("capacity_alert_min", "capacity_alert_min", Scale::ONE),
    ("cycle_count", "cyclecount", Scale::ONE),
    ("online", "online", Scale::ONE),
    ("present", "present", Scale::ONE),
    ("time_to_empty_now", "time_to_empty_seconds", Scale::ONE),
    ("time_to_full_now", "time_to_full_seconds", Scale::ONE),
    ("current_boot", "current_boot", MICRO),
    ("current_max", "current_max", MICRO),
    ("current_now", "current_ampere", MICRO),
    ("energy_empty", "energy_empty", MICRO),
    ("energy_empty_design", "energy_empty_design", MICRO),
    ("energy_full", "energy_full", MICRO),
    ("energy_full_design", "energy_full_design", MICRO),
    ("energy_now", "energy_watthour", MICRO),
    ("voltage_boot", "voltage_boot", MICRO),
    ("voltage_max", "voltage_max", MICRO),
    ("voltage_max_design", "voltage_max_design", MICRO),
    ("voltage_min", "voltage_min", MICRO),
    ("voltage_min_design", "voltage_min_design", MICRO),
    ("voltage_now", "voltage_volt", MICRO),
    ("voltage_ocv", "voltage_ocv", MICRO),
    ("charge_control_limit", "charge_control_limit", MICRO),
    ("charge_control_limit_max", "charge_control_limit_max", MICRO),
    ("charge_counter", "charge_counter", MICRO),
    ("charge_empty", "charge_empty", MICRO),
    ("charge_empty_design", "charge_empty_design", MICRO),
    ("charge_full", "charge_full", MICRO),
    ("charge_full_design", "charge_full_design", MICRO),
    ("charge_now", "charge_ampere", MICRO),
    ("charge_term_current", "charge_term_current", MICRO),
    ("constant_charge_current", "constant_charge_current", MICRO),
    ("constant_charge_current_max", "constant_charge_current_max", MICRO),
    ("constant_charge_voltage", "constant_charge_voltage", MICRO),
    ("constant_charge_voltage_max", "constant_charge_voltage_max", MICRO),
    ("precharge_current", "precharge_current", MICRO),
    ("input_current_limit", "input_current_limit", MICRO),
    ("power_now", "power_watt", MICRO),
    ("temp", "temp_celsius", TENTH),
    ("temp_alert_max", "temp_alert_max_celsius", TENTH),
    ("temp_alert_min", "temp_alert_min_celsius", TENTH),
    ("temp_ambient", "temp_ambient_celsius", TENTH),
    ("temp_ambient_alert_max", "temp_ambient_max_celsius", TENTH),
    ("temp_ambient_alert_min", "temp_ambient_min_celsius", TENTH),
    ("temp_max", "temp_max_celsius", TENTH),
    ("temp_min", "temp_min_celsius", TENTH),
];
/// Files that are labels: those of [`hardware::SUPPLY_INFO`] after the name.
const LABELS: usize = hardware::SUPPLY_LABELS.len() - 1;

struct PowerSupplies {
    class: Listing,
    ignored: Option<Regex>,
    supplies: Devices<Supply>,
}

/// What the attributes of a supply are.
struct Supply {
    name: CompactString,
    /// Which labels come first.
    labels: Vec<usize>,
    numbers: Vec<(&'static str, Scale)>,
}

impl Collector for PowerSupplies {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.class.has_changed().map_err(Unreadable::or_absent)? {
            let ignored = |name: &str| self.ignored.as_ref().is_some_and(|p| p.is_match(name));
            let names = self.class.names().into_iter().filter(|name| !ignored(name));
            let found: Vec<_> = names.map(|name| find(self.class.path(), name)).collect();
            self.supplies.replace(found);
        }
        self.supplies.read(out, put);
        Ok(())
    }
}

/// Which properties a supply has does not change.
fn find(class: &Path, name: &str) -> Device<Supply> {
    let path = class.join(name);
    let mut supply = Supply { name: name.into(), labels: Vec::new(), numbers: Vec::new() };
    let mut attributes = Vec::new();
    for (at, file) in hardware::SUPPLY_LABELS.iter().skip(1).enumerate() {
        let file = path.join(file);
        if file.is_file() {
            supply.labels.push(at);
            attributes.push(Attribute::text(file));
        }
    }
    for (file, key, scale) in &NUMBERS {
        let file = path.join(file);
        if file.is_file() {
            supply.numbers.push((key, *scale));
            attributes.push(Attribute::number(file));
        }
    }
    Device { about: supply, path, attributes }
}

fn put(supply: &Supply, values: &[Option<Value>], out: &mut Sink) {
    let Some((texts, numbers)) = values.split_at_checked(supply.labels.len()) else { return };
    let mut labels = [""; LABELS + 1];
    labels[0] = &supply.name;
    for (at, text) in supply.labels.iter().zip(texts) {
        labels[at + 1] = text.as_ref().map_or("", Value::text);
    }
    for ((key, scale), value) in supply.numbers.iter().zip(numbers) {
        if let Some(number) = value.as_ref().and_then(Value::number) {
            out.keyed_number(&hardware::SUPPLY, key, &[&supply.name], scale.of(number));
        }
    }
    out.number(&hardware::SUPPLY_INFO, &labels, 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    fn host() -> Host {
        Host::new(&[
            ("sys/class/power_supply/AC/online", b"1\n"),
            ("sys/class/power_supply/AC/type", b"Mains\n"),
            ("sys/class/power_supply/BAT0/type", b"Battery\n"),
            ("sys/class/power_supply/BAT0/model_name", b"X1 \xff\n"),
            ("sys/class/power_supply/BAT0/voltage_now", b"11660000\n"),
            ("sys/class/power_supply/BAT0/current_now", b"-5002000\n"),
            ("sys/class/power_supply/BAT0/temp", b"281\n"),
            ("sys/class/power_supply/BAT0/cycle_count", b"many\n"),
            ("sys/class/power_supply/BAT0/alarm", b"1\n"),
        ])
    }

    #[test]
    fn properties_that_are_there() {
        let reading = host().read("powersupplyclass", &[]);
        let expected = [
            r#"node_power_supply_online{power_supply="AC"} 1"#,
            r#"node_power_supply_info{power_supply="AC",capacity_level="",charge_type="",health="",manufacturer="",model_name="",serial_number="",status="",technology="",type="Mains",usb_type="",scope=""} 1"#,
            "node_power_supply_info{power_supply=\"BAT0\",capacity_level=\"\",charge_type=\"\",health=\"\",manufacturer=\"\",model_name=\"X1 \u{fffd}\",serial_number=\"\",status=\"\",technology=\"\",type=\"Battery\",usb_type=\"\",scope=\"\"} 1",
            r#"node_power_supply_current_ampere{power_supply="BAT0"} -5.002"#,
            r#"node_power_supply_voltage_volt{power_supply="BAT0"} 11.66"#,
            r#"node_power_supply_temp_celsius{power_supply="BAT0"} 28.1"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
    }

    #[test]
    fn supplies_can_be_ignored() {
        let lines = host().read("powersupplyclass", &[("KANARY_POWERSUPPLYCLASS_IGNORED_SUPPLIES", "^BAT")]).lines;
        assert_eq!(lines.len(), 2);
        assert!(host().try_build("powersupplyclass", &[("KANARY_POWERSUPPLYCLASS_IGNORED_SUPPLIES", "(")]).is_err());
        assert!(Host::new(&[]).read("powersupplyclass", &[]).error.is_some());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = NUMBERS.iter().map(|(_, key, _)| *key).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NUMBERS.len());
    }
}
