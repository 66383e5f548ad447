//! Settings: environment variables, read once, turned into typed values by code that knows each name.
//!
//! The mechanism ([`Setting`], [`Vars`]) is shared; every stage owns its own settings. Here are those that more than
//! one stage reads; a collector's options stand in its row of `collect::ALL`, OTEL_* in `expose::otlp::settings`.

mod value;
mod vars;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use value::{address, api_address, duration_between, log_level, selection, syscall_choice, syscall_mode};
pub use value::{duration, flag, number, one_of, path};
pub use vars::{Error, Setting, Vars};

/// Where the kernel's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub proc: PathBuf,
    pub sys: PathBuf,
    /// The host's root as kanary sees it: prefix of every mount point.
    pub rootfs: PathBuf,
    pub udev: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ebpf {
    /// Degrade with a reason.
    Auto,
    /// Refuse to start when a program cannot be attached.
    Require,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallMode {
    /// Every call timed.
    Exact,
    /// One call in [`SAMPLED_ONE_IN`] timed, counts and errors exact.
    Sampled,
    /// Counts and errors only.
    Count,
    Off,
}

/// Share of calls timed in `sampled` mode.
pub const SAMPLED_ONE_IN: u32 = 16;

/// Which syscalls get series of their own; the rest is `~other`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyscallChoice {
    /// So many by time spent, sticky.
    Top(usize),
    All,
    Named(Vec<String>),
}

/// `KANARY_COLLECTORS`: what is exposed. Names are checked against `collect::ALL` by `collect::select`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Start from the default set (`default`) or from nothing (`none`).
    pub from_default: bool,
    /// Switched on (`true`, `+id`) or off (`false`, `-id`), in the order written: the last one counts.
    pub changes: Vec<(bool, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub vars: Vars,
    pub listen: SocketAddr,
    pub api_listen: SocketAddr,
    pub paths: Paths,
    pub collectors: Selection,
    pub tick: Duration,
    pub ebpf: Ebpf,
    pub syscall_mode: SyscallMode,
    pub syscalls: SyscallChoice,
    /// Warm-up of the detector, in minute-equivalents of points.
    pub detector_warmup: u32,
    pub state_dir: PathBuf,
    pub max_series: usize,
    pub log: tracing::Level,
    pub log_format: LogFormat,
    /// `KANARY_` variables that nothing knows.
    pub unknown: Vec<String>,
}

pub const LISTEN: Setting =
    Setting::new("KANARY_LISTEN", "0.0.0.0:9477", "ADDRESS:PORT", "serves machines: /metrics, /-/healthy, /-/ready");
pub const API_LISTEN: Setting = Setting::new(
    "KANARY_API_LISTEN",
    "127.0.0.1:9478",
    "ADDRESS:PORT; not loopback only with KANARY_API_INSECURE=1",
    "serves people: JSON as well",
);
pub const API_INSECURE: Setting =
    Setting::new("KANARY_API_INSECURE", "0", "0 or 1", "lets the API listen beyond loopback without authentication");
pub const PROC_ROOT: Setting = Setting::new("KANARY_PROC_ROOT", "/proc", "a directory", "the host's procfs");
pub const SYS_ROOT: Setting = Setting::new("KANARY_SYS_ROOT", "/sys", "a directory", "the host's sysfs");
pub const ROOTFS: Setting = Setting::new("KANARY_ROOTFS", "/", "a directory", "the host's root file system");
pub const UDEV_DATA: Setting =
    Setting::new("KANARY_UDEV_DATA", "/run/udev/data", "a directory", "the host's udev database");
pub const COLLECTORS: Setting = Setting::new(
    "KANARY_COLLECTORS",
    "default",
    "default or none, then +ID and -ID, separated by commas",
    "what is exposed",
);
pub const TICK: Setting =
    Setting::new("KANARY_TICK", "1s", "a duration from 100ms to 5m", "how often the detector looks");
pub const EBPF: Setting = Setting::new(
    "KANARY_EBPF",
    "auto",
    "auto, require, off",
    "kernel programs: degrade with a reason, refuse to start, none",
);
pub const SYSCALL_MODE: Setting =
    Setting::new("KANARY_SYSCALL_MODE", "auto", "auto, exact, sampled, count, off", "how syscalls are timed");
pub const SYSCALLS: Setting = Setting::new(
    "KANARY_SYSCALLS",
    "top:32",
    "top:N, all, or syscall names separated by commas",
    "which syscalls have series of their own",
);
pub const DETECTOR_WARMUP: Setting =
    Setting::new("KANARY_DETECTOR_WARMUP", "200", "minutes, 1 to 20160", "points a feature needs before it is judged");
pub const STATE_DIR: Setting =
    Setting::new("KANARY_STATE_DIR", "/var/lib/kanary", "a directory", "what survives a restart");
pub const MAX_SERIES: Setting =
    Setting::new("KANARY_MAX_SERIES", "5000", "100 to 1000000", "most series on one page; the rest is counted as lost");
pub const LOG: Setting = Setting::new("KANARY_LOG", "info", "error, warn, info, debug, trace", "own log");
pub const LOG_FORMAT: Setting = Setting::new("KANARY_LOG_FORMAT", "text", "text or json", "own log's form");

/// Every setting above.
pub static SETTINGS: &[&Setting] = &[
    &LISTEN,
    &API_LISTEN,
    &API_INSECURE,
    &PROC_ROOT,
    &SYS_ROOT,
    &ROOTFS,
    &UDEV_DATA,
    &COLLECTORS,
    &TICK,
    &EBPF,
    &SYSCALL_MODE,
    &SYSCALLS,
    &DETECTOR_WARMUP,
    &STATE_DIR,
    &MAX_SERIES,
    &LOG,
    &LOG_FORMAT,
];

impl Config {
    /// Types every value of [`SETTINGS`]. `known` are the names of settings that stages own.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn from_vars<'a>(vars: Vars, known: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let known: Vec<&str> = known.chain(SETTINGS.iter().map(|s| s.name)).collect();
        let unknown = vars
            .names()
            .filter(|n| n.starts_with("KANARY_") && !known.contains(n) && !injected(n))
            .map(Into::into)
            .collect();
        let insecure = vars.parse(&API_INSECURE, flag)?;
        Ok(Config {
            listen: vars.parse(&LISTEN, address)?,
            api_listen: vars.parse(&API_LISTEN, |v| api_address(v, insecure))?,
            paths: Paths {
                proc: vars.parse(&PROC_ROOT, path)?,
                sys: vars.parse(&SYS_ROOT, path)?,
                rootfs: vars.parse(&ROOTFS, path)?,
                udev: vars.parse(&UDEV_DATA, path)?,
            },
            collectors: vars.parse(&COLLECTORS, selection)?,
            tick: vars.parse(&TICK, |v| duration_between(v, Duration::from_millis(100), Duration::from_secs(300)))?,
            ebpf: vars
                .parse(&EBPF, |v| one_of(v, &[("auto", Ebpf::Auto), ("require", Ebpf::Require), ("off", Ebpf::Off)]))?,
            syscall_mode: vars.parse(&SYSCALL_MODE, syscall_mode)?,
            syscalls: vars.parse(&SYSCALLS, syscall_choice)?,
            detector_warmup: vars.parse(&DETECTOR_WARMUP, |v| number(v, 1, 20160))?,
            state_dir: vars.parse(&STATE_DIR, path)?,
            max_series: vars.parse(&MAX_SERIES, |v| number(v, 100, 1_000_000))? as usize,
            log: vars.parse(&LOG, log_level)?,
            log_format: vars
                .parse(&LOG_FORMAT, |v| one_of(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)]))?,
            unknown,
            vars,
        })
    }
}

/// Kubernetes injects `<SERVICE>_PORT`, `<SERVICE>_PORT_9477_TCP_ADDR` and `<SERVICE>_SERVICE_*` for a service named
/// kanary.
fn injected(name: &str) -> bool {
    name == "KANARY_PORT" || name.starts_with("KANARY_PORT_") || name.starts_with("KANARY_SERVICE_")
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.from_default { "default" } else { "none" })?;
        for (on, id) in &self.changes {
            write!(f, ",{}{id}", if *on { '+' } else { '-' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }
    fn config(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        Config::from_vars(vars(pairs), ["KANARY_CPU_INFO"].into_iter())
    }

    #[test]
    fn defaults_are_valid_and_empty_is_unset() {
        let c = config(&[("KANARY_LISTEN", "")]).unwrap();
        assert_eq!(c.listen, "0.0.0.0:9477".parse().unwrap());
        assert_eq!(c.tick, Duration::from_secs(1));
        assert!(c.unknown.is_empty());
    }

    #[test]
    fn a_bad_value_names_variable_value_and_allowed() {
        let e = config(&[("KANARY_TICK", "often")]).unwrap_err().to_string();
        assert_eq!(e, "KANARY_TICK=often: not a duration; allowed: a duration from 100ms to 5m");
        assert!(!e.contains('\n'));
    }

    #[test]
    fn unknown_variables_are_found_and_injected_ones_ignored() {
        let c = config(&[
            ("KANARY_TYPO", "1"),
            ("KANARY_CPU_INFO", "true"),
            ("KANARY_PORT", "tcp://10.0.0.1:9477"),
            ("KANARY_PORT_9477_TCP_ADDR", "10.0.0.1"),
            ("KANARY_SERVICE_HOST", "10.0.0.1"),
        ]);
        assert_eq!(c.unwrap().unknown, ["KANARY_TYPO"]);
    }

    #[test]
    fn the_api_stays_on_loopback_unless_told_otherwise() {
        assert!(config(&[("KANARY_API_LISTEN", "0.0.0.0:9478")]).is_err());
        assert!(config(&[("KANARY_API_LISTEN", "0.0.0.0:9478"), ("KANARY_API_INSECURE", "1")]).is_ok());
    }

    #[test]
    fn selections_keep_the_order_written() {
        let s = config(&[("KANARY_COLLECTORS", "none,+cpu,-cpu")]).unwrap().collectors;
        assert_eq!(s, Selection { from_default: false, changes: vec![(true, "cpu".into()), (false, "cpu".into())] });
        assert!(config(&[("KANARY_COLLECTORS", "cpu")]).is_err());
    }
}
