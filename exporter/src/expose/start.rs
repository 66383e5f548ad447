//! Starts everything that serves or pushes, and ends it.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use super::Source;
use super::http::{self, App, Audience, Renderer};
use super::otlp::{push, settings as otlp};
use crate::config::{API_LISTEN, Config, Error, LISTEN, Setting};
use crate::supervise;

/// Pause before a part that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

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
        let (source, rootfs, max_series) = (source.clone(), config.paths.rootfs.clone(), config.max_series);
        let part = move || push(source.clone(), settings.clone(), rootfs.clone(), max_series);
        parts.push(tokio::spawn(keep(push::COMPONENT, part)));
    }
    let app = Arc::new(App { source, renderer: Renderer::new(config.max_series) });
    for (name, listener, audience) in
        [("http", listeners.machines, Audience::Machines), ("api", listeners.people, Audience::People)]
    {
        let app = Arc::clone(&app);
        parts.push(tokio::spawn(keep(name, move || listen(listener.try_clone(), audience, Arc::clone(&app)))));
    }
    Parts(parts)
}

/// Why a part cannot go on.
async fn push<S: Source>(source: S, settings: otlp::Settings, rootfs: PathBuf, max_series: usize) -> String {
    let Err(reason) = push::run(source, settings, &rootfs, max_series).await;
    reason
}

/// The same. A panic of a connection ends that connection alone.
async fn listen<S: Source>(listener: io::Result<TcpListener>, audience: Audience, app: Arc<App<S>>) -> String {
    let ended = async { http::serve(listener?, audience, app).await };
    let Err(e) = ended.await;
    format!("cannot listen any more: {e}")
}

/// Runs a part until it says why it cannot go on; starts it again after a panic.
async fn keep<F: Future<Output = String> + Send + 'static>(name: &'static str, part: impl Fn() -> F) {
    loop {
        supervise::up(name);
        // Dropped with this future, and the part with it.
        let mut running = JoinSet::new();
        running.spawn(part());
        match running.join_next().await {
            Some(Ok(reason)) => {
                tracing::error!(component = name, reason, "ended");
                return supervise::down(name, reason);
            }
            Some(Err(e)) if e.is_panic() => {
                let message = supervise::guard(|| std::panic::resume_unwind(e.into_panic()));
                let Err(message) = message;
                supervise::restarted(name, message);
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            Some(Err(_)) | None => return,
        }
    }
}

impl Parts {
    /// Ends every part.
    pub fn stop(self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_started_again_and_one_that_ends_is_not() {
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let part = move || {
            let nth = counted.fetch_add(1, Relaxed);
            async move { if nth == 0 { panic!("odd") } else { "enough".to_string() } }
        };
        keep("test-kept", part).await;
        assert_eq!(starts.load(Relaxed), 2);
        let part = supervise::components().into_iter().find(|c| c.component == "test-kept").unwrap();
        assert_eq!((part.up, part.restarts, part.reason.as_str()), (false, 1, "enough"));
    }
}
