//! The socket under hyper: notes how far a connection has come, and keeps back hyper's own bodiless answers to heads
//! it cannot parse, so that they can be replaced by ones that name the fault.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sending us a request's head, or about to send its first.
    Head,
    /// Being served: bounded by the handler's own deadlines.
    Busy,
    /// Taking our answer.
    Writing,
    /// Kept alive.
    Idle,
}

impl Phase {
    /// Longest stay; for `Writing` since the last byte taken.
    fn limit(self) -> Option<Duration> {
        match self {
            Phase::Head => Some(Duration::from_secs(10)),
            Phase::Busy => None,
            Phase::Writing => Some(Duration::from_secs(20)),
            // Prometheus scrapes once a minute by default and keeps its connection.
            Phase::Idle => Some(Duration::from_secs(150)),
        }
    }
}

/// The phase and since when, shared by socket, handler and watchdog.
pub struct Progress {
    at: Mutex<(Phase, Instant)>,
    changed: Notify,
}

impl Progress {
    pub fn new() -> Arc<Self> {
        Arc::new(Progress { at: Mutex::new((Phase::Head, Instant::now())), changed: Notify::new() })
    }

    pub fn enter(&self, phase: Phase) {
        self.update(|_| Some(phase));
    }

    /// Ends when a phase has lasted too long, with that phase.
    pub async fn expired(&self) -> Phase {
        loop {
            let (phase, since) = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
            let deadline = phase.limit().map(|limit| since + limit);
            if deadline.is_some_and(|d| d <= Instant::now()) {
                return phase;
            }
            let sleep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep => {}
            }
        }
    }

    fn update(&self, next: impl Fn(Phase) -> Option<Phase>) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = next(at.0) {
            *at = (phase, Instant::now());
            self.changed.notify_one();
        }
    }
}

pub struct Guarded {
    stream: TcpStream,
    progress: Arc<Progress>,
    /// Status of an answer that was kept back.
    pub withheld: Option<StatusCode>,
}

impl Guarded {
    pub fn new(stream: TcpStream, progress: Arc<Progress>) -> Self {
        Guarded { stream, progress, withheld: None }
    }
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.progress.update(|phase| (phase == Phase::Idle).then_some(Phase::Head));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if let Some(status) = bodiless_refusal(buf) {
            self.withheld = Some(status);
            return Poll::Ready(Ok(buf.len()));
        }
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.progress.enter(Phase::Writing);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.progress.update(|phase| (phase == Phase::Writing).then_some(Phase::Idle));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The status, if these bytes are a whole 4xx response without a body. No handler answers so: only hyper does.
fn bodiless_refusal(bytes: &[u8]) -> Option<StatusCode> {
    const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";
    let refusal = bytes.starts_with(b"HTTP/1.") && bytes.get(8..10) == Some(b" 4") && bytes.ends_with(b"\r\n\r\n");
    if refusal && bytes.windows(EMPTY.len()).any(|w| w == EMPTY) {
        StatusCode::from_bytes(&bytes[9..12]).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bodiless_refusals_are_kept_back() {
        let refusal = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(bodiless_refusal(refusal).map(|s| s.as_u16()), Some(431));
        assert_eq!(bodiless_refusal(b"HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n"), None);
        assert_eq!(bodiless_refusal(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(bodiless_refusal(b""), None);
    }
}
