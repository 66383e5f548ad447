//! Counters of network interfaces: rtnetlink, or `net/dev` of procfs (net/core/net-procfs.c).
//!
//! ```text
//!     lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
//! ```
//!
//! Both sources show one network namespace. Where KANARY_PROC_ROOT is a procfs whose first process lives in kanary's
//! own, rtnetlink is asked (only it counts packets without handler) and the file stands in when that fails or hangs. Where the
//! first process lives in another (kanary in a container without host network) its `net/dev` is read, so that the
//! host's interfaces are shown. Where it is no procfs but a copy, the copy's file is read; if it has none, rtnetlink
//! is asked, as node_exporter does.

use std::path::Path;
use std::time::Duration;

use compact_str::CompactString;
use rustix::fs::{stat, statfs};
use rustix::io::Errno;

use super::fields::{LineMemo, integer, valid_utf8, words};
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
        let names = Names { filter: Filter::new(&setup.config.vars, &INCLUDE, &EXCLUDE)?, memo: LineMemo::default() };
        Ok(Box::new(NetDev { sources: sources(&setup.config.paths.proc), names }))
    },
};

/// A dump takes microseconds unless the kernel's rtnl lock is held.
const PATIENCE: Patience = Patience { round: Duration::from_millis(200), question: Duration::from_secs(1) };

/// Sources in the order in which they are tried. Every network namespace has a file of its own behind `net/dev`
/// (fs/proc/proc_net.c), whose inode number tells it apart without the privilege that `ns/net` asks for.
fn sources(proc: &Path) -> Vec<Source> {
    let file = |path: &str| Source::File(ProcFile::new(proc.join(path)));
    let kernel = || Source::Kernel(Watched::default(), [Links::default()]);
    let inode = |path: &Path| stat(path).ok().map(|s| s.st_ino);
    let live = statfs(proc).is_ok_and(|s| s.f_type as u64 == PROCFS);
    match (inode(&proc.join("1/net/dev")), inode(Path::new("/proc/thread-self/net/dev"))) {
        _ if !live => vec![file("net/dev"), kernel()],
        (Some(first), Some(own)) if first != own => vec![file("1/net/dev")],
        _ => vec![kernel(), file("net/dev")],
    }
}

enum Source {
    Kernel(Watched<Links>, [Links; 1]),
    File(ProcFile),
}

struct NetDev {
    sources: Vec<Source>,
    names: Names,
}

impl Collector for NetDev {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let mut failed = None;
        for source in &mut self.sources {
            self.names.memo.rewind();
            let tried = match source {
                Source::Kernel(watched, links) => from_kernel(&watched.ask(links, PATIENCE), &mut self.names, out),
                Source::File(file) => from_file(file, &mut self.names, out),
            };
            match (tried, failed) {
                (Ok(()), None | Some(Error::Absent(_))) => return Ok(()),
                (Ok(()), Some(Error::Failed(why))) => {
                    out.fault(why);
                    return Ok(());
                }
                (Err(e), first) => failed = first.or(Some(e)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::Absent("no source of interfaces".into())))
    }
}

/// Interface names as they are exposed; `None` for one that is left out.
struct Names {
    filter: Filter,
    memo: LineMemo<Option<CompactString>>,
}

impl Names {
    /// The name, if it is shown and did not come before.
    fn shown(&mut self, name: &[u8]) -> Option<&str> {
        let filter = &self.filter;
        let learn = |name: &[u8]| Some(valid_utf8(name)).filter(|n| filter.passes(n)).map(CompactString::from);
        self.memo.next(name, learn)?.as_deref()
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

fn from_kernel(answer: &[Option<Result<Vec<Link>, Errno>>], names: &mut Names, out: &mut Sink) -> Result<(), Error> {
    match answer {
        [Some(Ok(links))] => {
            links.iter().for_each(|link| put_link(link, names, out));
            Ok(())
        }
        [Some(Err(e))] => Err(Error::Failed(format!("rtnetlink: {}", std::io::Error::from(*e)))),
        _ => Err(Error::Failed("rtnetlink: no answer in time".into())),
    }
}

fn put_link(link: &Link, names: &mut Names, out: &mut Sink) {
    let Some(name) = names.shown(link.name.as_bytes()) else { return };
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

fn from_file(file: &mut ProcFile, names: &mut Names, out: &mut Sink) -> Result<(), Error> {
    let text = file.read().map_err(super::procfile::Unreadable::or_absent)?;
    let mut good = false;
    for line in text.lines().skip(HEADINGS) {
        match parse(line) {
            Some((name, counters)) => {
                good = true;
                let Some(name) = names.shown(name) else { continue };
                FILE.iter().zip(counters).for_each(|(family, n)| out.number(family, &[name], n as f64));
            }
            None => out.fault(text.offends(line, "is not an interface and its 16 counters")),
        }
    }
    if good { Ok(()) } else { Err(text.failed(text.bytes, "has no interface")) }
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
    use crate::collect::testing::Host;
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
        let hosts = || match &mut sources(Path::new("/proc"))[..] {
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
