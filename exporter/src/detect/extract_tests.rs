use std::time::Duration;

use super::super::engine::Tuning;
use super::*;
use crate::metric::{cpu, disk, filesystem, memory, syscall, system};
use crate::snapshot::{Outcome, Section, Sink, Stamp};
use crate::telemetry::lost_total;

fn snapshot(at: f64, fill: impl FnOnce(&mut Sink)) -> Snapshot {
    let stamp = Stamp { boot: Duration::from_secs_f64(at), wall: Duration::from_secs_f64(1.7e9 + at) };
    let mut sink = Sink::default();
    fill(&mut sink);
    let (samples, faults) = sink.finish();
    let section = Section { collector: "test", at: stamp, took: Duration::ZERO, outcome: Outcome::Ok, faults, samples };
    Snapshot { at: stamp, sections: vec![Arc::new(section)] }
}

struct Rig(Extractor, Engine);

impl Rig {
    fn new() -> Self {
        Rig(Extractor::default(), Engine::new(Tuning { warmup: 200, all_trends: false }))
    }
    fn row(&mut self, at: f64, fill: impl FnOnce(&mut Sink)) {
        let snapshot = snapshot(at, fill);
        self.0.row(&snapshot, &mut self.1);
    }
    fn value(&self, feature: &str, device: &str) -> Option<f64> {
        let at = self.1.slots.iter().position(|s| s.key.feature == feature && s.key.device == device)?;
        self.0.row.get(at).copied().filter(|x| !x.is_nan())
    }
}

#[test]
fn counters_become_rates_and_a_reset_none() {
    let mut rig = Rig::new();
    let forks = |n: f64| move |s: &mut Sink| s.number(&system::FORKS, &[], n);
    rig.row(10.0, forks(100.0));
    assert_eq!(rig.value("kernel.forks", ""), None);
    rig.row(12.0, forks(110.0));
    assert_eq!(rig.value("kernel.forks", ""), Some(5.0));
    rig.row(14.0, forks(3.0));
    assert_eq!(rig.value("kernel.forks", ""), None);
    rig.row(16.0, forks(5.0));
    assert_eq!(rig.value("kernel.forks", ""), Some(1.0));
    rig.row(60.0, forks(500.0));
    assert_eq!(rig.value("kernel.forks", ""), None, "a gap gives no rate");
}

#[test]
fn cpu_modes_are_shares_of_all_cpus() {
    let mut rig = Rig::new();
    let cpus = |user: f64, idle: f64| {
        move |s: &mut Sink| {
            for cpu in ["0", "1"] {
                s.number(&cpu::SECONDS, &[cpu, "user"], user);
                s.number(&cpu::SECONDS, &[cpu, "idle"], idle);
            }
        }
    };
    rig.row(1.0, cpus(10.0, 100.0));
    rig.row(2.0, cpus(10.25, 100.75));
    assert_eq!(rig.value("cpu.busy", ""), Some(0.25));
    assert_eq!(rig.value("cpu.iowait", ""), Some(0.0));
}

#[test]
fn devices_are_kept_apart_and_virtual_ones_left_out() {
    let mut rig = Rig::new();
    let disks = |n: f64| {
        move |s: &mut Sink| {
            for (device, factor) in [("loop0", 9.0), ("sda", 1.0), ("sdb", 2.0)] {
                s.number(&disk::READS_COMPLETED, &[device], n * factor);
            }
        }
    };
    rig.row(1.0, disks(0.0));
    rig.row(2.0, disks(10.0));
    assert_eq!(rig.value("disk.reads", "sda"), Some(10.0));
    assert_eq!(rig.value("disk.reads", "sdb"), Some(20.0));
    assert_eq!(rig.value("disk.reads", "loop0"), None);
    rig.row(3.0, |s| s.number(&disk::READS_COMPLETED, &["sdb"], 25.0));
    assert_eq!(rig.value("disk.reads", "sdb"), Some(5.0), "it keeps its place when another vanishes");
    assert_eq!(rig.value("disk.reads", "sda"), None);
}

#[test]
fn what_is_beyond_the_cap_is_counted() {
    let mut rig = Rig::new();
    let before = lost_total(Loss::FeatureCap);
    rig.row(1.0, |s| (0..30).for_each(|i| s.number(&disk::READS_COMPLETED, &[&format!("sd{i}")], 0.0)));
    assert_eq!(lost_total(Loss::FeatureCap) - before, 22);
}

#[test]
fn ratios_need_all_their_terms() {
    let mut rig = Rig::new();
    rig.row(1.0, |s| s.number(&memory::MEM_TOTAL, &[], 100.0));
    assert_eq!(rig.value("memory.used", ""), None);
    rig.row(2.0, |s| {
        s.number(&memory::MEM_TOTAL, &[], 100.0);
        s.number(&memory::MEM_AVAILABLE, &[], 75.0);
        for (family, value) in
            [(&filesystem::SIZE, 100.0), (&filesystem::FREE_BYTES, 40.0), (&filesystem::AVAILABLE, 20.0)]
        {
            s.number(family, &["/dev/sda1", "/", "ext4", ""], value);
        }
    });
    assert_eq!(rig.value("memory.used", ""), Some(0.25));
    assert_eq!(rig.value("filesystem.used", "/"), Some(0.75));
    assert_eq!(rig.value("memory.swap_used", ""), None, "no swap, no share of it");
}

#[test]
fn quantiles_wait_for_enough_calls() {
    let mut rig = Rig::new();
    let calls = |fast: u64, slow: u64| {
        move |s: &mut Sink| {
            let mut h = Histogram::empty();
            h.buckets[8 * 17] = fast;
            h.buckets[8 * 27] = slow;
            s.histogram(&syscall::DURATION, &["fsync"], Arc::new(h.clone()));
            s.histogram(&syscall::DURATION, &["read"], Arc::new(h));
        }
    };
    rig.row(1.0, calls(1000, 0));
    rig.row(2.0, calls(1030, 1));
    assert_eq!(rig.value("syscall.latency_p99", "fsync"), None, "31 calls are too few for a p99");
    rig.row(3.0, calls(1058, 2));
    let p99 = rig.value("syscall.latency_p99", "fsync").unwrap();
    assert!((0.9..=1.0).contains(&p99), "{p99}: the slow calls are in the bucket that ends at 1 s");
    let p50 = rig.value("syscall.latency_p50", "fsync").unwrap();
    assert!((p50 / 2f64.powi(-10) - 1.0).abs() < 0.09, "{p50}");
    assert_eq!(rig.value("syscall.latency_p99", "read"), None);
}
