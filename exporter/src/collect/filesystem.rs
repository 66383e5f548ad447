//! Space and inodes of mounted file systems: the table of mounts and statfs(2).
//!
//! statfs hangs where a server or a FUSE daemon does not answer, so it is called on watched threads unless the file
//! system answers from memory. A collection
//! waits for all mounts together no longer than [`ROUND`]: a mount that did not answer by then is shown with
//! `device_error="mountpoint timeout"`. While its call hangs it is not called again; for KANARY_FILESYSTEM_MOUNT_TIMEOUT
//! each collection gives it another chance to answer, then it is stuck, and no collection waits for it until it has
//! answered after all. Mounts of the same file system share that fate; others are not touched.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use rustix::fs::StatFs;
use rustix::io::Errno;

use super::filter::Filter;
use super::mount_table::{Call, Choice, Mount, Table};
use super::procfile::{ProcFile, Unreadable};
use super::watched::{Patience, Question, Watched};
use super::{Collector, Error, Row};
use crate::config::{self, Setting};
use crate::metric::filesystem as fs;
use crate::snapshot::Sink;

const MOUNTS_EXCLUDE: Setting = Setting::new(
    "KANARY_FILESYSTEM_MOUNT_POINTS_EXCLUDE",
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    "a regular expression",
    "mount points left out; not together with KANARY_FILESYSTEM_MOUNT_POINTS_INCLUDE",
);
const MOUNTS_INCLUDE: Setting = Setting::new(
    "KANARY_FILESYSTEM_MOUNT_POINTS_INCLUDE",
    "",
    "a regular expression",
    "the only mount points shown; not together with KANARY_FILESYSTEM_MOUNT_POINTS_EXCLUDE",
);
const TYPES_EXCLUDE: Setting = Setting::new(
    "KANARY_FILESYSTEM_FS_TYPES_EXCLUDE",
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay\
     |proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
    "a regular expression",
    "file system types left out; not together with KANARY_FILESYSTEM_FS_TYPES_INCLUDE",
);
const TYPES_INCLUDE: Setting = Setting::new(
    "KANARY_FILESYSTEM_FS_TYPES_INCLUDE",
    "",
    "a regular expression",
    "the only file system types shown; not together with KANARY_FILESYSTEM_FS_TYPES_EXCLUDE",
);
const MOUNT_TIMEOUT: Setting = Setting::new(
    "KANARY_FILESYSTEM_MOUNT_TIMEOUT",
    "5s",
    "a duration",
    "how long a mount may take to answer before no collection waits for it",
);

pub const ROW: Row = Row {
    id: "filesystem",
    default: true,
    options: &[&MOUNTS_EXCLUDE, &MOUNTS_INCLUDE, &TYPES_EXCLUDE, &TYPES_INCLUDE, &MOUNT_TIMEOUT],
    build: |setup| {
        let (paths, vars) = (&setup.config.paths, &setup.config.vars);
        let table = |pid| ProcFile::new(paths.proc.join(pid).join("mountinfo"));
        let timeout = vars.parse(&MOUNT_TIMEOUT, config::duration)?;
        Ok(Box::new(Filesystem {
            tables: [table("1"), table("self")],
            choice: Choice {
                rootfs: paths.rootfs.clone(),
                mountpoints: Filter::new(vars, &MOUNTS_INCLUDE, &MOUNTS_EXCLUDE)?,
                types: Filter::new(vars, &TYPES_INCLUDE, &TYPES_EXCLUDE)?,
            },
            patience: Patience { round: timeout.min(ROUND), question: timeout },
            table: Table::default(),
            read_at: None,
            watched: Watched::default(),
        }))
    },
};

/// Longest wait of one collection: well below any scrape's deadline and the shortest useful tick.
const ROUND: Duration = Duration::from_millis(500);
/// The kernel tells when mounts come, go or are remounted, but not when a file system's own options change (ext4's
/// `emergency_ro`): the table is read again at this age in any case.
const REREAD: Duration = Duration::from_secs(5);
/// node_exporter's word for a mount that does not answer.
const TIMEOUT: &str = "mountpoint timeout";

/// `ST_RDONLY` of statfs(2).
const ST_RDONLY: u64 = 1;

struct Filesystem {
    /// Of the first process, or kanary's own where that is hidden (`hidepid`).
    tables: [ProcFile; 2],
    choice: Choice,
    patience: Patience,
    table: Table,
    read_at: Option<Instant>,
    watched: Watched<Call>,
}

impl Collector for Filesystem {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let now = Instant::now();
        let unchanged = self.tables.iter().any(ProcFile::is_unchanged);
        if !unchanged || self.read_at.is_none_or(|at| now - at >= REREAD) {
            self.read_at = None;
            self.read_table()?;
            self.read_at = Some(now);
        }
        self.table.faults.iter().for_each(|fault| out.fault(fault.as_str()));
        let answers = self.answers();
        for mount in &self.table.mounts {
            put(mount, answers[mount.call].as_ref(), out);
        }
        Ok(())
    }
}

impl Filesystem {
    /// One for each call.
    fn answers(&self) -> Vec<Option<Result<StatFs, Errno>>> {
        let Table { calls, far, .. } = &self.table;
        let mut answers: Vec<_> = calls.iter().map(|call| call.is_local.then(|| call.answer())).collect();
        if !far.is_empty() {
            let asked: Vec<Call> = far.iter().map(|at| calls[*at].clone()).collect();
            for (at, answer) in far.iter().zip(self.watched.ask(&asked, self.patience)) {
                answers[*at] = answer;
            }
        }
        answers
    }

    fn read_table(&mut self) -> Result<(), Error> {
        let [first, own] = &mut self.tables;
        let text = first.read().or_else(|e: Unreadable| own.read().map_err(|_| e))?;
        if self.table.text != text.bytes {
            self.table = Table::new(&text, &self.choice)?;
        }
        Ok(())
    }
}

/// Puts one mount with the answer to its call; `None` when that did not come in time.
fn put(mount: &Mount, answer: Option<&Result<StatFs, Errno>>, out: &mut Sink) {
    let error = match answer {
        Some(Ok(_)) => Cow::Borrowed(""),
        Some(Err(errno)) => Cow::Owned(in_words(*errno)),
        None => Cow::Borrowed(TIMEOUT),
    };
    let [device, mountpoint, fstype] = mount.labels();
    let labels = [device, mountpoint, fstype, &error];
    let stat = answer.and_then(|answer| answer.as_ref().ok());
    // The flag tells at once that a file system turned read-only by itself.
    let readonly = mount.readonly || stat.is_some_and(|s| s.f_flags as u64 & ST_RDONLY != 0);
    out.number(&fs::DEVICE_ERROR, &labels, flag(!error.is_empty()));
    out.number(&fs::READONLY, &labels, flag(readonly));
    let Some(stat) = stat else { return };
    let bytes = |blocks: u64| blocks as f64 * stat.f_bsize as f64;
    out.number(&fs::SIZE, &labels, bytes(stat.f_blocks));
    out.number(&fs::FREE_BYTES, &labels, bytes(stat.f_bfree));
    out.number(&fs::AVAILABLE, &labels, bytes(stat.f_bavail));
    out.number(&fs::FILES, &labels, stat.f_files as f64);
    out.number(&fs::FILES_FREE, &labels, stat.f_ffree as f64);
    out.number(&fs::MOUNT_INFO, &[device, &mount.major, &mount.minor, mountpoint], 1.0);
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The error as Go words it: `permission denied`.
fn in_words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use crate::collect::testing::{Host, read};

    fn host(lines: &[&str]) -> Host {
        Host::new(&[("proc/1/mountinfo", lines.join("\n").as_bytes())])
    }
    const ROOT: &str = "29 1 259:2 / / ro,relatime shared:1 - ext4 /dev/dm-2 rw";

    #[test]
    fn every_family_of_a_mount() {
        let lines = host(&[ROOT]).read("filesystem", &[]).lines;
        let labels = r#"{device="/dev/dm-2",mountpoint="/",fstype="ext4",device_error=""}"#;
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], format!("node_filesystem_device_error{labels} 0"));
        assert_eq!(lines[1], format!("node_filesystem_readonly{labels} 1"));
        assert!(lines[2].starts_with(&format!("node_filesystem_size_bytes{labels} ")));
        let info = r#"node_filesystem_mount_info{device="/dev/dm-2",major="259",minor="2",mountpoint="/"} 1"#;
        assert_eq!(lines[7], info);
    }

    #[test]
    fn filters_and_the_fallback_to_the_own_table() {
        let table = format!("{ROOT}\n1 2 0:5 / /dev rw - devtmpfs udev rw\n1 2 0:6 / /run rw - tmpfs tmpfs rw\n");
        let host = Host::new(&[("proc/self/mountinfo", table.as_bytes()), ("root/run/x", b"")]);
        assert_eq!(host.read("filesystem", &[]).lines.len(), 16);
        assert_eq!(host.read("filesystem", &[("KANARY_FILESYSTEM_FS_TYPES_INCLUDE", "^tmpfs$")]).lines.len(), 8);
        assert_eq!(host.read("filesystem", &[("KANARY_FILESYSTEM_MOUNT_POINTS_EXCLUDE", "^/run$")]).lines.len(), 8);
        let both = [("KANARY_FILESYSTEM_FS_TYPES_INCLUDE", "a"), ("KANARY_FILESYSTEM_FS_TYPES_EXCLUDE", "b")];
        assert!(host.try_build("filesystem", &both).is_err());
        assert!(host.try_build("filesystem", &[("KANARY_FILESYSTEM_MOUNT_TIMEOUT", "5")]).is_err());
    }

    #[test]
    fn a_mount_that_is_not_there_says_so_in_gos_words() {
        let lines = host(&["1 2 0:6 / /gone rw - tmpfs tmpfs rw"]).read("filesystem", &[]).lines;
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(r#"device_error="no such file or directory"} 1"#), "{}", lines[0]);
    }

    #[test]
    fn the_same_labels_once_and_the_later_mount_counts() {
        let host = host(&[ROOT, &ROOT.replace("ro,", "rw,").replace("259:2", "259:3"), "garbage"]);
        let reading = host.read("filesystem", &[]);
        assert_eq!((reading.lines.len(), reading.faults.len()), (8, 1));
        assert!(reading.lines[1].ends_with(" 0") && reading.lines[7].contains("minor=\"3\""));
    }

    #[test]
    fn a_changed_table_is_read_again() {
        let host = host(&[ROOT]);
        let mut filesystem = host.build("filesystem", &[]);
        assert_eq!(read(&mut *filesystem).lines.len(), 8);
        host.write("proc/1/mountinfo", format!("{ROOT}\n{}", ROOT.replace("dm-2", "dm-3")).as_bytes());
        assert_eq!(read(&mut *filesystem).lines.len(), 16);
        host.write("proc/1/mountinfo", b"\xff\n");
        assert!(read(&mut *filesystem).error.is_some());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_in_labels_only() {
        let table = b"1 2 0:6 / /mnt\xff\xfe rw - tmpfs t rw\n";
        let host = Host::new(&[("proc/1/mountinfo", table)]);
        std::fs::create_dir(host.path().join("root").join(OsStr::from_bytes(b"mnt\xff\xfe"))).unwrap();
        let lines = host.read("filesystem", &[]).lines;
        assert!(lines[0].contains("mountpoint=\"/mnt\u{fffd}\",fstype=\"tmpfs\",device_error=\"\"} 0"), "{lines:?}");
    }
}
