//! What a user, a client or a broken file can do wrong: one clear line or the right status code, and it goes on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::daemon::{Daemon, kanary, kanary_command, temp_dir, wait_for};
use crate::harness::http::try_get;

/// Runs kanary with these settings to its end: exit code and all it said.
fn ended(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = temp_dir();
    let (mut command, url) = kanary_command(folder.path(), &[&[("KANARY_EBPF", "off")], env].concat());
    let mut kanary = Daemon::start("kanary", command.args(args), folder, url);
    let code = kanary.wait(Duration::from_secs(20)).code();
    (code, kanary.log())
}

/// The start is refused with one line that holds `parts`.
fn refused(env: &[(&str, &str)], parts: &[&str]) {
    let (code, text) = ended(&[], env);
    assert_eq!(code, Some(1), "{text}");
    let line = text.lines().last().expect("a line that says why");
    assert!(line.starts_with("kanary: "), "{text}");
    for part in parts {
        assert!(line.contains(part), "no `{part}` in: {line}");
    }
}

#[test]
fn a_bad_value_stops_the_start_with_variable_value_and_allowed() {
    refused(&[("KANARY_TICK", "often")], &["KANARY_TICK=often", "allowed: a duration"]);
    refused(&[("KANARY_LISTEN", "9477")], &["KANARY_LISTEN=9477", "ADDRESS:PORT"]);
    refused(&[("KANARY_EBPF", "yes")], &["KANARY_EBPF=yes", "auto, require, off"]);
    refused(&[("KANARY_COLLECTORS", "default,-cup")], &["KANARY_COLLECTORS", "cup", "meminfo"]);
    refused(&[("KANARY_LOG", "loud")], &["KANARY_LOG=loud", "error, warn, info"]);
    refused(&[("KANARY_NETDEV_DEVICE_EXCLUDE", "(")], &["KANARY_NETDEV_DEVICE_EXCLUDE=("]);
    refused(&[("KANARY_API_LISTEN", "0.0.0.0:9478")], &["KANARY_API_LISTEN=0.0.0.0:9478", "KANARY_API_INSECURE"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    refused(&[("KANARY_LISTEN", &address)], &[&address, "KANARY_LISTEN", "in use"]);
}

#[test]
fn unknown_variables_warn_are_counted_and_fail_the_check_but_injected_ones_do_not() {
    let env = [("KANARY_EBPF", "off"), ("KANARY_TYPO", "1"), ("KANARY_PORT", "tcp://10.0.0.1:9477")];
    let kanary = kanary(&env);
    assert!(kanary.get("/metrics").contains("\nkanary_config_unknown_variables 1\n"));
    assert!(kanary.log().contains("KANARY_TYPO"), "{}", kanary.log());
    assert!(!kanary.log().contains("KANARY_PORT"), "{}", kanary.log());

    let (code, text) = ended(&["check"], &[("KANARY_TYPO", "1")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("KANARY_TYPO"), "{text}");
    let (code, text) = ended(&["check"], &[("KANARY_SERVICE_HOST", "10.0.0.1"), ("KANARY_TICK", "2s")]);
    assert_eq!(code, Some(0), "{text}");
    let tick = text.lines().find(|l| l.contains("KANARY_TICK ")).expect("every setting is shown");
    assert!(tick.contains("environment") && tick.ends_with("2s"), "{tick}");
}

#[test]
fn an_unwritable_state_directory_is_said_and_lived_without() {
    let kanary = kanary(&[("KANARY_EBPF", "off"), ("KANARY_STATE_DIR", "/dev/null/state")]);
    assert!(kanary.log().contains("/dev/null/state"), "{}", kanary.log());
    assert!(kanary.get("/metrics").contains("node_load1 "));
    assert!(kanary.stop(Duration::from_secs(5)).success());
}

#[test]
fn a_truncated_or_foreign_state_is_refused_with_a_reason_and_kept_out() {
    for (what, damage) in [("truncated", true), ("foreign", false)] {
        let folder = temp_dir();
        let state = folder.path().join("state");
        let start = |folder: tempfile::TempDir| {
            let env = [("KANARY_EBPF", "off"), ("KANARY_STATE_DIR", state.to_str().expect("UTF-8"))];
            let (mut command, url) = kanary_command(folder.path(), &env);
            Daemon::start("kanary", &mut command, folder, url).ready("/-/ready")
        };
        let first = start(temp_dir());
        assert!(first.stop(Duration::from_secs(5)).success());
        let files: Vec<_> = std::fs::read_dir(&state).expect("state was written").flatten().collect();
        assert!(!files.is_empty(), "no state in {}", state.display());
        for file in files {
            let bytes = std::fs::read(file.path()).expect("readable");
            let bad = if damage { bytes[..bytes.len() / 2].to_vec() } else { b"something else altogether".to_vec() };
            std::fs::write(file.path(), bad).expect("writable");
        }
        let second = start(temp_dir());
        assert!(second.log().contains("refused"), "{what}: {}", second.log());
        assert!(second.get("/metrics").contains("node_load1 "));
    }
}

fn status(kanary: &Daemon, path: &str) -> (u16, String) {
    try_get(&format!("{}{path}", kanary.url), &[]).expect("an answer")
}

#[test]
fn requests_that_make_no_sense_get_their_status_and_a_reason() {
    let kanary = kanary(&[("KANARY_EBPF", "off"), ("KANARY_COLLECTORS", "default,-uname")]);
    for (path, code, says) in [
        ("/nowhere", 404, "/nowhere"),
        ("/metrics?collect[]=cup", 400, "cup"),
        ("/metrics?collect[]=uname", 400, "uname"),
        ("/metrics?collect[]=cpu&exclude[]=stat", 400, "exclude[]"),
        ("/metrics?colect[]=cpu", 400, "colect[]"),
    ] {
        let (got, body) = status(&kanary, path);
        assert_eq!(got, code, "{path}: {body}");
        assert!(body.contains(says), "{path}: {body}");
        assert!(body.contains("\"error\""), "{path}: {body}");
    }
    let (code, body) = status(&kanary, "/metrics?collect[]=cpu&collect[]=stat");
    assert_eq!(code, 200);
    assert!(body.contains("node_cpu_seconds_total") && body.contains("node_forks_total"));
    assert!(!body.contains("node_load1"), "only what was asked for");
}

/// Sends raw bytes and reads what comes until the end.
fn raw(kanary: &Daemon, bytes: &[u8]) -> String {
    let address = kanary.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("kanary listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // The other side may close before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_huge_header_a_wrong_method_and_a_body_are_answered() {
    let kanary = kanary(&[("KANARY_EBPF", "off")]);
    let huge = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Big: {}\r\n\r\n", "a".repeat(1 << 20));
    let answer = raw(&kanary, huge.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(answer.contains("\"error\""), "{answer}");
    let answer = raw(&kanary, b"DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405") && answer.to_lowercase().contains("\r\nallow: get"), "{answer}");
    let answer = raw(&kanary, b"rubbish\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(kanary.get("/metrics").contains("node_load1 "));
}

#[test]
fn a_slow_loris_is_turned_away_and_costs_nobody_else() {
    let kanary = kanary(&[("KANARY_EBPF", "off")]);
    let address = kanary.url.trim_start_matches("http://").to_string();
    let begin = Instant::now();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).expect("kanary listens")).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("the first bytes are taken");
    }
    assert!(kanary.get("/metrics").contains("node_load1 "));
    assert!(begin.elapsed() < Duration::from_secs(5), "others wait for the slow ones");
    let mut answer = String::new();
    slow[0].set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let _ = slow[0].read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_malformed_replay_names_the_line() {
    let folder = temp_dir();
    let file = folder.path().join("bad.csv");
    for (text, says) in [
        ("", "empty"),
        ("time,a\n1,2\n", "timestamp"),
        ("timestamp,a\n2026-01-01 00:00:00,x\n", "line 2"),
        ("timestamp,a\nyesterday,1\n", "line 2"),
        ("timestamp,a\n2026-01-01 00:00:00,1,2\n", "line 2"),
    ] {
        std::fs::write(&file, text).expect("writable");
        let out = Command::new(env!("CARGO_BIN_EXE_kanary")).arg("replay").arg(&file).output().expect("starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{text:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{text:?}: {said}");
        assert!(said.contains(says) && said.contains("bad.csv"), "{text:?}: {said}");
    }
    let (code, said) = ended(&["replay", "/nowhere.csv"], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/nowhere.csv"), "{said}");
}

#[test]
fn words_that_are_no_command_are_refused() {
    let (code, said) = ended(&["serve"], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`serve`") && said.contains("check"), "{said}");
}

#[test]
fn termination_is_clean_and_quick() {
    let kanary = kanary(&[("KANARY_EBPF", "off")]);
    assert!(wait_for(Duration::from_secs(5), || kanary.get("/metrics").contains("kanary_detector_ticks_total")));
    assert!(kanary.stop(Duration::from_secs(5)).success());
}
