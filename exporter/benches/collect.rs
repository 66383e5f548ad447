//! What one collection costs, collector by collector: microseconds of the process's CPU, watched threads
//! included. `cargo bench --bench collect`. Prints Markdown.

use kanary::bpf::Programs;
use kanary::collect::{ALL, Collector, Setup};
use kanary::config::{Config, Vars};
use kanary::snapshot::Sink;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 20;
const COLLECTIONS: usize = 200;
/// The nine that are compared with node_exporter.
const NINE: [&str; 9] =
    ["cpu", "meminfo", "diskstats", "netdev", "loadavg", "filesystem", "stat", "vmstat", "pressure"];

fn main() {
    let vars: Vars = [("KANARY_EBPF".to_string(), "off".to_string())].into_iter().collect();
    let config = Config::from_vars(vars, std::iter::empty()).expect("the defaults are valid");
    let mut programs = Programs::default();
    println!("| collector | us per collection (median) | lowest | series |\n|---|--:|--:|--:|");
    let mut nine = Vec::new();
    for row in ALL {
        let mut collector = (row.build)(&mut Setup { config: &config, programs: &mut programs }).expect("defaults");
        print(row.id, std::slice::from_mut(&mut collector));
        if NINE.contains(&row.id) {
            nine.push(collector);
        }
    }
    // Together they share what they read.
    print("the nine", &mut nine);
}

fn print(name: &str, collectors: &mut [Box<dyn Collector>]) {
    let series: usize = collectors.iter_mut().map(|c| collect(&mut **c)).sum();
    let mut costs: Vec<f64> = (0..ROUNDS).map(|_| round(collectors)).collect();
    costs.sort_by(f64::total_cmp);
    println!("| {name} | {:.1} | {:.1} | {series} |", costs[ROUNDS / 2], costs[0]);
}

/// Microseconds of CPU per collection.
fn round(collectors: &mut [Box<dyn Collector>]) -> f64 {
    let before = cpu_us();
    for _ in 0..COLLECTIONS {
        for collector in &mut *collectors {
            collect(&mut **collector);
        }
    }
    (cpu_us() - before) / COLLECTIONS as f64
}

fn collect(collector: &mut dyn Collector) -> usize {
    let mut sink = Sink::default();
    // A collector that is absent here costs what finding that out costs.
    let _ = collector.collect(&mut sink);
    sink.finish().0.iter().map(|samples| samples.points.len()).sum()
}

/// CPU time of the whole process.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
