//! Which errnos of a syscall have series of their own: twelve at most, the rest is `other`.
//!
//! An errno that has a seat keeps it, so that no series goes back. What means a broken or exhausted host is never
//! crowded out by what programs provoke as they work.

use std::collections::BTreeMap;

use super::names;
use super::totals::ERRNO_UNKNOWN;

/// Label of the errnos without a seat.
const OTHER: &str = "other";
/// Seats of a syscall.
const SEATS: usize = 12;
/// Seats for errnos that are no [`FAULTS`].
const ORDINARY: usize = 8;

const EIO: u16 = libc::EIO as u16;
const ENOMEM: u16 = libc::ENOMEM as u16;
const ENFILE: u16 = libc::ENFILE as u16;
const EMFILE: u16 = libc::EMFILE as u16;
const ENOSPC: u16 = libc::ENOSPC as u16;
const EROFS: u16 = libc::EROFS as u16;
const ESTALE: u16 = libc::ESTALE as u16;
const EDQUOT: u16 = libc::EDQUOT as u16;

/// The host's fault, not the caller's.
const FAULTS: [u16; 8] = [EIO, ENOMEM, ENFILE, EMFILE, ENOSPC, EROFS, ESTALE, EDQUOT];

/// Faults that are shown at 0 before the first one: an increase from nothing is none.
const AWAITED: &[(&str, &[u16])] = &[
    ("read", &[EIO]),
    ("pread64", &[EIO]),
    ("write", &[EIO, ENOSPC, EDQUOT]),
    ("pwrite64", &[EIO, ENOSPC, EDQUOT]),
    ("fsync", &[EIO, ENOSPC, EDQUOT]),
    ("fdatasync", &[EIO, ENOSPC, EDQUOT]),
    ("openat", &[EIO, ENFILE, EMFILE, ENOSPC, EROFS]),
    ("accept4", &[ENFILE, EMFILE]),
    ("mmap", &[ENOMEM]),
    ("~other", &FAULTS),
];

/// The errnos of one syscall that have a series.
#[derive(Default)]
pub struct Seats(Vec<u16>);

impl Seats {
    pub fn of(syscall: &str) -> Self {
        Seats(AWAITED.iter().find(|(name, _)| *name == syscall).map_or(Vec::new(), |(_, errnos)| errnos.to_vec()))
    }

    /// Failures by the errno's name; seats newcomers, the most frequent first.
    pub fn by_name(&mut self, errnos: &BTreeMap<u16, u64>) -> Vec<(String, u64)> {
        self.seat(errnos);
        let count = |errno: &u16| errnos.get(errno).copied().unwrap_or(0);
        let mut named: Vec<(String, u64)> = self.0.iter().map(|errno| (names::errno(*errno), count(errno))).collect();
        let mut rest = errnos.iter().filter(|(errno, _)| !self.0.contains(errno)).map(|(_, n)| *n).peekable();
        if rest.peek().is_some() {
            named.push((OTHER.into(), rest.sum()));
        }
        named
    }

    fn seat(&mut self, errnos: &BTreeMap<u16, u64>) {
        let mut new: Vec<(u16, u64)> = errnos
            .iter()
            .map(|(errno, n)| (*errno, *n))
            .filter(|(errno, _)| *errno != ERRNO_UNKNOWN && !self.0.contains(errno))
            .collect();
        new.sort_by_key(|(errno, n)| (u64::MAX - n, *errno));
        for (errno, _) in new {
            let ordinary = self.0.iter().filter(|e| !FAULTS.contains(e)).count();
            if self.0.len() < SEATS && (FAULTS.contains(&errno) || ordinary < ORDINARY) {
                self.0.push(errno);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_seat_is_other_for_ever() {
        let mut seats = Seats::default();
        let mut errnos: BTreeMap<u16, u64> = (60..68).map(|e| (e, 1)).collect();
        assert_eq!(seats.by_name(&errnos).len(), 8);
        errnos.insert(68, 100);
        assert_eq!(seats.by_name(&errnos).last(), Some(&("other".to_string(), 100)));
    }

    #[test]
    fn a_fault_has_a_seat_however_many_others_there_are() {
        let mut seats = Seats::default();
        let mut errnos: BTreeMap<u16, u64> = (60..90).map(|e| (e, 1)).collect();
        seats.by_name(&errnos);
        errnos.insert(EIO, 1);
        let named = seats.by_name(&errnos);
        assert!(named.contains(&("EIO".to_string(), 1)));
        assert_eq!(named.last(), Some(&("other".to_string(), 22)));
        errnos.extend(FAULTS.map(|errno| (errno, 1)));
        assert_eq!(seats.by_name(&errnos).len(), SEATS + 1);
    }

    #[test]
    fn awaited_faults_are_there_at_nought() {
        let named = Seats::of("fsync").by_name(&BTreeMap::new());
        assert_eq!(named, [("EIO".to_string(), 0), ("ENOSPC".to_string(), 0), ("EDQUOT".to_string(), 0)]);
        assert!(Seats::of("futex").by_name(&BTreeMap::new()).is_empty());
        assert!(AWAITED.iter().all(|(_, errnos)| errnos.len() <= SEATS && errnos.iter().all(|e| FAULTS.contains(e))));
    }
}
