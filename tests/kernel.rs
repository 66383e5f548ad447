//! Does the kernel side count what happens, on this kernel? `kernel/load.c` makes calls that nobody else makes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kanary::bpf::{Programs, Verdict, syscalls};
use kanary::collect::{self, Collector, Setup};
use kanary::config::{Config, Vars};
use kanary::snapshot::{Histogram, Samples, Sink, Value};
use kanary::telemetry::{Loss, lost_total};

use crate::harness::{EbpfLock, ebpf_lock, workspace};

const RARE: &str = "sched_rr_get_interval";

fn config(mode: &str) -> Config {
    let vars = [("KANARY_EBPF", "require"), ("KANARY_SYSCALL_MODE", mode), ("KANARY_SYSCALLS", "all")];
    let vars: Vars = vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Config::from_vars(vars, std::iter::empty()).unwrap()
}

/// Kernel programs of this test, and the collector over them.
struct Kernel {
    collector: Box<dyn Collector>,
    programs: Programs,
    _lock: EbpfLock,
}

impl Kernel {
    fn attach(test: &str, mode: &str) -> Option<Self> {
        Some(Self::attach_locked(ebpf_lock(test)?, mode))
    }

    fn attach_locked(lock: EbpfLock, mode: &str) -> Self {
        let config = config(mode);
        let mut programs = attach_when_free(&config);
        let mut setup = Setup { config: &config, programs: &mut programs };
        let collector = (collect::syscalls::ROW.build)(&mut setup).unwrap();
        Kernel { collector, programs, _lock: lock }
    }

    fn read(&mut self) -> Reading {
        let mut out = Sink::default();
        self.collector.collect(&mut out).unwrap();
        Reading(out.finish().0)
    }
}

/// A kanary that somebody started by hand may be about to end.
fn attach_when_free(config: &Config) -> Programs {
    let began = Instant::now();
    loop {
        match Programs::load(config) {
            Ok(programs) => return programs,
            Err(e) if e.refusal.verdict == Verdict::Busy && began.elapsed() < Duration::from_secs(120) => {
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(e) => panic!("{e}"),
        }
    }
}

struct Reading(Vec<Samples>);

impl Reading {
    fn value(&self, family: &str, labels: &[&str]) -> Option<&Value> {
        let samples = self.0.iter().find(|s| s.family.name == family)?;
        samples.points.iter().find(|p| p.labels.iter().eq(labels)).map(|p| &p.value)
    }
    fn number(&self, family: &str, labels: &[&str]) -> Option<f64> {
        match self.value(family, labels)? {
            Value::Number(n) => Some(*n),
            Value::Histogram(_) => None,
        }
    }
    fn count(&self, syscall: &str) -> u64 {
        self.number("kanary_syscalls_total", &[syscall]).unwrap_or(0.0) as u64
    }
    fn errors(&self, syscall: &str) -> Vec<(String, u64)> {
        let Some(samples) = self.0.iter().find(|s| s.family.name == "kanary_syscall_errors_total") else {
            return Vec::new();
        };
        let of = samples.points.iter().filter(|p| p.labels[0] == syscall);
        let number = |value: &Value| if let Value::Number(n) = value { *n as u64 } else { 0 };
        of.map(|p| (p.labels[1].to_string(), number(&p.value))).collect()
    }
    fn durations(&self, syscall: &str) -> Arc<Histogram> {
        match self.value("kanary_syscall_duration_seconds", &[syscall]) {
            Some(Value::Histogram(histogram)) => Arc::clone(histogram),
            _ => Arc::new(Histogram::empty()),
        }
    }
}

/// Calls that took longer than so many seconds.
fn longer_than(seconds: f64, histogram: &Histogram) -> u64 {
    let upper = |i: usize| if i == 0 { 0.0 } else { Histogram::upper(i - 1) };
    histogram.buckets.iter().enumerate().filter(|(i, _)| upper(*i) >= seconds).map(|(_, n)| n).sum()
}

/// The compiled `load.c`.
fn load(args: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-load");
        let source = workspace().join("tests/kernel/load.c");
        let mut cc = Command::new("cc");
        let built = cc.args(["-O2", "-pthread", "-o"]).arg(&program).arg(source).status().unwrap();
        assert!(built.success(), "cc cannot compile load.c");
        program
    });
    let mut command = Command::new(program);
    command.args(args.split(' ')).stdout(Stdio::piped());
    command
}

fn run(args: &str) -> String {
    let done = load(args).output().unwrap();
    assert!(done.status.success(), "load {args}: {}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// Killed with whatever it was doing when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_million_calls_of_eight_threads_are_a_million() {
    let Some(mut kernel) = Kernel::attach("a million calls", "exact") else { return };
    let evicted = lost_total(Loss::StartMissing);
    run("calls 125000");
    let reading = kernel.read();
    assert_eq!(reading.count(RARE), 1_000_000);
    assert_eq!(reading.number("kanary_syscall_sampling_ratio", &[RARE]), Some(1.0));
    let lost = lost_total(Loss::StartMissing) - evicted;
    assert_eq!(reading.durations(RARE).count(), 1_000_000, "{lost} starts were overwritten");
    assert!(reading.errors(RARE).is_empty());
}

#[test]
fn sampled_and_count_modes_count_exactly() {
    let Some(mut kernel) = Kernel::attach("sampled mode", "sampled") else { return };
    run("calls 125000");
    run("errors");
    let reading = kernel.read();
    assert_eq!(reading.count(RARE), 1_001_000);
    assert_eq!(reading.number("kanary_syscall_sampling_ratio", &[RARE]), Some(1.0 / 16.0));
    let timed = reading.durations(RARE).count();
    assert!((58_000..67_500).contains(&timed), "{timed} of a million timed");
    assert_eq!(reading.errors(RARE), [("ESRCH".into(), 700), ("EINVAL".into(), 300)]);

    drop(kernel);
    let Some(mut kernel) = Kernel::attach("count mode", "count") else { return };
    let attached = |kernel: &Kernel| kernel.programs.statuses().iter().map(|s| s.verdict).collect::<Vec<_>>();
    assert_eq!(attached(&kernel), [Verdict::Off, Verdict::Attached]);
    run("calls 12500");
    run("pauses 20");
    let reading = kernel.read();
    assert_eq!(reading.count(RARE), 100_000);
    assert!(reading.value("kanary_syscall_duration_seconds", &[RARE]).is_none());
    assert!(reading.count("rt_sigreturn") >= 20);
}

#[test]
fn errnos_are_counted_exactly() {
    let Some(mut kernel) = Kernel::attach("errnos", "exact") else { return };
    run("errors");
    let reading = kernel.read();
    assert_eq!(reading.errors(RARE), [("ESRCH".into(), 700), ("EINVAL".into(), 300)]);
    assert_eq!((reading.count(RARE), reading.durations(RARE).count()), (1_000, 1_000));
}

#[test]
fn vforks_leave_no_false_latency() {
    let Some(mut kernel) = Kernel::attach("vforks", "exact") else { return };
    run("vforks 36000");
    let reading = kernel.read();
    // A child's return from the call is no call. Shells beside the test fork too.
    let calls = reading.count("vfork");
    assert!((36_000..37_000).contains(&calls), "{calls}");
    let durations = reading.durations("vfork");
    assert_eq!(durations.count(), calls);
    assert_eq!(longer_than(0.4, &durations), 0, "{:?}", durations.buckets);
    assert!(reading.count("exit_group") >= 36_000);
    assert_eq!(reading.durations("exit_group").count(), 0);
}

#[test]
fn quantiles_are_within_half_a_bucket() {
    let Some(mut kernel) = Kernel::attach("quantiles", "exact") else { return };
    let mut truth: Vec<f64> = run("sleeps 600").lines().map(|ns| ns.parse::<f64>().unwrap() / 1e9).collect();
    truth.sort_by(f64::total_cmp);
    let durations = kernel.read().durations("rt_sigtimedwait");
    assert_eq!(durations.count(), 600);
    for quantile in [0.1, 0.25, 0.5, 0.75, 0.9, 0.99] {
        let rank = (quantile * 599.0) as usize;
        let mut left = rank as u64;
        let bucket = durations.buckets.iter().position(|n| {
            let here = left < *n;
            left = left.saturating_sub(*n);
            here
        });
        let middle = Histogram::upper(bucket.unwrap()) / (1.0f64 / 16.0).exp2();
        let error = middle / truth[rank] - 1.0;
        // 2^(1/16), and what user space measures of its own.
        assert!(error.abs() <= 0.0443 + 0.004, "q{quantile}: {middle} s against {} s: {error:+.4}", truth[rank]);
    }
}

#[test]
fn calls_under_way_at_attach_are_counted_and_not_timed() {
    let Some(lock) = ebpf_lock("under way at attach") else { return };
    let mut waiting = Running(load("wait").spawn().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    let mut kernel = Kernel::attach_locked(lock, "exact");
    rustix::process::kill_process(rustix::process::Pid::from_child(&waiting.0), rustix::process::Signal::ALARM)
        .unwrap();
    assert!(waiting.0.wait().unwrap().success());
    let reading = kernel.read();
    assert_eq!((reading.count("pause"), reading.durations("pause").count()), (1, 0));
    // Not a failure: the kernel makes EINTR of it later, or enters it again.
    assert!(reading.errors("pause").is_empty());
}

#[test]
fn a_signal_handlers_return_is_no_failure_of_what_it_interrupted() {
    let Some(mut kernel) = Kernel::attach("rt_sigreturn", "exact") else { return };
    run("pauses 50");
    let reading = kernel.read();
    assert_eq!(reading.count("pause"), 50);
    assert!(reading.count("rt_sigreturn") >= 50);
    assert!(reading.durations("rt_sigreturn").count() >= 50);
    assert!(reading.errors("rt_sigreturn").is_empty());
}

#[test]
fn a_restarted_call_did_not_fail() {
    let Some(mut kernel) = Kernel::attach("restarts", "exact") else { return };
    run("restarts");
    let reading = kernel.read();
    assert!(reading.count("readv") > 20, "entered {} times", reading.count("readv"));
    assert!(reading.errors("readv").iter().all(|(errno, _)| !errno.starts_with("E5")), "{:?}", reading.errors("readv"));
}

#[test]
fn calls_of_other_tables_are_other() {
    let Some(mut kernel) = Kernel::attach("foreign calls", "exact") else { return };
    run("foreign 1000");
    let reading = kernel.read();
    let expected = if cfg!(target_arch = "x86_64") { 3_000 } else { 2_000 };
    assert!(reading.count("~other") >= expected, "{}", reading.count("~other"));
    assert_eq!(reading.count("timer_gettime"), 0);
    assert_eq!(reading.durations("~other").count(), reading.count("~other"));
    assert!(reading.errors("~other").contains(&("ENOSYS".into(), 2_000)), "{:?}", reading.errors("~other"));
}

#[test]
fn execs_of_any_thread_are_one_call_each() {
    let Some(mut kernel) = Kernel::attach("execs", "exact") else { return };
    run("execs 20");
    let reading = kernel.read();
    assert_eq!(reading.count("execveat"), 20);
    assert_eq!(reading.durations("execveat").count(), 20);
    assert!(reading.count("execve") >= 21);
    assert_eq!(longer_than(2.0, &reading.durations("execve")), 0);
}

#[test]
fn a_threads_end_is_counted() {
    let Some(mut kernel) = Kernel::attach("exits", "exact") else { return };
    run("threads 500");
    let reading = kernel.read();
    assert!(reading.count("exit") >= 500);
    assert_eq!(reading.durations("exit").count(), 0);
}

#[test]
fn a_call_stuck_in_the_kernel_shows_its_age() {
    let Some(mut kernel) = Kernel::attach("in flight", "exact") else { return };
    let stuck = Running(load("stuck").spawn().unwrap());
    let age = |kernel: &mut Kernel| kernel.read().number("kanary_syscall_inflight_age_seconds", &["vfork"]);
    std::thread::sleep(Duration::from_millis(2_000));
    // Each look asks about a few tasks, and others sleep longer than this one.
    let first = (0..20).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        age(&mut kernel)
    });
    let first = first.expect("a vfork's parent waits in state D");
    assert!((1.5..5.0).contains(&first), "{first} s");
    std::thread::sleep(Duration::from_millis(500));
    assert!(age(&mut kernel).unwrap() > first);
    drop(stuck);
    std::thread::sleep(Duration::from_millis(4_000));
    assert_eq!(age(&mut kernel), None);
}

#[test]
fn a_second_kanary_is_busy_until_the_first_ends() {
    let Some(kernel) = Kernel::attach("second kanary", "exact") else { return };
    let config = Config { ebpf: kanary::config::Ebpf::Auto, ..config("exact") };
    let verdict = |programs: &Programs| programs.statuses()[1].clone();
    let second = verdict(&Programs::load(&config).unwrap());
    assert_eq!(second.verdict, Verdict::Busy);
    assert_eq!(second.reason, format!("another kanary is attached: process {}", std::process::id()));
    // Elsewhere the socket cannot be seen, the programs can.
    let elsewhere = config.clone();
    let third = std::thread::spawn(move || {
        // SAFETY: changes the network namespace of this thread alone; no file descriptor is involved.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        verdict(&Programs::load(&elsewhere).unwrap())
    });
    assert_eq!(third.join().unwrap(), second);
    let Kernel { programs, collector, _lock } = kernel;
    drop((programs, collector));
    assert_eq!(verdict(&Programs::load(&config).unwrap()).verdict, Verdict::Attached);
}

#[test]
fn maps_take_what_the_formula_says() {
    let Some(kernel) = Kernel::attach("map sizes", "exact") else { return };
    let cpus = kernel.programs.syscalls().unwrap().cpus.len();
    let pid_max = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().parse().unwrap();
    let real: Vec<(&str, u64)> = kernel.programs.maps().filter(|(name, _)| *name != "rodata").collect();
    let formula = syscalls::map_bytes(cpus, pid_max).map(|(name, bytes)| (name, bytes as u64));
    assert_eq!(real, formula);
    let total: u64 = kernel.programs.maps().map(|(_, bytes)| bytes).sum();
    assert!(total <= 256 * 1024 * cpus.max(2) as u64, "{total} bytes for {cpus} CPUs");
}
