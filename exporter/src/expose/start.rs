//! Starts everything that serves or pushes, and ends it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Source;
use super::http::{self, App, Audience, Renderer};
use super::otlp::{push, settings as otlp};
use crate::config::{API_LISTEN, Config, Error, LISTEN, Setting};
use crate::supervise;

/// The two addresses, taken.
pub struct Listeners {
    machines: TcpListener,
    people: TcpListener,
}

/// Settings that this stage owns.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    otlp::all()
}

/// What is pushed where, and what of the settings was ignored: a line each.
pub fn push_verdict(config: &Config) -> Vec<String> {
    let (settings, mut lines) = otlp::read(&config.vars);
    let verdict = settings.map_or("nothing is pushed".into(), |s| {
        format!("pushes to {} as {:?} every {:?}", s.endpoint, s.protocol, s.interval)
    });
    lines.insert(0, verdict);
    lines
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

/// Serves both listeners, and pushes if that is wanted. Needs a tokio runtime.
pub fn start<S: Source>(config: &Config, listeners: Listeners, source: S) -> Parts {
    let mut parts = Vec::new();
    let (settings, warnings) = otlp::read(&config.vars);
    warnings.iter().for_each(|w| tracing::warn!("{w}"));
    if let Some(settings) = settings {
        parts.push(tokio::spawn(push(source.clone(), settings, config.paths.rootfs.clone(), config.max_series)));
    }
    let app = Arc::new(App { source, renderer: Renderer::new(config.max_series) });
    parts.push(tokio::spawn(listen("http", listeners.machines, Audience::Machines, app.clone())));
    parts.push(tokio::spawn(listen("api", listeners.people, Audience::People, app)));
    Parts(parts)
}

async fn push<S: Source>(source: S, settings: otlp::Settings, rootfs: PathBuf, max_series: usize) {
    let Err(reason) = push::run(source, settings, &rootfs, max_series).await;
    tracing::error!(component = push::COMPONENT, reason, "nothing is pushed");
    supervise::down(push::COMPONENT, reason);
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
