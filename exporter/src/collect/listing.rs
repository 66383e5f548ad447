//! What a directory of sysfs holds, looked at again and again: which devices there are.
//!
//! sysfs keeps no time of change for its directories, so the entries are read each time, with their inode numbers: a
//! device that went and another that got its name have different ones. The kernel lists a device before it gives it its
//! files, so what changed counts as changed once more at the next look.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use compact_str::CompactString;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, fstatfs, open, seek};
use rustix::io::Errno;

use super::fields::{MAX_LINES, valid_utf8};
use super::procfile::{Reason, SYSFS, Unreadable};

/// Enough for the devices of most classes in one call.
const BUFFER: usize = 4096;

/// A directory and what was in it last time.
#[derive(Debug)]
pub struct Listing {
    path: PathBuf,
    kept: Option<OwnedFd>,
    /// Names and inode numbers in the kernel's order; `None` before the first look and after a failure.
    known: Option<Vec<(CompactString, u64)>>,
    fresh: Vec<(CompactString, u64)>,
    /// The last look found nothing new.
    settled: bool,
}

impl Listing {
    /// Opens nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Listing { path: path.into(), kept: None, known: None, fresh: Vec::new(), settled: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks again; whether there is anything else than at the last two looks.
    ///
    /// # Errors
    /// When the directory is missing or cannot be read.
    pub fn has_changed(&mut self) -> Result<bool, Unreadable> {
        if let Err(errno) = self.fill() {
            self.known = None;
            return Err(Unreadable { path: self.path.clone(), reason: Reason::Io(errno) });
        }
        let changed = self.known.as_ref() != Some(&self.fresh);
        if changed {
            self.known = Some(std::mem::take(&mut self.fresh));
        }
        let settled = std::mem::replace(&mut self.settled, !changed);
        Ok(changed || !settled)
    }

    /// Names in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.known.iter().flatten().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// A directory that is gone lists nothing for ever: an empty one is opened anew next time.
    fn fill(&mut self) -> Result<(), Errno> {
        self.fresh.clear();
        let fd = match self.kept.take() {
            Some(fd) => {
                seek(&fd, SeekFrom::Start(0))?;
                fd
            }
            None => open(&self.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?,
        };
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(&fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && self.fresh.len() < MAX_LINES {
                self.fresh.push((valid_utf8(name).into(), entry.ino()));
            }
        }
        if !self.fresh.is_empty() && fstatfs(&fd).is_ok_and(|s| s.f_type as u64 == SYSFS) {
            self.kept = Some(fd);
        }
        Ok(())
    }
}

/// The number after `prefix` in a device's name, as it is written there.
pub fn number_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let number = name.strip_prefix(prefix)?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(listing: &mut Listing) -> [Result<bool, Unreadable>; 3] {
        [(); 3].map(|()| listing.has_changed())
    }

    #[test]
    fn it_changes_with_its_entries() {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("hwmon");
        let mut listing = Listing::new(&class);
        assert!(listing.has_changed().unwrap_err().is_absence());
        std::fs::create_dir(&class).unwrap();
        assert_eq!(looks(&mut listing), [Ok(true), Ok(true), Ok(false)]);
        for name in ["hwmon2", "hwmon10"] {
            std::fs::write(class.join(name), "").unwrap();
        }
        assert_eq!(looks(&mut listing), [Ok(true), Ok(true), Ok(false)]);
        assert_eq!(listing.names(), ["hwmon10", "hwmon2"]);
        std::fs::write(class.join("new"), "").unwrap();
        std::fs::rename(class.join("new"), class.join("hwmon2")).unwrap();
        assert_eq!(listing.has_changed(), Ok(true), "another of the same name");
        std::fs::remove_dir_all(&class).unwrap();
        assert!(listing.has_changed().is_err() && listing.names().is_empty());
    }

    #[test]
    fn a_directory_of_the_kernel_stays_open() {
        let mut listing = Listing::new("/sys/devices/system/cpu");
        assert_eq!(looks(&mut listing), [Ok(true), Ok(true), Ok(false)]);
        assert!(listing.kept.is_some() && listing.names().contains(&"cpu0"));
    }

    #[test]
    fn numbers_of_devices() {
        assert_eq!(number_of("mc0", "mc"), Some("0"));
        assert_eq!(number_of("mc", "mc"), None);
        assert_eq!(number_of("csrow1a", "csrow"), None);
    }
}
