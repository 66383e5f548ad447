//! CPUs: collectors `cpu`, `cpu_vulnerabilities`, `cpufreq`, `interrupts`, `loadavg`, `schedstat` and `softirqs`.

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

const fn frequency(name: &'static str, help: &'static str) -> Family {
    Family::gauge("cpufreq", name, help).labels(&["cpu"]).budget(1, Per::Cpu)
}
const fn scheduler(name: &'static str, help: &'static str) -> Family {
    Family::counter("schedstat", name, help).labels(&["cpu"]).budget(1, Per::Cpu)
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
        .budget(1, Per::Cpu);
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

    VULNERABILITY = Family::gauge("cpu_vulnerabilities", "node_cpu_vulnerabilities_info", "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the vulnerability. The same state is stored as a string in the label")
        .labels(&["codename", "state", "mitigation"])
        .budget(32, Per::Host);

    FREQUENCY_CURRENT = frequency("node_cpu_frequency_hertz", "Current CPU thread frequency in hertz.");
    FREQUENCY_AVERAGE = frequency("node_cpu_frequency_avg_hertz", "Average CPU thread frequency in hertz.");
    FREQUENCY_MIN = frequency("node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz.");
    FREQUENCY_MAX = frequency("node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz.");
    SCALING_CURRENT = frequency("node_cpu_scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz.")
        .otel(&[Term::of(&FREQUENCY).map(&[LabelMap::to("cpu", "cpu.logical_number")])]);
    SCALING_MIN = frequency("node_cpu_scaling_frequency_min_hertz", "Minimum scaled CPU thread frequency in hertz.");
    SCALING_MAX = frequency("node_cpu_scaling_frequency_max_hertz", "Maximum scaled CPU thread frequency in hertz.");
    GOVERNOR = frequency("node_cpu_scaling_governor", "Current enabled CPU frequency governor.")
        .labels(&["cpu", "governor"])
        .budget(6, Per::Cpu);

    INTERRUPTS = Family::counter("interrupts", "node_interrupts_total", "Interrupt details.")
        .labels(&["cpu", "type", "info", "devices"])
        .budget(256, Per::Cpu);
    SOFTIRQS = Family::counter("softirqs", "node_softirqs_functions_total", "Softirq counts per CPU.")
        .labels(&["cpu", "type"])
        .budget(10, Per::Cpu);

    RUNNING = scheduler("node_schedstat_running_seconds_total", "Number of seconds CPU spent running a process.");
    WAITING = scheduler("node_schedstat_waiting_seconds_total", "Number of seconds spent by processing waiting for this CPU.");
    TIMESLICES = scheduler("node_schedstat_timeslices_total", "Number of timeslices executed by CPU.");

    LOAD1 = Family::gauge("loadavg", "node_load1", "1m load average.").otel(&[Term::of(&LOAD_1M)]);
    LOAD5 = Family::gauge("loadavg", "node_load5", "5m load average.").otel(&[Term::of(&LOAD_5M)]);
    LOAD15 = Family::gauge("loadavg", "node_load15", "15m load average.").otel(&[Term::of(&LOAD_15M)]);
}
