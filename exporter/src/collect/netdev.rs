//! Counters of network interfaces: rtnetlink, or `net/dev` of procfs (net/core/net-procfs.c).
//!
//! ```text
//!     lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
//! ```
//!
//! Both show one network namespace, with the same numbers; packets without handler are in rtnetlink's answer and in
//! `rx_nohandler` of sysfs only. A few interfaces are cheaper to read as files, many by one dump, and a dump waits for
//! a lock that a driver in trouble may hold. Where the first process of KANARY_PROC_ROOT lives in kanary's own network
//! namespace, files are read up to [`FEW`] interfaces and rtnetlink is asked beyond; each stands in for the other. Where
//! it lives in another (kanary in a container without host network) its `net/dev` is read, so that the host's
//! interfaces are shown; nobody tells whether sysfs shows that namespace too, so it is not asked. Where KANARY_PROC_ROOT
//! is no procfs but a copy, the copy's file is read; if it has none, rtnetlink is asked, as node_exporter does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use compact_str::CompactString;
use rustix::fs::{stat, statfs};
use rustix::io::Errno;

use super::fields::{LineMemo, count as number, integer, valid_utf8, words};
use super::filter::Filter;
use super::netlink::{Link, Links};
use super::procfile::{PROCFS, ProcFile};
use super::watched::{Patience, Watched};
use super::{Collector, Error, Row};
use crate::config::Setting;
use crate::metric::{Family, network as net};
use crate::snapshot::Sink;

const EXCLUDE: Setting = Setting::new(
    "KANARY_NETDEV_DEVICE_EXCLUDE",
    "",
    "a regular expression",
    "interfaces left out; not together with KANARY_NETDEV_DEVICE_INCLUDE",
);
const INCLUDE: Setting = Setting::new(
    "KANARY_NETDEV_DEVICE_INCLUDE",
    "",
    "a regular expression",
    "the only interfaces shown; not together with KANARY_NETDEV_DEVICE_EXCLUDE",
);

pub const ROW: Row = Row {
    id: "netdev",
    default: true,
    options: &[&EXCLUDE, &INCLUDE],
    build: |setup| {
        let paths = &setup.config.paths;
        let filter = Filter::new(&setup.config.vars, &INCLUDE, &EXCLUDE)?;
        let (sources, sysfs) = sources(&paths.proc);
        let class = paths.sys.join("class/net");
        let names = Names { filter, class: sysfs.then_some(class), memo: LineMemo::default() };
        Ok(Box::new(NetDev { sources, names, many: false }))
    },
};

/// A dump takes microseconds unless the kernel's rtnl lock is held.
const PATIENCE: Patience = Patience { round: Duration::from_millis(200), question: Duration::from_secs(1) };

/// Most interfaces that are read as files.
const FEW: usize = 64;

/// Sources in the order in which they are tried for few interfaces, and whether sysfs shows the same ones. Every
/// network namespace has a file of its own behind `net/dev` (fs/proc/proc_net.c), whose inode number tells it apart
/// without the privilege that `ns/net` asks for.
fn sources(proc: &Path) -> (Vec<Source>, bool) {
    let file = |path: &str| Source::File(ProcFile::new(proc.join(path)));
    let kernel = Source::Kernel(Watched::default(), [Links::default()]);
    let inode = |path: &Path| stat(path).ok().map(|s| s.st_ino);
    let live = statfs(proc).is_ok_and(|s| s.f_type as u64 == PROCFS);
    match (inode(&proc.join("1/net/dev")), inode(Path::new("/proc/thread-self/net/dev"))) {
        (Some(first), Some(own)) if live && first != own => (vec![file("1/net/dev")], false),
        _ => (vec![file("net/dev"), kernel], live),
    }
}

enum Source {
    File(ProcFile),
    Kernel(Watched<Links>, [Links; 1]),
}

struct NetDev {
    sources: Vec<Source>,
    names: Names,
    /// More than [`FEW`] interfaces last time.
    many: bool,
}

impl Collector for NetDev {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let mut failed = None;
        let many = self.many;
        self.sources.sort_by_key(|source| matches!(source, Source::File(_)) == many);
        for source in &mut self.sources {
            self.names.memo.rewind();
            let tried = match source {
                Source::Kernel(watched, links) => from_kernel(&watched.ask(links, PATIENCE), &mut self.names, out),
                Source::File(file) => from_file(file, &mut self.names, out),
            };
            match (tried, failed) {
                (Ok(count), first) => {
                    self.many = count > FEW;
                    if let Some(Error::Failed(why)) = first {
                        out.fault(why);
                    }
                    return Ok(());
                }
                (Err(e), first) => failed = first.or(Some(e)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::Absent("no source of interfaces".into())))
    }
}

/// Interfaces by name.
struct Names {
    filter: Filter,
    /// `/sys/class/net`, if it shows the same interfaces.
    class: Option<PathBuf>,
    /// `None` for one that is left out.
    memo: LineMemo<Option<Interface>>,
}

struct Interface {
    name: CompactString,
    nohandler: Option<ProcFile>,
}

impl Names {
    /// The interface, if it is shown and did not come before.
    fn shown(&mut self, name: &[u8]) -> Option<&mut Interface> {
        let (filter, class) = (&self.filter, self.class.as_deref());
        let learn = |name: &[u8]| {
            let name = valid_utf8(name);
            let nohandler = class.map(|dir| dir.join(&*name).join("statistics/rx_nohandler")).filter(|p| p.exists());
            filter.passes(&name).then(|| Interface { name: name.into(), nohandler: nohandler.map(ProcFile::new) })
        };
        self.memo.next(name, learn)?.as_mut()
    }
}

/// Counters of `struct rtnl_link_stats64` that each family sums up, as `net/dev` does.
static KERNEL: [(&Family, &[usize]); 17] = [
    (&net::RECEIVE_PACKETS, &[0]),
    (&net::TRANSMIT_PACKETS, &[1]),
    (&net::RECEIVE_BYTES, &[2]),
    (&net::TRANSMIT_BYTES, &[3]),
    (&net::RECEIVE_ERRS, &[4]),
    (&net::TRANSMIT_ERRS, &[5]),
    // rx_dropped + rx_missed_errors
    (&net::RECEIVE_DROP, &[6, 15]),
    (&net::TRANSMIT_DROP, &[7]),
    (&net::RECEIVE_MULTICAST, &[8]),
    (&net::TRANSMIT_COLLS, &[9]),
    // rx_length_errors + rx_over_errors + rx_crc_errors + rx_frame_errors
    (&net::RECEIVE_FRAME, &[10, 11, 12, 13]),
    (&net::RECEIVE_FIFO, &[14]),
    // tx_aborted_errors + tx_carrier_errors + tx_heartbeat_errors + tx_window_errors
    (&net::TRANSMIT_CARRIER, &[16, 17, 19, 20]),
    (&net::TRANSMIT_FIFO, &[18]),
    (&net::RECEIVE_COMPRESSED, &[21]),
    (&net::TRANSMIT_COMPRESSED, &[22]),
    (&net::RECEIVE_NOHANDLER, &[23]),
];

/// The number of interfaces.
fn from_kernel(answer: &[Option<Result<Vec<Link>, Errno>>], names: &mut Names, out: &mut Sink) -> Result<usize, Error> {
    match answer {
        [Some(Ok(links))] => {
            links.iter().for_each(|link| put_link(link, names, out));
            Ok(links.len())
        }
        [Some(Err(e))] => Err(Error::Failed(format!("rtnetlink: {}", std::io::Error::from(*e)))),
        _ => Err(Error::Failed("rtnetlink: no answer in time".into())),
    }
}

fn put_link(link: &Link, names: &mut Names, out: &mut Sink) {
    let Some(Interface { name, .. }) = names.shown(link.name.as_bytes()) else { return };
    let counters = link.counters();
    for (family, summed) in &KERNEL {
        let sum = summed.iter().try_fold(0u64, |sum, i| Some(sum.wrapping_add(*counters.get(*i)?)));
        if let Some(sum) = sum {
            out.number(family, &[name], sum as f64);
        }
    }
}

/// Families of the columns of `net/dev`.
static FILE: [&Family; 16] = [
    &net::RECEIVE_BYTES,
    &net::RECEIVE_PACKETS,
    &net::RECEIVE_ERRS,
    &net::RECEIVE_DROP,
    &net::RECEIVE_FIFO,
    &net::RECEIVE_FRAME,
    &net::RECEIVE_COMPRESSED,
    &net::RECEIVE_MULTICAST,
    &net::TRANSMIT_BYTES,
    &net::TRANSMIT_PACKETS,
    &net::TRANSMIT_ERRS,
    &net::TRANSMIT_DROP,
    &net::TRANSMIT_FIFO,
    &net::TRANSMIT_COLLS,
    &net::TRANSMIT_CARRIER,
    &net::TRANSMIT_COMPRESSED,
];
/// Lines of headings.
const HEADINGS: usize = 2;

/// The number of interfaces.
fn from_file(file: &mut ProcFile, names: &mut Names, out: &mut Sink) -> Result<usize, Error> {
    let text = file.read().map_err(super::procfile::Unreadable::or_absent)?;
    let mut count = 0;
    for line in text.lines().skip(HEADINGS) {
        match parse(line) {
            Some((name, counters)) => {
                count += 1;
                let Some(interface) = names.shown(name) else { continue };
                FILE.iter().zip(counters).for_each(|(family, n)| out.number(family, &[&interface.name], n as f64));
                put_nohandler(interface, out);
            }
            None => out.fault(text.offends(line, "is not an interface and its 16 counters")),
        }
    }
    if count > 0 { Ok(count) } else { Err(text.failed(text.bytes, "has no interface")) }
}

fn put_nohandler(interface: &mut Interface, out: &mut Sink) {
    let Some(file) = &mut interface.nohandler else { return };
    match file.read() {
        Ok(text) => match number(text.bytes.trim_ascii()) {
            Some(packets) => out.number(&net::RECEIVE_NOHANDLER, &[&interface.name], packets),
            None => out.fault(text.offends(text.bytes, "is no number")),
        },
        // Gone meanwhile.
        Err(e) if e.is_absence() => {}
        Err(e) => out.fault(e.to_string()),
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], [u64; FILE.len()])> {
    // An alias has a colon in its name.
    let colon = line.iter().rposition(|b| *b == b':')?;
    let mut counters = [0; FILE.len()];
    let mut rest = words(&line[colon + 1..]);
    for counter in &mut counters {
        *counter = integer(rest.next()?)?;
    }
    let name = line[..colon].trim_ascii();
    (!name.is_empty()).then_some((name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, Reading, read};
    use proptest::prelude::*;

    const HEAD: &str = "Inter-| Receive | Transmit\n face |bytes packets\n";

    fn host(lines: &str) -> Host {
        Host::new(&[("proc/net/dev", format!("{HEAD}{lines}").as_bytes())])
    }

    #[test]
    fn a_copy_of_procfs_is_read_from_its_file() {
        let reading = host("  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:1: 1 x\n").read("netdev", &[]);
        assert_eq!(reading.lines.len(), 16);
        assert_eq!(reading.lines[0], r#"node_network_receive_bytes_total{device="lo"} 1"#);
        assert_eq!(reading.lines[15], r#"node_network_transmit_compressed_total{device="lo"} 16"#);
        assert_eq!(reading.faults.len(), 1);
    }

    #[test]
    fn filters_choose_interfaces() {
        let two = host("lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        assert_eq!(two.read("netdev", &[("KANARY_NETDEV_DEVICE_EXCLUDE", "^lo$")]).lines.len(), 16);
        assert_eq!(two.read("netdev", &[("KANARY_NETDEV_DEVICE_INCLUDE", "^lo$")]).lines.len(), 16);
        let both = [("KANARY_NETDEV_DEVICE_INCLUDE", "a"), ("KANARY_NETDEV_DEVICE_EXCLUDE", "b")];
        assert!(two.try_build("netdev", &both).is_err());
    }

    #[test]
    fn without_a_file_the_kernel_is_asked() {
        let reading = Host::new(&[]).read("netdev", &[("KANARY_NETDEV_DEVICE_INCLUDE", "^lo$")]);
        assert_eq!(reading.lines.len(), 17, "{reading:?}");
        assert!(reading.lines[16].starts_with("node_network_receive_nohandler_total{device=\"lo\"}"));
        assert!(reading.error.is_none() && reading.faults.is_empty());
    }

    #[test]
    fn in_a_network_namespace_of_its_own_the_hosts_interfaces_are_shown() {
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        let hosts = || match &mut sources(Path::new("/proc")).0[..] {
            [Source::File(file)] => Some(String::from_utf8_lossy(file.read().unwrap().bytes).into_owned()),
            _ => None,
        };
        assert_eq!(hosts(), None);
        let other = std::thread::spawn(move || {
            // SAFETY: only the network namespace is unshared, not the table of files.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_ok().then(hosts)
        });
        match other.join().unwrap() {
            Some(hosts) => assert!(hosts.is_some_and(|text| text.lines().count() > HEADINGS)),
            None => assert!(std::env::var("CI").as_deref() != Ok("true"), "only root may unshare"),
        }
    }

    #[test]
    fn files_and_kernel_show_the_same() {
        let mut live = live();
        let by_file = read(&mut live);
        live.many = true;
        let by_kernel = read(&mut live);
        assert!(by_file.faults.is_empty() && by_kernel.faults.is_empty(), "{by_file:?} {by_kernel:?}");
        let names = |reading: &Reading| {
            let mut names: Vec<String> =
                reading.lines.iter().filter_map(|l| Some(l.split_once(' ')?.0.into())).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(&by_file), names(&by_kernel));
        assert!(names(&by_file).contains(&r#"node_network_receive_nohandler_total{device="lo"}"#.into()));
    }

    fn live() -> NetDev {
        let (sources, sysfs) = sources(Path::new("/proc"));
        let class = sysfs.then(|| "/sys/class/net".into());
        NetDev { sources, names: Names { filter: Filter::default(), class, memo: LineMemo::default() }, many: false }
    }

    #[test]
    fn kernel_counters_are_folded_like_the_file() {
        let file: Vec<&str> = FILE.iter().map(|f| f.name).collect();
        let kernel: Vec<&str> = KERNEL.iter().map(|(f, _)| f.name).collect();
        assert!(file.iter().all(|name| kernel.contains(name)));
        let mut summed: Vec<usize> = KERNEL.iter().flat_map(|(_, counters)| *counters).copied().collect();
        summed.sort_unstable();
        assert_eq!(summed, (0..24).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn lines_round_trip(name in "[a-z0-9:@.-]{1,15}", counters: [u64; 16]) {
            let words: Vec<String> = counters.iter().map(ToString::to_string).collect();
            let text = format!("{name:>6}: {}", words.join("  "));
            prop_assert_eq!(parse(text.as_bytes()), Some((name.as_bytes(), counters)));
        }
    }
}
