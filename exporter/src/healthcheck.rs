//! `kanary healthcheck`: asks the running kanary, as a container's health check does.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(3);

/// Succeeds when `/-/healthy` answers 200.
///
/// # Errors
/// When nothing answers, or something else does: address and what came.
pub fn main(config: &Config) -> Result<ExitCode, String> {
    let address = reachable(config.listen);
    let status = ask(address).map_err(|e| format!("http://{address}/-/healthy: {e}"))?;
    if status.split(' ').nth(1) == Some("200") {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(format!("http://{address}/-/healthy: {status}"))
    }
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    listen
}

/// The status line.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or("no answer").to_string())
}
