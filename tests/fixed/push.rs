//! A push of the fixed snapshot from the test's own process.

use std::path::Path;
use std::sync::Arc;

use kanary::expose::http::{App, Audience, Renderer, bind, serve};
use kanary::expose::otlp::{push, settings};
use tokio::sync::oneshot;

use super::{Fixed, runtime, snapshot};

/// A push, until dropped; beside it, in the same event loop, a server.
pub struct Push {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Of the server.
    pub url: String,
}

impl Push {
    /// Pushes as these variables say.
    pub fn start(vars: &[(&str, &str)]) -> Self {
        let vars = vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let (settings, warnings) = settings::read(&vars);
        assert_eq!(warnings, [""; 0]);
        let settings = settings.expect("an endpoint is set");
        let listener = bind(&kanary::config::LISTEN, "127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let source = Fixed::new(snapshot());
            let app = Arc::new(App { source: source.clone(), renderer: Renderer::new(5000) });
            runtime().block_on(async {
                tokio::select! {
                    ended = push::run(source, settings, Path::new("/"), 5000) => panic!("{ended:?}"),
                    ended = serve(listener, Audience::Machines, app) => panic!("{ended:?}"),
                    _ = stopped => {}
                }
            });
        });
        Push { stop: Some(stop), thread: Some(thread), url }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
