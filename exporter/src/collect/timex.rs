//! The kernel's clock discipline by adjtimex(2): how far the clock is believed to be off, and whether it is in step.

use rustix::io::Errno;

use super::{Collector, Error, Row};
use crate::metric::{Family, system};
use crate::snapshot::Sink;

pub const ROW: Row = Row { id: "timex", default: true, options: &[], build: |_| Ok(Box::new(Timex)) };

/// Constants of linux/timex.h.
const TIME_ERROR: i32 = 5;
const STA_NANO: i32 = 0x2000;
/// Frequencies are parts per million, times 2^16.
const PPM: f64 = 1e6 * 65536.0;
const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;

struct Timex;

impl Collector for Timex {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let (state, clock) = adjtimex().map_err(|errno| {
            let why = format!("adjtimex: {}", std::io::Error::from(errno));
            // Refused where a container may not touch the clock.
            if matches!(errno, Errno::PERM | Errno::NOSYS) { Error::Absent(why) } else { Error::Failed(why) }
        })?;
        for (family, value) in values(state, &clock) {
            out.number(family, &[], value);
        }
        Ok(())
    }
}

/// The state of the clock; nothing is adjusted.
fn adjtimex() -> Result<(i32, libc::timex), Errno> {
    // SAFETY: a timex of zeros is valid, and with no modes set adjtimex only writes to it.
    let (state, clock) = unsafe {
        let mut clock = std::mem::zeroed::<libc::timex>();
        (libc::adjtimex(&raw mut clock), clock)
    };
    if state < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    } else {
        Ok((state, clock))
    }
}

/// node_exporter's units: seconds, ratios, and the phase-locked loop's own.
fn values(state: i32, clock: &libc::timex) -> [(&'static Family, f64); 17] {
    let unit = if clock.status & STA_NANO == 0 { MICRO } else { NANO };
    [
        (&system::CLOCK_SYNC, f64::from(u8::from(state != TIME_ERROR))),
        (&system::CLOCK_OFFSET, clock.offset as f64 / unit),
        (&system::CLOCK_FREQUENCY, 1.0 + clock.freq as f64 / PPM),
        (&system::CLOCK_MAX_ERROR, clock.maxerror as f64 / MICRO),
        (&system::CLOCK_ESTIMATED_ERROR, clock.esterror as f64 / MICRO),
        (&system::CLOCK_STATUS, f64::from(clock.status)),
        (&system::CLOCK_CONSTANT, clock.constant as f64),
        (&system::CLOCK_TICK, clock.tick as f64 / MICRO),
        (&system::PPS_FREQUENCY, clock.ppsfreq as f64 / PPM),
        (&system::PPS_JITTER, clock.jitter as f64 / unit),
        (&system::PPS_SHIFT, f64::from(clock.shift)),
        (&system::PPS_STABILITY, clock.stabil as f64 / PPM),
        (&system::PPS_JITTERS, clock.jitcnt as f64),
        (&system::PPS_CALIBRATIONS, clock.calcnt as f64),
        (&system::PPS_ERRORS, clock.errcnt as f64),
        (&system::PPS_STABILITY_EXCEEDED, clock.stbcnt as f64),
        (&system::CLOCK_TAI, f64::from(clock.tai)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(of: &'static Family, state: i32, clock: &libc::timex) -> f64 {
        values(state, clock).iter().find(|(family, _)| std::ptr::eq(*family, of)).unwrap().1
    }

    #[test]
    fn the_offset_is_in_the_unit_of_the_status() {
        let (_, mut clock) = adjtimex().unwrap();
        (clock.offset, clock.status, clock.freq) = (-2_000, 0, 65536 * 100);
        assert_eq!(value(&system::CLOCK_OFFSET, 0, &clock), -0.002);
        assert_eq!(value(&system::CLOCK_FREQUENCY, 0, &clock), 1.0001);
        clock.status = STA_NANO | 0x40;
        assert_eq!(value(&system::CLOCK_OFFSET, 0, &clock), -0.000002);
        assert_eq!(value(&system::CLOCK_STATUS, 0, &clock), 8256.0);
        assert_eq!((value(&system::CLOCK_SYNC, 5, &clock), value(&system::CLOCK_SYNC, 0, &clock)), (0.0, 1.0));
    }

    #[test]
    fn the_running_clock_ticks() {
        let (state, clock) = adjtimex().unwrap();
        let tick = value(&system::CLOCK_TICK, state, &clock);
        assert!((0.0009..0.0111).contains(&tick), "{tick}");
    }
}
