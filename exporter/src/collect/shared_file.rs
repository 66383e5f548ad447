//! A file in one piece that several collectors read: `/proc/stat`, which is dear on large hosts. One reading serves all that ask
//! within [`FRESH`], each at most once, so that nobody is served the same reading twice.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::procfile::{ProcFile, Text, Unreadable};

/// Collectors of one collection follow each other faster than that.
const FRESH: Duration = Duration::from_millis(5);

/// One reader's end.
pub struct SharedFile {
    shared: Arc<Mutex<Shared>>,
    /// The reading this reader saw last.
    seen: u64,
}

struct Shared {
    path: PathBuf,
    file: ProcFile,
    readings: u64,
    read_at: Option<Instant>,
}

/// Every file that has a reader.
static OPEN: Mutex<Vec<Weak<Mutex<Shared>>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedFile {
    /// Shares with every other reader of the same path.
    pub fn new(path: &Path) -> Self {
        let mut open = lock(&OPEN);
        open.retain(|known| known.strong_count() > 0);
        let known = open.iter().filter_map(Weak::upgrade).find(|known| lock(known).path == path);
        let shared = known.unwrap_or_else(|| {
            let file = ProcFile::piece(path);
            let new = Arc::new(Mutex::new(Shared { path: path.into(), file, readings: 0, read_at: None }));
            open.push(Arc::downgrade(&new));
            new
        });
        SharedFile { shared, seen: 0 }
    }

    /// What `parse` makes of the content.
    ///
    /// # Errors
    /// As [`ProcFile::read`].
    pub fn read<T>(&mut self, parse: impl FnOnce(Text) -> T) -> Result<T, Unreadable> {
        let mut shared = lock(&self.shared);
        let fresh = shared.read_at.is_some_and(|at| at.elapsed() < FRESH);
        if !fresh || shared.readings == self.seen {
            shared.read_at = None;
            shared.file.read()?;
            shared.read_at = Some(Instant::now());
            shared.readings += 1;
        }
        self.seen = shared.readings;
        Ok(parse(shared.file.last()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_serves_each_reader_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        let (mut first, mut second) = (SharedFile::new(&path), SharedFile::new(&path));
        let read = |file: &mut SharedFile| file.read(|text| text.bytes.to_vec()).unwrap();
        std::fs::write(&path, "1").unwrap();
        assert_eq!(read(&mut first), b"1");
        let served = lock(&first.shared).read_at.unwrap();
        std::fs::write(&path, "2").unwrap();
        let by_second = read(&mut second);
        assert!(by_second == b"1" || served.elapsed() >= FRESH);
        assert_eq!(read(&mut second), b"2");
        std::thread::sleep(FRESH);
        std::fs::write(&path, "3").unwrap();
        assert_eq!(read(&mut first), b"3");
        std::fs::remove_file(&path).unwrap();
        assert!(first.read(|_| ()).is_err() && second.read(|_| ()).is_err());
    }
}
