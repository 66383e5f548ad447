//! Kernel programs: loading, attach verdicts, maps. The only place that knows aya.
//!
//! A program that cannot be attached costs its metrics, not kanary: [`Programs::load`] fails only when the user
//! requires programs. Everything that can go wrong goes wrong there; afterwards there is only mapped memory. This
//! part never logs and never reads what the programs counted.

pub mod abi;
#[cfg(test)]
mod buckets;
mod holder;
mod host;
pub mod mapped;
mod misses;
pub mod syscalls;

use std::fmt;
use std::sync::Arc;

use crate::config::{Config, Ebpf, SyscallMode};

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Attached,
    /// By settings.
    Off,
    UnsupportedKernel,
    /// The kernel does not describe its types.
    NoBtf,
    NoPermission,
    /// Another kanary on this host is attached.
    Busy,
    Failed,
}

impl Verdict {
    /// Value of the label `verdict`.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Attached => "attached",
            Verdict::Off => "off",
            Verdict::UnsupportedKernel => "unsupported_kernel",
            Verdict::NoBtf => "no_btf",
            Verdict::NoPermission => "no_permission",
            Verdict::Busy => "busy",
            Verdict::Failed => "failed",
        }
    }
}

/// Why a program is not attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub verdict: Verdict,
    /// One line for a person.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Refusal { verdict, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict.label(), self.reason)
    }
}

/// One program of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The kernel's name for it, as bpftool shows it.
    pub program: &'static str,
    /// Where it is attached: `tp_btf/sys_enter`.
    pub hook: &'static str,
    pub verdict: Verdict,
    /// Empty when attached.
    pub reason: String,
}

/// A program is required and cannot be attached.
#[derive(Debug, thiserror::Error)]
#[error("KANARY_EBPF=require: {program} cannot be attached: {refusal}")]
pub struct Required {
    pub program: &'static str,
    pub refusal: Refusal,
}

/// Kernel programs of this run and what became of each. Detached when dropped.
#[derive(Default)]
pub struct Programs {
    statuses: Vec<Status>,
    syscalls: Option<syscalls::Attached>,
}

impl Programs {
    /// Loads and attaches what the settings ask for.
    ///
    /// # Errors
    /// When programs are required and one cannot be attached.
    pub fn load(config: &Config) -> Result<Self, Required> {
        let loaded = match (config.ebpf, config.syscall_mode) {
            (Ebpf::Off, _) => Err(Refusal::new(Verdict::Off, "KANARY_EBPF=off")),
            (_, SyscallMode::Off) => Err(Refusal::new(Verdict::Off, "KANARY_SYSCALL_MODE=off")),
            (_, mode) => syscalls::Attached::load(mode, &config.paths.proc),
        };
        let program = syscalls::PROGRAMS[0].0;
        match loaded {
            Ok(attached) => Ok(Programs { statuses: attached.statuses(), syscalls: Some(attached) }),
            Err(refusal) if config.ebpf == Ebpf::Require && refusal.verdict != Verdict::Off => {
                Err(Required { program, refusal })
            }
            Err(refusal) => Ok(Programs { statuses: syscalls::refused(&refusal), syscalls: None }),
        }
    }

    /// Every program, attached or not.
    pub fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    /// Every map and the bytes of kernel memory it takes.
    pub fn maps(&self) -> impl Iterator<Item = (&str, u64)> {
        self.syscalls.iter().flat_map(|s| s.sizes()).map(|(name, bytes)| (name.as_str(), *bytes))
    }

    /// What the syscall programs count, if they are attached.
    pub fn syscalls(&self) -> Option<Arc<syscalls::Maps>> {
        self.syscalls.as_ref().map(syscalls::Attached::maps)
    }
}
