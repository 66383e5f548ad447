//! kanary about itself, and node_exporter's families about collectors.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

/// Ids of kanary's own collectors; node_exporter's names are for the others.
pub static COLLECTORS: &[&str] = &["syscalls", "bpf", "detector", "self"];

static LOST_METRIC: OtelMetric =
    OtelMetric::new("kanary.lost", "{item}", OtelKind::Counter, "What was lost, by stage and reason.");
static CPU_TIME: OtelMetric =
    OtelMetric::new("process.cpu.time", "s", OtelKind::Counter, "CPU time of the kanary process.");
static MEMORY: OtelMetric =
    OtelMetric::new("process.memory.usage", "By", OtelKind::UpDownCounter, "Resident memory of the kanary process.");
static VIRTUAL: OtelMetric =
    OtelMetric::new("process.memory.virtual", "By", OtelKind::UpDownCounter, "Virtual memory of the kanary process.");
static OPEN_FILES: OtelMetric = OtelMetric::new(
    "process.unix.file_descriptor.count",
    "{file_descriptor}",
    OtelKind::UpDownCounter,
    "Open file descriptors of the kanary process.",
);
static COMPONENT: OtelMetric =
    OtelMetric::new("kanary.component.up", "1", OtelKind::Gauge, "Whether a part of kanary runs.");

const SELF: &str = "self";
/// Not a collector: what the pipeline says about all of them.
const SCRAPE: &str = "scrape";

families! {
    SCRAPE_COLLECTOR_DURATION = Family::gauge(SCRAPE, "node_scrape_collector_duration_seconds",
        "node_exporter: Duration of a collector scrape.").labels(&["collector"]).budget(1, Per::Collector);
    SCRAPE_COLLECTOR_SUCCESS = Family::gauge(SCRAPE, "node_scrape_collector_success",
        "node_exporter: Whether a collector succeeded.").labels(&["collector"]).budget(1, Per::Collector);
    COLLECTOR_DURATION = Family::gauge(SCRAPE, "kanary_collector_duration_seconds",
        "Time one of kanary's own collectors took.").labels(&["collector"]).budget(4, Per::Host);
    COLLECTOR_SUCCESS = Family::gauge(SCRAPE, "kanary_collector_success",
        "Whether one of kanary's own collectors succeeded.").labels(&["collector"]).budget(4, Per::Host);
    NODE_EXPORTER_BUILD_INFO = Family::gauge(SELF, "node_exporter_build_info",
        "Always 1: the version of kanary, under the name by which node_exporter's dashboards count hosts.")
        .labels(&["version", "revision", "goos", "goarch"]);
    BUILD_INFO = Family::gauge(SELF, "kanary_build_info",
        "Always 1: version, target and kernel of this kanary.").labels(&["version", "target", "kernel"]);
    LOST = Family::counter(SELF, "kanary_lost_total",
        "What was lost, by stage and reason. What is left out by design is not in here.")
        .labels(&["hop", "reason"]).budget(24, Per::Host)
        .otel(&[Term::of(&LOST_METRIC).map(&[LabelMap::to("hop", "kanary.hop"), LabelMap::to("reason", "kanary.reason")])]);
    COMPONENT_UP = Family::gauge(SELF, "kanary_component_up",
        "Whether a part of kanary runs.").labels(&["component"]).budget(8, Per::Host)
        .otel(&[Term::of(&COMPONENT).map(&[LabelMap::to("component", "kanary.component")])]);
    COMPONENT_RESTARTS = Family::counter(SELF, "kanary_component_restarts_total",
        "How often a part of kanary was started again after a failure.").labels(&["component"]).budget(8, Per::Host);
    OVERHEAD_CPU = Family::counter(SELF, "kanary_overhead_cpu_seconds_total",
        "CPU time of kanary's own threads, by part.").labels(&["part"]).budget(6, Per::Host);
    UNKNOWN_VARIABLES = Family::gauge(SELF, "kanary_config_unknown_variables",
        "KANARY_ variables in the environment that nothing knows: likely a misspelt setting.");
    PROCESS_CPU = Family::counter(SELF, "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.").otel(&[Term::of(&CPU_TIME)]);
    PROCESS_RESIDENT = Family::gauge(SELF, "process_resident_memory_bytes",
        "Resident memory size in bytes.").otel(&[Term::of(&MEMORY)]);
    PROCESS_VIRTUAL = Family::gauge(SELF, "process_virtual_memory_bytes",
        "Virtual memory size in bytes.").otel(&[Term::of(&VIRTUAL)]);
    PROCESS_ANONYMOUS = Family::gauge(SELF, "kanary_memory_anonymous_bytes",
        "Anonymous resident memory of the kanary process: what it costs the host beyond shared pages.");
    PROCESS_OPEN_FDS = Family::gauge(SELF, "process_open_fds",
        "Number of open file descriptors.").otel(&[Term::of(&OPEN_FILES)]);
    PROCESS_MAX_FDS = Family::gauge(SELF, "process_max_fds",
        "Maximum number of open file descriptors.");
    PROCESS_START = Family::gauge(SELF, "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.");
    PROCESS_THREADS = Family::gauge(SELF, "process_threads",
        "Number of OS threads in the process.");
}
