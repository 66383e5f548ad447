//! The sampler under those who hang: every scrape answers within its deadline, and what hangs costs only itself.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::daemon::{Daemon, kanary, temp_dir, wait_for};
use crate::harness::fuse::HangingMount;
use crate::harness::http::{agent, try_get_by};
use crate::harness::{is_root, skip};

/// What a scrape that says it waits two seconds gets, and after how long.
fn scrape(kanary: &Daemon) -> (u16, String, Duration) {
    scrape_by(&agent(), kanary)
}

/// The same by a client that is used again.
fn scrape_by(agent: &ureq::Agent, kanary: &Daemon) -> (u16, String, Duration) {
    let begin = Instant::now();
    let headers = [("X-Prometheus-Scrape-Timeout-Seconds", "2")];
    let (status, body) = try_get_by(agent, &format!("{}/metrics", kanary.url), &headers).expect("an answer");
    (status, body, begin.elapsed())
}

/// Fifty at once, several times over: status 200 within the deadline, each.
fn storm(kanary: &Daemon, check: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let agent = agent();
                for _ in 0..5 {
                    let (status, body, took) = scrape_by(&agent, kanary);
                    assert_eq!(status, 200, "{body}");
                    assert!(took < Duration::from_secs(2), "answered after {took:?}");
                    assert!(body.contains("\nnode_memory_MemTotal_bytes "));
                    check(&body);
                }
            });
        }
    });
}

fn value(body: &str, series: &str) -> Option<f64> {
    body.lines().find_map(|l| l.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn fifty_scrapers_share_collections_and_all_get_fresh_numbers() {
    let kanary = kanary(&[("KANARY_EBPF", "off")]);
    let cpu = |body: &str| value(body, "process_cpu_seconds_total").expect("kanary's own CPU time");
    let before = cpu(&scrape(&kanary).1);
    storm(&kanary, |body| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
        let stamp = value(body, "node_time_seconds").expect("the time collector");
        assert!((now - stamp).abs() < 2.0, "served {} s late", now - stamp);
    });
    // 250 scrapes: shared collections make this far cheaper than 250 of them would be.
    assert!(cpu(&scrape(&kanary).1) - before < 5.0);
}

#[test]
fn a_mount_that_hangs_costs_that_mount_alone() {
    if !is_root() {
        return skip("sampler", "only root can mount");
    }
    let folder = temp_dir();
    let mount = folder.path().join("hung");
    std::fs::create_dir(&mount).expect("a fresh folder");
    let hung = match HangingMount::new(&mount) {
        Ok(hung) => hung,
        Err(e) => return skip("sampler", &format!("no FUSE mount: {e}")),
    };
    let kanary = kanary(&[("KANARY_EBPF", "off"), ("KANARY_FILESYSTEM_MOUNT_TIMEOUT", "1s")]);
    let mine = format!("mountpoint=\"{}\"", mount.display());
    let line = |body: &str, family: &str| {
        body.lines().find(|l| l.starts_with(family) && l.contains(&mine)).map(str::to_string)
    };
    storm(&kanary, |body| assert!(line(body, "node_filesystem_size_bytes").is_none(), "a size nobody told"));
    assert!(wait_for(Duration::from_secs(10), || {
        line(&scrape(&kanary).1, "node_filesystem_device_error")
            .is_some_and(|l| l.contains("mountpoint timeout") && l.ends_with(" 1"))
    }));
    let (_, body, _) = scrape(&kanary);
    assert!(
        body.lines().any(|l| l.starts_with("node_filesystem_size_bytes") && l.contains("mountpoint=\"/\"")),
        "the others"
    );
    let threads = value(&body, "process_threads").expect("kanary's threads");
    storm(&kanary, |_| {});
    let (_, body, _) = scrape(&kanary);
    assert_eq!(value(&body, "process_threads"), Some(threads), "a hung mount is asked once, not once a scrape");
    drop(hung);
}

#[test]
fn a_sensor_that_hangs_costs_its_chip_alone() {
    if !is_root() {
        return skip("sampler", "only root can mount");
    }
    let folder = temp_dir();
    let (mount, class) = (folder.path().join("hung"), folder.path().join("sys/class/hwmon"));
    std::fs::create_dir(&mount).expect("a fresh folder");
    for chip in ["one", "two"] {
        std::fs::create_dir_all(class.join(chip)).expect("a fresh folder");
        std::fs::write(class.join(chip).join("temp1_input"), "40000").expect("a fresh folder");
    }
    let sys = folder.path().join("sys").display().to_string();
    let kanary = kanary(&[
        ("KANARY_EBPF", "off"),
        ("KANARY_SYS_ROOT", &sys),
        ("KANARY_FILESYSTEM_MOUNT_POINTS_EXCLUDE", "/hung$"),
    ]);
    let temperature =
        |body: &str, chip: &str| value(body, &format!("node_hwmon_temp_celsius{{chip=\"{chip}\",sensor=\"temp1\"}}"));
    let both = || {
        let body = scrape(&kanary).1;
        ["one", "two"].map(|chip| temperature(&body, chip))
    };
    // What a class holds is looked at twice. A reading is served again for a tenth of a second.
    let pause = || std::thread::sleep(Duration::from_millis(150));
    for _ in 0..2 {
        assert_eq!(both(), [Some(40.0), Some(40.0)]);
        pause();
    }

    let hung = match HangingMount::new(&mount) {
        Ok(hung) => hung,
        Err(e) => return skip("sampler", &format!("no FUSE mount: {e}")),
    };
    let file = class.join("one/temp1_input");
    symlink(mount.join("temp1_input"), class.join("new")).expect("a folder of the test");
    std::fs::rename(class.join("new"), &file).expect("a folder of the test");
    pause();
    storm(&kanary, |body| assert!(temperature(body, "one").is_none(), "a reading nobody gave"));
    assert_eq!(both(), [None, Some(40.0)]);
    let threads = |body: &str| value(body, "process_threads").expect("kanary's threads");
    let before = threads(&scrape(&kanary).1);
    let begin = Instant::now();
    storm(&kanary, |_| {});
    assert!(begin.elapsed() < Duration::from_secs(4), "nobody waits for what is stuck");
    assert_eq!(threads(&scrape(&kanary).1), before, "a sensor that hangs is asked once");

    std::fs::remove_file(&file).expect("a folder of the test");
    std::fs::write(&file, "41000").expect("a folder of the test");
    drop(hung);
    assert!(wait_for(Duration::from_secs(5), || both() == [Some(41.0), Some(40.0)]));
}

/// A folder like /proc with `name` replaced by a FIFO that nobody writes to.
fn proc_with_fifo(folder: &Path, name: &str) {
    for entry in std::fs::read_dir("/proc").expect("there is a /proc").flatten() {
        let file = entry.file_name();
        let keep = file.to_string_lossy().parse::<u32>().is_ok_and(|pid| pid != 1);
        if !keep && file != *name {
            symlink(entry.path(), folder.join(file)).expect("a fresh folder");
        }
    }
    mknodat(CWD, folder.join(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
}

#[test]
fn a_fifo_in_place_of_a_file_costs_that_collector_alone() {
    let folder = temp_dir();
    proc_with_fifo(folder.path(), "loadavg");
    let root = folder.path().to_str().expect("UTF-8");
    let kanary = kanary(&[("KANARY_EBPF", "off"), ("KANARY_PROC_ROOT", root)]);
    storm(&kanary, |body| {
        assert!(body.contains("node_scrape_collector_success{collector=\"loadavg\"} 0"));
        assert!(body.contains("node_scrape_collector_success{collector=\"meminfo\"} 1"));
    });
}
