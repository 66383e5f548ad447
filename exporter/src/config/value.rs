//! Texts into values: pure, each refusal in a few words that name what is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Selection, SyscallChoice, SyscallMode};

pub(super) fn address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| "not an address and port".into())
}

pub(super) fn api_address(value: &str, insecure: bool) -> Result<SocketAddr, String> {
    let address = address(value)?;
    if address.ip().is_loopback() || insecure {
        Ok(address)
    } else {
        Err("the API has no authentication and would listen beyond loopback".into())
    }
}

/// A directory; need not exist yet.
///
/// # Errors
/// When the text is empty.
pub fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err("empty".into()) } else { Ok(value.into()) }
}

/// `0`/`1`, `true`/`false`.
///
/// # Errors
/// When it is neither.
pub fn flag(value: &str) -> Result<bool, String> {
    one_of(value, &[("0", false), ("1", true), ("false", false), ("true", true)])
}

/// One of a closed set of words.
///
/// # Errors
/// When it is none of them.
pub fn one_of<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(w, _)| *w == value).map(|(_, t)| *t).ok_or_else(|| "not one of these".into())
}

/// A whole number in a range.
///
/// # Errors
/// When it is not a number or outside.
pub fn number(value: &str, min: u32, max: u32) -> Result<u32, String> {
    let n: u32 = value.parse().map_err(|_| "not a whole number".to_string())?;
    if (min..=max).contains(&n) { Ok(n) } else { Err("out of range".into()) }
}

/// `500ms`, `1s`, `2m`, `1h`.
///
/// # Errors
/// When the number or the unit is missing.
pub fn duration(value: &str) -> Result<Duration, String> {
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (n, unit) = value.split_at(digits);
    let n: f64 = n.parse().map_err(|_| "not a duration".to_string())?;
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a duration needs a unit: ms, s, m or h".into()),
    };
    Duration::try_from_secs_f64(n * scale).map_err(|_| "not a duration".into())
}

pub(super) fn duration_between(value: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let d = duration(value)?;
    if (min..=max).contains(&d) { Ok(d) } else { Err("out of range".into()) }
}

pub(super) fn log_level(value: &str) -> Result<tracing::Level, String> {
    use tracing::Level;
    one_of(
        value,
        &[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ],
    )
}

pub(super) fn syscall_mode(value: &str) -> Result<SyscallMode, String> {
    // `auto` times every call until there is a governor to do otherwise.
    one_of(
        value,
        &[
            ("auto", SyscallMode::Exact),
            ("exact", SyscallMode::Exact),
            ("sampled", SyscallMode::Sampled),
            ("count", SyscallMode::Count),
            ("off", SyscallMode::Off),
        ],
    )
}

pub(super) fn syscall_choice(value: &str) -> Result<SyscallChoice, String> {
    if value == "all" {
        return Ok(SyscallChoice::All);
    }
    if let Some(n) = value.strip_prefix("top:") {
        return Ok(SyscallChoice::Top(number(n, 1, 512)? as usize));
    }
    let names: Vec<String> = value.split(',').map(|n| n.trim().to_string()).collect();
    match names.iter().find(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        Some(bad) => Err(format!("`{bad}` is no syscall name")),
        None => Ok(SyscallChoice::Named(names)),
    }
}

pub(super) fn selection(value: &str) -> Result<Selection, String> {
    let mut words = value.split(',').map(str::trim).peekable();
    let from_default = match words.peek() {
        Some(&"none") => {
            words.next();
            false
        }
        Some(&"default") => {
            words.next();
            true
        }
        _ => true,
    };
    let changes = words
        .map(|w| match w.as_bytes().first() {
            Some(b'+') if w.len() > 1 => Ok((true, w[1..].to_string())),
            Some(b'-') if w.len() > 1 => Ok((false, w[1..].to_string())),
            _ => Err(format!("`{w}` starts with neither + nor -")),
        })
        .collect::<Result<_, _>>()?;
    Ok(Selection { from_default, changes })
}
