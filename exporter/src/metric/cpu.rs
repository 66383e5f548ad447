//! CPU time, topology and load: collectors `cpu` and `loadavg`.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

static TIME: OtelMetric =
    OtelMetric::new("system.cpu.time", "s", OtelKind::Counter, "Seconds the logical CPUs spent in each mode.");
static FREQUENCY: OtelMetric =
    OtelMetric::new("system.cpu.frequency", "Hz", OtelKind::Gauge, "Operating frequency of the logical CPU.");
static LOAD_1M: OtelMetric = load("system.cpu.load_average.1m", "Average CPU load over 1 minute.");
static LOAD_5M: OtelMetric = load("system.cpu.load_average.5m", "Average CPU load over 5 minutes.");
static LOAD_15M: OtelMetric = load("system.cpu.load_average.15m", "Average CPU load over 15 minutes.");

/// Names of the Collector's host receiver: the conventions have none for the load.
const fn load(name: &'static str, description: &'static str) -> OtelMetric {
    OtelMetric::new(name, "{thread}", OtelKind::Gauge, description)
}

/// Guest time is inside `user` and `nice`, so it is not sent on its own.
const MODE: LabelMap = LabelMap::to("mode", "cpu.mode").renaming(&[("irq", "interrupt"), ("softirq", "interrupt")]);

families! {
    SECONDS = Family::counter("cpu", "node_cpu_seconds_total", "Seconds the CPUs spent in each mode.")
        .labels(&["cpu", "mode"])
        .budget(8, Per::Cpu)
        .otel(&[Term::of(&TIME).map(&[MODE])]);
    GUEST_SECONDS = Family::counter("cpu", "node_cpu_guest_seconds_total", "Seconds the CPUs spent in guests (VMs) for each mode.")
        .labels(&["cpu", "mode"])
        .budget(2, Per::Cpu);
    INFO = Family::gauge("cpu", "node_cpu_info", "CPU information from /proc/cpuinfo.")
        .labels(&["package", "core", "cpu", "vendor", "family", "model", "model_name", "microcode", "stepping", "cachesize"])
        .budget(1, Per::Cpu);
    FREQUENCY_HERTZ = Family::gauge("cpu", "node_cpu_frequency_hertz", "CPU frequency in hertz from /proc/cpuinfo.")
        .labels(&["package", "core", "cpu"])
        .budget(1, Per::Cpu)
        .otel(&[Term::of(&FREQUENCY).map(&[LabelMap::to("cpu", "cpu.logical_number")])]);
    FLAG_INFO = Family::gauge("cpu", "node_cpu_flag_info", "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.")
        .labels(&["flag"])
        .budget(256, Per::Host);
    BUG_INFO = Family::gauge("cpu", "node_cpu_bug_info", "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.")
        .labels(&["bug"])
        .budget(64, Per::Host);
    CORE_THROTTLES = Family::counter("cpu", "node_cpu_core_throttles_total", "Number of times this CPU core has been throttled.")
        .labels(&["package", "core"])
        .budget(1, Per::Cpu);
    PACKAGE_THROTTLES = Family::counter("cpu", "node_cpu_package_throttles_total", "Number of times this CPU package has been throttled.")
        .labels(&["package"])
        .budget(1, Per::Cpu);
    ISOLATED = Family::gauge("cpu", "node_cpu_isolated", "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.")
        .labels(&["cpu"])
        .budget(1, Per::Cpu);
    ONLINE = Family::gauge("cpu", "node_cpu_online", "CPUs that are online and being scheduled.")
        .labels(&["cpu"])
        .budget(1, Per::Cpu);
    LOAD1 = Family::gauge("loadavg", "node_load1", "1m load average.").otel(&[Term::of(&LOAD_1M)]);
    LOAD5 = Family::gauge("loadavg", "node_load5", "5m load average.").otel(&[Term::of(&LOAD_5M)]);
    LOAD15 = Family::gauge("loadavg", "node_load15", "15m load average.").otel(&[Term::of(&LOAD_15M)]);
}
