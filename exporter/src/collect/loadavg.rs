//! `/proc/loadavg` (fs/proc/loadavg.c).
//!
//! ```text
//! 0.21 0.37 0.39 1/719 19737
//! ```

use super::fields::{fraction, words};
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::metric::cpu::{LOAD1, LOAD5, LOAD15};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "loadavg",
    default: true,
    options: &[],
    build: |setup| Ok(Box::new(LoadAvg { file: ProcFile::piece(setup.config.paths.proc.join("loadavg")) })),
};

struct LoadAvg {
    file: ProcFile,
}

impl Collector for LoadAvg {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read()?;
        let loads = parse(text.bytes).ok_or_else(|| text.failed(text.bytes, "does not begin with three loads"))?;
        for (family, load) in [&LOAD1, &LOAD5, &LOAD15].into_iter().zip(loads) {
            out.number(family, &[], load);
        }
        Ok(())
    }
}

/// Load over 1, 5 and 15 minutes.
fn parse(text: &[u8]) -> Option<[f64; 3]> {
    let mut loads = words(text).map(fraction);
    Some([loads.next()??, loads.next()??, loads.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_loads() {
        assert_eq!(parse(b"0.21 0.37 0.39 1/719 19737\n"), Some([0.21, 0.37, 0.39]));
        assert_eq!(parse(b"0.21 0.37\n"), None);
        assert_eq!(parse(b"0.21 much 0.39\n"), None);
    }

    proptest! {
        #[test]
        fn loads_round_trip(loads: [u16; 3]) {
            let text = loads.map(|l| format!("{}.{:02}", l / 100, l % 100)).join(" ");
            prop_assert_eq!(parse(text.as_bytes()).map(|l| l.map(|x| (x * 100.0).round() as u16)), Some(loads));
        }
    }
}
