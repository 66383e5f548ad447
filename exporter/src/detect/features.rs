//! What the detector watches: a fixed table, so that a score means the same on every host.
//!
//! Latencies that measure waiting for somebody else (`read`, `futex`, `poll`, `epoll_wait`, `accept`) are no features.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::level::Grain;
use super::slot::Traits;
use crate::metric::{Family, cpu, disk, filesystem, memory, network, syscall, system};

/// One kind of feature; with a dimension there is one for each admitted device.
#[derive(Debug)]
pub struct Feature {
    pub name: &'static str,
    pub dimension: Option<Dimension>,
    pub transform: Transform,
    /// Families that are added up, and those they are divided by.
    pub of: &'static [Term],
    pub over: &'static [Term],
    pub bad: Bad,
    /// Unit of the value, UCUM.
    pub unit: &'static str,
    /// Where it must not arrive.
    pub limit: Option<f64>,
    /// What is no change yet: a steady host is left alone over trifles.
    pub grain: Grain,
}

/// How samples become a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transform {
    /// Sum of `of`, divided by that of `over` when there is any.
    Gauge,
    /// Increase of `of` per second.
    Rate,
    /// Increase of `of` over that of `over`, once the latter is at least this.
    RatioOfRates { least: f64 },
    /// Quantile of a histogram's increase, once it counts at least `least`.
    Quantile { q: f64, least: u64 },
}

/// Direction in which trouble lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bad {
    High,
    Low,
    #[default]
    Either,
}

impl Bad {
    /// What of a deviation lies in this direction.
    pub fn part(self, deviation: f32) -> f32 {
        match self {
            Bad::High => deviation.max(0.0),
            Bad::Low => deviation.min(0.0),
            Bad::Either => deviation,
        }
    }
}

/// What tells features of one kind apart: the label of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Disk,
    Mount,
    Interface,
    Syscall,
}

impl Dimension {
    pub const ALL: [Dimension; 4] = [Dimension::Disk, Dimension::Mount, Dimension::Interface, Dimension::Syscall];

    /// Name of the label, in the sources and in what is published.
    pub fn label(self) -> &'static str {
        match self {
            Dimension::Disk | Dimension::Interface => "device",
            Dimension::Mount => "mountpoint",
            Dimension::Syscall => "syscall",
        }
    }

    /// Most devices followed: first come, first served.
    pub fn cap(self) -> usize {
        match self {
            Dimension::Disk | Dimension::Mount => 8,
            Dimension::Interface => 4,
            Dimension::Syscall => WORKING_SYSCALLS.len(),
        }
    }

    /// Whether a device is worth following. `label` answers for the labels of its first sample.
    pub fn admits<'a>(self, name: &str, label: impl Fn(&str) -> &'a str) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
        match self {
            Dimension::Disk => !starts(VIRTUAL_DISKS),
            Dimension::Interface => !starts(VIRTUAL_INTERFACES),
            Dimension::Mount => !VIRTUAL_FILESYSTEMS.iter().any(|p| label("fstype").starts_with(p)),
            Dimension::Syscall => WORKING_SYSCALLS.contains(&name),
        }
    }
}

const VIRTUAL_DISKS: &[&str] = &["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "drbd", "rbd"];
const VIRTUAL_INTERFACES: &[&str] =
    &["lo", "veth", "docker", "br-", "virbr", "vnet", "cni", "cali", "flannel", "lxc", "tap", "tun", "dummy", "ifb"];
const VIRTUAL_FILESYSTEMS: &[&str] =
    &["tmpfs", "devtmpfs", "ramfs", "squashfs", "iso9660", "udf", "erofs", "nsfs", "autofs", "efivarfs", "fuse."];
/// Calls whose time is work of kernel and storage.
const WORKING_SYSCALLS: &[&str] = &[
    "fsync",
    "fdatasync",
    "openat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "ftruncate",
    "fallocate",
    "execve",
];

/// A family's part in a sum.
#[derive(Debug)]
pub struct Term {
    pub family: &'static Family,
    pub weight: f64,
    pub only: Only,
}

/// Which points of a family count.
#[derive(Debug)]
pub enum Only {
    All,
    /// Those whose label has one of these values.
    With(&'static str, &'static [&'static str]),
    Without(&'static str, &'static [&'static str]),
}

const fn all(family: &'static Family) -> Term {
    Term { family, weight: 1.0, only: Only::All }
}
const fn minus(family: &'static Family) -> Term {
    Term { family, weight: -1.0, only: Only::All }
}
const fn modes(modes: &'static [&'static str]) -> Term {
    Term { family: &cpu::SECONDS, weight: 1.0, only: Only::With("mode", modes) }
}

impl Feature {
    const fn new(name: &'static str, unit: &'static str, transform: Transform, of: &'static [Term]) -> Self {
        Feature {
            name,
            dimension: None,
            transform,
            of,
            over: &[],
            bad: Bad::High,
            unit,
            limit: None,
            grain: Grain { absolute: 0.0, relative: 0.0 },
        }
    }
    const fn rate(name: &'static str, unit: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, unit, Transform::Rate, of)
    }
    const fn gauge(name: &'static str, unit: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, unit, Transform::Gauge, of)
    }
    /// Share of all CPU time spent in some modes.
    const fn cpu(name: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, "1", Transform::RatioOfRates { least: 1e-3 }, of).over(CPU_TIME).grain(0.005, 0.0)
    }
    const fn latency(name: &'static str, q: f64, least: u64) -> Self {
        Self::new(name, "s", Transform::Quantile { q, least }, CALLS).by(Dimension::Syscall)
    }
    const fn over(mut self, over: &'static [Term]) -> Self {
        self.over = over;
        self
    }
    const fn by(mut self, dimension: Dimension) -> Self {
        self.dimension = Some(dimension);
        self
    }
    const fn bad(mut self, bad: Bad) -> Self {
        self.bad = bad;
        self
    }
    const fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }
    /// What the engine must know of it.
    pub fn traits(&self) -> Traits {
        let sparse = match self.transform {
            Transform::Gauge | Transform::Rate => false,
            Transform::RatioOfRates { least } => least >= 1.0,
            Transform::Quantile { .. } => true,
        };
        Traits { limit: self.limit, grain: self.grain, bad: self.bad, sparse }
    }
    /// In the feature's unit, and as a share of its level.
    const fn grain(mut self, absolute: f32, relative: f32) -> Self {
        self.grain = Grain { absolute, relative };
        self
    }
}

const CPU_TIME: &[Term] = &[all(&cpu::SECONDS)];
const CALLS: &[Term] = &[all(&syscall::DURATION)];

/// Errnos that programs meet in their ordinary work.
const ORDINARY: &[&str] = &["EAGAIN", "EINTR", "ENOENT", "EINPROGRESS", "ETIMEDOUT", "EEXIST", "ENOTTY", "EINVAL"];

/// Every kind of feature.
pub static ALL: &[Feature] = &[
    Feature::cpu("cpu.busy", &[modes(&["user", "nice", "system", "irq", "softirq", "steal"])]),
    Feature::cpu("cpu.user", &[modes(&["user", "nice"])]),
    Feature::cpu("cpu.system", &[modes(&["system"])]),
    Feature::cpu("cpu.iowait", &[modes(&["iowait"])]),
    Feature::cpu("cpu.steal", &[modes(&["steal"])]),
    Feature::cpu("cpu.irq", &[modes(&["irq", "softirq"])]),
    Feature::gauge("load.1m", "1", &[all(&cpu::LOAD1)]).grain(0.25, 0.02),
    Feature::gauge("procs.running", "{process}", &[all(&system::PROCS_RUNNING)]).grain(1.0, 0.0),
    Feature::gauge("procs.blocked", "{process}", &[all(&system::PROCS_BLOCKED)]).grain(0.5, 0.0),
    Feature::rate("kernel.forks", "{process}/s", &[all(&system::FORKS)]).bad(Bad::Either).grain(1.0, 0.02),
    Feature::rate("kernel.context_switches", "{switch}/s", &[all(&system::CONTEXT_SWITCHES)])
        .bad(Bad::Either)
        .grain(200.0, 0.02),
    Feature::rate("kernel.interrupts", "{interrupt}/s", &[all(&system::INTR)]).bad(Bad::Either).grain(200.0, 0.02),
    Feature::gauge("memory.available", "By", &[all(&memory::MEM_AVAILABLE)]).bad(Bad::Low).limit(0.0).grain(8e6, 0.005),
    Feature::gauge("memory.used", "1", &[all(&memory::MEM_TOTAL), minus(&memory::MEM_AVAILABLE)])
        .over(&[all(&memory::MEM_TOTAL)])
        .grain(0.005, 0.0),
    Feature::gauge("memory.anonymous", "By", &[all(&memory::ANON_PAGES)]).grain(8e6, 0.01),
    Feature::gauge("memory.cached", "By", &[all(&memory::CACHED)]).bad(Bad::Either).grain(8e6, 0.01),
    Feature::gauge("memory.dirty", "By", &[all(&memory::DIRTY_BYTES)]).grain(4e6, 0.02),
    Feature::gauge("memory.writeback", "By", &[all(&memory::WRITEBACK)]).grain(1e6, 0.02),
    Feature::gauge("memory.slab", "By", &[all(&memory::SLAB_BYTES)]).grain(4e6, 0.01),
    Feature::gauge("memory.page_tables", "By", &[all(&memory::PAGE_TABLES)]).grain(1e6, 0.01),
    Feature::gauge("memory.committed", "1", &[all(&memory::COMMITTED_AS)])
        .over(&[all(&memory::COMMIT_LIMIT)])
        .grain(0.005, 0.0),
    Feature::gauge("memory.swap_used", "1", &[all(&memory::SWAP_TOTAL), minus(&memory::SWAP_FREE_BYTES)])
        .over(&[all(&memory::SWAP_TOTAL)])
        .limit(1.0)
        .grain(0.005, 0.0),
    Feature::rate("memory.swap_in", "{page}/s", &[all(&memory::PSWPIN)]).grain(4.0, 0.02),
    Feature::rate("memory.swap_out", "{page}/s", &[all(&memory::PSWPOUT)]).grain(4.0, 0.02),
    Feature::rate("memory.major_faults", "{fault}/s", &[all(&memory::PGMAJFAULT)]).grain(2.0, 0.02),
    Feature::rate("memory.minor_faults", "{fault}/s", &[all(&memory::PGFAULT), minus(&memory::PGMAJFAULT)])
        .grain(200.0, 0.02),
    Feature::rate("memory.oom_kills", "{process}/s", &[all(&memory::OOM_KILL)]),
    Feature::rate("psi.cpu.some", "1", &[all(&system::CPU_WAITING)]).grain(0.005, 0.0),
    Feature::rate("psi.io.some", "1", &[all(&system::IO_WAITING)]).grain(0.005, 0.0),
    Feature::rate("psi.io.full", "1", &[all(&system::IO_STALLED)]).grain(0.005, 0.0),
    Feature::rate("psi.memory.some", "1", &[all(&system::MEMORY_WAITING)]).grain(0.002, 0.0),
    Feature::rate("psi.memory.full", "1", &[all(&system::MEMORY_STALLED)]).grain(0.002, 0.0),
    Feature::rate("disk.reads", "{operation}/s", &[all(&disk::READS_COMPLETED)])
        .by(Dimension::Disk)
        .bad(Bad::Either)
        .grain(2.0, 0.02),
    Feature::rate("disk.writes", "{operation}/s", &[all(&disk::WRITES_COMPLETED)])
        .by(Dimension::Disk)
        .bad(Bad::Either)
        .grain(2.0, 0.02),
    Feature::rate("disk.read_bytes", "By/s", &[all(&disk::READ_BYTES)])
        .by(Dimension::Disk)
        .bad(Bad::Either)
        .grain(64e3, 0.02),
    Feature::rate("disk.written_bytes", "By/s", &[all(&disk::WRITTEN_BYTES)])
        .by(Dimension::Disk)
        .bad(Bad::Either)
        .grain(64e3, 0.02),
    Feature::new(
        "disk.latency",
        "s",
        Transform::RatioOfRates { least: 5.0 },
        &[all(&disk::READ_TIME), all(&disk::WRITE_TIME)],
    )
    .over(&[all(&disk::READS_COMPLETED), all(&disk::WRITES_COMPLETED)])
    .by(Dimension::Disk)
    .grain(200e-6, 0.05),
    Feature::rate("disk.busy", "1", &[all(&disk::IO_TIME_SECONDS)]).by(Dimension::Disk).grain(0.005, 0.0),
    Feature::rate("disk.queue", "{operation}", &[all(&disk::IO_TIME_WEIGHTED)]).by(Dimension::Disk).grain(0.05, 0.02),
    Feature::gauge("filesystem.used", "1", &[all(&filesystem::SIZE), minus(&filesystem::FREE_BYTES)])
        .over(&[all(&filesystem::SIZE), minus(&filesystem::FREE_BYTES), all(&filesystem::AVAILABLE)])
        .by(Dimension::Mount)
        .limit(1.0)
        .grain(0.001, 0.0),
    Feature::gauge("filesystem.inodes_used", "1", &[all(&filesystem::FILES), minus(&filesystem::FILES_FREE)])
        .over(&[all(&filesystem::FILES)])
        .by(Dimension::Mount)
        .limit(1.0)
        .grain(0.001, 0.0),
    Feature::rate("network.receive_bytes", "By/s", &[all(&network::RECEIVE_BYTES)])
        .by(Dimension::Interface)
        .bad(Bad::Either)
        .grain(4e3, 0.02),
    Feature::rate("network.transmit_bytes", "By/s", &[all(&network::TRANSMIT_BYTES)])
        .by(Dimension::Interface)
        .bad(Bad::Either)
        .grain(4e3, 0.02),
    Feature::rate("network.receive_packets", "{packet}/s", &[all(&network::RECEIVE_PACKETS)])
        .by(Dimension::Interface)
        .bad(Bad::Either)
        .grain(10.0, 0.02),
    Feature::rate("network.transmit_packets", "{packet}/s", &[all(&network::TRANSMIT_PACKETS)])
        .by(Dimension::Interface)
        .bad(Bad::Either)
        .grain(10.0, 0.02),
    Feature::rate("network.errors", "{error}/s", &[all(&network::RECEIVE_ERRS), all(&network::TRANSMIT_ERRS)])
        .by(Dimension::Interface),
    Feature::rate("network.drops", "{packet}/s", &[all(&network::RECEIVE_DROP), all(&network::TRANSMIT_DROP)])
        .by(Dimension::Interface),
    Feature::rate("syscall.calls", "{call}/s", &[all(&syscall::TOTAL)]).bad(Bad::Either).grain(200.0, 0.02),
    Feature::rate(
        "syscall.errors",
        "{error}/s",
        &[Term { family: &syscall::ERRORS, weight: 1.0, only: Only::Without("errno", ORDINARY) }],
    )
    .grain(1.0, 0.02),
    Feature::latency("syscall.latency_p50", 0.5, 10).grain(1e-6, 0.1),
    Feature::latency("syscall.latency_p99", 0.99, 50).grain(10e-6, 0.1),
];

/// Traits of the feature that a recorded series holds, `<feature>` or `<feature>@<device>`; of other series nothing is
/// known.
pub fn traits_of(name: &str) -> Traits {
    let kind = name.split('@').next().unwrap_or(name);
    ALL.iter().find(|f| f.name == kind).map_or_else(Traits::default, Feature::traits)
}

/// Every family the features are made of, once.
pub fn families() -> Vec<&'static Family> {
    let mut found: Vec<&'static Family> = Vec::new();
    for term in ALL.iter().flat_map(|f| f.of.iter().chain(f.over)) {
        if !found.iter().any(|f| std::ptr::eq(*f, term.family)) {
            found.push(term.family);
        }
    }
    found
}

/// Collectors the features need, each once.
pub fn sources() -> impl Iterator<Item = &'static str> {
    let mut ids: Vec<&'static str> = families().iter().map(|f| f.collector).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
}

/// Least time between two looks at sources that are dear or change slowly.
const SLOW: &[(&str, Duration)] = &[("filesystem", Duration::from_secs(10))];

/// How often the features want a collector; `None` when none of them needs it.
pub fn period(collector: &str, tick: Duration) -> Option<Duration> {
    let least = SLOW.iter().find(|(id, _)| *id == collector).map_or(Duration::ZERO, |(_, d)| *d);
    sources().any(|id| id == collector).then(|| tick.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;

    #[test]
    fn there_are_at_least_forty_kinds_and_each_name_is_used_once() {
        assert!(ALL.len() >= 40, "{}", ALL.len());
        for (i, f) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|g| g.name != f.name), "{} twice", f.name);
        }
    }

    #[test]
    fn transforms_fit_their_sources() {
        for f in ALL {
            for term in f.of.iter().chain(f.over) {
                let kind = term.family.kind;
                let fits = match f.transform {
                    Transform::Quantile { .. } => kind == Kind::Histogram,
                    Transform::Gauge => kind == Kind::Gauge,
                    Transform::Rate | Transform::RatioOfRates { .. } => matches!(kind, Kind::Counter | Kind::Untyped),
                };
                assert!(fits, "{}: {} is a {kind:?}", f.name, term.family.name);
                let label = f.dimension.map_or("", Dimension::label);
                assert!(label.is_empty() || term.family.labels.contains(&label), "{}", f.name);
                if let Only::With(label, _) | Only::Without(label, _) = term.only {
                    assert!(term.family.labels.contains(&label), "{}", f.name);
                }
            }
        }
    }

    #[test]
    fn calls_that_wait_for_others_are_not_timed_as_features() {
        for call in ["read", "futex", "poll", "epoll_wait", "accept", "accept4", "select", "~other"] {
            assert!(!Dimension::Syscall.admits(call, |_| ""), "{call}");
        }
        assert!(Dimension::Syscall.admits("fsync", |_| ""));
    }

    #[test]
    fn only_physical_devices_are_followed() {
        assert!(Dimension::Disk.admits("nvme0n1", |_| "") && Dimension::Disk.admits("sda", |_| ""));
        assert!(!Dimension::Disk.admits("loop7", |_| "") && !Dimension::Disk.admits("dm-0", |_| ""));
        assert!(Dimension::Interface.admits("enp3s0", |_| "") && !Dimension::Interface.admits("veth12ab", |_| ""));
        assert!(Dimension::Mount.admits("/", |_| "ext4") && !Dimension::Mount.admits("/run", |_| "tmpfs"));
    }

    #[test]
    fn statfs_is_asked_every_ten_seconds_and_unused_collectors_never() {
        let tick = Duration::from_secs(1);
        assert_eq!(period("filesystem", tick), Some(Duration::from_secs(10)));
        assert_eq!(period("cpu", tick), Some(tick));
        assert_eq!(period("filesystem", Duration::from_secs(60)), Some(Duration::from_secs(60)));
        assert_eq!(period("uname", tick), None);
    }
}
