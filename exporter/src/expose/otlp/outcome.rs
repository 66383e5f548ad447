//! What came of one request, and what of it may be tried again.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, but for so many points; the target's words.
    Taken { rejected: u64, message: String },
    /// Not now: the target may take it later, not before `after` if it said so.
    Again { after: Option<Duration>, why: String },
    /// The target will not take it, however often it is sent.
    Refused { why: String },
}

impl Outcome {
    pub fn taken(response: ExportMetricsServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Outcome::Taken {
            rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
            message: partial.error_message,
        }
    }

    pub fn again(why: impl Into<String>) -> Self {
        Outcome::Again { after: None, why: why.into() }
    }

    /// An answer over HTTP that is no success: the specification names the codes that may be tried again.
    pub fn of_http(status: u16, retry_after: Option<&str>, now: SystemTime, why: String) -> Self {
        match status {
            429 | 502 | 503 | 504 => Outcome::Again { after: retry_after.and_then(|v| wait(v, now)), why },
            _ => Outcome::Refused { why },
        }
    }
}

/// `Retry-After`: seconds or a date.
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let seconds = value.parse::<u32>().map(|s| Duration::from_secs(s.into())).ok();
    let until = || httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default());
    seconds.or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, retry_after: Option<&str>) -> Outcome {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 10:00:00 GMT").unwrap();
        Outcome::of_http(status, retry_after, now, String::new())
    }

    #[test]
    fn only_some_answers_may_be_tried_again() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(http(status, None), Outcome::Again { after: None, .. }), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(http(status, Some("1")), Outcome::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value| match http(503, Some(value)) {
            Outcome::Again { after, .. } => after.map(|d| d.as_secs()),
            _ => None,
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Fri, 20 Nov 2026 10:00:30 GMT"), Some(30));
        assert_eq!(after("Fri, 20 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn negative_rejections_count_nothing() {
        use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
        let partial = ExportMetricsPartialSuccess { rejected_data_points: -3, error_message: "odd".into() };
        let outcome = Outcome::taken(ExportMetricsServiceResponse { partial_success: Some(partial) });
        assert_eq!(outcome, Outcome::Taken { rejected: 0, message: "odd".into() });
    }
}
