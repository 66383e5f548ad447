//! Kernel programs and what became of them: kanary's own state, not the kernel's.

use super::{Collector, Error, Row, Setup};
use crate::bpf::{Status, Verdict};
use crate::config;
use crate::metric::bpf::{MAP_BYTES, PROGRAM_ATTACHED, PROGRAM_INFO};
use crate::snapshot::Sink;

/// `bpf`
pub const ROW: Row = Row { id: "bpf", default: true, options: &[], build };

fn build(setup: &mut Setup) -> Result<Box<dyn Collector>, config::Error> {
    let maps = setup.programs.maps().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    Ok(Box::new(Bpf { statuses: setup.programs.statuses().to_vec(), maps }))
}

struct Bpf {
    statuses: Vec<Status>,
    maps: Vec<(String, u64)>,
}

impl Collector for Bpf {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        for Status { program, hook, verdict, .. } in &self.statuses {
            out.number(&PROGRAM_ATTACHED, &[program], f64::from(*verdict == Verdict::Attached));
            out.number(&PROGRAM_INFO, &[program, hook, verdict.label()], 1.0);
        }
        for (map, bytes) in &self.maps {
            out.number(&MAP_BYTES, &[map], *bytes as f64);
        }
        Ok(())
    }
}
