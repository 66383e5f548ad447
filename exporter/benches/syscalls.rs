//! What a syscall pays for being traced: getppid alone, under two empty programs (the floor), under kanary in each
//! mode, and under the bpftrace one-liner that does the same. Then what reading the counts costs.
//!
//! Tracers take turns, each in many short batches of which the fastest fiftieth counts: on a shared machine all else
//! measures the neighbours. Needs root; prints Markdown. `KANARY_BENCH_TURNS` sets the number of turns.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use kanary::bpf::Programs;
use kanary::collect::syscalls::Totals;
use kanary::collect::{self, Setup};
use kanary::config::{Config, Vars};
use kanary::snapshot::Sink;
use rustix::thread::{CpuSet, sched_setaffinity};

type Failure = Box<dyn std::error::Error>;

static EMPTY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench_empty.bpf.o"));
const ONE_LINER: &str = "tracepoint:raw_syscalls:sys_enter { @s[tid]=nsecs; } \
     tracepoint:raw_syscalls:sys_exit /@s[tid]/ { @[args->id]=hist(nsecs-@s[tid]); delete(@s[tid]); }";

const CALLS_PER_BATCH: u32 = 1_000;
const BATCHES: usize = 200;
/// bpftrace takes seconds to start: fewer turns, each longer.
const SLOW_TURNS: usize = 3;

/// What is attached while the load runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracer {
    Nothing,
    Floor,
    Kanary(&'static str),
    OneLiner,
}

const TRACERS: [(&str, Tracer); 6] = [
    ("nothing", Tracer::Nothing),
    ("floor: two empty programs", Tracer::Floor),
    ("kanary, exact", Tracer::Kanary("exact")),
    ("kanary, sampled 1 in 16", Tracer::Kanary("sampled")),
    ("kanary, counts only", Tracer::Kanary("count")),
    ("bpftrace one-liner", Tracer::OneLiner),
];

fn main() -> Result<(), Failure> {
    if std::env::args().any(|a| a == "load") {
        return serve_load();
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIP syscalls: kernel programs need root");
        return Ok(());
    }
    let turns = std::env::var("KANARY_BENCH_TURNS").ok().and_then(|t| t.parse().ok()).unwrap_or(20);
    let mut load = Load::start()?;
    let mut measured = vec![[Vec::new(), Vec::new()]; TRACERS.len()];
    for turn in 0..turns {
        for (at, (name, tracer)) in TRACERS.iter().enumerate() {
            if *tracer == Tracer::OneLiner && turn >= SLOW_TURNS {
                continue;
            }
            let attached = match attach(*tracer) {
                Ok(attached) => attached,
                Err(why) if turn == 0 => {
                    println!("SKIP {name}: {why}");
                    continue;
                }
                Err(_) => continue,
            };
            for (threads, batches) in measured[at].iter_mut().enumerate() {
                batches.extend(load.run(threads + 1)?);
            }
            drop(attached);
        }
    }
    drop(load);
    print_calls(&measured);
    print_reading()
}

fn print_calls(measured: &[[Vec<f64>; 2]]) {
    println!("\n| ns per getppid | 1 thread | above nothing | above floor | 2 threads | above nothing | above floor |");
    println!("|---|---|---|---|---|---|---|");
    let best = |at: usize, threads: usize| fastest(&measured[at][threads]);
    for (at, (name, _)) in TRACERS.iter().enumerate() {
        if measured[at][0].is_empty() {
            continue;
        }
        print!("| {name} ");
        for threads in 0..2 {
            let ns = best(at, threads);
            print!("| {ns:.1} | {:.1} | {:.1} ", ns - best(0, threads), ns - best(1, threads));
        }
        println!("|");
    }
}

/// The value below which a fiftieth of all lies.
fn fastest(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 50]
}

/// Keeps a tracer attached.
enum Attached {
    Nothing,
    Floor { _programs: Box<Ebpf> },
    Kanary { _programs: Programs },
    OneLiner(Child),
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Attached::OneLiner(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn attach(tracer: Tracer) -> Result<Attached, Failure> {
    Ok(match tracer {
        Tracer::Nothing => Attached::Nothing,
        Tracer::Floor => Attached::Floor { _programs: Box::new(floor()?) },
        Tracer::Kanary(mode) => Attached::Kanary { _programs: Programs::load(&config(mode)?)? },
        Tracer::OneLiner => {
            Command::new("bpftrace").arg("--version").output().map_err(|_| "bpftrace is not installed")?;
            // It needs tracefs, here in a mount namespace of its own.
            let script = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
                          exec bpftrace -e \"$0\"";
            let mut namespace = Command::new("unshare");
            namespace.args(["--mount", "sh", "-c", script, ONE_LINER]).stdout(Stdio::null()).stderr(Stdio::null());
            let mut attached = Attached::OneLiner(namespace.spawn()?);
            std::thread::sleep(Duration::from_secs(6));
            if let Attached::OneLiner(child) = &mut attached
                && let Some(status) = child.try_wait()?
            {
                return Err(format!("bpftrace ended: {status}").into());
            }
            attached
        }
    })
}

fn floor() -> Result<Ebpf, Failure> {
    let btf = Btf::from_sys_fs()?;
    let mut programs = Ebpf::load(EMPTY)?;
    for (name, tracepoint) in [("empty_sysenter", "sys_enter"), ("empty_sysexit", "sys_exit")] {
        let program: &mut BtfTracePoint = programs.program_mut(name).ok_or("no such program")?.try_into()?;
        program.load(tracepoint, &btf)?;
        program.attach()?;
    }
    Ok(programs)
}

fn config(mode: &str) -> Result<Config, Failure> {
    let vars = [("KANARY_SYSCALL_MODE", mode), ("KANARY_EBPF", "require")];
    let vars: Vars = vars.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Ok(Config::from_vars(vars, std::iter::empty())?)
}

/// A process that makes calls when told to: kanary's own are left out.
struct Load {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    fn start() -> Result<Self, Failure> {
        let mut child =
            Command::new(std::env::current_exe()?).arg("load").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().ok_or("no stdin")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Load { child, orders, answers })
    }

    /// ns per call of each batch, with so many threads at once.
    fn run(&mut self, threads: usize) -> Result<Vec<f64>, Failure> {
        writeln!(self.orders, "{threads}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve_load() -> Result<(), Failure> {
    for order in std::io::stdin().lines() {
        let threads: usize = order?.trim().parse()?;
        let running: Vec<_> = (0..threads).map(|t| std::thread::spawn(move || batches(1 - t % 2))).collect();
        let mut answer = Vec::new();
        for thread in running {
            answer.extend(thread.join().map_err(|_| "a load thread panicked")?);
        }
        println!("{}", answer.iter().map(|ns| format!("{ns:.2}")).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

fn batches(cpu: usize) -> Vec<f64> {
    let mut set = CpuSet::new();
    set.set(cpu);
    // Without a second CPU the threads share one, which is what the machine has.
    let _ = sched_setaffinity(None, &set);
    (0..BATCHES)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..CALLS_PER_BATCH {
                let _ = rustix::process::getppid();
            }
            began.elapsed().as_nanos() as f64 / f64::from(CALLS_PER_BATCH)
        })
        .collect()
}

/// Cost of reading the counts, on this host's maps as they fill by themselves.
fn print_reading() -> Result<(), Failure> {
    let config = config("exact")?;
    let mut programs = Programs::load(&config)?;
    let maps = programs.syscalls().ok_or("not attached")?;
    let mut collector = (collect::syscalls::ROW.build)(&mut Setup { config: &config, programs: &mut programs })?;
    std::thread::sleep(Duration::from_secs(2));
    let mut totals = Totals::default();
    totals.drain(&maps.cpus);
    let drain = best_of(2_000, || totals.drain(&maps.cpus));
    let collect = best_of(2_000, || {
        let mut out = Sink::default();
        let _ = collector.collect(&mut out);
    });
    println!("\n| reading, {} CPUs, best of 2000 | us |\n|---|---|", maps.cpus.len());
    println!("| drain, nothing changed | {drain:.2} |");
    println!("| whole collector | {collect:.2} |");
    Ok(())
}

fn best_of(times: usize, mut work: impl FnMut()) -> f64 {
    let run = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed().as_nanos() as f64 / 1e3
    };
    (0..times).map(|_| run(&mut work)).fold(f64::INFINITY, f64::min)
}
