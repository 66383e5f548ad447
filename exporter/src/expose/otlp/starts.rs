//! Since when each cumulative point counts: from boot or process start, or from the last time it was seen before it
//! went back (a CPU replugged, a 32-bit counter that wrapped).

use hashbrown::HashMap;

/// A series not seen for so many rounds is forgotten.
const FORGET: u64 = 60;

/// Start times in nanoseconds since the Unix epoch: fixed once, or a slewed clock would make every point look reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Of what the kernel counts.
    pub boot: u64,
    /// Of what kanary counts.
    pub process: u64,
}

#[derive(Default)]
pub struct Starts {
    series: HashMap<u64, Series>,
    round: u64,
    /// Time of this round and of the one before, in nanoseconds.
    now: u64,
    before: u64,
}

struct Series {
    last: f64,
    start: u64,
    round: u64,
}

impl Starts {
    /// A snapshot taken at `now` follows.
    pub fn begin(&mut self, now: u64) {
        if now != self.now {
            self.before = self.now;
            self.now = now;
            self.round += 1;
        }
        let round = self.round;
        self.series.retain(|_, s| s.round + FORGET >= round);
    }

    /// Start of the series with this hash, whose total is `value`; `epoch` unless it has gone back since.
    pub fn start(&mut self, hash: u64, value: f64, epoch: u64) -> u64 {
        let series = self.series.entry(hash).or_insert(Series { last: value, start: epoch, round: self.round });
        if value < series.last {
            series.start = self.before.max(epoch);
        }
        series.last = value;
        series.round = self.round;
        // A wall clock set back must not put the start behind the point.
        series.start.min(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_that_goes_back_starts_anew() {
        let mut starts = Starts::default();
        let at = |starts: &mut Starts, now, value| {
            starts.begin(now);
            starts.start(1, value, 10)
        };
        assert_eq!(at(&mut starts, 100, 5.0), 10);
        assert_eq!(at(&mut starts, 200, 7.0), 10);
        assert_eq!(at(&mut starts, 300, 1.0), 200);
        // The same snapshot again, for a second attempt.
        assert_eq!(at(&mut starts, 300, 1.0), 200);
        assert_eq!(at(&mut starts, 400, 2.0), 200);
    }

    #[test]
    fn a_start_is_never_behind_its_point() {
        let mut starts = Starts::default();
        starts.begin(5);
        assert_eq!(starts.start(1, 1.0, 10), 5);
    }

    #[test]
    fn vanished_series_are_forgotten() {
        let mut starts = Starts::default();
        for now in 1..=FORGET + 2 {
            starts.begin(now);
            if now == 1 {
                starts.start(1, 1.0, 0);
            }
        }
        assert!(starts.series.is_empty());
    }
}
