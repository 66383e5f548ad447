//! Linear trend over the last ten minutes: least squares over the points kept, from running sums.
//!
//! Sums are taken relative to an origin that moves along; each time the ring has gone round they are added up anew, so that
//! rounding errors do not grow.

use serde::{Deserialize, Serialize};

/// Seconds looked back at, and the fewest points that are waited for.
const WINDOW: f64 = 600.0;
const LEAST: usize = 30;
/// Most points kept; points closer together than the window over this are left out.
const CAPACITY: usize = 150;
/// Standard errors a slope must be away from 0, and the share of variance it must explain, to be believed. Points
/// close in time resemble each other, hence far more than the textbook's 2.
const SIGNIFICANT: f64 = 10.0;
const EXPLAINED: f64 = 0.7;
/// Seconds beyond which no limit is foretold.
const HORIZON: f64 = 7.0 * 86400.0;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trend {
    /// (seconds since `origin`, value minus `base`), oldest at `first`.
    points: Vec<(f32, f32)>,
    first: usize,
    origin: f64,
    base: f64,
    sums: Sums,
    until_anew: usize,
    last: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    n: f64,
    t: f64,
    tt: f64,
    v: f64,
    vv: f64,
    tv: f64,
}

/// A fitted line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The feature's unit per second.
    pub slope: f64,
    pub standard_error: f64,
    /// Share of the variance that the line explains.
    pub r2: f64,
    /// The line's value at the last point.
    pub now: f64,
    pub points: usize,
}

impl Sums {
    fn add(&mut self, (t, v): (f32, f32), sign: f64) {
        let (t, v) = (f64::from(t), f64::from(v));
        self.n += sign;
        self.t += sign * t;
        self.tt += sign * t * t;
        self.v += sign * v;
        self.vv += sign * v * v;
        self.tv += sign * t * v;
    }
}

impl Trend {
    /// Memory beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.points.capacity() * size_of::<(f32, f32)>()
    }

    /// Takes a point; points of a series usually come `interval` seconds apart.
    pub fn push(&mut self, now: f64, value: f64, interval: f64) {
        if self.points.capacity() == 0 {
            self.points.reserve_exact(CAPACITY);
        }
        if !self.points.is_empty() && now - self.last < WINDOW / CAPACITY as f64 - 0.5 * interval {
            return;
        }
        if self.until_anew == 0 {
            self.anew(now, value);
        }
        self.until_anew -= 1;
        self.expire(now, WINDOW.max(LEAST as f64 * interval));
        self.keep(((now - self.origin) as f32, (value - self.base) as f32));
        self.last = now;
    }

    fn keep(&mut self, point: (f32, f32)) {
        self.sums.add(point, 1.0);
        let live = self.sums.n as usize - 1;
        let at = (self.first + live) % CAPACITY;
        if at < self.points.len() {
            self.points[at] = point;
        } else {
            self.points.push(point);
        }
    }

    /// Drops what is older than the window, and one more when the ring is full.
    fn expire(&mut self, now: f64, window: f64) {
        let oldest = (now - window - self.origin) as f32;
        while self.sums.n > 0.0 {
            let point = self.points[self.first];
            if point.0 >= oldest && (self.sums.n as usize) < CAPACITY {
                break;
            }
            self.sums.add(point, -1.0);
            self.first = (self.first + 1) % CAPACITY;
        }
        if self.sums.n == 0.0 {
            self.points.clear();
            self.first = 0;
            self.sums = Sums::default();
        }
    }

    /// Moves the origin to this point and adds up what is kept.
    fn anew(&mut self, now: f64, value: f64) {
        let (by, up) = (now - self.origin, value - self.base);
        let live = self.sums.n as usize;
        let (first, len) = (self.first, self.points.len().max(1));
        self.sums = Sums::default();
        for i in 0..live {
            let point = &mut self.points[(first + i) % len];
            *point = ((f64::from(point.0) - by) as f32, (f64::from(point.1) - up) as f32);
            self.sums.add(*point, 1.0);
        }
        (self.origin, self.base, self.until_anew) = (now, value, CAPACITY);
    }

    /// Forgets all points.
    pub fn interrupt(&mut self) {
        self.points.clear();
        self.first = 0;
        self.sums = Sums::default();
    }

    /// The line, once there are enough points that differ in time.
    pub fn line(&self) -> Option<Line> {
        let Sums { n, t, tt, v, vv, tv } = self.sums;
        let sxx = tt - t * t / n;
        if n < LEAST as f64 || sxx <= 0.0 {
            return None;
        }
        let (sxy, syy) = (tv - t * v / n, (vv - v * v / n).max(0.0));
        let slope = sxy / sxx;
        let rest = (syy - slope * sxy).max(0.0);
        let r2 = if syy > 0.0 { 1.0 - rest / syy } else { 0.0 };
        let now = self.base + v / n + slope * (self.last - self.origin - t / n);
        Some(Line { slope, standard_error: (rest / (n - 2.0) / sxx).sqrt(), r2, now, points: n as usize })
    }
}

impl Line {
    /// Seconds until the line meets `limit`; `None` when it does not head there significantly or not within a week.
    pub fn time_to(&self, limit: f64) -> Option<f64> {
        let significant = self.slope.abs() > SIGNIFICANT * self.standard_error && self.r2 >= EXPLAINED;
        let seconds = (limit - self.now) / self.slope;
        (significant && seconds > 0.0 && seconds <= HORIZON).then_some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Textbook formulas over all points of the window.
    fn naive(points: &[(f64, f64)]) -> (f64, f64) {
        let n = points.len() as f64;
        let (mt, mv) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let sxx: f64 = points.iter().map(|p| (p.0 - mt).powi(2)).sum();
        let sxy: f64 = points.iter().map(|p| (p.0 - mt) * (p.1 - mv)).sum();
        let slope = sxy / sxx;
        let rest: f64 = points.iter().map(|p| (p.1 - mv - slope * (p.0 - mt)).powi(2)).sum();
        (slope, (rest / (n - 2.0) / sxx).sqrt())
    }

    #[test]
    fn sums_agree_with_the_textbook_for_days() {
        let (mut trend, mut all) = (Trend::default(), Vec::new());
        for i in 0..40_000_u32 {
            let t = 1e6 + f64::from(i) * 10.0;
            let v = 5e9 + f64::from(i) * 100.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 16);
            trend.push(t, v, 10.0);
            all.push((t, v));
            if i % 997 == 0 && i > 100 {
                let (slope, error) = naive(&all[all.len() - 61..]);
                let line = trend.line().unwrap();
                assert_eq!(line.points, 61);
                assert!((line.slope / slope - 1.0).abs() < 1e-4, "{i}: {} {slope}", line.slope);
                assert!((line.standard_error / error - 1.0).abs() < 1e-4, "{i}: {} {error}", line.standard_error);
            }
        }
    }

    #[test]
    fn a_leak_has_a_time_to_limit_and_noise_or_a_constant_has_none() {
        let run = |f: &dyn Fn(f64) -> f64| {
            let mut trend = Trend::default();
            for i in 0..900 {
                trend.push(f64::from(i), f(f64::from(i)), 1.0);
            }
            trend.line().unwrap()
        };
        let leak = run(&|t| 16e9 - 1e6 * t + (t * 7.0).sin() * 1e6);
        let left = leak.time_to(0.0).unwrap();
        assert!((left / (16e3 - 899.0) - 1.0).abs() < 0.01, "{left}");
        assert_eq!(leak.time_to(17e9), None, "it heads away from there");
        assert_eq!(run(&|_| 5.0).time_to(10.0), None);
        assert_eq!(run(&|t| (t * t).sin()).time_to(10.0), None);
    }
}
