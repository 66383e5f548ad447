//! A server of ours in the test's own process that serves one snapshot, so that what others store of it can be
//! compared value by value.

pub mod push;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use kanary::config::LISTEN;
use kanary::expose::http::{App, Audience, Renderer, bind, serve};
use kanary::expose::{Late, Source, Want};
use kanary::metric::{Family, cpu, memory, syscall};
use kanary::snapshot::{Histogram, Outcome, Section, Sink, Snapshot, Stamp, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

pub static ODD: Family = Family::gauge("odd", "kanary_test_odd", "Values and labels that are \"odd\" \\ or\nrare.")
    .labels(&["what", "empty"]);
pub static OPEN: Family = Family::untyped("odd", "kanary_test_open_*", "Field * of a test.");

/// Always the same answer, after a while.
#[derive(Clone)]
pub struct Fixed {
    pub snapshot: Arc<Snapshot>,
    pub delay: Duration,
}

impl Fixed {
    pub fn new(snapshot: Snapshot) -> Self {
        Fixed { snapshot: Arc::new(snapshot), delay: Duration::ZERO }
    }
}

impl Source for Fixed {
    async fn collect(&self, want: Want, deadline: Instant) -> Result<Arc<Snapshot>, Late> {
        let done = Instant::now() + self.delay;
        sleep_until(done.min(deadline)).await;
        if done > deadline {
            return Err(Late);
        }
        let wanted = |section: &Arc<Section>| match &want {
            Want::Exposed => true,
            Want::Only(ids) => ids.contains(&section.collector),
            Want::Except(ids) => !ids.contains(&section.collector),
        };
        let sections = self.snapshot.sections.iter().filter(|s| wanted(s)).cloned().collect();
        Ok(Arc::new(Snapshot { at: Stamp::now(), sections }))
    }
    fn exposed(&self) -> &[&'static str] {
        &["host", "odd", "syscalls"]
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn anomalies(&self, limit: usize) -> serde_json::Value {
        serde_json::json!({ "limit": limit })
    }
    fn trends(&self) -> serde_json::Value {
        serde_json::json!([])
    }
    fn status(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

/// A listener of ours, until dropped.
pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(source: Fixed, audience: Audience, address: &str) -> Self {
        let listener = bind(&LISTEN, address.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = Arc::new(App { source, renderer: Renderer::new(5000) });
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    ended = serve(listener, audience, app) => panic!("{ended:?}"),
                    _ = stopped => {}
                }
            });
        });
        Server { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Serves [`snapshot`] to machines.
    pub fn of_snapshot() -> Self {
        Self::start(Fixed::new(snapshot()), Audience::Machines, "127.0.0.1:0")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Counters, gauges, untyped values and histograms, odd ones among them.
pub fn snapshot() -> Snapshot {
    let at = Stamp::now();
    let section = |collector, fill: fn(&mut Sink)| {
        let mut sink = Sink::default();
        fill(&mut sink);
        let (samples, faults) = sink.finish();
        Arc::new(Section { collector, at, took: Duration::from_millis(1), outcome: Outcome::Ok, faults, samples })
    };
    Snapshot { at, sections: vec![section("host", host), section("odd", odd), section("syscalls", syscalls)] }
}

fn host(s: &mut Sink) {
    for (cpu, mode, seconds) in [
        ("0", "user", 9653.880000000001),
        ("0", "idle", 123456789.25),
        ("0", "irq", 0.5),
        ("0", "softirq", 0.25),
        ("1", "user", 0.0),
        ("1", "idle", 1e-7),
        ("1", "irq", 2.0),
        ("1", "softirq", 4.0),
    ] {
        s.number(&cpu::SECONDS, &[cpu, mode], seconds);
    }
    s.number(&memory::MEM_TOTAL, &[], 25277706240.0);
    s.number(&memory::MEM_FREE, &[], 20000000000.0);
    s.number(&memory::MEM_AVAILABLE, &[], 24000000001.0);
    s.number(&memory::BUFFERS, &[], 4096.0);
    s.number(&memory::PGPGIN, &[], 18446744073709551615.0);
}

fn odd(s: &mut Sink) {
    for (what, value) in [
        ("quote \" backslash \\ newline \n tab \t", 1.0),
        ("ünïcode ☃ {},=", -1.0),
        ("nan", f64::NAN),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("tiny", 5e-324),
        ("huge", f64::MAX),
        ("integer", 9007199254740993.0),
        ("third", 1.0 / 3.0),
        ("exponent", 1e21),
        ("small", 0.0001),
        ("smaller", 0.00001),
    ] {
        s.number(&ODD, &[what, ""], value);
    }
    s.keyed(&OPEN, "one", 1.5);
    s.keyed(&OPEN, "two_total", 2.5);
}

fn syscalls(s: &mut Sink) {
    for (call, histogram) in [
        ("read", spread(10_000)),
        ("empty", Histogram::empty()),
        ("under", filled(&[(0, 7)])),
        ("over", filled(&[(Histogram::LEN - 1, 3), (5, 1), (9, 2)])),
    ] {
        s.number(&syscall::TOTAL, &[call], histogram.count() as f64);
        s.histogram(&syscall::DURATION, &[call], Arc::new(histogram));
    }
    s.number(&syscall::ERRORS, &["read", "other"], 3.0);
}

fn filled(buckets: &[(usize, u64)]) -> Histogram {
    let mut h = Histogram::empty();
    for &(i, n) in buckets {
        h.buckets[i] = n;
    }
    h.sum = 0.125;
    h
}

/// The duration below which a share `q` of [`spread`] lies: even on a logarithmic scale from 1 us to 1 s.
pub fn quantile(q: f64) -> f64 {
    10f64.powf(-6.0 + 6.0 * q)
}

/// `n` durations after [`quantile`].
pub fn spread(n: u32) -> Histogram {
    let mut h = Histogram::empty();
    for i in 0..n {
        let v = quantile((f64::from(i) + 0.5) / f64::from(n));
        let at = (0..Histogram::LEN).find(|&b| v <= Histogram::upper(b)).unwrap();
        h.buckets[at] += 1;
        h.sum += v;
    }
    h
}

/// Names and values of a series' labels.
pub type Labels = Vec<(String, String)>;

/// Every series of a snapshot as name and labels (empty ones left out), and its value.
pub fn series(snapshot: &Snapshot) -> Vec<(String, Labels, Value)> {
    let mut all = Vec::new();
    for samples in snapshot.samples() {
        for point in &samples.points {
            let pairs = samples.family.labels.iter().zip(&point.labels).filter(|(_, v)| !v.is_empty());
            let labels = pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect();
            all.push((samples.name().concat(), labels, point.value.clone()));
        }
    }
    all
}
