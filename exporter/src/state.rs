//! What survives a restart: the detector's state, in a file that is whole or refused.
//!
//! ```text
//! offset 0   "kanary" 0x00 0x0a   magic
//!        8   u16                  version of the layout behind the header
//!       10   u16                  kind: 1 = the detector
//!       12   u64                  when it was written, milliseconds since the epoch
//!       20   u32                  length of what follows
//!       24   u32                  CRC-32 of bytes 0 to 23 and of what follows
//! ```
//!
//! All little-endian. A new state is written beside, synced and renamed; the last three are kept. Whether a state is
//! young enough is for the detector to say.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::snapshot::Stamp;
use crate::telemetry::{Loss, lost};

const MAGIC: &[u8; 8] = b"kanary\0\n";
/// To be raised whenever a state written before cannot be read any more.
const VERSION: u16 = 2;
const DETECTOR: u16 = 1;
const HEADER: usize = 28;
/// Newest first.
const FILES: [&str; 3] = ["detector.state", "detector.state.1", "detector.state.2"];
const NEW: &str = "detector.state.new";

/// The directory that holds the state.
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the directory when it is missing. One that cannot be written is said and lived without.
    pub fn open(folder: &Path) -> Self {
        if let Err(why) = writable(folder) {
            tracing::warn!(reason = why, "the detector's state will not survive a restart");
            lost(Loss::StateWrite, 1);
        }
        Store { folder: folder.into() }
    }

    /// The newest state that is whole; `None` when there is none at all.
    ///
    /// # Errors
    /// Why the newest was refused, when no other is whole.
    pub fn load(&self, _now: Stamp) -> Result<Option<Vec<u8>>, String> {
        let mut refused = None;
        for name in FILES {
            let path = self.folder.join(name);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => continue,
                Err(e) => {
                    refused.get_or_insert(format!("{}: {e}", path.display()));
                    continue;
                }
            };
            match decode(&bytes) {
                Ok((_, payload)) => return Ok(Some(payload.to_vec())),
                Err(why) => {
                    let why = format!("{}: {why}", path.display());
                    tracing::warn!(reason = why, "state refused");
                    refused.get_or_insert(why);
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Writes a state and keeps the two before it. What fails is counted and said.
    pub fn save(&self, payload: &[u8], now: Stamp) {
        if payload.is_empty() {
            return;
        }
        if let Err(why) = self.write(&encode(payload, now.wall)) {
            tracing::debug!(folder = %self.folder.display(), %why, "state not written");
            lost(Loss::StateWrite, 1);
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.folder.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        for pair in FILES.windows(2).rev() {
            match fs::rename(self.folder.join(pair[0]), self.folder.join(pair[1])) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        fs::rename(new, self.folder.join(FILES[0]))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn writable(folder: &Path) -> Result<(), String> {
    let probe = folder.join(NEW);
    let tried = fs::create_dir_all(folder).and_then(|()| File::create(&probe)).and_then(|_| fs::remove_file(&probe));
    tried.map_err(|e| format!("{}: {e}", folder.display()))
}

/// One line for `kanary check`. Changes nothing.
pub fn verdict(folder: &Path) -> String {
    let path = folder.join(FILES[0]);
    match fs::read(&path) {
        Ok(bytes) => match decode(&bytes) {
            Ok((written, payload)) => {
                format!("{}: {} bytes, written {} s after the epoch", path.display(), payload.len(), written.as_secs())
            }
            Err(why) => format!("{}: would be refused: {why}", path.display()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => format!("{}: none yet", path.display()),
        Err(e) => format!("{}: {e}", path.display()),
    }
}

/// A whole file.
fn encode(payload: &[u8], written: Duration) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER + payload.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&DETECTOR.to_le_bytes());
    file.extend_from_slice(&(written.as_millis() as u64).to_le_bytes());
    file.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let sum = checksum(&file, payload);
    file.extend_from_slice(&sum.to_le_bytes());
    file.extend_from_slice(payload);
    file
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

/// When a file was written, and its payload.
///
/// # Errors
/// Why it is refused.
fn decode(file: &[u8]) -> Result<(Duration, &[u8]), String> {
    let Some((head, payload)) = file.split_at_checked(HEADER) else {
        return Err(format!("truncated: {} bytes, the header has {HEADER}", file.len()));
    };
    let number = |at: usize, len: usize| head[at..at + len].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    if &head[..8] != MAGIC {
        return Err("not a state of kanary".into());
    }
    if number(8, 2) != u64::from(VERSION) {
        return Err(format!("version {}, this kanary reads {VERSION}", number(8, 2)));
    }
    if number(10, 2) != u64::from(DETECTOR) {
        return Err(format!("kind {}, not the detector's", number(10, 2)));
    }
    if number(20, 4) != payload.len() as u64 {
        return Err(format!("truncated: {} of {} bytes", payload.len(), number(20, 4)));
    }
    if number(24, 4) != u64::from(checksum(&head[..24], payload)) {
        return Err("damaged: the checksum does not match".into());
    }
    Ok((Duration::from_millis(number(12, 8)), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Stamp = Stamp { boot: Duration::from_secs(5), wall: Duration::from_secs(1_700_000_000) };

    #[test]
    fn a_state_comes_back() {
        let file = encode(b"memory", NOW.wall);
        assert_eq!(decode(&file), Ok((NOW.wall, b"memory".as_slice())));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let file = encode(b"some memory of normal", NOW.wall);
        for n in 0..file.len() {
            assert!(decode(&file[..n]).is_err(), "{n} bytes");
        }
        for i in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[i / 8] ^= 1 << (i % 8);
            assert!(decode(&bad).is_err(), "bit {i}");
        }
        assert!(decode(&[file.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn reasons_name_what_is_wrong() {
        let mut file = encode(b"x", NOW.wall);
        assert_eq!(decode(b"something else altogether, long enough").unwrap_err(), "not a state of kanary");
        file[8] = 9;
        assert_eq!(decode(&file).unwrap_err(), "version 9, this kanary reads 2");
    }

    #[test]
    fn three_are_kept_and_the_newest_whole_one_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a/b"));
        assert_eq!(store.load(NOW), Ok(None));
        for payload in [b"1", b"2", b"3", b"4"] {
            store.save(payload, NOW);
        }
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 3);
        assert_eq!(store.load(NOW), Ok(Some(b"4".to_vec())));
        fs::write(store.folder.join(FILES[0]), b"kanary").unwrap();
        assert_eq!(store.load(NOW), Ok(Some(b"3".to_vec())));
        for name in FILES {
            fs::write(store.folder.join(name), b"kanary").unwrap();
        }
        assert!(store.load(NOW).unwrap_err().contains("detector.state: truncated"));
    }

    #[test]
    fn an_unwritable_directory_is_lived_without() {
        let store = Store::open(Path::new("/dev/null/state"));
        store.save(b"x", NOW);
        assert_eq!(store.load(NOW), Ok(None));
        assert!(verdict(Path::new("/dev/null/state")).contains("/dev/null/state"));
    }
}
