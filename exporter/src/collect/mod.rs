//! Sources: one file each, holding reader, parser and tests; the table [`ALL`] lists them.
//!
//! A collector reads when asked and keeps nothing but what it needs to read again (open files, the last counters it
//! clamps against). Parsing is pure and tested on literal text. An item that fails costs that item: the collector
//! notes a fault and goes on. It never serves, logs or sleeps; what can hang goes through a watched thread.

mod attribute;
mod bpf;
mod buddyinfo;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod cpuinfo;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod damaged_host;
mod devices;
mod diskstats;
mod dmi;
mod edac;
mod entropy;
mod fields;
mod filefd;
mod filesystem;
mod filter;
mod hwmon;
mod interrupts;
mod kernel_hung;
mod ksmd;
mod listing;
mod loadavg;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mount_table;
mod mounts;
mod netdev;
mod netlink;
mod nvme;
mod os;
mod own;
mod powersupplyclass;
mod pressure;
mod procfile;
mod rapl;
mod schedstat;
mod selinux;
mod shared_file;
mod slabinfo;
mod softirqs;
mod stat;
pub mod syscalls;
mod tapestats;
#[cfg(test)]
mod testing;
mod thermal_zone;
mod time;
mod timex;
mod topology;
mod udev;
mod uname;
mod vmstat;
mod watchdog;
mod watched;
mod zoneinfo;

use crate::bpf::Programs;
use crate::config::{self, Config, Selection, Setting};
use crate::snapshot::{Outcome, Sink};

/// One source.
pub trait Collector: Send {
    /// Puts one fresh reading into `out`.
    ///
    /// # Errors
    /// [`Error::Absent`] when the host has no such source, [`Error::Failed`] when it cannot be read. What was put
    /// into `out` before is kept.
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error>;
}

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This host has no such source. Not an error for the user.
    #[error("{0}")]
    Absent(String),
    /// It is there and could not be read or understood: path and offending text.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error {
            Error::Absent(why) => Outcome::Absent(why),
            Error::Failed(why) => Outcome::Failed(why),
        }
    }
}

/// What a collector is built from.
pub struct Setup<'a> {
    pub config: &'a Config,
    /// Kernel programs; a collector takes the maps that are its own.
    pub programs: &'a mut Programs,
}

/// A row of [`ALL`].
pub struct Row {
    /// node_exporter's collector name, or kanary's own (`syscalls`, `self`).
    pub id: &'static str,
    /// Exposed unless `KANARY_COLLECTORS` says otherwise.
    pub default: bool,
    /// `KANARY_<COLLECTOR>_<OPTION>`: node_exporter's flags.
    pub options: &'static [&'static Setting],
    pub build: fn(&mut Setup) -> Result<Box<dyn Collector>, config::Error>,
}

/// Every collector, in the order of exposition.
pub static ALL: &[Row] = &[
    buddyinfo::ROW,
    cpu::ROW,
    cpu_vulnerabilities::ROW,
    cpufreq::ROW,
    diskstats::ROW,
    dmi::ROW,
    edac::ROW,
    entropy::ROW,
    filefd::ROW,
    filesystem::ROW,
    hwmon::ROW,
    interrupts::ROW,
    kernel_hung::ROW,
    ksmd::ROW,
    loadavg::ROW,
    mdadm::ROW,
    meminfo::ROW,
    meminfo_numa::ROW,
    netdev::ROW,
    nvme::ROW,
    os::ROW,
    powersupplyclass::ROW,
    pressure::ROW,
    rapl::ROW,
    schedstat::ROW,
    selinux::ROW,
    slabinfo::ROW,
    softirqs::ROW,
    stat::ROW,
    tapestats::ROW,
    thermal_zone::ROW,
    time::ROW,
    timex::ROW,
    uname::ROW,
    vmstat::ROW,
    watchdog::ROW,
    zoneinfo::ROW,
    syscalls::ROW,
    bpf::ROW,
    own::ROW,
];

/// Named by `KANARY_COLLECTORS` like a collector; the pipeline fills it from the detector.
pub const DETECTOR: &str = "detector";

/// Settings of all collectors.
pub fn options() -> impl Iterator<Item = &'static Setting> {
    ALL.iter().flat_map(|row| row.options).copied()
}

/// Every id that `KANARY_COLLECTORS` may name.
fn ids() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|row| row.id).chain([DETECTOR])
}

/// The rows that `KANARY_COLLECTORS` selects, in the order of [`ALL`].
///
/// # Errors
/// When it names a collector that does not exist.
pub fn select(selection: &Selection) -> Result<Vec<&'static Row>, config::Error> {
    if let Some((_, unknown)) = selection.changes.iter().find(|(_, id)| ids().all(|known| known != id)) {
        return Err(config::Error {
            name: config::COLLECTORS.name.into(),
            value: selection.to_string(),
            fault: format!("no collector `{unknown}`"),
            allowed: format!("{}: {}", config::COLLECTORS.allowed, ids().collect::<Vec<_>>().join(" ")),
        });
    }
    Ok(ALL.iter().filter(|row| selects(selection, row.id, row.default)).collect())
}

/// Whether `KANARY_COLLECTORS` selects one id. What is written last about it counts.
pub fn selects(selection: &Selection, id: &str, default: bool) -> bool {
    let last = selection.changes.iter().rev().find(|(_, changed)| changed == id);
    last.map_or(selection.from_default && default, |(on, _)| *on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(from_default: bool, changes: &[(bool, &str)]) -> Result<Vec<&'static str>, String> {
        let changes = changes.iter().map(|(on, id)| (*on, id.to_string())).collect();
        let rows = select(&Selection { from_default, changes }).map_err(|e| e.to_string())?;
        Ok(rows.iter().map(|row| row.id).collect())
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(ids(false, &[(true, "stat"), (true, "cpu")]).unwrap(), ["cpu", "stat"]);
        assert_eq!(ids(false, &[(true, "stat"), (false, "stat")]).unwrap(), [""; 0]);
        assert!(!ids(true, &[(false, "cpu")]).unwrap().contains(&"cpu"));
    }

    #[test]
    fn an_unknown_collector_is_one_line_with_all_that_exist() {
        let error = ids(true, &[(true, "gpu")]).unwrap_err();
        assert!(error.starts_with("KANARY_COLLECTORS=default,+gpu: no collector `gpu`; allowed: "), "{error}");
        assert!(error.contains(" loadavg ") && !error.contains('\n'));
    }

    #[test]
    fn ids_and_options_are_unique() {
        let mut names: Vec<&str> = ALL.iter().map(|row| row.id).chain(options().map(|s| s.name)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
