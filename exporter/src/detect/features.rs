//! What the detector watches: a fixed table, so that a score means the same on every host.
//!
//! Latencies that measure waiting for somebody else (`read`, `futex`, `poll`, `epoll_wait`, `accept`) are no features.

use std::time::Duration;

use super::feature::{Bad, Dimension, Feature, Only, Term, Transform, all, minus, modes};
use super::slot::Traits;
use crate::metric::{Family, cpu, disk, filesystem, memory, network, syscall, system};

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
    fn statfs_is_asked_every_ten_seconds_and_unused_collectors_never() {
        let tick = Duration::from_secs(1);
        assert_eq!(period("filesystem", tick), Some(Duration::from_secs(10)));
        assert_eq!(period("cpu", tick), Some(tick));
        assert_eq!(period("filesystem", Duration::from_secs(60)), Some(Duration::from_secs(60)));
        assert_eq!(period("uname", tick), None);
    }
}
