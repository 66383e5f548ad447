//! The oldest calls that wait uninterruptibly (state D), from the kernel's start places.
//!
//! Nearly every task of a host sits in some call, most of them asleep by choice; only procfs tells who is in state D.
//! So each look asks about a bounded number of tasks, and about those that were found asleep ever more rarely.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::bpf::abi::StartSet;

/// Younger calls are nothing to speak of.
const MIN_AGE: Duration = Duration::from_secs(1);
/// Most files read in one look.
const LOOKS: usize = 16;
/// Longest time a task found asleep is left alone.
const MAX_PATIENCE: Duration = Duration::from_secs(64);
/// /proc counts time in these (USER_HZ), rounded down.
const TICK: Duration = Duration::from_millis(10);

/// A call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Call {
    /// When it began, CLOCK_MONOTONIC in ns.
    ts: u64,
    tid: u32,
    nr: u32,
}

/// When to look at a call again, and how long to wait after that.
struct Rest {
    until: Duration,
    patience: Duration,
}

/// The two clocks that procfs and the kernel programs use.
#[derive(Clone, Copy)]
pub struct Now {
    pub monotonic: Duration,
    pub boot: Duration,
}

#[derive(Default)]
pub struct Inflight {
    resting: HashMap<Call, Rest>,
}

impl Inflight {
    /// Syscall and age of every call older than a second that was found in state D.
    pub fn look(&mut self, starts: &[StartSet], proc: &Path, now: Now) -> Vec<(usize, Duration)> {
        let calls = older_than(starts, now.monotonic.saturating_sub(MIN_AGE));
        self.resting.retain(|call, _| calls.binary_search_by_key(&call.ts, |c| c.ts).is_ok());
        let due = calls.into_iter().filter(|call| self.resting.get(call).is_none_or(|r| r.until <= now.monotonic));
        let mut stuck = Vec::new();
        for call in due.take(LOOKS).collect::<Vec<_>>() {
            let began = Duration::from_nanos(call.ts);
            let stat = fs::read_to_string(proc.join(call.tid.to_string()).join("stat")).unwrap_or_default();
            match parse_stat(&stat) {
                Some(task) if task.state == 'D' && task.started <= began + (now.boot - now.monotonic) + TICK => {
                    self.resting.remove(&call);
                    stuck.push((call.nr as usize, now.monotonic - began));
                }
                _ => self.rest(call, now.monotonic),
            }
        }
        stuck
    }

    fn rest(&mut self, call: Call, now: Duration) {
        let rest = self.resting.entry(call).or_insert(Rest { until: now, patience: MIN_AGE });
        rest.until = now + rest.patience;
        rest.patience = (rest.patience * 2).min(MAX_PATIENCE);
    }
}

/// Calls that began before an instant, the oldest first.
fn older_than(starts: &[StartSet], limit: Duration) -> Vec<Call> {
    let mut calls: Vec<Call> = starts
        .iter()
        .flat_map(|set| &set.ways)
        .map(|start| Call { ts: start.ts.load(Relaxed), tid: start.tid.load(Relaxed), nr: start.nr.load(Relaxed) })
        .filter(|call| call.ts != 0 && u128::from(call.ts) < limit.as_nanos())
        .collect();
    calls.sort_by_key(|call| call.ts);
    calls
}

struct Task {
    state: char,
    /// CLOCK_BOOTTIME.
    started: Duration,
}

/// `/proc/<tid>/stat`: `7 (a name) D 1 ...`, where the 22nd field is the start time in ticks.
fn parse_stat(text: &str) -> Option<Task> {
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let ticks: u32 = fields.nth(18)?.parse().ok()?;
    Some(Task { state, started: TICK * ticks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::mapped::Mapped;

    fn stat(state: char, ticks: u32) -> String {
        format!("7 (a) b) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {ticks} 20 21")
    }

    fn begin(starts: &[StartSet], at: usize, ts: Duration, tid: u32, nr: u32) {
        let start = &starts[at / 2].ways[at % 2];
        start.ts.store(ts.as_nanos() as u64, Relaxed);
        start.tid.store(tid, Relaxed);
        start.nr.store(nr, Relaxed);
    }

    fn now(seconds: u64) -> Now {
        Now { monotonic: Duration::from_secs(seconds), boot: Duration::from_secs(seconds + 1000) }
    }

    #[test]
    fn only_tasks_in_state_d_that_began_the_call_count() {
        let proc = tempfile::tempdir().unwrap();
        let starts = Mapped::<StartSet>::anonymous(8).unwrap();
        // Started at 1050 s of boot time, which is 50 s of the kernel's clock.
        for (tid, text) in [(1, stat('D', 105_000)), (2, stat('S', 105_000)), (3, stat('D', 107_000))] {
            fs::create_dir(proc.path().join(tid.to_string())).unwrap();
            fs::write(proc.path().join(tid.to_string()).join("stat"), text).unwrap();
            begin(&starts, tid, Duration::from_secs(60), tid as u32, 10 + tid as u32);
        }
        begin(&starts, 9, Duration::from_millis(99_500), 1, 20);
        begin(&starts, 11, Duration::from_secs(60), 4, 30);
        let stuck = Inflight::default().look(&starts, proc.path(), now(100));
        assert_eq!(stuck, [(11, Duration::from_secs(40))]);
    }

    #[test]
    fn tasks_found_asleep_make_room_for_others() {
        let proc = tempfile::tempdir().unwrap();
        let starts = Mapped::<StartSet>::anonymous(64).unwrap();
        for tid in 0..100 {
            begin(&starts, tid, Duration::from_secs(1) + Duration::from_nanos(tid as u64), tid as u32, 1);
        }
        fs::create_dir(proc.path().join("99")).unwrap();
        fs::write(proc.path().join("99/stat"), stat('D', 0)).unwrap();
        let mut inflight = Inflight::default();
        let looks: Vec<usize> = (0..10).map(|i| inflight.look(&starts, proc.path(), now(10 + i / 8)).len()).collect();
        assert_eq!(looks, [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn garbage_is_no_task() {
        for text in ["", "7", "7 (a)", "7 (a) D", "7 (a) D 1 2 3", &stat('D', 1).replace(" 1 20", " x 20")] {
            assert!(parse_stat(text).is_none(), "{text}");
        }
    }
}
