//! OTLP metrics by push, over gRPC or HTTP/protobuf, when an endpoint is set.
//!
//! [`convert`] turns a snapshot into a request after the catalogue's terms, the clients send it, [`push`] decides when
//! and how often. What a target does wrong (down, slow, refusing) costs one snapshot of memory and is counted.

pub mod convert;
mod grpc;
mod http;
mod outcome;
mod plan;
pub mod push;
pub mod resource;
pub mod settings;
mod starts;
mod tls;

pub use outcome::Outcome;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use settings::{Protocol, Settings};

/// How exporters name themselves.
const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
/// Largest answer read from a target.
const ANSWER_LIMIT: usize = 4 << 20;

/// A connection to a target, made when first needed.
pub enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<http::Client>),
}

impl Client {
    /// Connects nothing yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a certificate or key cannot be read, or a header cannot be sent: one line naming it.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(match settings.protocol {
            Protocol::Grpc => Client::Grpc(Box::new(grpc::Client::new(settings)?)),
            Protocol::HttpProtobuf => Client::Http(Box::new(http::Client::new(settings)?)),
        })
    }

    /// Sends one request and waits for what the target says, no longer than the settings' timeout.
    pub async fn export(&mut self, request: ExportMetricsServiceRequest) -> Outcome {
        match self {
            Client::Grpc(client) => client.export(request).await,
            Client::Http(client) => client.export(&request).await,
        }
    }
}
