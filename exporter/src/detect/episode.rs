//! Episodes: from the first sign of something unusual to lasting calm, with hysteresis.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Surprise that opens an episode (a score of 1/2), and that from which one is kept open (1/3).
pub const OPEN: f32 = 3.0;
pub const KEEP: f32 = 2.0;
/// Calm blocks that close it.
const CALM: u8 = 5;

/// Score in [0, 1] of a surprise: 1 at one minute in a million, in steps of 1/64, 0 below 1/3.
pub fn score(surprise: f32) -> f64 {
    if surprise >= KEEP { (f64::from(surprise / 6.0).min(1.0) * 64.0).round() / 64.0 } else { 0.0 }
}

/// Something unusual, from beginning to end. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// First block that was at least a little strange.
    pub onset: f64,
    /// Block that opened the episode.
    pub detected: f64,
    /// Strangest block, and its score.
    pub peak: f64,
    pub score: f64,
    /// `None` while it lasts.
    pub end: Option<f64>,
}

/// What a block did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Nothing,
    Opened,
    /// A new peak of an open episode.
    Peaked,
    Closed,
}

/// Watches one surprise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    rising: Option<f64>,
    calm: u8,
    pub open: Option<Span>,
    /// Episodes so far, and seconds spent in them.
    pub count: u64,
    pub seconds: f64,
}

impl Watch {
    /// Takes a block's surprise; `wall` is its time, `length` its seconds.
    pub fn block(&mut self, surprise: f32, wall: f64, length: f64) -> Change {
        self.rising = if surprise >= KEEP { Some(self.rising.unwrap_or(wall)) } else { None };
        let Some(span) = &mut self.open else {
            return self.open_if(surprise, wall);
        };
        self.seconds += length;
        self.calm = if surprise >= KEEP { 0 } else { self.calm + 1 };
        if self.calm >= CALM {
            span.end = Some(wall);
            return Change::Closed;
        }
        if score(surprise) > span.score {
            (span.peak, span.score) = (wall, score(surprise));
            return Change::Peaked;
        }
        Change::Nothing
    }

    fn open_if(&mut self, surprise: f32, wall: f64) -> Change {
        if surprise < OPEN {
            return Change::Nothing;
        }
        let onset = self.rising.unwrap_or(wall);
        self.open = Some(Span { onset, detected: wall, peak: wall, score: score(surprise), end: None });
        self.calm = 0;
        self.count += 1;
        Change::Opened
    }

    /// Takes the span of a closed episode away.
    pub fn clear(&mut self) -> Option<Span> {
        self.rising = None;
        self.open.take()
    }
}

/// What a feature is called: its kind and, where it has one, the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub feature: CompactString,
    /// Empty for kinds without dimension.
    pub device: CompactString,
}

/// A feature's share in an episode's peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    pub key: Key,
    pub share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_steps_of_a_64th_and_silent_below_a_third() {
        assert_eq!(score(1.99), 0.0);
        assert_eq!(score(3.0), 0.5);
        assert_eq!(score(4.0), 43.0 / 64.0);
        assert_eq!(score(60.0), 1.0);
        assert_eq!(score(f32::NAN), 0.0);
    }

    #[test]
    fn an_episode_begins_with_the_first_sign_and_ends_after_lasting_calm() {
        let mut watch = Watch::default();
        let surprises = [0.0, 2.5, 3.5, 5.0, 0.0, 2.1, 0.0, 0.0, 0.0, 0.0, 0.0];
        let changes: Vec<Change> =
            surprises.iter().enumerate().map(|(i, s)| watch.block(*s, 60.0 * i as f64, 60.0)).collect();
        assert_eq!(changes[2], Change::Opened);
        assert_eq!(changes[3], Change::Peaked);
        assert_eq!(changes[10], Change::Closed);
        assert_eq!(changes.len(), 11);
        let span = watch.clear().unwrap();
        assert_eq!((span.onset, span.detected, span.peak, span.end), (60.0, 120.0, 180.0, Some(600.0)));
        assert_eq!((watch.count, watch.seconds), (1, 480.0));
        assert_eq!(watch.block(2.5, 900.0, 60.0), Change::Nothing);
    }
}
