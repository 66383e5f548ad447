//! What the end-to-end tests share: programs, processes, HTTP, and when a test may be left out.
//!
//! Programs come from `target/tools` (`tests/tools/fetch.sh`) or from `PATH`. A test that lacks something says so with
//! [`skip`] and returns.

pub mod daemon;
pub mod fixtures;
pub mod fuse;
pub mod http;
pub mod promql;
pub mod tools;

use std::fs::File;
use std::path::PathBuf;

/// The top of the checkout.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder of the data that lies beside the checkout where there is any; skips the test otherwise.
pub fn shared(test: &str, folder: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared").join(folder);
    if path.exists() {
        return Some(path);
    }
    skip(test, &format!("no ../shared/{folder} beside the checkout"));
    None
}

/// Says that a test cannot run here; the caller returns. In CI that is a failure.
///
/// # Panics
/// When `CI=true`.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} must run in CI: {why}");
    eprintln!("SKIP {test}: {why}");
}

/// Whether this process may do as it likes.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Held by the one test that may attach kernel programs at a time, on the whole host: kanary lets only one of itself
/// attach. Released on drop.
pub struct EbpfLock(File);

/// Waits for the right to attach kernel programs; none (with a SKIP) where nobody may.
pub fn ebpf_lock(test: &str) -> Option<EbpfLock> {
    if !is_root() {
        skip(test, "kernel programs need root");
        return None;
    }
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        skip(test, "this kernel has no BTF");
        return None;
    }
    let file = File::create("/run/lock/kanary-tests").expect("root may write to /run/lock");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("a lock on a local file");
    Some(EbpfLock(file))
}
