//! Syscalls, from what the kernel programs count: how often, how they failed, how long they took, which hang.
//!
//! Reads mapped memory and, for calls that hang, a few `/proc/<tid>/stat`.

mod chosen;
mod errnos;
mod inflight;
mod names;
mod totals;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use self::chosen::Chosen;
use self::errnos::Seats;
use self::inflight::{Inflight, Now};
use self::totals::Tally;
use super::{Collector, Error, Row, Setup};
use crate::bpf::abi::{CALL_FOREIGN, PerCpu};
use crate::bpf::syscalls::Maps;
use crate::config;
use crate::metric::syscall::{DURATION, ERRORS, INFLIGHT_AGE, SAMPLING_RATIO, TOTAL};
use crate::snapshot::{Histogram, Sink};
use crate::telemetry::{Loss, lost};

pub use self::totals::Totals;

/// Label of all that has no series of its own.
const OTHER: &str = "~other";
/// Calls that do work for their caller instead of waiting for somebody: seated whenever they appear.
const WORKING: &[&str] = &["fsync", "fdatasync", "openat", "rename", "renameat", "renameat2", "unlink", "unlinkat"];

/// `syscalls`
pub const ROW: Row = Row { id: "syscalls", default: true, options: &[], build };

fn build(setup: &mut Setup) -> Result<Box<dyn Collector>, config::Error> {
    let choice = &setup.config.syscalls;
    let chosen = Chosen::new(choice, names::syscall_number, WORKING).map_err(|unknown| config::Error {
        name: config::SYSCALLS.name.into(),
        value: setup.config.vars.get(&config::SYSCALLS).unwrap_or_default().into(),
        fault: format!("`{unknown}` is no syscall of this architecture"),
        allowed: config::SYSCALLS.allowed.into(),
    })?;
    let Some(maps) = setup.programs.syscalls() else {
        let status = setup.programs.statuses().first();
        return Ok(Box::new(Detached(status.map_or("no programs".into(), |s| s.reason.clone()))));
    };
    Ok(Box::new(Syscalls::new(maps, chosen, setup.config.paths.proc.clone())))
}

/// Nothing counts, and why.
struct Detached(String);

impl Collector for Detached {
    fn collect(&mut self, _: &mut Sink) -> Result<(), Error> {
        Err(Error::Absent(self.0.clone()))
    }
}

struct Syscalls {
    maps: Arc<Maps>,
    proc: PathBuf,
    totals: Totals,
    chosen: Chosen,
    inflight: Inflight,
    labels: Vec<String>,
    /// Errnos with a series, by syscall.
    errnos: BTreeMap<usize, Seats>,
    /// Kernel losses reported so far.
    lost: [u64; 5],
}

impl Syscalls {
    fn new(maps: Arc<Maps>, chosen: Chosen, proc: PathBuf) -> Self {
        let mut labels: Vec<String> = (0..CALL_FOREIGN as usize).map(names::syscall).collect();
        labels.push(OTHER.into());
        Syscalls {
            maps,
            proc,
            totals: Totals::default(),
            chosen,
            inflight: Inflight::default(),
            labels,
            errnos: BTreeMap::new(),
            lost: [0; 5],
        }
    }

    fn emit(&mut self, nr: usize, tally: &Tally, out: &mut Sink) {
        let label = self.labels[nr].as_str();
        let ratio = self.maps.sampling_ratio();
        out.number(&TOTAL, &[label], tally.count as f64);
        out.number(&SAMPLING_RATIO, &[label], ratio);
        if ratio > 0.0 || !tally.buckets.is_empty() {
            out.histogram(&DURATION, &[label], Arc::new(histogram(tally)));
        }
        let seats = self.errnos.entry(nr).or_insert_with(|| Seats::of(label));
        for (errno, n) in seats.by_name(&tally.errnos) {
            out.number(&ERRORS, &[label, &errno], n as f64);
        }
    }

    fn emit_inflight(&mut self, out: &mut Sink) {
        let mut oldest: BTreeMap<usize, Duration> = BTreeMap::new();
        for (nr, age) in self.inflight.look(&self.maps.starts, &self.proc, now()) {
            let nr = if self.chosen.is_shown(nr) { nr } else { CALL_FOREIGN as usize };
            let oldest = oldest.entry(nr).or_default();
            *oldest = age.max(*oldest);
        }
        for (nr, age) in oldest {
            out.number(&INFLIGHT_AGE, &[&self.labels[nr]], age.as_secs_f64());
        }
    }

    fn count_losses(&mut self) {
        let sum = |of: fn(&PerCpu) -> u64| self.maps.cpus.iter().map(of).sum::<u64>();
        let now = [
            (Loss::StartMissing, sum(|cpu| cpu.starts_evicted.load(Relaxed))),
            (Loss::BucketsFull, sum(|cpu| cpu.rows_full.load(Relaxed))),
            (Loss::ClockBackward, sum(|cpu| cpu.clock_backward.load(Relaxed))),
            (Loss::ProgramBusy, self.maps.missed()),
            (Loss::CpuAdded, self.maps.losses[0].cpu_unknown.load(Relaxed)),
        ];
        for ((loss, total), before) in now.into_iter().zip(&mut self.lost) {
            lost(loss, total - *before);
            *before = total;
        }
    }
}

impl Collector for Syscalls {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.totals.drain(&self.maps.cpus);
        self.chosen.update(&self.totals, now().monotonic);
        let shown: Vec<(usize, Tally)> = self.chosen.own(&self.totals).collect();
        let other = self.chosen.other(&self.totals);
        for (nr, tally) in shown.iter().chain([&(CALL_FOREIGN as usize, other)]) {
            self.emit(*nr, tally, out);
        }
        self.emit_inflight(out);
        self.count_losses();
        Ok(())
    }
}

fn histogram(tally: &Tally) -> Histogram {
    let mut histogram = Histogram::empty();
    histogram.buckets[..tally.buckets.len()].copy_from_slice(&tally.buckets);
    histogram.sum = Duration::from_nanos(tally.sum).as_secs_f64();
    histogram
}

fn now() -> Now {
    let read = |id| {
        let t = clock_gettime(id);
        Duration::new(t.tv_sec.max(0) as u64, t.tv_nsec as u32)
    };
    Now { monotonic: read(ClockId::Monotonic), boot: read(ClockId::Boottime) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SyscallChoice, SyscallMode};
    use crate::snapshot::{Samples, Value};
    use totals::tests::call;

    fn collector(choice: &SyscallChoice) -> Syscalls {
        collector_in(SyscallMode::Exact, choice)
    }

    fn collector_in(mode: SyscallMode, choice: &SyscallChoice) -> Syscalls {
        let chosen = Chosen::new(choice, names::syscall_number, WORKING).unwrap();
        Syscalls::new(Arc::new(Maps::detached(mode, 2).unwrap()), chosen, "/nowhere".into())
    }

    fn collect(collector: &mut Syscalls) -> Vec<Samples> {
        let mut out = Sink::default();
        collector.collect(&mut out).unwrap();
        out.finish().0
    }

    fn value(samples: &[Samples], name: &str, labels: &[&str]) -> Option<Value> {
        let family = samples.iter().find(|s| s.family.name == name)?;
        family.points.iter().find(|p| p.labels.iter().eq(labels)).map(|p| p.value.clone())
    }

    #[test]
    fn a_call_has_its_count_its_duration_and_its_errno() {
        let mut collector = collector(&SyscallChoice::Top(32));
        call(&collector.maps.cpus[1], 1, 100, 1_500_000_000, libc::EIO as u16);
        let samples = collect(&mut collector);
        assert_eq!(value(&samples, "kanary_syscalls_total", &["write"]), Some(Value::Number(1.0)));
        assert_eq!(value(&samples, "kanary_syscalls_total", &["~other"]), Some(Value::Number(0.0)));
        assert_eq!(value(&samples, "kanary_syscall_errors_total", &["write", "EIO"]), Some(Value::Number(1.0)));
        assert_eq!(value(&samples, "kanary_syscall_sampling_ratio", &["write"]), Some(Value::Number(1.0)));
        let Some(Value::Histogram(histogram)) = value(&samples, "kanary_syscall_duration_seconds", &["write"]) else {
            panic!("no histogram")
        };
        assert_eq!((histogram.count(), histogram.sum), (1, 1.5));
        assert_eq!(value(&samples, "kanary_syscall_inflight_age_seconds", &["write"]), None);
    }

    #[test]
    fn series_stay_within_their_budgets() {
        let mut collector = collector(&SyscallChoice::Top(32));
        for nr in 0..60 {
            for errno in 1..40 {
                call(&collector.maps.cpus[0], nr % 12, 100, 10, errno);
                call(&collector.maps.cpus[0], nr, 100, 10, 0);
            }
        }
        for samples in collect(&mut collector) {
            let budget = samples.family.budget.count as usize;
            assert!(samples.points.len() <= budget, "{}: {}", samples.family.name, samples.points.len());
        }
    }

    #[test]
    fn nothing_is_timed_nothing_is_said_of_durations() {
        let mut collector = collector_in(SyscallMode::Count, &SyscallChoice::All);
        call(&collector.maps.cpus[0], 0, 0, 0, 0);
        let samples = collect(&mut collector);
        assert_eq!(value(&samples, "kanary_syscalls_total", &["read"]), Some(Value::Number(1.0)));
        assert_eq!(value(&samples, "kanary_syscall_sampling_ratio", &["read"]), Some(Value::Number(0.0)));
        assert_eq!(value(&samples, "kanary_syscall_duration_seconds", &["read"]), None);
    }
}
