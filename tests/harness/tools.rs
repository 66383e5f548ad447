//! Where programs are found.

use std::path::PathBuf;

use super::{skip, workspace};

/// A program of `target/tools/bin`, of `PATH`, or of the system's folders that an ordinary user's `PATH` lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(workspace().join("target/tools/bin"))
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The same; skips the test when there is none.
pub fn tool(test: &str, program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(test, &format!("no {program}; `make test` fetches it"));
    }
    found
}
