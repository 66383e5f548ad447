//! Host metrics: the hand-written host, node_exporter's own fixtures, and the live host beside Debian's node_exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::{Daemon, kanary, kanary_command, run, temp_dir};
use crate::harness::fixtures::unpack;
use crate::harness::http::free_port;
use crate::harness::tools::tool;
use crate::harness::{shared, skip, workspace};

/// Collectors that read nothing but files.
const FILES: &str = "none,+cpu,+cpufreq,+diskstats,+dmi,+edac,+entropy,+filefd,+filesystem,+hwmon,+interrupts,\
    +kernel_hung,+loadavg,+mdadm,+meminfo,+netdev,+nvme,+os,+powersupplyclass,+pressure,+schedstat,+selinux,+softirqs,\
    +stat,+tapestats,+thermal_zone,+vmstat,+watchdog";

/// The host families of a page, without the values that statfs takes from the machine the test runs on.
fn host_lines(page: &str) -> String {
    let live = ["node_filesystem_size", "node_filesystem_free", "node_filesystem_avail", "node_filesystem_files"];
    let mut lines = String::new();
    for line in page.lines().filter(|l| l.contains("node_") && !l.contains("node_scrape_collector")) {
        let value = line.rfind(' ').filter(|_| live.iter().any(|name| line.starts_with(name)));
        lines += &value.map_or_else(|| line.into(), |at| format!("{} ...", &line[..at]));
        lines.push('\n');
    }
    lines
}

#[test]
fn the_hand_written_host_looks_as_it_should() {
    let host = workspace().join("tests/samples/host");
    let root = |dir: &str| host.join(dir).display().to_string();
    let (proc, sys, rootfs, udev) = (root("proc"), root("sys"), root("root"), root("udev"));
    let kanary = kanary(&[
        ("KANARY_EBPF", "off"),
        ("KANARY_COLLECTORS", FILES),
        ("KANARY_PROC_ROOT", &proc),
        ("KANARY_SYS_ROOT", &sys),
        ("KANARY_ROOTFS", &rootfs),
        ("KANARY_UDEV_DATA", &udev),
        ("KANARY_CPU_INFO_FLAGS_INCLUDE", "^(aes|avx.*)$"),
        ("KANARY_STAT_SOFTIRQ", "1"),
    ]);
    let page = host_lines(&kanary.get("/metrics"));
    let golden = host.join("metrics.txt");
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if page != expected {
        std::fs::write(&golden, &page).expect("the checkout is writable");
        let diff = run("diff", &["-", golden.to_str().expect("UTF-8")]).1;
        panic!("tests/samples/host/metrics.txt was rewritten: look at the difference and commit it\n{diff}");
    }
}

/// Settings of `golden.env`, as a shell understands them.
fn golden_settings(folder: &Path) -> Vec<(String, String)> {
    let script = format!("set -a; . {}/golden.env; env -0", folder.display());
    let (ok, text) = run("env", &["-i", "PATH=/usr/bin:/bin", "sh", "-c", &script]);
    assert!(ok, "{text}");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.starts_with("KANARY_")).map(|(n, v)| (n.into(), v.into())).collect()
}

/// Collectors that node_exporter's own test switches on.
const OPT_IN: &[&str] =
    &["buddyinfo", "cpu_vulnerabilities", "interrupts", "ksmd", "meminfo_numa", "slabinfo", "softirqs", "zoneinfo"];

/// A kanary on node_exporter's fixtures; its working folder holds `collector/fixtures`, as upstream's does.
fn on_fixtures(upstream: &Path) -> Daemon {
    let folder = temp_dir();
    unpack(&upstream.join("fixtures"), &folder.path().join("collector/fixtures"));
    let mut settings = golden_settings(upstream);
    let on: Vec<String> = OPT_IN.iter().map(|id| format!(",+{id}")).collect();
    settings.push(("KANARY_COLLECTORS".into(), format!("default{}", on.concat())));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let (mut command, url) = kanary_command(folder.path(), &settings);
    command.current_dir(folder.path());
    Daemon::start("kanary", &mut command, folder, url).ready("/-/ready")
}

#[test]
fn node_exporters_fixtures_give_node_exporters_page() {
    let Some(upstream) = shared("host", "node_exporter") else { return };
    let Some(python) = tool("host", "python3") else { return };
    let kanary = on_fixtures(&upstream);
    let page = kanary.folder().join("page");
    std::fs::write(&page, kanary.get("/metrics")).expect("a temporary folder is writable");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_string();
    let compare = |collectors: &str, more: &[String]| {
        let mut args = vec![
            path(&upstream.join("e2e_compare.py")),
            path(&upstream.join("fixtures/e2e-output.txt")),
            path(&page),
            format!("--collectors={collectors}"),
            "--rel-tol=1e-12".into(),
            "--only-bad".into(),
            "--verbose".into(),
        ];
        args.extend_from_slice(more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (same, report) = run(&python, &args);
        assert!(same, "{report}");
    };
    let must = [
        format!("--families={}", path(&upstream.join("must.txt"))),
        format!("--allow={}", path(&upstream.join("live-only.txt"))),
    ];
    let collectors = "cpu,cpufreq,diskstats,entropy,filefd,hwmon,interrupts,kernel_hung,loadavg,mdadm,meminfo,\
        powersupplyclass,pressure,schedstat,stat,thermal_zone,vmstat";
    compare(collectors, &must);
    // Every family of these collectors, not only those that dashboards use.
    compare("cpu,meminfo,diskstats,loadavg,stat,vmstat,pressure,netdev,time", &[]);
    compare("buddyinfo,cpu_vulnerabilities,cpufreq,dmi,edac,entropy,filefd,hwmon,interrupts", &[]);
    // The name that dashboards ask for and node_exporter lacks is allowed for.
    compare("kernel_hung", &must[1..]);
    compare("ksmd,mdadm,meminfo_numa,nvme,os,powersupplyclass,rapl,schedstat,slabinfo,softirqs", &[]);
    compare("tapestats,thermal_zone,watchdog,zoneinfo", &[]);
}

/// A page taken apart: type of each family, value of each series. Empty labels are left out and the rest sorted, for a
/// label that is empty is a label that is not there.
#[derive(Default)]
struct Page {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Page {
    /// The families with one of these beginnings.
    fn parse(text: &str, prefixes: &[&str]) -> Self {
        let mut page = Page::default();
        for line in text.lines() {
            let wanted = |name: &str| prefixes.iter().any(|p| name.starts_with(p));
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
                if wanted(name) {
                    page.types.insert(name.into(), kind.into());
                }
            } else if wanted(line) {
                let (series, value) = line.rsplit_once(' ').expect("a sample");
                page.series.insert(normal(series), value.parse().expect("a number"));
            }
        }
        page
    }
    fn names(&self, left_out: &[&str]) -> BTreeSet<&str> {
        self.series.keys().map(String::as_str).filter(|s| !left_out.iter().any(|p| s.starts_with(p))).collect()
    }
}

fn normal(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.into() };
    let mut labels: Vec<&str> = labels.trim_end_matches("\"}").split("\",").filter(|l| !l.ends_with('"')).collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join("\","))
}

#[test]
fn labels_are_put_in_order_and_empty_ones_left_out() {
    assert_eq!(normal(r#"a{c="1",b="x y",d=""}"#), r#"a{b="x y",c="1}"#);
    assert_eq!(normal(r#"a{b="",c="1"}"#), r#"a{c="1}"#);
}

/// Further collectors, and how their families begin.
const ALIKE: &[(&str, &str)] = &[
    ("buddyinfo", "node_buddyinfo_"),
    ("cpufreq", "node_cpu_"),
    ("dmi", "node_dmi_"),
    ("edac", "node_edac_"),
    ("entropy", "node_entropy_"),
    ("filefd", "node_filefd_"),
    ("hwmon", "node_hwmon_"),
    ("interrupts", "node_interrupts_"),
    ("ksmd", "node_ksmd_"),
    ("mdadm", "node_md_"),
    ("meminfo_numa", "node_memory_numa_"),
    ("nvme", "node_nvme_"),
    ("os", "node_os_"),
    ("powersupplyclass", "node_power_supply_"),
    ("rapl", "node_rapl_"),
    ("schedstat", "node_schedstat_"),
    ("selinux", "node_selinux_"),
    ("slabinfo", "node_slabinfo_"),
    ("tapestats", "node_tape_"),
    ("thermal_zone", "node_thermal_"),
    ("timex", "node_timex_"),
    ("zoneinfo", "node_zoneinfo_"),
];
/// Of those, what moves between two looks.
const MOVES: &[&str] = &[
    "node_buddyinfo_",
    "node_cpu_",
    "node_filefd_allocated",
    "node_hwmon_",
    "node_interrupts_",
    "node_ksmd_",
    "node_memory_numa_",
    "node_power_supply_",
    "node_rapl_",
    "node_schedstat_",
    "node_slabinfo_",
    "node_thermal_",
    "node_timex_",
    "node_zoneinfo_",
];

/// Debian patches the default exclusions: both get the same ones.
const MOUNTS: &str = "^/(dev|proc|sys|var/lib/docker/.+)($|/)";
const TYPES: &str = "^(autofs|cgroup2?|devpts|devtmpfs|mqueue|overlay|proc|sysfs|fuse)$";

fn node_exporter(program: &Path) -> Daemon {
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--collector.disable-defaults", "--collector.filesystem", "--collector.netdev"]);
    command.args(["--collector.uname", "--collector.time", "--collector.netdev.device-exclude=^$"]);
    command.args(ALIKE.iter().map(|(id, _)| format!("--collector.{id}")));
    command.arg(format!("--collector.filesystem.mount-points-exclude={MOUNTS}"));
    command.arg(format!("--collector.filesystem.fs-types-exclude={TYPES}"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let url = format!("http://127.0.0.1:{port}");
    Daemon::start("node_exporter", &mut command, temp_dir(), url).ready("/metrics")
}

#[test]
fn the_live_host_looks_as_it_does_to_node_exporter() {
    let Some(program) = tool("host", "prometheus-node-exporter") else { return };
    let theirs = node_exporter(&program);
    let more: Vec<String> = ALIKE.iter().map(|(id, _)| format!(",+{id}")).collect();
    let ours = kanary(&[
        ("KANARY_EBPF", "off"),
        ("KANARY_COLLECTORS", &format!("none,+filesystem,+netdev,+uname,+time{}", more.concat())),
        ("KANARY_FILESYSTEM_MOUNT_POINTS_EXCLUDE", MOUNTS),
        ("KANARY_FILESYSTEM_FS_TYPES_EXCLUDE", TYPES),
    ]);
    let mut prefixes = vec!["node_filesystem_", "node_network_", "node_uname_", "node_time_"];
    prefixes.extend(ALIKE.iter().map(|(_, prefix)| prefix));
    let theirs = Page::parse(&theirs.get("/metrics"), &prefixes);
    // kanary serves a reading again for a tenth of a second: this one is to be the later one.
    std::thread::sleep(Duration::from_millis(150));
    let ours = Page::parse(&ours.get("/metrics"), &prefixes);
    if theirs.series.is_empty() {
        return skip("host", "node_exporter shows nothing here");
    }
    // Younger than Debian's version.
    let newer = ["node_filesystem_mount_info", "node_ksmd_general_profit_bytes", "node_cpu_frequency_avg_hertz"];
    assert_eq!(ours.names(&newer), theirs.names(&newer));
    assert!(theirs.types.iter().all(|(name, kind)| ours.types.get(name) == Some(kind)), "{:?}", ours.types);
    for (series, theirs) in &theirs.series {
        let ours = ours.series[series];
        let near = match series.split('{').next().unwrap_or_default() {
            "node_time_seconds" => (ours - theirs).abs() < 10.0,
            // What moves between two looks, on file systems and interfaces that are in use.
            name if name.starts_with("node_network_") => ours >= *theirs && ours <= theirs + 1e9,
            "node_filesystem_avail_bytes" | "node_filesystem_free_bytes" => (ours - theirs).abs() <= 1e9,
            "node_filesystem_files_free" => (ours - theirs).abs() <= 1e5,
            name if MOVES.iter().any(|prefix| name.starts_with(prefix)) => true,
            _ => ours == *theirs,
        };
        assert!(near, "{series}: {ours}, node_exporter has {theirs}");
    }
}
