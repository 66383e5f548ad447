//! Sources: one file each, holding reader, parser and tests; the table [`ALL`] lists them.
//!
//! A collector reads when asked and keeps nothing but what it needs to read again (open files, the last counters it
//! clamps against). Parsing is pure and tested on literal text. An item that fails costs that item: the collector
//! notes a fault and goes on. It never serves, logs or sleeps; what can hang goes through a watched thread.

use crate::bpf::Programs;
use crate::config::{self, Config, Setting};
use crate::snapshot::{Outcome, Sink};

/// One source.
pub trait Collector: Send {
    /// Puts one fresh reading into `out`.
    ///
    /// # Errors
    /// [`Error::Absent`] when the host has no such source, [`Error::Failed`] when it cannot be read. What was put
    /// into `out` before is kept.
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error>;
}

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This host has no such source. Not an error for the user.
    #[error("{0}")]
    Absent(String),
    /// It is there and could not be read or understood: path and offending text.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error {
            Error::Absent(why) => Outcome::Absent(why),
            Error::Failed(why) => Outcome::Failed(why),
        }
    }
}

/// What a collector is built from.
pub struct Setup<'a> {
    pub config: &'a Config,
    /// Kernel programs; a collector takes the maps that are its own.
    pub programs: &'a mut Programs,
}

/// A row of [`ALL`].
pub struct Row {
    /// node_exporter's collector name, or kanary's own (`syscalls`, `self`).
    pub id: &'static str,
    /// Exposed unless `KANARY_COLLECTORS` says otherwise.
    pub default: bool,
    /// `KANARY_<COLLECTOR>_<OPTION>`: node_exporter's flags.
    pub options: &'static [&'static Setting],
    pub build: fn(&mut Setup) -> Result<Box<dyn Collector>, config::Error>,
}

/// Every collector, in the order of exposition.
pub static ALL: &[Row] = &[];
