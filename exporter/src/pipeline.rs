//! Ticks for the detector and collections for scrapes, made by one thread.
//!
//! [`Handle`] is what the rest of the process holds: it asks the sampler thread and waits no longer than its deadline.
//! Requests that arrive while a collection is under way share the next one; a section younger than [`REUSE`] is not
//! read again.

mod sampler;
mod status;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use sampler::{Feed, Sampler};
pub use status::{CollectorStatus, ProgramStatus, Status};

use crate::detect::Report;
use crate::expose::{Late, Source, Want};
use crate::snapshot::Snapshot;
use crate::telemetry::{Loss, lost};

/// Age up to which a section is served again.
pub const REUSE: Duration = Duration::from_millis(100);

/// Requests that may wait for the sampler.
const QUEUE: usize = 256;

pub(crate) enum Command {
    Collect {
        want: Vec<&'static str>,
        reply: oneshot::Sender<Arc<Snapshot>>,
    },
    /// The detector's state, to be written.
    Save {
        reply: oneshot::Sender<Vec<u8>>,
    },
    Stop,
}

/// What the sampler shares with its handles.
pub(crate) struct Shared {
    exposed: Vec<&'static str>,
    /// Whether the detector has seen a tick.
    ticked: AtomicBool,
    report: Mutex<Arc<Report>>,
    status: Mutex<Status>,
}

/// Asks the sampler. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
}

/// A handle and the two ends that the sampler needs.
pub(crate) fn channel(exposed: Vec<&'static str>, status: Status) -> (Handle, Receiver<Command>, Arc<Shared>) {
    let (commands, receiver) = sync_channel(QUEUE);
    let shared = Arc::new(Shared {
        exposed,
        ticked: AtomicBool::new(false),
        report: Mutex::new(Arc::new(Report::default())),
        status: Mutex::new(status),
    });
    (Handle { commands, shared: shared.clone() }, receiver, shared)
}

impl Source for Handle {
    async fn collect(&self, want: Want, deadline: Instant) -> Result<Arc<Snapshot>, Late> {
        let (reply, answer) = oneshot::channel();
        let want = self.ids(&want);
        match self.commands.try_send(Command::Collect { want, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                lost(Loss::QueueFull, 1);
                return Err(Late);
            }
            Err(TrySendError::Disconnected(_)) => return Err(Late),
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            _ => {
                lost(Loss::Late, 1);
                Err(Late)
            }
        }
    }

    fn exposed(&self) -> &[&'static str] {
        &self.shared.exposed
    }

    fn ready(&self) -> Result<(), String> {
        if self.shared.ticked.load(Relaxed) { Ok(()) } else { Err("the first tick is not over".into()) }
    }

    fn anomalies(&self, limit: usize) -> Value {
        json(&self.report().anomalies(limit))
    }

    fn trends(&self) -> Value {
        json(&self.report().trends())
    }

    fn status(&self) -> Value {
        json(&self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).now())
    }
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|e| Value::String(e.to_string()))
}

impl Handle {
    /// The detector's view after the last tick.
    fn report(&self) -> Arc<Report> {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The detector's state as bytes, or nothing when the sampler does not answer within `patience`.
    pub async fn save(&self, patience: Duration) -> Option<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Command::Save { reply }).ok()?;
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    /// Ends the sampler thread after what it is doing.
    pub fn stop(&self) {
        // A full queue means that the sampler hangs: the process ends without it.
        let _ = self.commands.try_send(Command::Stop);
    }

    fn ids(&self, want: &Want) -> Vec<&'static str> {
        let keep = |id: &&'static str| match want {
            Want::Exposed => true,
            Want::Only(ids) => ids.contains(id),
            Want::Except(ids) => !ids.contains(id),
        };
        self.shared.exposed.iter().copied().filter(keep).collect()
    }
}
