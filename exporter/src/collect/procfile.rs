//! Reading kernel files: kept open where the kernel allows it, never blocking, never unbounded.
//!
//! Owns how a file of procfs or sysfs gets into memory. Never parses, never retries beyond one reopen. Files of procfs
//! and sysfs render anew for every read at offset 0, so their descriptor is kept, as long as all kept ones together are
//! at most half of what the process may have open; any other file (fixtures, udev's database) is opened for each read.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::{Errno, pread};
use rustix::process::{Resource, getrlimit};

use super::Error;

/// Longest file that is read; a longer one is refused, since half a file parses into wrong numbers.
const LIMIT: usize = 4 << 20;
/// First size of a buffer: enough for an attribute of sysfs.
const INITIAL: usize = 512;
/// The same of a file that is known to hold one value.
const SMALL: usize = 64;
/// What is kept of an offending text.
const QUOTE: usize = 80;

/// `PROC_SUPER_MAGIC` and `SYSFS_MAGIC` of linux/magic.h.
pub const PROCFS: u64 = 0x9fa0;
pub const SYSFS: u64 = 0x6265_6572;

/// A file that is read again and again.
#[derive(Debug)]
pub struct ProcFile {
    path: PathBuf,
    kept: Option<Kept>,
    buffer: Vec<u8>,
    /// Of the last reading.
    length: usize,
    /// The kernel renders it in one piece: a read that gives less than asked for reached its end.
    is_piece: bool,
}

/// A descriptor that stays open, one of few.
#[derive(Debug)]
struct Kept(OwnedFd);

/// How many there are.
static KEPT: AtomicUsize = AtomicUsize::new(0);

impl Kept {
    /// Closes it when there are enough.
    fn new(fd: OwnedFd) -> Option<Self> {
        static MOST: OnceLock<usize> = OnceLock::new();
        let half = || getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize / 2);
        let before = KEPT.fetch_add(1, Ordering::Relaxed);
        let kept = Kept(fd);
        (before < *MOST.get_or_init(half)).then_some(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Content of a file, with where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub path: &'a Path,
    pub bytes: &'a [u8],
}

impl<'a> Text<'a> {
    /// Lines without their newline, empty ones left out.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty())
    }
    /// What is wrong with a part of it: path, offending text (shortened, made printable), reason.
    pub fn offends(&self, part: &[u8], why: &str) -> String {
        let shown = String::from_utf8_lossy(&part[..part.len().min(QUOTE)]);
        let more = if part.len() > QUOTE { "…" } else { "" };
        format!("{}: `{}{more}` {why}", self.path.display(), shown.escape_debug())
    }
    /// The same as an error of the whole collector.
    pub fn failed(&self, part: &[u8], why: &str) -> Error {
        Error::Failed(self.offends(part, why))
    }
}

/// Why a file could not be read, with its path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Unreadable {
    pub path: PathBuf,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Io(Errno),
    NotRegular,
    TooLong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Io(errno) => io::Error::from(*errno).fmt(f),
            Reason::NotRegular => f.write_str("not a regular file"),
            Reason::TooLong => write!(f, "longer than {LIMIT} bytes"),
        }
    }
}

impl Unreadable {
    /// The file, or the device behind it, is not there or has nothing to say, or the kernel has it switched off
    /// (`psi=0`).
    pub fn is_absence(&self) -> bool {
        use Errno as E;
        matches!(self.reason, Reason::Io(E::NOENT | E::NODEV | E::NXIO | E::NOTDIR | E::OPNOTSUPP | E::NODATA))
    }
    /// The error of a collector that cannot do without this file, on a host that may lack it.
    pub fn or_absent(self) -> Error {
        if self.is_absence() { Error::Absent(self.to_string()) } else { self.into() }
    }
}

impl From<Unreadable> for Error {
    fn from(e: Unreadable) -> Self {
        Error::Failed(e.to_string())
    }
}

impl ProcFile {
    /// Opens nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ProcFile { path: path.into(), kept: None, buffer: Vec::new(), length: 0, is_piece: false }
    }

    /// A file of procfs that the kernel renders in one piece (`single_open` of fs/seq_file.c), as it does all of sysfs.
    pub fn piece(path: impl Into<PathBuf>) -> Self {
        ProcFile { is_piece: true, ..ProcFile::new(path) }
    }

    /// The same for one value, with little memory: there are many of them.
    pub fn value(path: impl Into<PathBuf>) -> Self {
        ProcFile { buffer: vec![0; SMALL], ..ProcFile::piece(path) }
    }

    /// The whole content, fresh from the kernel.
    ///
    /// # Errors
    /// When the file is missing, not regular, longer than 4 MiB or fails while it is read.
    pub fn read(&mut self) -> Result<Text<'_>, Unreadable> {
        self.length = 0;
        self.length = self.fill().map_err(|reason| Unreadable { path: self.path.clone(), reason })?;
        Ok(self.last())
    }

    /// Gives up what is kept between readings.
    pub fn release(&mut self) {
        *self = ProcFile { is_piece: self.is_piece, ..ProcFile::new(std::mem::take(&mut self.path)) };
    }

    /// What the last reading gave.
    pub fn last(&self) -> Text<'_> {
        Text { path: &self.path, bytes: &self.buffer[..self.length] }
    }

    /// Whether the kernel says that nothing changed since this was asked last or the file was opened. Only some files
    /// of procfs can tell, such as the table of mounts.
    pub fn is_unchanged(&self) -> bool {
        self.kept.as_ref().is_some_and(|Kept(fd)| {
            let mut polled = [PollFd::new(fd, PollFlags::PRI)];
            poll(&mut polled, Some(&Timespec::default())) == Ok(0)
        })
    }

    fn fill(&mut self) -> Result<usize, Reason> {
        if let Some(kept) = self.kept.take() {
            // A kept descriptor of a device or process that went away fails for good: open anew once.
            if let Ok(length) = drain(&kept.0, self.is_piece, &mut self.buffer) {
                self.kept = Some(kept);
                return Ok(length);
            }
        }
        let fd = open_regular(&self.path)?;
        let magic = fstatfs(&fd).map_or(0, |s| s.f_type as u64);
        self.is_piece |= magic == SYSFS;
        let length = drain(&fd, self.is_piece, &mut self.buffer)?;
        if magic == PROCFS || magic == SYSFS {
            self.kept = Kept::new(fd);
        }
        Ok(length)
    }
}

/// Reads a file once.
///
/// # Errors
/// As [`ProcFile::read`].
pub fn read_once(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let mut file = ProcFile::new(path);
    file.read()?;
    file.buffer.truncate(file.length);
    Ok(file.buffer)
}

/// Non-blocking, so that a FIFO in the file's place is refused and not waited for.
fn open_regular(path: &Path) -> Result<OwnedFd, Reason> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = openat(CWD, path, flags, Mode::empty()).map_err(Reason::Io)?;
    let kind = FileType::from_raw_mode(fstat(&fd).map_err(Reason::Io)?.st_mode);
    if kind == FileType::RegularFile { Ok(fd) } else { Err(Reason::NotRegular) }
}

/// Reads from offset 0 to the end; the length.
fn drain(fd: &OwnedFd, is_piece: bool, buffer: &mut Vec<u8>) -> Result<usize, Reason> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= LIMIT {
                return Err(Reason::TooLong);
            }
            buffer.resize((length * 2).clamp(INITIAL, LIMIT), 0);
        }
        match pread(fd, &mut buffer[length..], length as u64) {
            Ok(0) => return Ok(length),
            Ok(n) => {
                length += n;
                if is_piece && length < buffer.len() {
                    return Ok(length);
                }
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(Reason::Io(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_fifo_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meminfo");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let begun = Instant::now();
        let error = ProcFile::new(&path).read().unwrap_err();
        assert_eq!(error.reason, Reason::NotRegular);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(error.to_string().starts_with(&path.display().to_string()));
    }

    #[test]
    fn ordinary_files_are_read_anew_and_kernel_files_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loadavg");
        std::fs::write(&path, "old").unwrap();
        let mut file = ProcFile::new(&path);
        assert_eq!(file.read().unwrap().bytes, b"old");
        std::fs::remove_file(&path).unwrap();
        assert!(file.read().unwrap_err().is_absence());
        std::fs::write(&path, "newer").unwrap();
        assert_eq!(file.read().unwrap().bytes, b"newer");
        assert!(file.kept.is_none());

        let mut kernel = ProcFile::new("/proc/uptime");
        let first = kernel.read().unwrap().bytes.to_vec();
        assert!(kernel.kept.is_some());
        std::thread::sleep(Duration::from_millis(30));
        assert_ne!(kernel.read().unwrap().bytes, first);
    }

    #[test]
    fn a_piece_is_read_whole() {
        let mut by_parts = ProcFile::new("/proc/self/status");
        let parts = by_parts.read().unwrap().bytes.len();
        assert!(parts > INITIAL);
        let mut piece = ProcFile::piece("/proc/self/status");
        // Counters in it may grow a digit meanwhile.
        assert!(piece.read().unwrap().bytes.len().abs_diff(parts) < 16);
        assert!(piece.read().unwrap().bytes.ends_with(b"\n"));
    }

    #[test]
    fn long_files_are_refused_and_growing_ones_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert_eq!(read_once(&path).unwrap().len(), 100_000);
        std::fs::write(&path, vec![b'x'; LIMIT + 1]).unwrap();
        assert_eq!(read_once(&path).unwrap_err().reason, Reason::TooLong);
    }

    #[test]
    fn a_process_that_ends_takes_its_files_along() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut file = ProcFile::new(format!("/proc/{}/stat", child.id()));
        assert!(!file.read().unwrap().bytes.is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(file.read().is_err());
    }

    #[test]
    fn the_table_of_mounts_tells_when_it_changes() {
        let mut file = ProcFile::new("/proc/self/mountinfo");
        assert!(!file.is_unchanged());
        file.read().unwrap();
        assert!(file.is_unchanged());
    }

    #[test]
    fn a_directory_is_no_file() {
        assert!(read_once(Path::new("/proc")).is_err());
    }

    #[test]
    fn offending_text_is_short_and_printable() {
        let text = Text { path: Path::new("/proc/stat"), bytes: b"" }.offends(&[0xff; 300], "is no number");
        assert!(text.starts_with("/proc/stat: `"));
        assert!(text.len() < 600 && !text.contains('\n'));
    }
}
