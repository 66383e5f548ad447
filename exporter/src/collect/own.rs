//! Collector `self`: what kanary costs and how its parts are.
//!
//! Reads its own `/proc/self` whatever `KANARY_PROC_ROOT` says: that may be another host's.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{Collector, Error, Row, Setup};
use crate::config;
use crate::metric::own;
use crate::snapshot::{Sink, Stamp};
use crate::supervise;
use crate::telemetry::{Loss, lost_total};

struct Own {
    unknown_variables: usize,
    kernel: String,
    ticks_per_second: f64,
    page_size: f64,
}

/// `self`
pub const ROW: Row = Row { id: "self", default: true, options: &[], build };

fn build(setup: &mut Setup) -> Result<Box<dyn Collector>, config::Error> {
    Ok(Box::new(Own {
        unknown_variables: setup.config.unknown.len(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
        page_size: rustix::param::page_size() as f64,
    }))
}

impl Collector for Own {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.build_info(out);
        health(out);
        out.number(&own::UNKNOWN_VARIABLES, &[], self.unknown_variables as f64);
        self.process(out)?;
        self.threads(out);
        Ok(())
    }
}

impl Own {
    fn build_info(&self, out: &mut Sink) {
        let version = env!("CARGO_PKG_VERSION");
        let target = "linux";
        out.number(&own::BUILD_INFO, &[version, target, &self.kernel], 1.0);
        out.number(&own::NODE_EXPORTER_BUILD_INFO, &[version, "", "linux", go_arch()], 1.0);
    }

    fn process(&self, out: &mut Sink) -> Result<(), Error> {
        let stat = read("/proc/self/stat")?;
        let stat = parse_stat(&stat).ok_or_else(|| Error::Failed(format!("/proc/self/stat: `{stat}`")))?;
        out.number(&own::PROCESS_CPU, &[], stat.cpu_ticks / self.ticks_per_second);
        out.number(&own::PROCESS_RESIDENT, &[], stat.resident_pages * self.page_size);
        out.number(&own::PROCESS_VIRTUAL, &[], stat.virtual_bytes);
        out.number(&own::PROCESS_THREADS, &[], stat.threads);
        let now = Stamp::now();
        let boot_time = now.wall.as_secs_f64() - now.boot.as_secs_f64();
        // Rounded to the tick in which it started: the two clocks are read one after the other.
        let start = boot_time + stat.start_ticks / self.ticks_per_second;
        out.number(&own::PROCESS_START, &[], (start * 100.0).round() / 100.0);
        if let Some(bytes) = parse_anonymous(&read("/proc/self/status")?) {
            out.number(&own::PROCESS_ANONYMOUS, &[], bytes);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            out.number(&own::PROCESS_OPEN_FDS, &[], open.count() as f64 - 1.0);
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            out.number(&own::PROCESS_MAX_FDS, &[], max as f64);
        }
        Ok(())
    }

    /// CPU time of the threads that live, by name: threads of one part share theirs.
    fn threads(&self, out: &mut Sink) {
        let mut parts = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            if let (Some(name), Some(stat)) = (thread_name(&stat), parse_stat(&stat)) {
                *parts.entry(name.to_string()).or_insert(0.0) += stat.cpu_ticks / self.ticks_per_second;
            }
        }
        for (part, seconds) in parts {
            out.number(&own::OVERHEAD_CPU, &[&part], seconds);
        }
    }
}

fn health(out: &mut Sink) {
    for loss in Loss::ALL {
        out.number(&own::LOST, &[loss.hop(), loss.reason()], lost_total(*loss) as f64);
    }
    for part in supervise::components() {
        out.number(&own::COMPONENT_UP, &[part.component], f64::from(u8::from(part.up)));
        out.number(&own::COMPONENT_RESTARTS, &[part.component], part.restarts as f64);
    }
}

/// The architecture in the words of node_exporter's build info.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|e| Error::Failed(format!("{path}: {e}")))
}

/// Fields of `/proc/<pid>/stat` (fs/proc/array.c, do_task_stat).
#[derive(Debug, PartialEq)]
struct Stat {
    /// utime + stime.
    cpu_ticks: f64,
    threads: f64,
    /// Since boot.
    start_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

/// `1234 (name) S 1 ...`: the name may hold spaces and parentheses, so fields are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let field = |proc_5_number: usize| fields.get(proc_5_number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

fn thread_name(stat: &str) -> Option<&str> {
    stat.get(stat.find('(')? + 1..stat.rfind(')')?)
}

/// `RssAnon:      2044 kB` of `/proc/self/status`, in bytes.
fn parse_anonymous(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194560 215 0 0 0 7 3 0 0 20 0 5 0 1000 5718016 243 184 1 1 0 0";

    #[test]
    fn fields_are_counted_from_the_last_parenthesis() {
        let stat = parse_stat(STAT).unwrap();
        let expected = Stat {
            cpu_ticks: 10.0,
            threads: 5.0,
            start_ticks: 1000.0,
            virtual_bytes: 5718016.0,
            resident_pages: 243.0,
        };
        assert_eq!(stat, expected);
        assert_eq!(thread_name(STAT), Some("a (b) c"));
    }

    #[test]
    fn cut_off_text_is_no_stat() {
        for end in 0..STAT.len() - 20 {
            assert_eq!(parse_stat(&STAT[..end]), None, "{end}");
        }
    }

    #[test]
    fn anonymous_memory_is_in_bytes() {
        assert_eq!(parse_anonymous("VmRSS:\t 10 kB\nRssAnon:\t    2 kB\n"), Some(2048.0));
        assert_eq!(parse_anonymous("RssFile: 1 kB"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            parse_stat(&text);
            thread_name(&text);
            parse_anonymous(&text);
        }
    }
}
