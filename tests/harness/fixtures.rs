//! node_exporter's fixtures as node_exporter unpacks them.
//!
//! Where they were stored as plain files, a link is a file that holds nothing but its target, and an empty folder is
//! missing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Folders that hold nothing and yet mean something.
const EMPTY: &[&str] = &["sys/class/watchdog/watchdog1"];
/// No target is longer.
const LONGEST: u64 = 200;

/// Copies the fixtures, links as links.
pub fn unpack(from: &Path, to: &Path) {
    copy(from, to);
    for folder in EMPTY {
        fs::create_dir_all(to.join(folder)).expect("a folder of the test");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of the test");
    for entry in fs::read_dir(from).expect("fixtures") {
        let entry = entry.expect("fixtures");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("fixtures");
        if kind.is_dir() {
            copy(&from, &to);
        } else if let Some(target) = fs::read_link(&from).ok().or_else(|| target(&from)) {
            symlink(target, &to).expect("a folder of the test");
        } else {
            fs::copy(&from, &to).expect("a folder of the test");
        }
    }
}

/// A line without an end that leads out of the folder, or to something in it.
fn target(file: &Path) -> Option<PathBuf> {
    let size = fs::metadata(file).ok()?.len();
    if size == 0 || size > LONGEST {
        return None;
    }
    let text = fs::read_to_string(file).ok().filter(|text| !text.contains(['\n', '\0']))?;
    let leads = text.starts_with("../") || file.parent()?.join(&text).exists();
    leads.then(|| text.into())
}
