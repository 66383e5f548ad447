//! Resource attributes: what a target is told about this host and process, once per request.

use std::path::Path;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::settings::Settings;

/// The user's attributes and, where he gave none, what is known of host and process. `rootfs` is where the host's
/// root is mounted: its machine id is `host.id`.
pub fn resource(settings: &Settings, rootfs: &Path) -> Resource {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let id = std::fs::read_to_string(rootfs.join("etc/machine-id")).unwrap_or_default();
    let id = id.trim();
    let known = [
        ("service.name", "kanary"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", if id.is_empty() { &host } else { id }),
        ("host.name", &host),
        ("host.arch", arch(&uname.machine().to_string_lossy())),
        ("host.id", id),
        ("os.type", "linux"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()));
    let named = settings.service_name.iter().map(|name| ("service.name".to_string(), name.clone()));
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (name, value) in named.chain(settings.resource.iter().cloned()).chain(known) {
        if !value.is_empty() && attributes.iter().all(|(n, _)| *n != name) {
            attributes.push((name, value));
        }
    }
    Resource { attributes: attributes.into_iter().map(|(n, v)| attribute(n, v)).collect(), ..Default::default() }
}

/// A string attribute.
pub fn attribute(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.into(), value: Some(value), ..Default::default() }
}

/// The conventions' word for uname's machine.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "x86",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::otlp::settings;

    fn attributes(more: &[(&str, &str)], rootfs: &Path) -> Vec<(String, String)> {
        let vars = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")], more].concat();
        let settings = settings::read(&vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()).0.unwrap();
        let text = |kv: KeyValue| match kv.value.unwrap().value.unwrap() {
            any_value::Value::StringValue(s) => (kv.key, s),
            other => panic!("{other:?}"),
        };
        resource(&settings, rootfs).attributes.into_iter().map(text).collect()
    }
    fn get<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut values = attributes.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        first
    }

    #[test]
    fn host_and_service_are_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/machine-id"), "0123456789abcdef\n").unwrap();
        let got = attributes(&[], root.path());
        assert_eq!(get(&got, "service.name"), Some("kanary"));
        assert_eq!(get(&got, "host.id"), Some("0123456789abcdef"));
        assert_eq!(get(&got, "os.type"), Some("linux"));
        assert!(get(&got, "host.name").is_some());
    }

    #[test]
    fn the_user_wins_and_what_is_unknown_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let vars = [("OTEL_SERVICE_NAME", "mine"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,host.name=h,k=v")];
        let got = attributes(&vars, root.path());
        assert_eq!(get(&got, "service.name"), Some("mine"));
        assert_eq!(get(&got, "host.name"), Some("h"));
        assert_eq!(get(&got, "k"), Some("v"));
        assert_eq!(get(&got, "host.id"), None);
    }
}
