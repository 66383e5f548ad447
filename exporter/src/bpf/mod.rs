//! Kernel programs: loading, attach verdicts, maps. The only place that knows aya.

/// Kernel programs of this run and what became of each.
#[derive(Default)]
pub struct Programs {}
