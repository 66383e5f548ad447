//! What the kernel counted, merged over CPUs.
//!
//! Kernel counters only grow and nobody zeroes them, so a total is what they say now; a row whose count and sum did not
//! change is not looked at again. A histogram's count is the sum of its buckets: calls without a known start are in
//! `count` only.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use crate::bpf::abi::{BUCKETS, CALL_FOREIGN, CALLS, ERRNO_BITS, GROUPS, PerCpu, ROW_BUCKETS, Row};

/// Key of the failures whose errno found no place in the kernel's table.
pub const ERRNO_UNKNOWN: u16 = 0;

/// Everything counted of one syscall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub errors: u64,
    /// ns, over the calls in `buckets`.
    pub sum: u64,
    /// Empty until a call is timed.
    pub buckets: Vec<u64>,
    /// Failures by errno.
    pub errnos: BTreeMap<u16, u64>,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.count += other.count;
        self.errors += other.errors;
        self.sum += other.sum;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, n) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += n;
        }
        for (errno, n) in &other.errnos {
            *self.errnos.entry(*errno).or_default() += n;
        }
    }

    /// What is left without a part of it.
    pub fn without(&self, part: &Tally) -> Tally {
        let less = |at: usize| part.buckets.get(at).copied().unwrap_or(0);
        Tally {
            count: self.count - part.count,
            errors: self.errors - part.errors,
            sum: self.sum - part.sum,
            buckets: self.buckets.iter().enumerate().map(|(at, n)| n - less(at)).collect(),
            errnos: self.errnos.iter().map(|(e, n)| (*e, n - part.errnos.get(e).copied().unwrap_or(0))).collect(),
        }
    }
}

/// The merged totals, by row of counts: a syscall's number, or [`CALL_FOREIGN`].
pub struct Totals {
    tallies: Vec<Tally>,
    seen: Vec<Sums>,
    changed: Vec<usize>,
}

/// What tells whether a row changed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    count: u64,
    errors: u64,
    sum: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            tallies: vec![Tally::default(); CALLS as usize],
            seen: vec![Sums::default(); CALLS as usize],
            changed: Vec::new(),
        }
    }
}

impl Totals {
    /// Reads the kernel's memory. Afterwards [`Totals::changed`] names the rows that differ from before.
    pub fn drain(&mut self, cpus: &[PerCpu]) {
        let mut errors = false;
        self.changed.clear();
        for nr in 0..CALLS as usize {
            let now = sums(cpus, nr);
            if now == self.seen[nr] {
                continue;
            }
            errors |= now.errors != self.seen[nr].errors;
            self.seen[nr] = now;
            self.changed.push(nr);
            let tally = &mut self.tallies[nr];
            (tally.count, tally.errors, tally.sum) = (now.count, now.errors, now.sum);
            read_buckets(cpus, nr, &mut tally.buckets);
        }
        if errors {
            self.read_errnos(cpus);
        }
    }

    /// Rows that the last drain found different, ascending.
    pub fn changed(&self) -> &[usize] {
        &self.changed
    }

    pub fn get(&self, nr: usize) -> &Tally {
        &self.tallies[nr]
    }

    /// Rows with at least one call.
    pub fn used(&self) -> impl Iterator<Item = (usize, &Tally)> {
        self.tallies.iter().enumerate().filter(|(_, t)| t.count > 0)
    }

    fn read_errnos(&mut self, cpus: &[PerCpu]) {
        let mut pairs: BTreeMap<(usize, u16), u64> = BTreeMap::new();
        for entry in cpus.iter().flat_map(|cpu| &cpu.errnos) {
            let key = entry.key.load(Relaxed);
            if key != 0 {
                let pair = ((key >> ERRNO_BITS) as usize, (key & ((1 << ERRNO_BITS) - 1)) as u16);
                *pairs.entry(pair).or_default() += entry.count.load(Relaxed);
            }
        }
        for (&(nr, errno), &n) in &pairs {
            if let Some(tally) = self.tallies.get_mut(nr) {
                tally.errnos.insert(errno, n);
            }
        }
        for tally in self.tallies.iter_mut().filter(|t| t.errors > 0) {
            // Errors were read first, so the difference can only come out too small; it never goes back.
            let known: u64 = tally.errnos.iter().filter(|(e, _)| **e != ERRNO_UNKNOWN).map(|(_, n)| n).sum();
            let unknown = tally.errors.saturating_sub(known);
            let before = tally.errnos.get(&ERRNO_UNKNOWN).copied().unwrap_or(0);
            if unknown.max(before) > 0 {
                tally.errnos.insert(ERRNO_UNKNOWN, unknown.max(before));
            }
        }
    }
}

fn sums(cpus: &[PerCpu], nr: usize) -> Sums {
    cpus.iter().map(|cpu| &cpu.calls[nr]).fold(Sums::default(), |sums, call| Sums {
        count: sums.count + call.count.load(Relaxed),
        errors: sums.errors + call.errors.load(Relaxed),
        sum: sums.sum + call.sum.load(Relaxed),
    })
}

fn read_buckets(cpus: &[PerCpu], nr: usize, buckets: &mut Vec<u64>) {
    buckets.fill(0);
    for cpu in cpus {
        for group in 0..GROUPS as usize {
            let Some(row) = row(cpu, nr, group) else { continue };
            buckets.resize(BUCKETS as usize, 0);
            let from = group * ROW_BUCKETS as usize;
            for (sum, n) in buckets[from..].iter_mut().zip(&row.counts) {
                *sum += n.load(Relaxed);
            }
        }
    }
}

/// Row of a group of buckets on one CPU, if the kernel gave it one.
fn row(cpu: &PerCpu, nr: usize, group: usize) -> Option<&Row> {
    if nr == CALL_FOREIGN as usize {
        return cpu.rows.get(group);
    }
    let id = usize::from(cpu.calls[nr].rows[group].load(Relaxed));
    let key = nr * GROUPS as usize + group;
    // A row says whose it is: what has just been given out is read next time.
    cpu.rows.get(id).filter(|row| id != 0 && row.key.load(Relaxed) as usize == key)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bpf::mapped::Mapped;

    /// Does on `cpu` what the kernel does for one call.
    pub fn call(cpu: &PerCpu, nr: usize, bucket: usize, ns: u64, errno: u16) {
        let add = |n: &std::sync::atomic::AtomicU64, by: u64| n.store(n.load(Relaxed) + by, Relaxed);
        let call = &cpu.calls[nr];
        add(&call.count, 1);
        if errno != 0 {
            add(&call.errors, 1);
            let key = (nr as u32) << ERRNO_BITS | u32::from(errno);
            let entry = cpu.errnos.iter().find(|e| [0, key].contains(&e.key.load(Relaxed))).unwrap();
            entry.key.store(key, Relaxed);
            add(&entry.count, 1);
        }
        if ns > 0 {
            let group = bucket / ROW_BUCKETS as usize;
            let given = usize::from(call.rows[group].load(Relaxed));
            let id = if given == 0 { GROUPS as usize + cpu.rows_given.load(Relaxed) as usize } else { given };
            if given == 0 {
                add(&cpu.rows_given, 1);
                call.rows[group].store(id as u16, Relaxed);
                cpu.rows[id].key.store((nr * GROUPS as usize + group) as u32, Relaxed);
            }
            add(&cpu.rows[id].counts[bucket % ROW_BUCKETS as usize], 1);
            add(&call.sum, ns);
        }
    }

    #[test]
    fn cpus_are_merged_and_only_changes_are_read() {
        let cpus = Mapped::<PerCpu>::anonymous(2).unwrap();
        call(&cpus[0], 39, 100, 50, 0);
        call(&cpus[1], 39, 100, 70, 0);
        call(&cpus[1], 39, 297, 9, 11);
        call(&cpus[1], 3, 0, 0, 9);
        let mut totals = Totals::default();
        totals.drain(&cpus);
        assert_eq!(totals.changed(), [3, 39]);
        let getpid = totals.get(39);
        assert_eq!((getpid.count, getpid.errors, getpid.sum), (3, 1, 129));
        assert_eq!((getpid.buckets[100], getpid.buckets[297]), (2, 1));
        assert_eq!(getpid.errnos, [(11, 1)].into());
        assert!(totals.get(3).buckets.is_empty());
        totals.drain(&cpus);
        assert_eq!(totals.changed(), [] as [usize; 0]);
    }

    #[test]
    fn errnos_without_a_place_are_the_rest() {
        let cpus = Mapped::<PerCpu>::anonymous(1).unwrap();
        call(&cpus[0], 3, 0, 0, 9);
        cpus[0].calls[3].errors.store(5, Relaxed);
        let mut totals = Totals::default();
        totals.drain(&cpus);
        assert_eq!(totals.get(3).errnos, [(ERRNO_UNKNOWN, 4), (9, 1)].into());
    }

    #[test]
    fn foreign_calls_have_rows_of_their_own() {
        let cpus = Mapped::<PerCpu>::anonymous(1).unwrap();
        cpus[0].calls[CALL_FOREIGN as usize].count.store(1, Relaxed);
        cpus[0].rows[18].counts[9].store(1, Relaxed);
        let mut totals = Totals::default();
        totals.drain(&cpus);
        assert_eq!(totals.get(CALL_FOREIGN as usize).buckets[297], 1);
    }

    #[test]
    fn a_part_and_the_rest_make_the_whole() {
        let part = Tally { count: 2, sum: 5, buckets: vec![1, 1], errors: 1, errnos: [(4, 1)].into() };
        let mut whole = Tally { count: 1, sum: 1, errors: 1, errnos: [(5, 1)].into(), ..Tally::default() };
        let rest = whole.clone();
        whole.add(&part);
        let left = whole.without(&part);
        assert_eq!((left.count, left.sum, left.errors), (rest.count, rest.sum, rest.errors));
        assert_eq!(left.errnos, [(4, 0), (5, 1)].into());
    }
}
