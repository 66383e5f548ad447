//! Which syscalls have series of their own.
//!
//! `top:N` gives seats to syscalls as they appear and keeps them seated; from time to time a syscall without a seat
//! that spent more than twice the time of the least busy one takes its place. Calls counted before a change stay where
//! they were counted, so that every series only grows, `~other` included, and one that begins begins at 0.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::totals::{Tally, Totals};
use crate::bpf::abi::{CALL_FOREIGN, CALLS};
use crate::config::SyscallChoice;

/// How often seats are reviewed; what was spent counts half after each review.
const REVIEW: Duration = Duration::from_secs(30);

pub struct Chosen {
    rule: Rule,
    shown: BTreeSet<usize>,
    /// Of a shown syscall what counts as `~other`, of another what counts as its own; empty = nothing.
    elsewhere: BTreeMap<usize, Tally>,
    seats: Seats,
}

enum Rule {
    Top(usize),
    All,
    Fixed,
}

impl Chosen {
    /// `number` finds a syscall by name; `pinned` are seated in `top:N` as soon as they appear.
    ///
    /// # Errors
    /// The name that is no syscall's.
    pub fn new(
        choice: &SyscallChoice,
        number: impl Fn(&str) -> Option<usize>,
        pinned: &[&str],
    ) -> Result<Self, String> {
        let (rule, shown) = match choice {
            SyscallChoice::Top(n) => (Rule::Top(*n), BTreeSet::new()),
            SyscallChoice::All => (Rule::All, BTreeSet::new()),
            SyscallChoice::Named(names) => {
                let found = names.iter().map(|name| number(name).ok_or_else(|| name.clone()));
                (Rule::Fixed, found.collect::<Result<_, _>>()?)
            }
        };
        let pinned = pinned.iter().filter_map(|name| number(name)).collect();
        Ok(Chosen { rule, shown, elsewhere: BTreeMap::new(), seats: Seats::new(pinned) })
    }

    /// Seats what a drain found. `now` is any clock that does not go back.
    pub fn update(&mut self, totals: &Totals, now: Duration) {
        let native = |nr: &usize| *nr != CALL_FOREIGN as usize;
        match self.rule {
            Rule::Fixed => {}
            Rule::All => self.shown.extend(totals.changed().iter().filter(|nr| native(nr))),
            Rule::Top(n) => {
                for nr in self.seats.newcomers(totals, n.saturating_sub(self.shown.len())) {
                    self.shown.insert(nr);
                }
                for (out, into) in self.seats.review(totals, &self.shown, now) {
                    self.flip(out, totals);
                    self.flip(into, totals);
                }
            }
        }
    }

    fn flip(&mut self, nr: usize, totals: &Totals) {
        let elsewhere = self.elsewhere.remove(&nr).unwrap_or_default();
        self.elsewhere.insert(nr, totals.get(nr).without(&elsewhere));
        if !self.shown.remove(&nr) {
            self.shown.insert(nr);
        }
    }

    /// Syscalls with series of their own and what is in them.
    pub fn own(&self, totals: &Totals) -> impl Iterator<Item = (usize, Tally)> {
        self.shown.iter().map(|&nr| (nr, self.here(nr, totals)))
    }

    /// What is in `~other`.
    pub fn other(&self, totals: &Totals) -> Tally {
        let mut other = Tally::default();
        for (nr, _) in totals.used().filter(|(nr, _)| !self.shown.contains(nr)) {
            other.add(&self.here(nr, totals));
        }
        for (_, part) in self.elsewhere.iter().filter(|(nr, _)| self.shown.contains(nr)) {
            other.add(part);
        }
        other
    }

    pub fn is_shown(&self, nr: usize) -> bool {
        self.shown.contains(&nr)
    }

    fn here(&self, nr: usize, totals: &Totals) -> Tally {
        match self.elsewhere.get(&nr) {
            Some(part) => totals.get(nr).without(part),
            None => totals.get(nr).clone(),
        }
    }
}

/// Who deserves a seat in `top:N`.
struct Seats {
    pinned: BTreeSet<usize>,
    /// Time spent lately, ns; calls where nothing is timed.
    spent: Vec<f64>,
    /// Totals at the last review.
    counted: Vec<u64>,
    reviewed: Option<Duration>,
}

impl Seats {
    fn new(pinned: BTreeSet<usize>) -> Self {
        Seats { pinned, spent: vec![0.0; CALLS as usize], counted: vec![0; CALLS as usize], reviewed: None }
    }

    /// Up to `free` syscalls that were never seen before, the busiest first.
    fn newcomers(&mut self, totals: &Totals, free: usize) -> Vec<usize> {
        if free == 0 {
            return Vec::new();
        }
        let mut found: Vec<usize> = totals.changed().iter().copied().filter(|nr| self.is_new(*nr)).collect();
        found.sort_by_key(|&nr| (!self.pinned.contains(&nr), u64::MAX - cost(totals.get(nr)), nr));
        found.truncate(free);
        found
    }

    /// Seen for the first time since the last review: nothing of it was shown before.
    fn is_new(&self, nr: usize) -> bool {
        nr != CALL_FOREIGN as usize && self.counted[nr] == 0
    }

    /// Pairs (seated, not seated) that change places.
    fn review(&mut self, totals: &Totals, shown: &BTreeSet<usize>, now: Duration) -> Vec<(usize, usize)> {
        if self.reviewed.is_some_and(|at| now < at + REVIEW) {
            return Vec::new();
        }
        self.reviewed = Some(now);
        for nr in 0..CALL_FOREIGN as usize {
            let cost = cost(totals.get(nr));
            self.spent[nr] = self.spent[nr] / 2.0 + (cost - self.counted[nr]) as f64;
            self.counted[nr] = cost;
        }
        let by_weight = |nr: &usize| self.weight(*nr);
        let mut seated: Vec<usize> = shown.iter().copied().collect();
        seated.sort_by(|a, b| by_weight(a).total_cmp(&by_weight(b)));
        let mut waiting: Vec<usize> =
            totals.used().map(|(nr, _)| nr).filter(|nr| *nr != CALL_FOREIGN as usize && !shown.contains(nr)).collect();
        waiting.sort_by(|a, b| by_weight(b).total_cmp(&by_weight(a)));
        seated.into_iter().zip(waiting).take_while(|(s, w)| by_weight(w) > 2.0 * by_weight(s)).collect()
    }

    fn weight(&self, nr: usize) -> f64 {
        if self.pinned.contains(&nr) { f64::MAX } else { self.spent[nr] }
    }
}

/// What ranks a syscall: a nanosecond for each call that was not timed, so that counts alone rank as well.
fn cost(tally: &Tally) -> u64 {
    tally.sum + tally.count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::abi::PerCpu;
    use crate::bpf::mapped::Mapped;
    use crate::collect::syscalls::totals::tests::call;

    fn chosen(choice: SyscallChoice) -> Chosen {
        Chosen::new(&choice, |name| name.parse().ok(), &["7"]).unwrap()
    }

    fn counts(chosen: &Chosen, totals: &Totals) -> (Vec<(usize, u64)>, u64) {
        (chosen.own(totals).map(|(nr, t)| (nr, t.count)).collect(), chosen.other(totals).count)
    }

    #[test]
    fn seats_go_to_the_busiest_and_to_the_pinned() {
        let cpus = Mapped::<PerCpu>::anonymous(1).unwrap();
        let (mut totals, mut chosen) = (Totals::default(), chosen(SyscallChoice::Top(2)));
        for (nr, ns) in [(1, 100), (2, 300), (3, 200), (7, 1)] {
            call(&cpus[0], nr, 100, ns, 0);
        }
        totals.drain(&cpus);
        chosen.update(&totals, Duration::ZERO);
        assert_eq!(counts(&chosen, &totals), (vec![(2, 1), (7, 1)], 2));
    }

    #[test]
    fn a_busier_syscall_takes_over_and_no_series_goes_back() {
        let cpus = Mapped::<PerCpu>::anonymous(1).unwrap();
        let (mut totals, mut chosen) = (Totals::default(), chosen(SyscallChoice::Top(1)));
        let mut step = |busy: usize, at: u64| {
            for _ in 0..10 {
                call(&cpus[0], busy, 100, 1_000, 11);
            }
            totals.drain(&cpus);
            chosen.update(&totals, Duration::from_secs(at));
            counts(&chosen, &totals)
        };
        assert_eq!(step(1, 0), (vec![(1, 10)], 0));
        assert_eq!(step(2, 10), (vec![(1, 10)], 10));
        assert_eq!(step(2, 30), (vec![(2, 0)], 20));
        assert_eq!(step(2, 40), (vec![(2, 10)], 20));
        assert_eq!(step(1, 60), (vec![(2, 10)], 30));
        assert_eq!(step(1, 90), (vec![(2, 10)], 40));
        assert_eq!(step(1, 120), (vec![(1, 10)], 50));
        assert_eq!(step(1, 121), (vec![(1, 20)], 50));
    }

    #[test]
    fn foreign_calls_are_never_shown() {
        let cpus = Mapped::<PerCpu>::anonymous(1).unwrap();
        let (mut totals, mut chosen) = (Totals::default(), chosen(SyscallChoice::All));
        cpus[0].calls[CALL_FOREIGN as usize].count.store(3, std::sync::atomic::Ordering::Relaxed);
        call(&cpus[0], 5, 100, 10, 0);
        totals.drain(&cpus);
        chosen.update(&totals, Duration::ZERO);
        assert_eq!(counts(&chosen, &totals), (vec![(5, 1)], 3));
    }

    #[test]
    fn named_syscalls_are_there_from_the_start() {
        let named = chosen(SyscallChoice::Named(vec!["4".into()]));
        assert_eq!(counts(&named, &Totals::default()), (vec![(4, 0)], 0));
        assert!(Chosen::new(&SyscallChoice::Named(vec!["x".into()]), |_| None, &[]).is_err());
    }
}
