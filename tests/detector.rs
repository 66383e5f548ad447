//! The detector from outside: no allocation per tick once warm, and `kanary replay` on recorded series.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kanary::config::{Config, Vars};
use kanary::detect::engine::{Engine, Tuning};
use kanary::detect::episode::Key;
use kanary::detect::slot::Traits;
use kanary::detect::{Detector, Settings};
use kanary::metric;
use kanary::snapshot::{Histogram, Outcome, Section, Sink, Snapshot, Stamp};

use crate::harness::daemon::temp_dir;
use crate::harness::shared;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator; counts what this thread asks for.
struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may be past its locals.
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above, that is from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_detector_allocates_nothing() {
    let mut engine = Engine::new(Tuning { warmup: 200, all_trends: true });
    for i in 0..60 {
        engine.add(Key { feature: format!("f{i}").into(), device: "".into() }, Traits::default());
    }
    let row = |t: u32| std::array::from_fn::<f64, 60, _>(|i| f64::from(t.wrapping_mul(2_654_435_761) >> 20) + i as f64);
    for t in 0..60_000 {
        let (before, episode) = (ALLOCATIONS.get(), engine.watch.open);
        assert!(engine.tick(f64::from(t), f64::from(t), &row(t)));
        // What an episode of the host names at its peak is written down.
        if t >= 30_000 && engine.watch.open == episode {
            assert_eq!(ALLOCATIONS.get() - before, 0, "tick {t}");
        }
    }
}

/// A snapshot with counters, a histogram and devices, `t` seconds after boot.
fn snapshot(t: u32) -> Snapshot {
    let after =
        |base: u64| Stamp { boot: Duration::from_secs(t.into()), wall: Duration::from_secs(base + u64::from(t)) };
    let (mut sink, n) = (Sink::default(), f64::from(t) + f64::from(t.wrapping_mul(2_654_435_761) >> 24) / 1024.0);
    for cpu in ["0", "1"] {
        for (mode, rate) in [("user", 0.25), ("system", 0.1), ("iowait", 0.01), ("idle", 0.6)] {
            sink.number(&metric::cpu::SECONDS, &[cpu, mode], n * rate);
        }
    }
    for device in ["sda", "loop0", "sdb"] {
        sink.number(&metric::disk::READS_COMPLETED, &[device], 10.0 * n);
        sink.number(&metric::disk::WRITES_COMPLETED, &[device], 20.0 * n);
        sink.number(&metric::disk::READ_TIME, &[device], 0.01 * n);
        sink.number(&metric::disk::WRITE_TIME, &[device], 0.02 * n);
    }
    let mut histogram = Histogram::empty();
    histogram.buckets[100] = 100 * u64::from(t);
    sink.histogram(&metric::syscall::DURATION, &["fsync"], Arc::new(histogram));
    let (at, (samples, faults)) = (after(1_700_000_000), sink.finish());
    let section = Section { collector: "test", at, took: Duration::ZERO, outcome: Outcome::Ok, faults, samples };
    Snapshot { at, sections: vec![Arc::new(section)] }
}

#[test]
fn taking_features_from_a_snapshot_allocates_nothing() {
    let config = Config::from_vars(Vars::default(), std::iter::empty()).expect("defaults are valid");
    let mut detector = Detector::new(Settings::from_config(&config).expect("defaults are valid"));
    let mut allocated = 0;
    // The forest is grown first after 128 minutes.
    for t in 1..11_000 {
        let snapshot = snapshot(t);
        let before = ALLOCATIONS.get();
        detector.tick(&snapshot);
        if t > 10_000 {
            allocated += ALLOCATIONS.get() - before;
        }
    }
    assert_eq!(allocated, 0);
    let mut out = Sink::default();
    detector.publish(&mut out);
    let scores =
        out.finish().0.iter().find(|s| s.name().concat() == "kanary_anomaly_score").map_or(0, |s| s.points.len());
    assert_eq!(scores, 6 + 2 * 3 + 2, "shares of CPU time, reads, writes and latency of two disks, two quantiles");
}

fn replay(file: &Path) -> Vec<Vec<String>> {
    let out = Command::new(env!("CARGO_BIN_EXE_kanary")).arg("replay").arg(file).output().expect("kanary starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    text.lines().map(|l| l.split(',').map(String::from).collect()).collect()
}

#[test]
fn replay_answers_row_by_row_and_reads_gzip_alike() {
    let folder = temp_dir();
    let mut text = String::from("timestamp,cpu,disk\n");
    for minute in 0..3000_u32 {
        let noise = |k: u32| f64::from((minute * k).wrapping_mul(2_654_435_761) >> 22) / 1024.0;
        let fault = if (2500..2530).contains(&minute) { 5.0 } else { 0.0 };
        text += &format!("{},{},{}\n", 1_700_000_000 + 60 * minute, noise(3) + fault, noise(7));
    }
    let (plain, zipped) = (folder.path().join("a.csv"), folder.path().join("a.csv.gz"));
    std::fs::write(&plain, &text).expect("writable");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text.as_bytes()).expect("memory");
    std::fs::write(&zipped, gzip.finish().expect("memory")).expect("writable");

    let rows = replay(&plain);
    assert_eq!(rows, replay(&zipped));
    assert_eq!(rows[0], ["timestamp", "surprise", "score", "cpu", "disk"]);
    assert_eq!(rows.len(), 3001);
    assert!(rows[1..].iter().zip(text.lines().skip(1)).all(|(out, line)| line.starts_with(&format!("{},", out[0]))));
    let surprise = |row: usize, column: usize| rows[row + 1][column].parse::<f64>().unwrap_or(0.0);
    let highest = |column: usize, from: usize, to: usize| (from..to).map(|i| surprise(i, column)).fold(0.0, f64::max);
    assert!(highest(1, 2500, 2540) >= 4.0, "the host: {}", highest(1, 2500, 2540));
    assert!(highest(3, 2500, 2502) >= 3.0, "the feature at once: {}", highest(3, 2500, 2502));
    assert!(highest(4, 2500, 2530) < 3.0, "not the other one");
}

/// The recorded host keeps its labelled faults apart from the rest: far better than chance, and calm when nothing is.
#[test]
fn a_recorded_host_is_judged_as_labelled() {
    let test = "a_recorded_host_is_judged_as_labelled";
    let Some(data) = shared(test, "anomaly-data") else { return };
    let rows = replay(&data.join("js2/js2_00.csv.gz"));
    let labels = replay_labels(&data.join("js2/js2_00.labels.csv.gz"));
    let scores: Vec<f64> = rows[rows.len() - labels.len()..].iter().map(|r| r[2].parse().unwrap_or(0.0)).collect();
    let share = |faulty: bool| {
        let of: Vec<f64> = scores.iter().zip(&labels).filter(|(_, l)| **l == faulty).map(|(s, _)| *s).collect();
        of.iter().filter(|s| **s >= 0.5).count() as f64 / of.len().max(1) as f64
    };
    assert!(share(false) <= 0.005, "false alarms: {}", share(false));
    assert!(share(true) >= 20.0 * share(false), "{} of the faulty, {} of the others", share(true), share(false));
}

fn replay_labels(file: &Path) -> Vec<bool> {
    let input = std::fs::File::open(file).expect("the labels beside the series");
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(input)).expect("gzip");
    text.lines().skip(1).map(|l| !l.ends_with(",0")).collect()
}
