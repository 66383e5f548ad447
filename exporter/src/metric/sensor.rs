//! Temperatures, fans, voltages and what cools: collectors `hwmon` and `thermal_zone`.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

static TEMPERATURE: OtelMetric =
    OtelMetric::new("hw.temperature", "Cel", OtelKind::Gauge, "Temperature in degrees Celsius.");
static FAN_SPEED: OtelMetric =
    OtelMetric::new("hw.fan.speed", "rpm", OtelKind::Gauge, "Fan speed in revolutions per minute.");

/// A sensor is told apart by its chip.
const SENSOR: &[LabelMap] = &[LabelMap::to("chip", "hw.parent"), LabelMap::to("sensor", "hw.id")];

const fn sensor(name: &'static str, help: &'static str) -> Family {
    Family::gauge("hwmon", name, help).labels(&["chip", "sensor"]).budget(1, Per::Sensor)
}
/// One family for each element of a sensor beyond its reading.
const fn elements(name: &'static str, help: &'static str) -> Family {
    sensor(name, help).budget(8, Per::Sensor)
}
const fn thermal(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family::gauge("thermal_zone", name, help).labels(labels).budget(1, Per::Device)
}

families! {
    CHIP_NAMES = Family::gauge("hwmon", "node_hwmon_chip_names", "Annotation metric for human-readable chip names")
        .labels(&["chip", "chip_name"])
        .budget(1, Per::Device);
    SENSOR_LABEL = Family::gauge("hwmon", "node_hwmon_sensor_label", "Label for given chip and sensor")
        .labels(&["chip", "sensor", "label"])
        .budget(1, Per::Sensor);
    BEEP_ENABLED = sensor("node_hwmon_beep_enabled", "Hardware beep enabled");
    VRM = sensor("node_hwmon_voltage_regulator_version", "Hardware voltage regulator");
    UPDATE_INTERVAL = sensor("node_hwmon_update_interval_seconds", "Hardware monitor update interval");
    ALARM = sensor("node_hwmon_*_alarm", "Hardware sensor alarm status (*)");
    FAULT = sensor("node_hwmon_*_fault", "Hardware sensor fault status (*)");
    BEEP = sensor("node_hwmon_*_beep_enabled", "Hardware monitor sensor has beeping enabled");
    IN = sensor("node_hwmon_in_volts", "Hardware monitor for voltage (input)");
    IN_ELEMENT = elements("node_hwmon_in_*_volts", "Hardware monitor for voltage (*)");
    CPU = sensor("node_hwmon_cpu_volts", "Hardware monitor for voltage (input)");
    CPU_ELEMENT = elements("node_hwmon_cpu_*_volts", "Hardware monitor for voltage (*)");
    TEMP = sensor("node_hwmon_temp_celsius", "Hardware monitor for temperature (input)")
        .otel(&[Term::of(&TEMPERATURE).map(SENSOR)]);
    TEMP_ELEMENT = elements("node_hwmon_temp_*_celsius", "Hardware monitor for temperature (*)");
    TEMP_PLAIN = elements("node_hwmon_temp_*", "Hardware monitor temp element *");
    CURR = sensor("node_hwmon_curr_amps", "Hardware monitor for current (input)");
    CURR_ELEMENT = elements("node_hwmon_curr_*_amps", "Hardware monitor for current (*)");
    ENERGY = Family::counter("hwmon", "node_hwmon_energy_joule_total", "Hardware monitor for joules used so far (input)")
        .labels(&["chip", "sensor"])
        .budget(1, Per::Sensor);
    ENERGY_ELEMENT = Family::counter("hwmon", "node_hwmon_energy_*_joule_total", "Hardware monitor for joules used so far (*)")
        .labels(&["chip", "sensor"])
        .budget(8, Per::Sensor);
    POWER = sensor("node_hwmon_power_watt", "Hardware monitor for power usage in watts (input)");
    POWER_ELEMENT = elements("node_hwmon_power_*_watt", "Hardware monitor for power usage in watts (*)");
    POWER_ACCURACY = sensor("node_hwmon_power_accuracy", "Hardware monitor power meter accuracy, as a ratio");
    POWER_INTERVAL = elements("node_hwmon_power_*_seconds", "Hardware monitor power usage update interval (*)");
    HUMIDITY = sensor("node_hwmon_humidity", "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) (input)");
    HUMIDITY_ELEMENT = elements("node_hwmon_humidity_*", "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) (*)");
    FAN = sensor("node_hwmon_fan_rpm", "Hardware monitor for fan revolutions per minute (input)")
        .otel(&[Term::of(&FAN_SPEED).map(SENSOR)]);
    FAN_RPM = elements("node_hwmon_fan_*_rpm", "Hardware monitor for fan revolutions per minute (*)");
    FAN_PLAIN = elements("node_hwmon_fan_*", "Hardware monitor fan element *");
    FREQ = sensor("node_hwmon_freq_freq_mhz", "Hardware monitor for GPU frequency in MHz");
    FREQ_PLAIN = elements("node_hwmon_freq_*", "Hardware monitor freq element *");
    PWM = sensor("node_hwmon_pwm", "Hardware monitor pwm element");
    PWM_PLAIN = elements("node_hwmon_pwm_*", "Hardware monitor pwm element *").budget(32, Per::Sensor);
    INTRUSION_PLAIN = elements("node_hwmon_intrusion_*", "Hardware monitor intrusion element *");

    ZONE_TEMP = thermal("node_thermal_zone_temp", "Zone temperature in Celsius", &["zone", "type"]);
    COOLING_CUR = thermal("node_cooling_device_cur_state", "Current throttle state of the cooling device", &["name", "type"]);
    COOLING_MAX = thermal("node_cooling_device_max_state", "Maximum throttle state of the cooling device", &["name", "type"]);
}
