//! The host as a whole: collectors `entropy`, `filefd`, `kernel_hung`, `os`, `pressure`, `selinux`, `stat`, `time`,
//! `timex` and `uname`.

use super::{Family, OtelKind, OtelMetric, Per, Term, families};

static UPTIME: OtelMetric = OtelMetric::new("system.uptime", "s", OtelKind::Gauge, "Time the system has been running.");
static CREATED: OtelMetric =
    OtelMetric::new("system.process.created", "{process}", OtelKind::Counter, "Processes created since boot.");
static COUNT: OtelMetric =
    OtelMetric::new("system.process.count", "{process}", OtelKind::UpDownCounter, "Processes in each state.");

/// Labels of [`OS`], which are the lower-case keys of os-release(5).
pub const OS_LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

const HUNG: &str = "Total number of tasks that have been detected as hung since the system booted.";

const fn clock(name: &'static str, help: &'static str) -> Family {
    Family::gauge("timex", name, help)
}

const CLOCKSOURCE: &[&str] = &["device", "clocksource"];

families! {
    INTR = Family::counter("stat", "node_intr_total", "Total number of interrupts serviced.");
    CONTEXT_SWITCHES = Family::counter("stat", "node_context_switches_total", "Total number of context switches.");
    FORKS = Family::counter("stat", "node_forks_total", "Total number of forks.").otel(&[Term::of(&CREATED)]);
    BOOT_TIME = Family::gauge("stat", "node_boot_time_seconds", "Node boot time, in unixtime.")
        .otel(&[Term::of(&UPTIME).minus()]);
    PROCS_RUNNING = Family::gauge("stat", "node_procs_running", "Number of processes in runnable state.")
        .otel(&[Term::of(&COUNT).with(&[("process.state", "running")])]);
    PROCS_BLOCKED = Family::gauge("stat", "node_procs_blocked", "Number of processes blocked waiting for I/O to complete.");
    SOFTIRQS = Family::counter("stat", "node_softirqs_total", "Number of softirq calls.")
        .labels(&["vector"])
        .budget(10, Per::Host);

    CPU_WAITING = Family::counter("pressure", "node_pressure_cpu_waiting_seconds_total", "Total time in seconds that processes have waited for CPU time");
    IO_WAITING = Family::counter("pressure", "node_pressure_io_waiting_seconds_total", "Total time in seconds that processes have waited due to IO congestion");
    IO_STALLED = Family::counter("pressure", "node_pressure_io_stalled_seconds_total", "Total time in seconds no process could make progress due to IO congestion");
    MEMORY_WAITING = Family::counter("pressure", "node_pressure_memory_waiting_seconds_total", "Total time in seconds that processes have waited for memory");
    MEMORY_STALLED = Family::counter("pressure", "node_pressure_memory_stalled_seconds_total", "Total time in seconds no process could make progress due to memory congestion");
    IRQ_STALLED = Family::counter("pressure", "node_pressure_irq_stalled_seconds_total", "Total time in seconds no process could make progress due to IRQ congestion");

    TIME = Family::gauge("time", "node_time_seconds", "System time in seconds since epoch (1970).")
        .otel(&[Term::of(&UPTIME)]);
    TIME_ZONE = Family::gauge("time", "node_time_zone_offset_seconds", "System time zone offset in seconds.")
        .labels(&["time_zone"]);
    CLOCKSOURCE_AVAILABLE = Family::gauge("time", "node_time_clocksource_available_info", "Available clocksources read from '/sys/devices/system/clocksource'.")
        .labels(CLOCKSOURCE)
        .budget(8, Per::Host);
    CLOCKSOURCE_CURRENT = Family::gauge("time", "node_time_clocksource_current_info", "Current clocksource read from '/sys/devices/system/clocksource'.")
        .labels(CLOCKSOURCE);

    ENTROPY = Family::gauge("entropy", "node_entropy_available_bits", "Bits of available entropy.");
    ENTROPY_POOL = Family::gauge("entropy", "node_entropy_pool_size_bits", "Bits of entropy pool.");

    FILES_ALLOCATED = Family::gauge("filefd", "node_filefd_allocated", "File descriptor statistics: allocated.");
    FILES_MAXIMUM = Family::gauge("filefd", "node_filefd_maximum", "File descriptor statistics: maximum.");

    HUNG_TASKS_TOTAL = Family::counter("kernel_hung", "node_kernel_hung_tasks_total", HUNG).clashes();
    // The name that the dashboard 'Node Exporter Full' asks for; node_exporter has it not.
    HUNG_TASKS = Family::gauge("kernel_hung", "node_kernel_hung_tasks", HUNG);

    OS = Family::gauge("os", "node_os_info", "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.")
        .labels(&OS_LABELS);
    OS_VERSION = Family::gauge("os", "node_os_version", "Metric containing the major.minor part of the OS version.")
        .labels(&["id", "id_like", "name"]);
    OS_SUPPORT_END = Family::gauge("os", "node_os_support_end_timestamp_seconds", "Metric containing the end-of-life date timestamp of the OS.");

    SELINUX_ENABLED = Family::gauge("selinux", "node_selinux_enabled", "SELinux is enabled, 1 is true, 0 is false");
    SELINUX_CONFIG = Family::gauge("selinux", "node_selinux_config_mode", "Configured SELinux enforcement mode");
    SELINUX_CURRENT = Family::gauge("selinux", "node_selinux_current_mode", "Current SELinux enforcement mode");

    CLOCK_SYNC = clock("node_timex_sync_status", "Is clock synchronized to a reliable server (1 = yes, 0 = no).");
    CLOCK_OFFSET = clock("node_timex_offset_seconds", "Time offset in between local system and reference clock.");
    CLOCK_FREQUENCY = clock("node_timex_frequency_adjustment_ratio", "Local clock frequency adjustment.");
    CLOCK_MAX_ERROR = clock("node_timex_maxerror_seconds", "Maximum error in seconds.");
    CLOCK_ESTIMATED_ERROR = clock("node_timex_estimated_error_seconds", "Estimated error in seconds.");
    CLOCK_STATUS = clock("node_timex_status", "Value of the status array bits.");
    CLOCK_CONSTANT = clock("node_timex_loop_time_constant", "Phase-locked loop time constant.");
    CLOCK_TICK = clock("node_timex_tick_seconds", "Seconds between clock ticks.");
    CLOCK_TAI = clock("node_timex_tai_offset_seconds", "International Atomic Time (TAI) offset.");
    PPS_FREQUENCY = clock("node_timex_pps_frequency_hertz", "Pulse per second frequency.");
    PPS_JITTER = clock("node_timex_pps_jitter_seconds", "Pulse per second jitter.");
    PPS_SHIFT = clock("node_timex_pps_shift_seconds", "Pulse per second interval duration.");
    PPS_STABILITY = clock("node_timex_pps_stability_hertz", "Pulse per second stability, average of recent frequency changes.");
    PPS_JITTERS = Family::counter("timex", "node_timex_pps_jitter_total", "Pulse per second count of jitter limit exceeded events.");
    PPS_CALIBRATIONS = Family::counter("timex", "node_timex_pps_calibration_total", "Pulse per second count of calibration intervals.");
    PPS_ERRORS = Family::counter("timex", "node_timex_pps_error_total", "Pulse per second count of calibration errors.");
    PPS_STABILITY_EXCEEDED = Family::counter("timex", "node_timex_pps_stability_exceeded_total", "Pulse per second count of stability limit exceeded events.");

    UNAME = Family::gauge("uname", "node_uname_info", "Labeled system information as provided by the uname system call.")
        .labels(&["sysname", "release", "version", "machine", "nodename", "domainname"]);
}
