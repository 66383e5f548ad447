//! What an ordinary user gets: procfs metrics, and said which kernel parts are off and why.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::harness::daemon::{Daemon, kanary_command, temp_dir};
use crate::harness::http::try_get;
use crate::harness::{is_root, skip};

const NOBODY: u32 = 65534;

/// The command as an ordinary user without any capability.
fn unprivileged(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}

/// A folder that this user can reach the binary's copy in.
fn reachable(command: &Command, folder: &std::path::Path) -> Command {
    let binary = folder.join("kanary");
    // By another process: a file that this one has open for writing cannot be run while a test beside it forks.
    let copied = Command::new("cp").arg(command.get_program()).arg(&binary).status();
    assert!(copied.is_ok_and(|s| s.success()), "the binary can be copied");
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("own folder");
    let mut copy = Command::new(binary);
    copy.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            copy.env(name, value);
        }
    }
    copy
}

#[test]
fn an_ordinary_user_gets_host_metrics_and_the_reason_for_the_rest() {
    if !is_root() {
        return skip("privileges", "only root can become somebody else");
    }
    let folder = temp_dir();
    let (command, url) = kanary_command(folder.path(), &[]);
    let api = command.get_envs().find(|(n, _)| *n == "KANARY_API_LISTEN").and_then(|(_, v)| v);
    let api = format!("http://{}", api.expect("set by the harness").to_str().expect("UTF-8"));
    let mut command = reachable(&command, folder.path());
    unprivileged(&mut command);
    let kanary = Daemon::start("kanary", &mut command, folder, url).ready("/-/ready");

    let page = kanary.get("/metrics");
    for name in ["node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_load1", "node_filesystem_size_bytes"] {
        assert!(page.contains(&format!("\n{name}")), "no {name}");
    }
    let info = page.lines().find(|l| l.starts_with("kanary_bpf_program_info{")).expect("what became of the program");
    assert!(info.contains("verdict=\"no_permission\""), "{info}");
    assert!(!page.contains("\nkanary_syscalls_total{"));
    assert!(kanary.log().contains("no_permission") && kanary.log().contains("CAP_"), "{}", kanary.log());
    let (code, status) = try_get(&format!("{api}/status"), &[]).expect("the API answers");
    assert_eq!(code, 200);
    assert!(status.contains("no_permission") && status.contains("CAP_"), "{status}");
}

#[test]
fn who_requires_kernel_programs_does_not_start_without_them() {
    if !is_root() {
        return skip("privileges", "only root can become somebody else");
    }
    let folder = temp_dir();
    let (command, _) = kanary_command(folder.path(), &[("KANARY_EBPF", "require")]);
    let out = unprivileged(&mut reachable(&command, folder.path())).output().expect("kanary starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    let line = said.lines().last().expect("a line that says why");
    assert!(line.contains("KANARY_EBPF=require") && line.contains("CAP_"), "{line}");

    let folder = temp_dir();
    let (command, _) = kanary_command(folder.path(), &[]);
    let out = unprivileged(reachable(&command, folder.path()).arg("check")).output().expect("kanary starts");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("no_permission") && said.contains("KANARY_TICK"), "{said}");
}
