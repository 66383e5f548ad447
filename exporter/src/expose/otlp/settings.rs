//! `OTEL_*`: the specification's variables, read as leniently as it asks: what cannot be understood is warned about and
//! ignored. A signal's own variable (`OTEL_EXPORTER_OTLP_METRICS_*`) wins over the general one.
//!
//! Deviations: no endpoint set = no push; histograms are exponential unless asked otherwise; cumulative only.
//! Specification: protocol/exporter.md, configuration/sdk-environment-variables.md, metrics/sdk_exporters/otlp.md.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use percent_encoding::percent_decode_str;

use crate::config::{Setting, Vars};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    HttpProtobuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histograms {
    /// Base 2, scale 3.
    Exponential,
    /// Explicit buckets.
    Explicit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// With scheme; over HTTP with the whole path.
    pub endpoint: Uri,
    pub protocol: Protocol,
    pub headers: Vec<(String, String)>,
    pub gzip: bool,
    /// Of one request.
    pub timeout: Duration,
    pub interval: Duration,
    /// Of one collection.
    pub export_timeout: Duration,
    pub certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub client_certificate: Option<PathBuf>,
    pub histograms: Histograms,
    pub service_name: Option<String>,
    pub resource: Vec<(String, String)>,
}

/// Declares tables of settings; those of `signal` twice, for all signals and for metrics.
macro_rules! settings {
    (general { $($name:literal, $default:literal, $allowed:literal, $meaning:literal;)* }
     signal { $($suffix:literal, $d:literal, $a:literal, $m:literal;)* }) => {
        static GENERAL: &[&Setting] = &[
            $(&Setting::new($name, $default, $allowed, $meaning),)*
            $(&Setting::new(concat!("OTEL_EXPORTER_OTLP_", $suffix), $d, $a, $m),)*
        ];
        static METRICS: &[&Setting] = &[
            $(&Setting::new(concat!("OTEL_EXPORTER_OTLP_METRICS_", $suffix), "", $a, concat!($m, ": for metrics alone")),)*
        ];
    };
}

settings! {
    general {
        "OTEL_SDK_DISABLED", "false", "true or false", "switches the push off";
        "OTEL_METRICS_EXPORTER", "otlp", "otlp, prometheus, none", "without otlp in it nothing is pushed";
        "OTEL_METRIC_EXPORT_INTERVAL", "60000", "milliseconds", "time between two pushes";
        "OTEL_METRIC_EXPORT_TIMEOUT", "30000", "milliseconds", "how long a collection for a push may take";
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "cumulative or lowmemory",
            "kanary's counters are cumulative: so is what it pushes";
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram",
            "base2_exponential_bucket_histogram or explicit_bucket_histogram", "shape of pushed histograms";
        "OTEL_SERVICE_NAME", "kanary", "text", "service.name";
        "OTEL_RESOURCE_ATTRIBUTES", "", "NAME=VALUE,..., values percent-encoded", "more about this host";
    }
    signal {
        "ENDPOINT", "", "a URL; over HTTP v1/metrics is appended, but not to that for metrics alone",
            "where to push to; unset = nowhere";
        "PROTOCOL", "http/protobuf", "grpc or http/protobuf", "how to push";
        "HEADERS", "", "NAME=VALUE,..., values percent-encoded", "sent with every request";
        "COMPRESSION", "none", "none or gzip", "how requests are compressed";
        "TIMEOUT", "10000", "milliseconds", "how long a request may take";
        "CERTIFICATE", "", "a PEM file", "authorities the target's certificate may come from";
        "CLIENT_KEY", "", "a PEM file", "own key, for mutual TLS";
        "CLIENT_CERTIFICATE", "", "a PEM file", "own certificate, for mutual TLS";
        "INSECURE", "false", "true or false", "no TLS for a gRPC endpoint without a scheme";
    }
}

/// Every variable that is read.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GENERAL.iter().chain(METRICS).copied()
}

const MOST_MS: u64 = 24 * 3600 * 1000;

/// What to push and where; none when nothing is to be pushed. Then: one line for each value that was ignored.
pub fn read(vars: &Vars) -> (Option<Settings>, Vec<String>) {
    let mut reader = Reader { vars, warnings: Vec::new() };
    let settings = if reader.wanted() { reader.settings() } else { None };
    (settings, reader.warnings)
}

struct Reader<'a> {
    vars: &'a Vars,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn wanted(&mut self) -> bool {
        let otlp = match self.vars.set("OTEL_METRICS_EXPORTER") {
            None => true,
            Some(list) => {
                let names: Vec<&str> = list.split(',').map(str::trim).collect();
                for odd in names.iter().filter(|n| !["otlp", "prometheus", "none"].contains(n)) {
                    self.warn("OTEL_METRICS_EXPORTER", odd, "not an exporter of kanary");
                }
                names.contains(&"otlp") && !names.contains(&"none")
            }
        };
        !self.flag("OTEL_SDK_DISABLED") && otlp
    }

    fn settings(&mut self) -> Option<Settings> {
        let protocol = self.choice(
            "PROTOCOL",
            &[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::HttpProtobuf)],
            Protocol::HttpProtobuf,
        );
        let endpoint = self.endpoint(protocol)?;
        self.temporality();
        Some(Settings {
            endpoint,
            protocol,
            headers: self.own("HEADERS").map_or(Vec::new(), |(name, value)| self.pairs(name, value)),
            gzip: self.choice("COMPRESSION", &[("none", false), ("gzip", true)], false),
            timeout: self.own("TIMEOUT").map_or(Duration::from_secs(10), |(n, v)| self.milliseconds(n, v, 10_000)),
            interval: self.general_milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            export_timeout: self.general_milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", 30_000),
            certificate: self.own("CERTIFICATE").map(|(_, v)| v.into()),
            client_key: self.own("CLIENT_KEY").map(|(_, v)| v.into()),
            client_certificate: self.own("CLIENT_CERTIFICATE").map(|(_, v)| v.into()),
            histograms: self.histograms(),
            service_name: self.vars.set("OTEL_SERVICE_NAME").map(Into::into),
            resource: self.resource(),
        })
    }

    /// The signal's own variable, or the general one: name and value.
    fn own(&self, suffix: &str) -> Option<(String, &'a str)> {
        [format!("OTEL_EXPORTER_OTLP_METRICS_{suffix}"), format!("OTEL_EXPORTER_OTLP_{suffix}")]
            .into_iter()
            .find_map(|name| self.vars.set(&name).map(|value| (name, value)))
    }

    fn warn(&mut self, name: &str, value: &str, fault: &str) {
        self.warnings.push(format!("{name}={value}: ignored: {fault}"));
    }

    /// Only `true` is true.
    fn flag(&mut self, name: &str) -> bool {
        let Some(value) = self.vars.set(name) else { return false };
        let known = ["true", "false"].iter().any(|w| value.eq_ignore_ascii_case(w));
        if !known {
            self.warn(name, value, "neither true nor false");
        }
        value.eq_ignore_ascii_case("true")
    }

    fn choice<T: Copy>(&mut self, suffix: &str, words: &[(&str, T)], default: T) -> T {
        let Some((name, value)) = self.own(suffix) else { return default };
        let found = words.iter().find(|(w, _)| value.eq_ignore_ascii_case(w)).map(|(_, t)| *t);
        found.unwrap_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
            self.warn(&name, value, &format!("not one of {}", words.join(", ")));
            default
        })
    }

    fn milliseconds(&mut self, name: String, value: &str, default: u64) -> Duration {
        let ms = value.trim().parse::<u64>().ok().filter(|ms| (1..=MOST_MS).contains(ms));
        Duration::from_millis(ms.unwrap_or_else(|| {
            self.warn(&name, value, &format!("not milliseconds from 1 to {MOST_MS}"));
            default
        }))
    }

    fn general_milliseconds(&mut self, name: &str, default: u64) -> Duration {
        match self.vars.set(name) {
            Some(value) => self.milliseconds(name.into(), value, default),
            None => Duration::from_millis(default),
        }
    }

    /// `name=value,...` with percent-encoded values, as W3C baggage without metadata. Pairs that are none are ignored.
    fn pairs(&mut self, name: String, value: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for text in value.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            match pair(text) {
                Some(pair) => pairs.push(pair),
                // A header's value may be a secret: only its name is shown.
                None => self.warn(&name, text.split('=').next().unwrap_or_default(), "not NAME=VALUE"),
            }
        }
        pairs
    }

    /// One pair that is none spoils them all: the specification wants the whole value discarded.
    fn resource(&mut self) -> Vec<(String, String)> {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let Some(value) = self.vars.set(name) else { return Vec::new() };
        let texts = value.split(',').map(str::trim).filter(|t| !t.is_empty());
        texts.map(pair).collect::<Option<Vec<_>>>().unwrap_or_else(|| {
            self.warn(name, value, "not a list of NAME=VALUE");
            Vec::new()
        })
    }

    fn endpoint(&mut self, protocol: Protocol) -> Option<Uri> {
        let metrics = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
        let (name, value, path) = match self.vars.set(metrics) {
            Some(value) => (metrics, value, ""),
            None => {
                let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
                (name, self.vars.set(name)?, if protocol == Protocol::Grpc { "" } else { "v1/metrics" })
            }
        };
        let bare = protocol == Protocol::Grpc && !value.contains("://");
        let scheme = match bare {
            true if self.own("INSECURE").is_some_and(|(name, _)| self.flag(&name)) => "http://",
            true => "https://",
            false => "",
        };
        let uri = url(&format!("{scheme}{value}"), path);
        if uri.is_none() {
            self.warn(name, value, "not an http:// or https:// URL: nothing is pushed");
        }
        uri
    }

    fn temporality(&mut self) {
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        // For counters that are read, not incremented, `lowmemory` means cumulative too.
        let fine = |v: &str| ["cumulative", "lowmemory"].iter().any(|w| v.eq_ignore_ascii_case(w));
        if let Some(value) = self.vars.set(name).filter(|v| !fine(v)) {
            self.warn(name, value, "only cumulative is pushed");
        }
    }

    fn histograms(&mut self) -> Histograms {
        let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        match self.vars.set(name) {
            Some(v) if v.eq_ignore_ascii_case("explicit_bucket_histogram") => Histograms::Explicit,
            Some(v) if !v.eq_ignore_ascii_case("base2_exponential_bucket_histogram") => {
                self.warn(name, v, "not a histogram aggregation");
                Histograms::Exponential
            }
            _ => Histograms::Exponential,
        }
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().map(String::from).ok();
    Some((decode(name)?, decode(value)?)).filter(|(name, _)| !name.is_empty())
}

/// `base` with `path` appended behind exactly one slash; the root when there is no path at all.
fn url(base: &str, path: &str) -> Option<Uri> {
    let http =
        |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty());
    let bare = Uri::from_str(base).ok().filter(http)?;
    if path.is_empty() {
        return Some(bare);
    }
    let separator = if base.ends_with('/') { "" } else { "/" };
    Uri::from_str(&format!("{base}{separator}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn read_all(pairs: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        read(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }
    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let (settings, warnings) = read_all(&[&[ENDPOINT], pairs].concat());
        assert_eq!(warnings, [""; 0]);
        settings.unwrap()
    }

    #[test]
    fn without_an_endpoint_nothing_is_pushed() {
        assert_eq!(read_all(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_METRIC_EXPORT_INTERVAL", "1")]), (None, vec![]));
    }

    #[test]
    fn defaults_are_the_specifications_but_for_histograms() {
        let s = settings(&[]);
        assert_eq!(s.endpoint, "http://collector:4318/v1/metrics");
        assert_eq!(s.protocol, Protocol::HttpProtobuf);
        assert_eq!((s.gzip, s.histograms), (false, Histograms::Exponential));
        assert_eq!([s.timeout, s.interval, s.export_timeout].map(|d| d.as_secs()), [10, 60, 30]);
    }

    #[test]
    fn the_signals_own_variable_wins_and_its_endpoint_is_taken_as_it_is() {
        let s = settings(&[
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://other/custom"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2500"),
        ]);
        assert_eq!(s.endpoint, "https://other/custom");
        assert!(s.gzip);
        assert_eq!(s.timeout.as_millis(), 2500);
    }

    #[test]
    fn endpoints_are_joined_after_the_specification() {
        let endpoint = |name: &str, value: &str, more: &[(&str, &str)]| {
            read_all(&[&[(name, value)], more].concat()).0.map(|s| s.endpoint.to_string())
        };
        let general = |value| endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", value, &[]);
        let own = |value| endpoint("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value, &[]);
        assert_eq!(general("http://c:4318/").as_deref(), Some("http://c:4318/v1/metrics"));
        assert_eq!(general("http://c/otlp").as_deref(), Some("http://c/otlp/v1/metrics"));
        assert_eq!(general("http://[::1]:4318").as_deref(), Some("http://[::1]:4318/v1/metrics"));
        assert_eq!(own("http://c:4318").as_deref(), Some("http://c:4318/"));
        for bad in ["collector:4318", "ftp://c", "http://", "http://a b"] {
            assert_eq!(general(bad), None, "{bad}");
        }
        let grpc = |value, insecure| {
            let more = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_INSECURE", insecure)];
            endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", value, &more)
        };
        assert_eq!(grpc("http://c:4317", "").as_deref(), Some("http://c:4317/"));
        assert_eq!(grpc("c:4317", "").as_deref(), Some("https://c:4317/"));
        assert_eq!(grpc("c:4317", "true").as_deref(), Some("http://c:4317/"));
    }

    #[test]
    fn headers_and_attributes_are_percent_decoded() {
        let s = settings(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b%3D, x = y ,"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod%2Ceu,team=a=b"),
            ("OTEL_SERVICE_NAME", "canary"),
        ]);
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(s.headers, [pair("api-key", "a b="), pair("x", "y")]);
        assert_eq!(s.resource, [pair("deployment.environment.name", "prod,eu"), pair("team", "a=b")]);
        assert_eq!(s.service_name.as_deref(), Some("canary"));
    }

    #[test]
    fn what_cannot_be_understood_is_named_and_ignored() {
        let (settings, warnings) = read_all(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret,a=b"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b,broken"),
            ("OTEL_SDK_DISABLED", "1"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.protocol, Protocol::HttpProtobuf);
        assert_eq!(settings.interval.as_secs(), 60);
        assert_eq!(settings.headers.len(), 1);
        assert!(settings.resource.is_empty());
        assert_eq!(warnings.len(), 7, "{warnings:?}");
        assert!(
            warnings.contains(&"OTEL_METRIC_EXPORT_INTERVAL=soon: ignored: not milliseconds from 1 to 86400000".into())
        );
    }

    #[test]
    fn the_push_can_be_switched_off() {
        for off in
            [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "prometheus")]
        {
            assert_eq!(read_all(&[ENDPOINT, off]), (None, vec![]), "{off:?}");
        }
        assert!(read_all(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "prometheus, otlp")]).0.is_some());
    }
}
