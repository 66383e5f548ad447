//! One connection: hyper inside, a watchdog outside, and a last word when either gives up.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Fault;
use super::guard::{Guarded, Phase, Progress};
use super::{App, Audience, route};
use crate::expose::Source;

/// Longest head, in bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// How long and how much a client that was told off may go on sending before the connection is cut: a close with
/// unread bytes would reach it as a reset, and before our answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 << 20;

/// Serves requests until either side is done.
pub async fn serve<S: Source>(stream: TcpStream, audience: Audience, app: Arc<App<S>>) {
    // An answer leaves in one write; waiting to fill a segment would only delay its end.
    let _ = stream.set_nodelay(true);
    let progress = Progress::new();
    let service = service_fn(|request| {
        progress.enter(Phase::Busy);
        let app = Arc::clone(&app);
        Box::pin(async move { Ok::<_, Infallible>(route::answer(&app, audience, request).await) })
    });
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&progress)));
    let mut connection = http1::Builder::new().half_close(true).max_buf_size(HEAD_LIMIT).serve_connection(io, service);
    let outcome = tokio::select! {
        done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => done.map_err(Some),
        phase = progress.expired() => if phase == Phase::Head { Err(None) } else { return },
    };
    let guarded = connection.into_parts().io.into_inner();
    let fault = fault(guarded.withheld, outcome);
    end(guarded.into_stream(), fault).await;
}

/// What the client has to be told, if anything.
fn fault(withheld: Option<StatusCode>, outcome: Result<(), Option<hyper::Error>>) -> Option<Fault> {
    match (withheld, outcome) {
        (Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG), _) => Some(Fault::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the request's head is longer than {HEAD_LIMIT} bytes or has too many fields"),
        )),
        (_, Err(None)) => Some(Fault::new(StatusCode::REQUEST_TIMEOUT, "the request's head did not arrive in time")),
        (_, Err(Some(e))) if e.is_parse() => Some(Fault::bad(format!("not an HTTP/1.1 request: {e}"))),
        (Some(status), _) => Some(Fault::new(status, "not an HTTP/1.1 request")),
        _ => None,
    }
}

/// Says the last words, if any, and closes so that they arrive.
pub async fn end(mut stream: TcpStream, fault: Option<Fault>) {
    let farewell = async {
        if let Some(fault) = fault {
            stream.write_all(&fault.last_words()).await?;
        }
        stream.shutdown().await?;
        let (reader, _) = stream.split();
        tokio::io::copy(&mut reader.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, farewell).await;
}
