//! OTLP over gRPC.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::outcome::Outcome;
use super::settings::Settings;
use super::tls;
use super::{ANSWER_LIMIT, USER_AGENT};

pub struct Client {
    client: MetricsServiceClient<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut endpoint = Endpoint::from(settings.endpoint.clone())
            .connect_timeout(settings.timeout)
            .user_agent(USER_AGENT)
            .map_err(|e| e.to_string())?;
        if let Some(pems) = tls::pems(settings)? {
            let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pems.authorities));
            if let Some((certificate, key)) = pems.identity {
                config = config.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(config).map_err(|e| format!("TLS: {e}"))?;
        }
        let mut client = MetricsServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_LIMIT);
        if settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Client { client, metadata: metadata(&settings.headers)?, timeout: settings.timeout })
    }

    pub async fn export(&mut self, request: ExportMetricsServiceRequest) -> Outcome {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        match tokio::time::timeout(self.timeout, self.client.export(request)).await {
            Ok(Ok(response)) => Outcome::taken(response.into_inner()),
            Ok(Err(status)) => judge(&status),
            Err(_) => Outcome::again(format!("no answer within {:?}", self.timeout)),
        }
    }
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, String> {
    let mut map = MetadataMap::new();
    for (name, value) in headers {
        let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).ok();
        let pair = key.zip(MetadataValue::try_from(value.as_str()).ok());
        let (key, value) = pair.ok_or_else(|| format!("`{name}` cannot be sent as gRPC metadata"))?;
        map.append(key, value);
    }
    Ok(map)
}

/// Which statuses may be tried again: specification, protocol/otlp "Failures".
fn judge(status: &Status) -> Outcome {
    let why = format!("{:?}: {}", status.code(), status.message());
    let after = retry_delay(status.details());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Outcome::Again { after, why },
        Code::ResourceExhausted if after.is_some() => Outcome::Again { after, why },
        // Made here, not by the target: the connection is not there.
        Code::Unknown if why.contains("Service was not ready") => Outcome::Again { after, why },
        _ => Outcome::Refused { why },
    }
}

/// `google.rpc.Status`, of which only the details matter.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let any = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    Duration::try_from(RetryInfo::decode(any.value.as_slice()).ok()?.retry_delay?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(seconds: i64) -> Vec<u8> {
        let info = RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos: 500_000_000 }) };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: info.encode_to_vec(),
        };
        RpcStatus { details: vec![any] }.encode_to_vec()
    }

    #[test]
    fn statuses_are_judged_after_the_specification() {
        let again = |code, details: Vec<u8>| match judge(&Status::with_details(code, "", details.into())) {
            Outcome::Again { after, .. } => Some(after),
            _ => None,
        };
        assert_eq!(again(Code::Unavailable, vec![]), Some(None));
        assert_eq!(again(Code::Unavailable, details(2)), Some(Some(Duration::from_millis(2500))));
        assert_eq!(again(Code::ResourceExhausted, vec![]), None);
        assert_eq!(again(Code::ResourceExhausted, details(0)), Some(Some(Duration::from_millis(500))));
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unimplemented, Code::Internal] {
            assert_eq!(again(code, vec![]), None, "{code:?}");
        }
        assert_eq!(again(Code::Unavailable, b"garbage".to_vec()), Some(None));
    }

    #[test]
    fn headers_become_metadata_in_lower_case() {
        let map = metadata(&[("Api-Key".into(), "x".into())]).unwrap();
        assert_eq!(map.get("api-key").unwrap(), "x");
        assert!(metadata(&[("a b".into(), "x".into())]).is_err());
        assert!(metadata(&[("a".into(), "line\nbreak".into())]).is_err());
    }
}
