//! The host as a whole: collectors `stat`, `pressure`, `time` and `uname`.

use super::{Family, OtelKind, OtelMetric, Per, Term, families};

static UPTIME: OtelMetric = OtelMetric::new("system.uptime", "s", OtelKind::Gauge, "Time the system has been running.");
static CREATED: OtelMetric =
    OtelMetric::new("system.process.created", "{process}", OtelKind::Counter, "Processes created since boot.");
static COUNT: OtelMetric =
    OtelMetric::new("system.process.count", "{process}", OtelKind::UpDownCounter, "Processes in each state.");

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

    UNAME = Family::gauge("uname", "node_uname_info", "Labeled system information as provided by the uname system call.")
        .labels(&["sysname", "release", "version", "machine", "nodename", "domainname"]);
}
