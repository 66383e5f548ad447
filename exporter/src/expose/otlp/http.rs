//! OTLP over HTTP/1.1 with protobuf bodies.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::outcome::Outcome;
use super::settings::Settings;
use super::tls::{self, Pems};
use super::{ANSWER_LIMIT, USER_AGENT as AGENT};
use crate::expose::gzip::Gzip;

const PROTOBUF: &str = "application/x-protobuf";
/// How much of a refusal is quoted.
const QUOTED: usize = 200;

pub struct Client {
    client: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    gzip: Option<Gzip>,
    timeout: Duration,
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, mut value) = pair.ok_or_else(|| format!("`{name}` cannot be sent as an HTTP header"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        if settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let config = tls_config(tls::pems(settings)?)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Client {
            client,
            endpoint: settings.endpoint.clone(),
            headers,
            gzip: settings.gzip.then(Gzip::default),
            timeout: settings.timeout,
        })
    }

    pub async fn export(&mut self, request: &ExportMetricsServiceRequest) -> Outcome {
        let mut body = request.encode_to_vec();
        if let Some(gzip) = &mut self.gzip {
            let mut packed = Vec::new();
            gzip.compress(&body, &mut packed);
            body = packed;
        }
        let mut request = Request::post(self.endpoint.clone()).body(Full::from(body)).expect("a URI is valid");
        *request.headers_mut() = self.headers.clone();
        match tokio::time::timeout(self.timeout, self.send(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::again(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(e) => return Outcome::again(chain(&e)),
        };
        let (head, body) = response.into_parts();
        match Limited::new(body, ANSWER_LIMIT).collect().await {
            Ok(body) => judge(&Response::from_parts(head, ()), &body.to_bytes()),
            Err(e) if head.status.is_success() => Outcome::again(format!("the answer broke off: {e}")),
            Err(_) => judge(&Response::from_parts(head, ()), &[]),
        }
    }
}

/// What a whole answer means. An empty body, or one that is no protobuf, in a success is full success.
fn judge(head: &Response<()>, body: &[u8]) -> Outcome {
    if head.status().is_success() {
        return Outcome::taken(ExportMetricsServiceResponse::decode(body).unwrap_or_default());
    }
    let retry_after = head.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let quote = String::from_utf8_lossy(&body[..body.len().min(QUOTED)]);
    let why = format!("{} {}", head.status(), quote.escape_debug());
    Outcome::of_http(head.status().as_u16(), retry_after, SystemTime::now(), why.trim_end().to_string())
}

/// An error with its causes: hyper's own words say little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn tls_config(pems: Option<Pems>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let authorities = pems.as_ref().map_or(&[][..], |p| &p.authorities);
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).flatten());
    if pems.is_some() && roots.is_empty() {
        return Err("the file of authorities holds no certificate".into());
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let Some((certificate, key)) = pems.and_then(|p| p.identity) else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("client certificate: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("client key: {e}"))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| format!("client certificate and key: {e}"))
}
