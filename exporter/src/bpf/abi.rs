//! `bpf/abi.h` as Rust: constants and structs are made by build.rs.
//!
//! Every number is an atomic: the kernel writes while user space reads, and a relaxed load is a plain one.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// A type that may lie in memory which somebody else writes at any moment.
///
/// # Safety
/// `repr(C)`, made of atomics alone, and valid for all bits.
pub unsafe trait Shared {}

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
