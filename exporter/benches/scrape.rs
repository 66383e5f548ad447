//! What a scrape costs beside node_exporter: CPU, p50, p99 (plain and gzip) and memory, on the same nine collectors.
//!
//! `cargo bench --bench scrape`. Both exporters run at once and are asked in turn, so that a slow moment of the host hits
//! both; CPU time comes from `/proc/<pid>/task/*/schedstat`. Prints Markdown.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const COLLECTORS: [&str; 9] =
    ["cpu", "meminfo", "diskstats", "netdev", "loadavg", "filesystem", "stat", "vmstat", "pressure"];
const ROUNDS: usize = 12;
const SCRAPES: usize = 15;
/// Between two scrapes: longer than kanary serves a reading again.
const PAUSE: Duration = Duration::from_millis(110);
const IDLE: Duration = Duration::from_secs(60);

/// An exporter that runs, and the connection its scrapes share.
struct Exporter {
    name: &'static str,
    child: Child,
    stream: BufReader<TcpStream>,
    path: String,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one way of asking cost, per scrape: one value a round, and each scrape's latency.
#[derive(Default)]
struct Cost {
    cpu_us: Vec<f64>,
    latency_us: Vec<f64>,
    bytes: usize,
}

fn main() {
    let Some(peer) = node_exporter() else {
        println!("SKIP scrape: no prometheus-node-exporter in target/tools; `make bench` fetches it");
        return;
    };
    let mut exporters = [kanary(), peer];
    let mut costs: [[Cost; 2]; 2] = Default::default();
    for round in 0..ROUNDS + 1 {
        for (exporter, costs) in exporters.iter_mut().zip(&mut costs) {
            for (gzip, cost) in costs.iter_mut().enumerate() {
                let batch = measure(exporter, gzip == 1);
                // The first round warms up.
                if round > 0 {
                    cost.cpu_us.extend(batch.cpu_us);
                    cost.latency_us.extend(batch.latency_us);
                    cost.bytes = batch.bytes;
                }
            }
        }
    }
    print_table(&exporters, &mut costs);
    drop(exporters);
    print_idle();
}

fn measure(exporter: &mut Exporter, gzip: bool) -> Cost {
    let mut cost = Cost::default();
    let before = cpu_ns(exporter.child.id());
    for _ in 0..SCRAPES {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        cost.bytes = exporter.scrape(gzip);
        cost.latency_us.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    cost.cpu_us.push((cpu_ns(exporter.child.id()) - before) as f64 / 1e3 / SCRAPES as f64);
    cost
}

impl Exporter {
    /// One scrape over the kept connection; the size of the body.
    fn scrape(&mut self, gzip: bool) -> usize {
        let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n{encoding}\r\n", self.path);
        self.stream.get_mut().write_all(request.as_bytes()).expect("the exporter listens");
        let (mut length, mut line) = (None, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("an answer");
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        match length {
            Some(length) => self.skip(length),
            None => self.chunks(),
        }
    }

    fn skip(&mut self, length: usize) -> usize {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a whole body");
        length
    }

    fn chunks(&mut self) -> usize {
        let (mut total, mut line) = (0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a chunk");
            let length = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
            total += length;
            self.skip(length + 2);
            if length == 0 {
                return total;
            }
        }
    }
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback has free ports").port()
}

fn start(name: &'static str, command: &mut Command, port: u16, path: String) -> Exporter {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the exporter starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => panic!("{name}: {e}"),
        }
    };
    Exporter { name, child, stream: BufReader::new(stream), path }
}

fn query() -> String {
    let asked: Vec<String> = COLLECTORS.iter().map(|c| format!("collect[]={c}")).collect();
    format!("/metrics?{}", asked.join("&"))
}

/// kanary with nothing but the nine collectors: no kernel programs, and the detector at its slowest.
fn kanary() -> Exporter {
    let port = free_port();
    let mut command = kanary_command(port);
    command.env("KANARY_EBPF", "off").env("KANARY_TICK", "5m");
    start("kanary", &mut command, port, query())
}

fn kanary_command(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kanary"));
    command
        .env("KANARY_LISTEN", format!("127.0.0.1:{port}"))
        .env("KANARY_API_LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("KANARY_STATE_DIR", std::env::temp_dir().join(format!("kanary-bench-{port}")));
    command
}

fn node_exporter() -> Option<Exporter> {
    let program = workspace().join("target/tools/bin/prometheus-node-exporter");
    let port = free_port();
    let mut command = Command::new(program.exists().then_some(program)?);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(["--collector.disable-defaults", "--web.disable-exporter-metrics"]);
    command.args(COLLECTORS.iter().map(|c| format!("--collector.{c}")));
    Some(start("node_exporter", &mut command, port, "/metrics".into()))
}

/// CPU time of all threads that live, in nanoseconds.
fn cpu_ns(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// A field of `/proc/<pid>/status` in MiB.
fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap_or("");
    let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    kib / 1024.0
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

fn print_table(exporters: &[Exporter; 2], costs: &mut [[Cost; 2]; 2]) {
    println!("{} scrapes each, nine collectors, asked in turn.\n", ROUNDS * SCRAPES);
    println!("| exporter | encoding | CPU per scrape, best | median | p50 | p99 | body | RSS | anonymous |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut best = [[0.0; 2]; 2];
    for (e, (exporter, costs)) in exporters.iter().zip(costs).enumerate() {
        for (gzip, cost) in costs.iter_mut().enumerate() {
            best[e][gzip] = quantile(&mut cost.cpu_us, 0.0);
            println!(
                "| {} | {} | {:.0} us | {:.0} us | {:.0} us | {:.0} us | {} B | {:.1} MiB | {:.1} MiB |",
                exporter.name,
                ["plain", "gzip"][gzip],
                best[e][gzip],
                quantile(&mut cost.cpu_us, 0.5),
                quantile(&mut cost.latency_us, 0.5),
                quantile(&mut cost.latency_us, 0.99),
                cost.bytes,
                memory_mib(exporter.child.id(), "VmRSS"),
                memory_mib(exporter.child.id(), "RssAnon"),
            );
        }
    }
    println!(
        "\nCPU, node_exporter : kanary = {:.1} plain, {:.1} gzip.",
        best[1][0] / best[0][0],
        best[1][1] / best[0][1]
    );
}

/// All defaults, nobody asking.
fn print_idle() {
    let port = free_port();
    let kanary = start("kanary", &mut kanary_command(port), port, query());
    std::thread::sleep(Duration::from_secs(10));
    let before = cpu_ns(kanary.child.id());
    std::thread::sleep(IDLE);
    let used = (cpu_ns(kanary.child.id()) - before) as f64 / IDLE.as_nanos() as f64;
    println!(
        "\nIdle, all defaults, {} s: {:.2} % of one core, {:.1} MiB anonymous, {:.1} MiB RSS.",
        IDLE.as_secs(),
        used * 100.0,
        memory_mib(kanary.child.id(), "RssAnon"),
        memory_mib(kanary.child.id(), "VmRSS"),
    );
}
