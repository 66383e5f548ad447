//! The catalogue: every metric family kanary can expose, once, with all that the renderings need to know.
//!
//! A name stands nowhere else: collectors refer to the statics of the sub-modules, `METRICS.md`, the dashboard
//! check and the alert check are derived from [`all`]. Prometheus names are node_exporter's where it has one;
//! OpenTelemetry names follow the semantic conventions 1.44.

pub mod anomaly;
pub mod bpf;
pub mod cpu;
pub mod disk;
pub mod filesystem;
pub mod hardware;
pub mod memory;
pub mod network;
pub mod own;
#[cfg(test)]
mod page;
pub mod sensor;
pub mod syscall;
pub mod system;
pub mod zone;

/// What a family is in Prometheus' terms. `Untyped` is stored without a type, as node_exporter does for
/// `/proc/vmstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Untyped,
    Histogram,
}

/// One metric family.
#[derive(Debug)]
pub struct Family {
    /// Prometheus name. One `*` stands for the key of an open family (`node_memory_*`).
    pub name: &'static str,
    pub kind: Kind,
    /// Prometheus HELP. In an open family `*` stands for the key.
    pub help: &'static str,
    /// Label names, in the order in which samples carry their values.
    pub labels: &'static [&'static str],
    /// Whether a label without value is left out; node_exporter's are written empty, as it does.
    pub sparse: bool,
    /// Whether a counter is of unknown type to OpenMetrics, which takes `_total` off the names of counters: a gauge has
    /// that name.
    pub clashes: bool,
    /// Id of the collector that fills it: a row of `collect::ALL`.
    pub collector: &'static str,
    /// Most series it may have.
    pub budget: Budget,
    /// What OTLP sends for it; empty = not sent.
    pub otel: &'static [Term],
}

/// Series budget: `count` for each `per` of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub count: u32,
    pub per: Per,
}

/// What a budget is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    Host,
    Cpu,
    Disk,
    Mount,
    Interface,
    /// One of what the collector is about: an array, a battery, a thermal zone, a memory controller.
    Device,
    /// A reading of a monitoring chip, with its limits.
    Sensor,
    Collector,
}

/// Contribution of one Prometheus family to one OTLP metric.
///
/// An OTLP point is the weighted sum of all terms that agree in metric and attributes: `system.memory.usage{used}`
/// is MemTotal − MemAvailable. It is sent only when every term of that metric and those fixed attributes was seen.
/// Labels that `labels` does not list are summed over.
#[derive(Debug)]
pub struct Term {
    pub metric: &'static OtelMetric,
    pub weight: f64,
    /// Fixed attributes.
    pub attributes: &'static [(&'static str, &'static str)],
    pub labels: &'static [LabelMap],
}

/// How a Prometheus label becomes an OTLP attribute; a value that `values` does not list is kept.
#[derive(Debug)]
pub struct LabelMap {
    pub label: &'static str,
    pub attribute: &'static str,
    pub values: &'static [(&'static str, &'static str)],
}

/// An OTLP metric: name and unit (UCUM) of the semantic conventions, or `kanary.*`.
#[derive(Debug)]
pub struct OtelMetric {
    pub name: &'static str,
    pub unit: &'static str,
    pub kind: OtelKind,
    pub description: &'static str,
}

/// OTLP data kinds. `Counter` is a monotonic cumulative sum, `UpDownCounter` a non-monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtelKind {
    Counter,
    UpDownCounter,
    Gauge,
    /// Exponential, or explicit buckets when asked for.
    Histogram,
}

impl Family {
    const fn new(collector: &'static str, kind: Kind, name: &'static str, help: &'static str) -> Self {
        Family {
            name,
            kind,
            help,
            labels: &[],
            sparse: false,
            clashes: false,
            collector,
            budget: Budget { count: 1, per: Per::Host },
            otel: &[],
        }
    }
    pub const fn counter(collector: &'static str, name: &'static str, help: &'static str) -> Self {
        Self::new(collector, Kind::Counter, name, help)
    }
    pub const fn gauge(collector: &'static str, name: &'static str, help: &'static str) -> Self {
        Self::new(collector, Kind::Gauge, name, help)
    }
    pub const fn untyped(collector: &'static str, name: &'static str, help: &'static str) -> Self {
        Self::new(collector, Kind::Untyped, name, help)
    }
    pub const fn histogram(collector: &'static str, name: &'static str, help: &'static str) -> Self {
        Self::new(collector, Kind::Histogram, name, help)
    }
    pub const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }
    pub const fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }
    pub const fn clashes(mut self) -> Self {
        self.clashes = true;
        self
    }
    pub const fn budget(mut self, count: u32, per: Per) -> Self {
        self.budget = Budget { count, per };
        self
    }
    pub const fn otel(mut self, terms: &'static [Term]) -> Self {
        self.otel = terms;
        self
    }
    /// Whether the name has a key to fill in.
    pub fn is_open(&self) -> bool {
        self.name.contains('*')
    }
}

impl Term {
    pub const fn of(metric: &'static OtelMetric) -> Self {
        Term { metric, weight: 1.0, attributes: &[], labels: &[] }
    }
    pub const fn minus(mut self) -> Self {
        self.weight = -1.0;
        self
    }
    pub const fn with(mut self, attributes: &'static [(&'static str, &'static str)]) -> Self {
        self.attributes = attributes;
        self
    }
    pub const fn map(mut self, labels: &'static [LabelMap]) -> Self {
        self.labels = labels;
        self
    }
}

impl LabelMap {
    pub const fn to(label: &'static str, attribute: &'static str) -> Self {
        LabelMap { label, attribute, values: &[] }
    }
    pub const fn renaming(mut self, values: &'static [(&'static str, &'static str)]) -> Self {
        self.values = values;
        self
    }
}

impl OtelMetric {
    pub const fn new(name: &'static str, unit: &'static str, kind: OtelKind, description: &'static str) -> Self {
        OtelMetric { name, unit, kind, description }
    }
}

/// Declares the statics of one area and the slice `ALL` of them.
macro_rules! families {
    ($($ident:ident = $family:expr;)*) => {
        $(pub static $ident: $crate::metric::Family = $family;)*
        /// Every family of this area.
        pub static ALL: &[&$crate::metric::Family] = &[$(&$ident),*];
    };
}
pub(crate) use families;

/// Every family, area by area.
pub fn all() -> impl Iterator<Item = &'static Family> {
    [
        cpu::ALL,
        memory::ALL,
        zone::ALL,
        disk::ALL,
        filesystem::ALL,
        network::ALL,
        hardware::ALL,
        sensor::ALL,
        system::ALL,
        syscall::ALL,
        bpf::ALL,
        anomaly::ALL,
        own::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}
