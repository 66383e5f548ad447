//! Memory errors that the controllers counted: `/sys/devices/system/edac/mc` (drivers/edac/edac_mc_sysfs.c).
//!
//! `mc0/ce_count` counts correctable errors of a controller, `mc0/csrow1/ch0_ue_count` uncorrectable ones of a channel.
//! `noinfo` counts are of errors that could not be told to a row: row `unknown`.

use std::path::Path;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::attribute::{Attribute, Scale};
use super::listing::{Listing, number_of};
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::metric::{Family, hardware};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "edac",
    default: true,
    options: &[],
    build: |setup| {
        let controllers = Listing::new(setup.config.paths.sys.join("devices/system/edac/mc"));
        Ok(Box::new(Edac { controllers, counters: Vec::new() }))
    },
};

struct Edac {
    controllers: Listing,
    counters: Vec<Counter>,
}

/// A file with a count.
struct Counter {
    family: &'static Family,
    /// Controller, row, channel, as far as the family has them.
    labels: SmallVec<[CompactString; 3]>,
    file: Attribute,
    /// What the module of a channel is called. edac-ctl(8) tells it to the kernel at any time.
    dimm: Option<Attribute>,
}

impl Collector for Edac {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.controllers.has_changed().map_err(Unreadable::or_absent)? {
            self.counters = find(&self.controllers);
        }
        for counter in &mut self.counters {
            let dimm = counter.dimm.as_mut().map(|file| dimm(&file.take_text(out)));
            let labels: SmallVec<[&str; 4]> = counter.labels.iter().chain(&dimm).map(CompactString::as_str).collect();
            counter.file.put(counter.family, &labels, Scale::ONE, out);
        }
        Ok(())
    }
}

/// Rows and channels are what they are while a controller is there.
fn find(controllers: &Listing) -> Vec<Counter> {
    let mut counters = Vec::new();
    for name in controllers.names() {
        let Some(mc) = number_of(name, "mc") else { continue };
        let dir = controllers.path().join(name);
        let mut add = |family, labels: &[&str], file: &str| add(&mut counters, family, labels, &dir, file, None);
        add(&hardware::CORRECTABLE, &[mc], "ce_count");
        add(&hardware::CSROW_CORRECTABLE, &[mc, "unknown"], "ce_noinfo_count");
        add(&hardware::UNCORRECTABLE, &[mc], "ue_count");
        add(&hardware::CSROW_UNCORRECTABLE, &[mc, "unknown"], "ue_noinfo_count");
        for_each(&dir, |row| {
            if let Some(number) = number_of(row, "csrow") {
                find_row(&dir.join(row), [mc, number], &mut counters);
            }
        });
    }
    counters
}

fn find_row(dir: &Path, labels: [&str; 2], counters: &mut Vec<Counter>) {
    add(counters, &hardware::CSROW_CORRECTABLE, &labels, dir, "ce_count", None);
    add(counters, &hardware::CSROW_UNCORRECTABLE, &labels, dir, "ue_count", None);
    for_each(dir, |file| {
        let Some((channel, count)) = file.strip_prefix("ch").and_then(|rest| rest.split_once('_')) else { return };
        let family = match count {
            "ce_count" => &hardware::CHANNEL_CORRECTABLE,
            "ue_count" => &hardware::CHANNEL_UNCORRECTABLE,
            _ => return,
        };
        if number_of(channel, "").is_some() {
            let dimm = Attribute::text(dir.join(format!("ch{channel}_dimm_label")));
            add(counters, family, &[labels[0], labels[1], channel], dir, file, Some(dimm));
        }
    });
}

fn for_each(dir: &Path, mut visit: impl FnMut(&str)) {
    let mut listing = Listing::new(dir);
    if listing.has_changed().is_ok() {
        listing.names().into_iter().for_each(&mut visit);
    }
}

fn add(
    counters: &mut Vec<Counter>,
    family: &'static Family,
    labels: &[&str],
    dir: &Path,
    file: &str,
    dimm: Option<Attribute>,
) {
    let labels = labels.iter().map(|label| CompactString::new(label)).collect();
    counters.push(Counter { family, labels, file: Attribute::number(dir.join(file)), dimm });
}

/// `mc#0csrow#1channel#0` as node_exporter writes it: `mc0_csrow1_channel0`.
fn dimm(label: &str) -> CompactString {
    if label.is_empty() {
        return "unknown".into();
    }
    label.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, read};

    #[test]
    fn controllers_rows_and_channels() {
        let mc = "sys/devices/system/edac/mc";
        let host = Host::new(&[]);
        let write = |file: &str, text: &str| host.write(&format!("{mc}/{file}"), text.as_bytes());
        write("mc0/ce_count", "1\n");
        write("mc0/ue_noinfo_count", "2\n");
        write("mc0/csrow1/ce_count", "3\n");
        write("mc0/csrow1/ch0_ce_count", "4\n");
        write("mc0/csrow1/ch0_dimm_label", "mc#0csrow#1channel#0\n");
        write("mc0/csrow1/ch1_ue_count", "5\n");
        write("mc0/csrow1/chx_ce_count", "6\n");
        write("power/control", "auto\n");
        let mut edac = host.build("edac", &[]);
        let reading = read(&mut *edac);
        let expected = [
            r#"node_edac_correctable_errors_total{controller="0"} 1"#,
            r#"node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="unknown"} 2"#,
            r#"node_edac_csrow_correctable_errors_total{controller="0",csrow="1"} 3"#,
            r#"node_edac_channel_correctable_errors_total{controller="0",csrow="1",channel="0",dimm_label="mc0_csrow1_channel0"} 4"#,
            r#"node_edac_channel_uncorrectable_errors_total{controller="0",csrow="1",channel="1",dimm_label="unknown"} 5"#,
        ];
        assert_eq!((&reading.lines[..], reading.faults.len()), (&expected.map(String::from)[..], 0));
        write("mc0/csrow1/ch0_dimm_label", "DIMM_A1\n");
        assert!(read(&mut *edac).lines[3].contains(r#"dimm_label="DIMM_A1""#));
        assert!(matches!(Host::new(&[]).read("edac", &[]).error, Some(Error::Absent(_))));
    }
}
