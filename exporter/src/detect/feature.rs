//! What a kind of feature is: where its value comes from, what it is called by device, and what matters of it.

use serde::{Deserialize, Serialize};

use super::level::Grain;
use super::slot::Traits;
use crate::metric::{Family, cpu, syscall};

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

pub const fn all(family: &'static Family) -> Term {
    Term { family, weight: 1.0, only: Only::All }
}
pub const fn minus(family: &'static Family) -> Term {
    Term { family, weight: -1.0, only: Only::All }
}
pub const fn modes(modes: &'static [&'static str]) -> Term {
    Term { family: &cpu::SECONDS, weight: 1.0, only: Only::With("mode", modes) }
}

impl Feature {
    pub const fn new(name: &'static str, unit: &'static str, transform: Transform, of: &'static [Term]) -> Self {
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
    pub const fn rate(name: &'static str, unit: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, unit, Transform::Rate, of)
    }
    pub const fn gauge(name: &'static str, unit: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, unit, Transform::Gauge, of)
    }
    /// Share of all CPU time spent in some modes.
    pub const fn cpu(name: &'static str, of: &'static [Term]) -> Self {
        Self::new(name, "1", Transform::RatioOfRates { least: 1e-3 }, of).over(CPU_TIME).grain(0.005, 0.0)
    }
    pub const fn latency(name: &'static str, q: f64, least: u64) -> Self {
        Self::new(name, "s", Transform::Quantile { q, least }, CALLS).by(Dimension::Syscall)
    }
    pub const fn over(mut self, over: &'static [Term]) -> Self {
        self.over = over;
        self
    }
    pub const fn by(mut self, dimension: Dimension) -> Self {
        self.dimension = Some(dimension);
        self
    }
    pub const fn bad(mut self, bad: Bad) -> Self {
        self.bad = bad;
        self
    }
    pub const fn limit(mut self, limit: f64) -> Self {
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
    pub const fn grain(mut self, absolute: f32, relative: f32) -> Self {
        self.grain = Grain { absolute, relative };
        self
    }
}

const CPU_TIME: &[Term] = &[all(&cpu::SECONDS)];
const CALLS: &[Term] = &[all(&syscall::DURATION)];

#[cfg(test)]
mod tests {
    use super::*;

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
}
