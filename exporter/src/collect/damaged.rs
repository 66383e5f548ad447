//! Every collector on a damaged host: each file missing, garbage, cut short, or a FIFO. It costs that item alone, takes
//! no time and panics nowhere.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::testing::{Host, read};

/// A collector and the files it lives on, with one sound line or more each.
static FILES: &[(&str, &[(&str, &str)])] = &[
    ("buddyinfo", &[("proc/buddyinfo", "Node 0, zone DMA 1 2\n")]),
    (
        "cpu",
        &[
            ("proc/stat", "cpu  1 1 1 1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1 1 1\n"),
            ("proc/cpuinfo", "processor\t: 0\nflags\t: aes\ncpu MHz : 1.5\n"),
            ("sys/devices/system/cpu/isolated", "0\n"),
            ("sys/devices/system/cpu/online", "0\n"),
            ("sys/devices/system/cpu/cpu0/online", "1\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
            ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n"),
        ],
    ),
    (
        "cpu_vulnerabilities",
        &[
            ("sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable\n"),
            ("sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n"),
        ],
    ),
    (
        "cpufreq",
        &[
            ("sys/devices/system/cpu/offline", "\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "a\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors", "a b\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1\n"),
        ],
    ),
    (
        "diskstats",
        &[
            ("proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n"),
            ("udev/b8:0", "E:ID_FS_TYPE=ext4\n"),
            ("sys/block/sda/queue/rotational", "1\n"),
        ],
    ),
    ("dmi", &[("sys/class/dmi/id/sys_vendor", "a\n")]),
    (
        "edac",
        &[
            ("sys/devices/system/edac/mc/mc0/ce_count", "1\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ch0_ce_count", "1\n"),
            ("sys/devices/system/edac/mc/mc0/csrow0/ch0_dimm_label", "a\n"),
        ],
    ),
    ("entropy", &[("proc/sys/kernel/random/entropy_avail", "1\n"), ("proc/sys/kernel/random/poolsize", "1\n")]),
    ("filefd", &[("proc/sys/fs/file-nr", "1\t0\t2\n")]),
    ("filesystem", &[("proc/1/mountinfo", "1 2 8:0 / / rw - ext4 /dev/sda rw\n")]),
    (
        "hwmon",
        &[
            ("sys/class/hwmon/hwmon0/name", "a\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "1\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "a\n"),
            ("sys/class/hwmon/hwmon0/freq1_input", "1\n"),
            ("sys/class/hwmon/hwmon0/freq1_label", "a\n"),
        ],
    ),
    ("interrupts", &[("proc/interrupts", "CPU0\n1: 1 chip device\n")]),
    ("kernel_hung", &[("proc/sys/kernel/hung_task_detect_count", "1\n")]),
    ("ksmd", &[("sys/kernel/mm/ksm/run", "1\n"), ("sys/kernel/mm/ksm/full_scans", "1\n")]),
    ("loadavg", &[("proc/loadavg", "0.1 0.2 0.3 1/2 3\n")]),
    (
        "mdadm",
        &[
            ("proc/mdstat", "md0 : active raid1 a[0] b[1]\n 9 blocks [2/2] [UU]\n check = 1% (1/9)\n"),
            ("sys/block/md0/md/level", "raid1\n"),
            ("sys/block/md0/md/raid_disks", "2\n"),
            ("sys/block/md0/md/degraded", "0\n"),
        ],
    ),
    ("meminfo", &[("proc/meminfo", "MemTotal: 1 kB\nMemFree: 1 kB\n")]),
    (
        "meminfo_numa",
        &[
            ("sys/devices/system/node/node0/meminfo", "Node 0 MemFree: 1 kB\n"),
            ("sys/devices/system/node/node0/numastat", "numa_hit 1\n"),
        ],
    ),
    ("netdev", &[("proc/net/dev", "head\nhead\nlo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")]),
    (
        "nvme",
        &[
            ("sys/class/nvme/nvme0/state", "live\n"),
            ("sys/class/nvme/nvme0/nvme0n1/size", "1\n"),
            ("sys/class/nvme/nvme0/nvme0n1/queue/logical_block_size", "512\n"),
        ],
    ),
    ("os", &[("root/etc/os-release", "ID=a\nVERSION_ID=1\nSUPPORT_END=2028-01-01\n")]),
    (
        "powersupplyclass",
        &[("sys/class/power_supply/BAT0/type", "Battery\n"), ("sys/class/power_supply/BAT0/capacity", "1\n")],
    ),
    (
        "pressure",
        &[
            ("proc/pressure/cpu", "some total=1\n"),
            ("proc/pressure/io", "some total=1\nfull total=1\n"),
            ("proc/pressure/memory", "some total=1\nfull total=1\n"),
            ("proc/pressure/irq", "full total=1\n"),
        ],
    ),
    (
        "rapl",
        &[
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", "1\n"),
            ("sys/class/powercap/intel-rapl:1/name", "package-1\n"),
            ("sys/class/powercap/intel-rapl:1/energy_uj", "1\n"),
        ],
    ),
    ("schedstat", &[("proc/schedstat", "cpu0 1 2 3 4 5 6 7 8 9\n")]),
    ("selinux", &[("sys/fs/selinux/enforce", "1"), ("root/etc/selinux/config", "SELINUX=enforcing\n")]),
    ("slabinfo", &[("proc/slabinfo", "kmem_cache 1 2 3 4 5 : tunables\n")]),
    ("softirqs", &[("proc/softirqs", "CPU0\nHI: 1\n")]),
    ("stat", &[("proc/stat", "intr 1\nctxt 1\nsoftirq 1 2 3\n")]),
    (
        "tapestats",
        &[("sys/class/scsi_tape/st0/stats/in_flight", "1\n"), ("sys/class/scsi_tape/st0/stats/io_ns", "1\n")],
    ),
    (
        "thermal_zone",
        &[
            ("sys/class/thermal/thermal_zone0/type", "a\n"),
            ("sys/class/thermal/thermal_zone0/temp", "1\n"),
            ("sys/class/thermal/cooling_device0/cur_state", "1\n"),
        ],
    ),
    (
        "time",
        &[
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ],
    ),
    ("vmstat", &[("proc/vmstat", "pgfault 1\n")]),
    ("watchdog", &[("sys/class/watchdog/watchdog0/state", "a\n"), ("sys/class/watchdog/watchdog0/timeleft", "1\n")]),
    ("zoneinfo", &[("proc/zoneinfo", "Node 0, zone DMA\n min 1\n protection: (0, 1)\n")]),
];
const VARS: &[(&str, &str)] = &[("KANARY_CPU_INFO_FLAGS_INCLUDE", "."), ("KANARY_STAT_SOFTIRQ", "1")];
/// Files that more than one item depends on: without them the collector has nothing.
const VITAL: &[&str] = &[
    "proc/stat",
    "buddyinfo",
    "diskstats",
    "mountinfo",
    "file-nr",
    "hung_task_detect_count",
    "interrupts",
    "loadavg",
    "mdstat",
    "meminfo",
    "net/dev",
    "os-release",
    "schedstat",
    "selinux/enforce",
    "slabinfo",
    "softirqs",
    "vmstat",
    "zoneinfo",
];

fn host(files: &[(&str, &str)]) -> Host {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    Host::new(&files)
}

fn each(mut check: impl FnMut(&str, &[(&str, &str)], &str)) {
    for (id, files) in FILES {
        files.iter().for_each(|(path, _)| check(id, files, path));
    }
}

#[test]
fn a_sound_host_has_no_faults() {
    for (id, files) in FILES {
        let reading = host(files).read(id, VARS);
        assert!(reading.error.is_none() && reading.faults.is_empty() && !reading.lines.is_empty(), "{id}: {reading:?}");
    }
}

#[test]
fn a_fifo_in_place_of_a_file_is_passed_over_at_once() {
    each(|id, files, path| {
        let host = host(files);
        let fifo = host.path().join(path);
        std::fs::remove_file(&fifo).unwrap();
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let begun = Instant::now();
        let reading = host.read(id, VARS);
        assert!(begun.elapsed() < Duration::from_secs(1), "{path}");
        assert!(VITAL.iter().any(|v| path.ends_with(v)) || !reading.lines.is_empty(), "{path}: {reading:?}");
    });
}

#[test]
fn a_file_that_vanishes_between_readings_costs_its_item_and_may_come_back() {
    each(|id, files, path| {
        let host = host(files);
        let mut collector = host.build(id, VARS);
        // What a class holds is looked at twice.
        read(&mut *collector);
        let sound = read(&mut *collector).lines.len();
        let file = host.path().join(path);
        let text = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let without = read(&mut *collector);
        assert!(VITAL.iter().any(|v| path.ends_with(v)) || !without.lines.is_empty(), "{path}: {without:?}");
        std::fs::write(&file, text).unwrap();
        assert_eq!(read(&mut *collector).lines.len(), sound, "{path}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn garbage_in_any_file_never_panics(garbage: Vec<u8>, cut: prop::sample::Index) {
        each(|id, files, path| {
            let host = host(files);
            let mut collector = host.build(id, VARS);
            read(&mut *collector);
            host.write(path, &garbage);
            read(&mut *collector);
            let sound = files.iter().find(|(p, _)| *p == path).map(|(_, text)| text.as_bytes()).unwrap();
            host.write(path, &sound[..cut.index(sound.len())]);
            read(&mut *collector);
        });
    }
}
