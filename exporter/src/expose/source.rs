//! Where the answers come from: what `expose` asks of the rest of kanary.

use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// Which collectors a scrape asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// All that are exposed.
    Exposed,
    Only(Vec<&'static str>),
    Except(Vec<&'static str>),
}

/// No answer came before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// The pipeline as seen by whoever serves it.
pub trait Source: Clone + Send + Sync + 'static {
    /// A fresh collection.
    fn collect(&self, want: Want, deadline: Instant) -> impl Future<Output = Result<Arc<Snapshot>, Late>> + Send;
    /// Ids of the collectors that are exposed.
    fn exposed(&self) -> &[&'static str];
    /// Whether there is something to serve yet.
    ///
    /// # Errors
    /// What is still missing, in words.
    fn ready(&self) -> Result<(), String>;
    /// The latest `limit` episodes, newest first.
    fn anomalies(&self, limit: usize) -> Value;
    fn trends(&self) -> Value;
    /// Each collector, program and component: state, reason, cost.
    fn status(&self) -> Value;
}
