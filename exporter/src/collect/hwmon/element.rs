//! What a file of a chip means: `temp1_crit` is the element `crit` of the temperature sensor 1. Pure.

use compact_str::{CompactString, ToCompactString};

use crate::collect::attribute::Scale;
use crate::metric::{Family, sensor};
use crate::snapshot::Sink;

const MILLI: Scale = Scale::by(0.001);
const MICRO: Scale = Scale::over(1e6);

/// What sensors there are; files that begin otherwise are none.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// Kind, number and element of a file's name; the element of `pwm1` is empty.
pub fn split(file: &str) -> Option<(&'static str, u32, &str)> {
    let digits = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let (kind, rest) = file.split_at(digits);
    let kind = KINDS.into_iter().find(|known| *known == kind)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, element) = rest.split_at(end);
    let number = if number.is_empty() { 0 } else { number.parse().ok()? };
    match element.strip_prefix('_') {
        Some("") => None,
        Some(element) => Some((kind, number, element)),
        None => element.is_empty().then_some((kind, number, "")),
    }
}

/// Where the values of an element go.
#[derive(Debug)]
pub struct Meaning {
    family: &'static Family,
    /// Of an open family; empty otherwise.
    key: CompactString,
    scale: Scale,
}

impl Meaning {
    pub fn put(&self, labels: &[&str], value: f64, out: &mut Sink) {
        out.keyed_number(self.family, &self.key, labels, self.scale.of(value));
    }
}

/// The meaning of a number. `has_plain`: there is a file without element (`pwm1`), which has the sensor's bare name;
/// otherwise that is the reading's (`temp1_input`). `None` when no metric can be named after the element.
pub fn meaning(kind: &str, element: &str, has_plain: bool) -> Option<Meaning> {
    let is_bare = element.is_empty() || (element == "input" && !has_plain);
    let key = if is_bare { CompactString::default() } else { clean(element) };
    if key.is_empty() && !is_bare {
        return None;
    }
    let one = |family, scale| Some(Meaning { family, key: CompactString::default(), scale });
    let by_kind = |family| Some(Meaning { family, key: kind.into(), scale: Scale::ONE });
    let open = |family, scale| (!is_bare).then(|| Meaning { family, key: key.clone(), scale });
    let either = |bare, other, scale| if is_bare { one(bare, scale) } else { open(other, scale) };
    match (kind, element) {
        ("beep_enable", "") => one(&sensor::BEEP_ENABLED, Scale::ONE),
        ("vrm", "") => one(&sensor::VRM, Scale::ONE),
        ("update_interval", "") => one(&sensor::UPDATE_INTERVAL, MILLI),
        (_, "alarm") => by_kind(&sensor::ALARM),
        (_, "fault") => by_kind(&sensor::FAULT),
        (_, "beep") => by_kind(&sensor::BEEP),
        ("in", _) => either(&sensor::IN, &sensor::IN_ELEMENT, MILLI),
        ("cpu", _) => either(&sensor::CPU, &sensor::CPU_ELEMENT, MILLI),
        ("temp", "type") => open(&sensor::TEMP_PLAIN, Scale::ONE),
        ("temp", _) => either(&sensor::TEMP, &sensor::TEMP_ELEMENT, MILLI),
        ("curr", _) => either(&sensor::CURR, &sensor::CURR_ELEMENT, MILLI),
        ("energy", _) => either(&sensor::ENERGY, &sensor::ENERGY_ELEMENT, MICRO),
        ("power", "accuracy") => one(&sensor::POWER_ACCURACY, MICRO),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            open(&sensor::POWER_INTERVAL, MILLI)
        }
        ("power", _) => either(&sensor::POWER, &sensor::POWER_ELEMENT, MICRO),
        ("humidity", _) => either(&sensor::HUMIDITY, &sensor::HUMIDITY_ELEMENT, MICRO),
        ("fan", "input" | "min" | "max" | "target") => either(&sensor::FAN, &sensor::FAN_RPM, Scale::ONE),
        ("fan", _) => open(&sensor::FAN_PLAIN, Scale::ONE),
        ("freq", _) => open(&sensor::FREQ_PLAIN, Scale::ONE),
        ("pwm", _) => either(&sensor::PWM, &sensor::PWM_PLAIN, Scale::ONE),
        ("intrusion", _) => open(&sensor::INTRUSION_PLAIN, Scale::ONE),
        _ => None,
    }
}

/// A part of a metric's name: lower case, with `_` for what no name may have, none at the ends.
pub fn clean(name: &str) -> CompactString {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | ':' | '_');
    let cleaned: String = name.to_lowercase().chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    cleaned.trim_matches('_').to_compact_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_files() {
        assert_eq!(split("temp1_crit_alarm"), Some(("temp", 1, "crit_alarm")));
        assert_eq!(split("pwm1"), Some(("pwm", 1, "")));
        assert_eq!(split("pwm1_auto_point1_pwm"), Some(("pwm", 1, "auto_point1_pwm")));
        assert_eq!(split("beep_enable"), Some(("beep_enable", 0, "")));
        assert_eq!(split("cpu0_vid"), Some(("cpu", 0, "vid")));
        for none in
            ["name", "temp_x", "temp1x", "temp1_", "temp99999999999_input", "power_state", "", "1", "bogus1_max"]
        {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn meanings_have_units_and_names() {
        let line = |kind, element, has_plain| {
            let mut out = Sink::default();
            meaning(kind, element, has_plain).unwrap().put(&["c", "s"], 1_500_000.0, &mut out);
            let samples = out.finish().0;
            let crate::snapshot::Value::Number(n) = samples[0].points[0].value else { panic!() };
            format!("{} {n}: {}", samples[0].name().concat(), samples[0].help().concat())
        };
        let expected = [
            ("temp", "input", "node_hwmon_temp_celsius 1500: Hardware monitor for temperature (input)"),
            (
                "temp",
                "crit_hyst",
                "node_hwmon_temp_crit_hyst_celsius 1500: Hardware monitor for temperature (crit_hyst)",
            ),
            ("temp", "type", "node_hwmon_temp_type 1500000: Hardware monitor temp element type"),
            ("fan", "fault", "node_hwmon_fan_fault 1500000: Hardware sensor fault status (fan)"),
            ("fan", "beep", "node_hwmon_fan_beep_enabled 1500000: Hardware monitor sensor has beeping enabled"),
            ("fan", "div", "node_hwmon_fan_div 1500000: Hardware monitor fan element div"),
            ("power", "accuracy", "node_hwmon_power_accuracy 1.5: Hardware monitor power meter accuracy, as a ratio"),
            (
                "power",
                "average",
                "node_hwmon_power_average_watt 1.5: Hardware monitor for power usage in watts (average)",
            ),
            (
                "power",
                "average_interval",
                "node_hwmon_power_average_interval_seconds 1500: Hardware monitor power usage update interval (average_interval)",
            ),
            ("energy", "input", "node_hwmon_energy_joule_total 1.5: Hardware monitor for joules used so far (input)"),
            ("pwm", "", "node_hwmon_pwm 1500000: Hardware monitor pwm element"),
        ];
        for (kind, element, text) in expected {
            assert_eq!(line(kind, element, false), text);
        }
        assert!(line("in", "input", true).starts_with("node_hwmon_in_input_volts 1500:"));
        assert!(meaning("fan", "", false).is_none() && meaning("pwm", "_", false).is_none());
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean("coretemp.0"), "coretemp_0");
        assert_eq!(clean("Foo Bär-7_"), "foo_b_r_7");
    }

    proptest! {
        #[test]
        fn any_name_is_survived(name in ".*", kind in 0..KINDS.len()) {
            if let Some((kind, _, element)) = split(&name) {
                meaning(kind, element, true);
            }
            if let Some(meaning) = meaning(KINDS[kind], &name, false) {
                prop_assert_eq!(meaning.key.is_empty(), !meaning.family.is_open());
            }
        }
        #[test]
        fn names_round_trip(kind in 0..KINDS.len(), number: u32, element in "[a-z][a-z0-9_]{0,12}") {
            let name = format!("{}{number}_{element}", KINDS[kind]);
            prop_assert_eq!(split(&name), Some((KINDS[kind], number, &*element)));
        }
    }
}
