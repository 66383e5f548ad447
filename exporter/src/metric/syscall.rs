//! Syscalls as the kernel programs count them. Work that io_uring does passes no syscall and is not in here.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

/// 32 seats and `~other`.
const SYSCALLS: u32 = 33;

const SYSCALL: &[LabelMap] = &[LabelMap::to("syscall", "kanary.syscall")];

static OTEL_DURATION: OtelMetric = OtelMetric::new(
    "kanary.syscall.duration",
    "s",
    OtelKind::Histogram,
    "Time in the kernel, of each call that was timed.",
);
static OTEL_CALLS: OtelMetric =
    OtelMetric::new("kanary.syscall.calls", "{call}", OtelKind::Counter, "Entries into the kernel.");
static OTEL_ERRORS: OtelMetric =
    OtelMetric::new("kanary.syscall.errors", "{error}", OtelKind::Counter, "Calls that returned an errno.");
static OTEL_SAMPLING_RATIO: OtelMetric =
    OtelMetric::new("kanary.syscall.sampling_ratio", "1", OtelKind::Gauge, "Share of calls that are timed.");
static OTEL_INFLIGHT_AGE: OtelMetric = OtelMetric::new(
    "kanary.syscall.inflight.age",
    "s",
    OtelKind::Gauge,
    "Age of the oldest call in uninterruptible sleep.",
);

families! {
    DURATION = Family::histogram("syscalls", "kanary_syscall_duration_seconds",
        "Time in the kernel, of each call that was timed.")
        .labels(&["syscall"]).budget(SYSCALLS, Per::Host).otel(&[Term::of(&OTEL_DURATION).map(SYSCALL)]);
    TOTAL = Family::counter("syscalls", "kanary_syscalls_total",
        "Entries into the kernel, exact (mode count leaves out exit and exit_group); a call that restarts after a signal counts again. Calls \
         outside the native table (ia32, x32) are in ~other, work done by io_uring is no call.")
        .labels(&["syscall"]).budget(SYSCALLS, Per::Host).otel(&[Term::of(&OTEL_CALLS).map(SYSCALL)]);
    ERRORS = Family::counter("syscalls", "kanary_syscall_errors_total",
        "Calls that returned an errno; codes by which the kernel restarts a call are left out.")
        .labels(&["syscall", "errno"]).budget(SYSCALLS * 13, Per::Host)
        .otel(&[Term::of(&OTEL_ERRORS).map(&[
            LabelMap::to("syscall", "kanary.syscall"),
            LabelMap::to("errno", "error.type").renaming(&[("other", "_OTHER")]),
        ])]);
    SAMPLING_RATIO = Family::gauge("syscalls", "kanary_syscall_sampling_ratio",
        "Share of calls that are timed: 1 when all are.")
        .labels(&["syscall"]).budget(SYSCALLS, Per::Host).otel(&[Term::of(&OTEL_SAMPLING_RATIO).map(SYSCALL)]);
    INFLIGHT_AGE = Family::gauge("syscalls", "kanary_syscall_inflight_age_seconds",
        "Age of the oldest call in uninterruptible sleep; absent when there is none or none was timed.")
        .labels(&["syscall"]).budget(SYSCALLS, Per::Host).otel(&[Term::of(&OTEL_INFLIGHT_AGE).map(SYSCALL)]);
}
