//! CPU frequencies of cpufreq (Documentation/admin-guide/pm/cpufreq.rst): `cpu0/cpufreq/scaling_cur_freq` in kHz.
//!
//! `cpu<n>/cpufreq` is a link to the policy that governs this CPU and its siblings, so a policy is read once for all of
//! them. Some drivers ask the firmware, which takes milliseconds or never answers, hence the watched threads.

use std::path::{Path, PathBuf};

use compact_str::CompactString;

use super::attribute::{Attribute, Scale, Value};
use super::devices::{Device, Devices};
use super::listing::{Listing, number_of};
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::metric::{Family, cpu};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "cpufreq",
    default: true,
    options: &[],
    build: |setup| {
        let dir = setup.config.paths.sys.join("devices/system/cpu");
        Ok(Box::new(CpuFreq {
            policies: Listing::new(dir.join("cpufreq")),
            offline: ProcFile::value(dir.join("offline")),
            known_offline: None,
            dir,
            found: Devices::default(),
            is_any: false,
        }))
    },
};

const KILO: Scale = Scale::by(1000.0);

/// Files that are frequencies.
static FREQUENCIES: [(&str, &Family); 7] = [
    ("cpuinfo_cur_freq", &cpu::FREQUENCY_CURRENT),
    ("cpuinfo_avg_freq", &cpu::FREQUENCY_AVERAGE),
    ("cpuinfo_min_freq", &cpu::FREQUENCY_MIN),
    ("cpuinfo_max_freq", &cpu::FREQUENCY_MAX),
    ("scaling_cur_freq", &cpu::SCALING_CURRENT),
    ("scaling_min_freq", &cpu::SCALING_MIN),
    ("scaling_max_freq", &cpu::SCALING_MAX),
];

struct CpuFreq {
    dir: PathBuf,
    /// Changes when a driver is loaded, `offline` when a CPU leaves its policy.
    policies: Listing,
    offline: ProcFile,
    known_offline: Option<Vec<u8>>,
    found: Devices<Policy>,
    is_any: bool,
}

/// CPUs that share a frequency, and what their policy's frequencies are.
struct Policy {
    cpus: Vec<CompactString>,
    frequencies: Vec<&'static Family>,
}

impl Collector for CpuFreq {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.has_changed() {
            let found = find(&self.dir);
            self.is_any = !found.is_empty();
            self.found.replace(found);
        }
        if !self.is_any {
            return Err(Error::Absent(format!("{}: no CPU has a cpufreq folder", self.dir.display())));
        }
        self.found.read(out, put);
        Ok(())
    }
}

impl CpuFreq {
    fn has_changed(&mut self) -> bool {
        let policies = self.policies.has_changed().unwrap_or(false);
        let offline = self.offline.read().map_or(&b""[..], |text| text.bytes);
        let cpus = self.known_offline.as_deref() != Some(offline);
        if cpus {
            self.known_offline = Some(offline.into());
        }
        policies || cpus
    }
}

/// CPUs by policy. A CPU that is offline has none.
fn find(dir: &Path) -> Vec<Device<Policy>> {
    let mut listing = Listing::new(dir);
    let mut found: Vec<Device<Policy>> = Vec::new();
    if listing.has_changed().is_err() {
        return found;
    }
    for name in listing.names() {
        let Some(number) = number_of(name, "cpu") else { continue };
        let Ok(path) = dir.join(name).join("cpufreq").canonicalize() else { continue };
        match found.iter_mut().rfind(|device| device.path == path) {
            Some(device) => device.about.cpus.push(number.into()),
            None => found.push(policy(path, number)),
        }
    }
    found
}

fn policy(path: PathBuf, first: &str) -> Device<Policy> {
    let governors = ["scaling_governor", "scaling_available_governors"];
    let mut attributes: Vec<Attribute> = governors.map(|file| Attribute::text(path.join(file))).into();
    let mut policy = Policy { cpus: vec![first.into()], frequencies: Vec::new() };
    for (file, family) in &FREQUENCIES {
        let file = path.join(file);
        if file.is_file() {
            policy.frequencies.push(family);
            attributes.push(Attribute::number(file));
        }
    }
    Device { about: policy, path, attributes }
}

fn put(policy: &Policy, values: &[Option<Value>], out: &mut Sink) {
    let [governor, available, frequencies @ ..] = values else { return };
    let text = |value: &Option<Value>| value.as_ref().map_or(CompactString::default(), |v| v.text().into());
    let (governor, available) = (text(governor), text(available));
    for cpu in &policy.cpus {
        for (family, value) in policy.frequencies.iter().zip(frequencies) {
            if let Some(khz) = value.as_ref().and_then(Value::number) {
                out.number(family, &[cpu], KILO.of(khz));
            }
        }
        if !governor.is_empty() {
            for name in available.split_ascii_whitespace() {
                let is = f64::from(u8::from(name == governor));
                out.number(&cpu::GOVERNOR, &[cpu, name], is);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::Error;
    use crate::collect::testing::{Host, read};
    use std::os::unix::fs::symlink;

    fn host() -> Host {
        let host = Host::new(&[
            ("sys/devices/system/cpu/offline", b"\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", b"powersave\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_available_governors", b"performance powersave \n"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", b"1699981\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_cur_freq", b"<unknown>\n"),
            ("sys/devices/system/cpu/cpu0/online", b"1\n"),
            ("sys/devices/system/cpu/cpu1/online", b"1\n"),
            ("sys/devices/system/cpu/cpu2/online", b"0\n"),
        ]);
        for cpu in ["cpu0", "cpu1"] {
            let cpu = host.path().join("sys/devices/system/cpu").join(cpu);
            symlink("../cpufreq/policy0", cpu.join("cpufreq")).unwrap();
        }
        host
    }

    #[test]
    fn the_cpus_of_a_policy_show_its_frequencies() {
        let reading = host().read("cpufreq", &[]);
        let expected = [
            r#"node_cpu_scaling_frequency_hertz{cpu="0"} 1699981000"#,
            r#"node_cpu_scaling_frequency_hertz{cpu="1"} 1699981000"#,
            r#"node_cpu_scaling_governor{cpu="0",governor="performance"} 0"#,
            r#"node_cpu_scaling_governor{cpu="0",governor="powersave"} 1"#,
            r#"node_cpu_scaling_governor{cpu="1",governor="performance"} 0"#,
            r#"node_cpu_scaling_governor{cpu="1",governor="powersave"} 1"#,
        ];
        assert_eq!(reading.lines, expected);
        assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
    }

    #[test]
    fn a_cpu_that_goes_offline_vanishes() {
        let host = host();
        let mut cpufreq = host.build("cpufreq", &[]);
        assert_eq!(read(&mut *cpufreq).lines.len(), 6);
        std::fs::remove_file(host.path().join("sys/devices/system/cpu/cpu1/cpufreq")).unwrap();
        host.write("sys/devices/system/cpu/offline", b"1\n");
        assert_eq!(read(&mut *cpufreq).lines.len(), 3);
    }

    #[test]
    fn a_driver_may_be_loaded_later() {
        let host = Host::new(&[("sys/devices/system/cpu/cpu0/online", b"1\n")]);
        let mut cpufreq = host.build("cpufreq", &[]);
        assert!(matches!(read(&mut *cpufreq).error, Some(Error::Absent(_))));
        host.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", b"800000\n");
        host.write("sys/devices/system/cpu/cpufreq/policy0/x", b"");
        assert_eq!(read(&mut *cpufreq).lines, [r#"node_cpu_scaling_frequency_min_hertz{cpu="0"} 800000000"#]);
    }
}
