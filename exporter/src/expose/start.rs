//! Starts everything that serves or pushes, and ends it.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Source;
use super::http::{self, App, Audience, Renderer};
use crate::config::{API_LISTEN, Config, Error, LISTEN, Setting};
use crate::supervise;

/// The two addresses, taken.
pub struct Listeners {
    machines: TcpListener,
    people: TcpListener,
}

/// Settings that this stage owns.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    std::iter::empty()
}

/// Takes both addresses, so that a port in use is found before anything else starts.
///
/// # Errors
/// One line naming setting, address and reason.
pub fn bind(config: &Config) -> Result<Listeners, Error> {
    Ok(Listeners { machines: http::bind(&LISTEN, config.listen)?, people: http::bind(&API_LISTEN, config.api_listen)? })
}

/// The running parts.
pub struct Parts(Vec<JoinHandle<()>>);

/// Serves both listeners. Needs a tokio runtime.
pub fn start<S: Source>(config: &Config, listeners: Listeners, source: S) -> Parts {
    let app = Arc::new(App { source, renderer: Renderer::new(config.max_series) });
    Parts(vec![
        tokio::spawn(listen("http", listeners.machines, Audience::Machines, app.clone())),
        tokio::spawn(listen("api", listeners.people, Audience::People, app)),
    ])
}

/// A panic of a connection ends that connection; the listener itself ends only when it cannot be used.
async fn listen<S: Source>(name: &'static str, listener: TcpListener, audience: Audience, app: Arc<App<S>>) {
    supervise::up(name);
    let Err(e) = http::serve(listener, audience, app).await;
    tracing::error!(component = name, error = %e, "cannot listen any more");
    supervise::down(name, e.to_string());
}

impl Parts {
    /// Ends every part.
    pub fn stop(self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
