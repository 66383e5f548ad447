//! The HTTP server: two listeners, one for machines, one for people.
//!
//! Every connection is bounded in number, size and time; every fault is answered with its status and a JSON body
//! `{"error": ...}` that names it. There are no debug endpoints.

mod answer;
mod connection;
mod guard;
mod landing;
pub mod negotiate;
mod query;
mod route;
mod scrape;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Source;
use crate::config::{Error, Setting};
use crate::telemetry::{Loss, lost};
use answer::Fault;
pub use scrape::Renderer;

/// Most open connections of one listener.
pub const CONNECTIONS: usize = 128;
/// How many more may at once be told that there are too many.
const REFUSALS: usize = 16;
/// Pause after accept failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whom a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Metrics and health.
    Machines,
    /// All of that and the JSON API.
    People,
}

/// What the handlers share.
pub struct App<S> {
    pub source: S,
    pub renderer: Renderer,
}

/// Takes the address, so that a port in use is found before anything starts.
///
/// # Errors
/// One line naming setting, address and reason.
pub fn bind(setting: &Setting, address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|e: std::io::Error| Error {
        name: setting.name.into(),
        value: address.to_string(),
        fault: format!("cannot listen there: {e}"),
        allowed: setting.allowed.into(),
    })
}

/// Serves until dropped; connections end with it. Needs a tokio runtime.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve<S: Source>(
    listener: std::net::TcpListener,
    audience: Audience,
    app: Arc<App<S>>,
) -> std::io::Result<std::convert::Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let app = Arc::clone(&app);
            connections.spawn(async move {
                connection::serve(stream, audience, app).await;
                drop(place);
            });
        } else {
            lost(Loss::Connections, 1);
            if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                connections.spawn(async move {
                    refuse(stream).await;
                    drop(place);
                });
            }
        }
    }
}

async fn refuse(stream: TcpStream) {
    connection::end(stream, Some(Fault::unavailable(format!("{CONNECTIONS} connections are open already")))).await;
}
