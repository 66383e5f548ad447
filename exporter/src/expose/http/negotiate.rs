//! Content negotiation after prometheus.io/docs/instrumenting/content_negotiation: the supported format with the
//! highest q, the first one among equals, else text 0.0.4.

/// What `/metrics` can be rendered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    Text,
    OpenMetrics,
    Protobuf,
}

/// A rendering, and whether the client spoke of name escaping and so wants to hear which scheme we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub rendering: Rendering,
    pub escaping: bool,
}

impl Choice {
    /// Every name we have is legal in the oldest scheme.
    pub fn content_type(self) -> &'static str {
        match (self.rendering, self.escaping) {
            (Rendering::Text, false) => "text/plain; version=0.0.4; charset=utf-8",
            (Rendering::Text, true) => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            (Rendering::OpenMetrics, false) => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            (Rendering::OpenMetrics, true) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            (Rendering::Protobuf, false) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
            (Rendering::Protobuf, true) => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=underscores"
            }
        }
    }
}

/// Chooses by an `Accept` header (several joined by commas).
pub fn rendering(accept: &str) -> Choice {
    let mut best = (0.0, Choice { rendering: Rendering::Text, escaping: false });
    for range in accept.split(',') {
        let Range { media, q, params } = Range::parse(range);
        if q > best.0
            && let Some(rendering) = supported(media, &params)
        {
            best = (q, Choice { rendering, escaping: params.iter().any(|(name, _)| *name == "escaping") });
        }
    }
    best.1
}

/// Whether an `Accept-Encoding` header asks for gzip.
pub fn gzip(accept_encoding: &str) -> bool {
    let q = |name: &str| {
        let mut ranges = accept_encoding.split(',').map(Range::parse);
        ranges.find(|r| r.media.eq_ignore_ascii_case(name)).map(|r| r.q)
    };
    q("gzip").or_else(|| q("*")).is_some_and(|q| q > 0.0)
}

fn supported(media: &str, params: &[(&str, &str)]) -> Option<Rendering> {
    let is = |name: &str, allowed: &[&str]| {
        params.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).all(|(_, v)| allowed.contains(v))
    };
    match media.to_ascii_lowercase().as_str() {
        "*/*" | "text/*" => Some(Rendering::Text),
        "text/plain" if is("version", &["0.0.4"]) => Some(Rendering::Text),
        "application/openmetrics-text" if is("version", &["1.0.0", "0.0.1"]) => Some(Rendering::OpenMetrics),
        "application/vnd.google.protobuf"
            if is("proto", &["io.prometheus.client.MetricFamily"]) && is("encoding", &["delimited"]) =>
        {
            Some(Rendering::Protobuf)
        }
        _ => None,
    }
}

/// One element of an `Accept*` header.
struct Range<'a> {
    media: &'a str,
    q: f64,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    /// A q that is no number counts as 0.
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let params: Vec<(&str, &str)> = parts
            .filter_map(|p| p.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let q = params.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let q = q.map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
        Range { media, q, params }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_supported_format_is_chosen() {
        use Rendering::{OpenMetrics, Protobuf, Text};
        let table = [
            ("", Text),
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text),
            ("application/json", Text),
            // Prometheus 2.42, without and with native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                 application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Protobuf,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.4, application/openmetrics-text; version=1.0.0; q=0.3", Text),
            ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1", Text),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Text),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", Text),
            ("application/openmetrics-text;q=x", Text),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
        ];
        for (accept, want) in table {
            assert_eq!(rendering(accept).rendering, want, "{accept}");
        }
    }

    #[test]
    fn escaping_is_named_when_it_was_asked_about() {
        let asked = rendering("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8");
        assert!(asked.content_type().ends_with("escaping=underscores"));
        assert!(!rendering("application/openmetrics-text").content_type().contains("escaping"));
    }

    #[test]
    fn gzip_only_when_asked() {
        for (header, want) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("*", true),
            ("gzip;q=0, *", false),
        ] {
            assert_eq!(gzip(header), want, "{header}");
        }
    }
}
