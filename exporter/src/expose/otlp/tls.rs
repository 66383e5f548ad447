//! Certificates and keys as PEM, for both clients.

use std::path::{Path, PathBuf};

use super::settings::Settings;

/// Where distributions keep the authorities they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// PEM text.
pub struct Pems {
    pub authorities: Vec<u8>,
    /// Own certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// What a TLS connection needs; none for a target without TLS.
///
/// # Errors
/// When a file cannot be read, or only one of certificate and key is given.
pub fn pems(settings: &Settings) -> Result<Option<Pems>, String> {
    if settings.endpoint.scheme_str() != Some("https") {
        return Ok(None);
    }
    let authorities = match &settings.certificate {
        Some(path) => read(path)?,
        None => read(&system_bundle()?)?,
    };
    let identity = match (&settings.client_certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (None, None) => None,
        _ => return Err("client certificate and client key go together: one of them is missing".into()),
    };
    Ok(Some(Pems { authorities, identity }))
}

fn system_bundle() -> Result<PathBuf, String> {
    let bundle = BUNDLES.iter().map(PathBuf::from).find(|p| p.is_file());
    bundle.ok_or_else(|| "this system has no bundle of trusted authorities: set OTEL_EXPORTER_OTLP_CERTIFICATE".into())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}
