//! The wall clock, the time zone, and the clock sources of `/sys/devices/system/clocksource`.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fields::{valid_utf8, words};
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::metric::{Family, system};
use crate::snapshot::{Sink, Stamp};

pub const ROW: Row = Row {
    id: "time",
    default: true,
    options: &[],
    build: |setup| {
        let sources = sources(&setup.config.paths.sys.join("devices/system/clocksource"));
        // As in Go: without a readable zone it is UTC.
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        Ok(Box::new(Time { zone, sources }))
    },
};

struct Time {
    /// Read once, as node_exporter does.
    zone: TimeZone,
    sources: Vec<Source>,
}

/// Files of one `clocksource<n>`.
struct Source {
    available: ProcFile,
    current: ProcFile,
}

impl Collector for Time {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let now = Stamp::now().wall;
        out.number(&system::TIME, &[], now.as_nanos() as f64 / 1e9);
        if let Ok(now) = Timestamp::try_from(std::time::UNIX_EPOCH + now) {
            let zone = self.zone.to_offset_info(now);
            out.number(&system::TIME_ZONE, &[zone.abbreviation()], f64::from(zone.offset().seconds()));
        }
        for (index, source) in self.sources.iter_mut().enumerate() {
            let device = index.to_string();
            put(&system::CLOCKSOURCE_AVAILABLE, &device, &mut source.available, out);
            put(&system::CLOCKSOURCE_CURRENT, &device, &mut source.current, out);
        }
        Ok(())
    }
}

/// One sample for each word of the file.
fn put(family: &'static Family, device: &str, file: &mut ProcFile, out: &mut Sink) {
    match file.read() {
        Ok(text) => {
            for name in words(text.bytes.trim_ascii()) {
                out.number(family, &[device, &valid_utf8(name)], 1.0);
            }
        }
        Err(e) => out.fault(e.to_string()),
    }
}

fn sources(dir: &Path) -> Vec<Source> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_source = |name: &str| name.strip_prefix("clocksource").is_some_and(|n| n.parse::<u32>().is_ok());
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|name| is_source(name));
    names.sort_unstable();
    let source = |name| Source {
        available: ProcFile::new(dir.join(name).join("available_clocksource")),
        current: ProcFile::new(dir.join(name).join("current_clocksource")),
    };
    names.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    #[test]
    fn clock_sources_by_device() {
        let host = Host::new(&[
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", b"tsc hpet \n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", b"tsc\n"),
        ]);
        let lines = host.read("time", &[]).lines;
        assert!(lines[0].starts_with("node_time_seconds 1"));
        assert!(lines[1].starts_with("node_time_zone_offset_seconds{time_zone=\""));
        assert_eq!(
            lines[2..],
            [
                r#"node_time_clocksource_available_info{device="0",clocksource="tsc"} 1"#,
                r#"node_time_clocksource_available_info{device="0",clocksource="hpet"} 1"#,
                r#"node_time_clocksource_current_info{device="0",clocksource="tsc"} 1"#,
            ]
        );
    }
}
