//! Runs of a program that the kernel left out, from the program's fdinfo.
//!
//! A program never runs twice at once on a CPU. While tracepoint programs run with preemption off that costs nothing;
//! kernels since 7.0 let a task be preempted inside one, and what other tasks do on that CPU meanwhile is not seen. The
//! kernel counts these runs (`recursion_misses`, since 5.12).

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// The kernel's records of some programs, kept open.
#[derive(Default)]
pub struct Misses(Vec<File>);

impl Misses {
    /// Records of the programs with these descriptors, which must stay open. Without procfs there are none.
    pub fn of<'a>(programs: impl Iterator<Item = BorrowedFd<'a>>) -> Self {
        let record = |fd: BorrowedFd| File::open(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok();
        Misses(programs.filter_map(record).collect())
    }

    /// Runs left out so far, of all programs.
    pub fn total(&self) -> u64 {
        self.0.iter().map(read).sum()
    }
}

fn read(record: &File) -> u64 {
    let mut text = [0; 1024];
    let len = record.read_at(&mut text, 0).unwrap_or(0);
    parse(&String::from_utf8_lossy(&text[..len])).unwrap_or(0)
}

/// `recursion_misses:\t12`, among other lines.
fn parse(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_or_not_there() {
        let text = "pos:\t0\nprog_id:\t105\nrun_cnt:\t0\nrecursion_misses:\t1252\nverified_insns:\t450\n";
        assert_eq!(parse(text), Some(1252));
        assert_eq!(parse("pos:\t0\n"), None);
        assert_eq!(parse("recursion_misses:\tmany\n"), None);
    }
}
