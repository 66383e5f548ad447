//! Paths: which exist, for whom, and what answers them.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::time::timeout;

use super::answer::{Answer, Fault, METHODS, json_answer, ok};
use super::{App, Audience, landing, query, scrape};
use crate::expose::Source;

/// Longest request body. No path needs one; what is sent is read and ignored.
const BODY_LIMIT: usize = 64 << 10;
const BODY_PATIENCE: Duration = Duration::from_secs(10);
const PLAIN: &str = "text/plain; charset=utf-8";
const OPENAPI: &str = include_str!("openapi.json");
/// `/anomalies?limit=`.
const EPISODES: usize = 100;
const EPISODES_MOST: usize = 1000;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Landing,
    Metrics,
    Healthy,
    Ready,
    Anomalies,
    Trends,
    Status,
    OpenApi,
}

struct Route {
    path: &'static str,
    audience: Audience,
    endpoint: Endpoint,
    /// Query parameters it knows.
    parameters: &'static [&'static str],
    summary: &'static str,
}

const fn machines(path: &'static str, endpoint: Endpoint, summary: &'static str) -> Route {
    Route { path, audience: Audience::Machines, endpoint, parameters: &[], summary }
}

const fn people(path: &'static str, endpoint: Endpoint, summary: &'static str) -> Route {
    Route { path, audience: Audience::People, endpoint, parameters: &[], summary }
}

impl Route {
    const fn knowing(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }
}

/// Every path.
static ROUTES: &[Route] = &[
    machines("/", Endpoint::Landing, "this page"),
    machines("/metrics", Endpoint::Metrics, "all metrics: text, OpenMetrics or protobuf")
        .knowing(&["collect[]", "exclude[]"]),
    machines("/-/healthy", Endpoint::Healthy, "whether it runs"),
    machines("/-/ready", Endpoint::Ready, "whether it has something to serve"),
    people("/anomalies", Endpoint::Anomalies, "JSON: episodes, newest first").knowing(&["limit"]),
    people("/trends", Endpoint::Trends, "JSON: slopes and times to limits"),
    people("/status", Endpoint::Status, "JSON: collectors, programs, components"),
    people("/openapi.json", Endpoint::OpenApi, "description of the JSON part"),
];

/// Answers a request, whatever it is.
pub async fn answer<S: Source>(app: &App<S>, audience: Audience, request: Request<Incoming>) -> Answer {
    try_answer(app, audience, request).await.unwrap_or_else(|fault| fault.answer())
}

async fn try_answer<S: Source>(app: &App<S>, audience: Audience, request: Request<Incoming>) -> Result<Answer, Fault> {
    let (head, body) = request.into_parts();
    discard(body).await?;
    let route = find(head.uri.path(), audience)?;
    if head.method != Method::GET && head.method != Method::HEAD {
        let error = format!("{} is not allowed here: use {METHODS}", head.method);
        return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, error));
    }
    let pairs = query::parse(head.uri.query(), route.parameters)?;
    let source = &app.source;
    Ok(match route.endpoint {
        Endpoint::Landing => ok("text/html; charset=utf-8", landing::page(visible(audience))),
        Endpoint::Metrics => scrape::answer(app, &head.headers, &pairs).await?,
        Endpoint::Healthy => ok(PLAIN, "healthy\n"),
        Endpoint::Ready => source.ready().map(|()| ok(PLAIN, "ready\n")).map_err(Fault::unavailable)?,
        Endpoint::Anomalies => json_answer(&source.anomalies(query::number(&pairs, "limit", EPISODES, EPISODES_MOST)?)),
        Endpoint::Trends => json_answer(&source.trends()),
        Endpoint::Status => json_answer(&source.status()),
        Endpoint::OpenApi => ok("application/json", OPENAPI),
    })
}

fn find(path: &str, audience: Audience) -> Result<&'static Route, Fault> {
    let found = ROUTES.iter().find(|r| r.path == path && r.audience <= audience);
    found.ok_or_else(|| {
        let paths: Vec<&str> = visible(audience).map(|(path, _)| path).collect();
        Fault::new(StatusCode::NOT_FOUND, format!("no such path: {path}; there are {}", paths.join(", ")))
    })
}

fn visible(audience: Audience) -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().filter(move |r| r.audience <= audience).map(|r| (r.path, r.summary))
}

/// Reads a body to its end, within bounds.
async fn discard(body: Incoming) -> Result<(), Fault> {
    if hyper::body::Body::is_end_stream(&body) {
        return Ok(());
    }
    let too_large = || Fault::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_LIMIT} bytes"));
    if hyper::body::Body::size_hint(&body).lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    match timeout(BODY_PATIENCE, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(e)) => Err(Fault::bad(format!("the body cannot be read: {e}"))),
        Err(_) => Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_see_less_than_people() {
        let status = |path, audience| find(path, audience).map(|r| r.path).map_err(|fault| fault.status.as_u16());
        assert_eq!(status("/metrics", Audience::Machines), Ok("/metrics"));
        assert_eq!(status("/status", Audience::Machines), Err(404));
        assert_eq!(status("/status", Audience::People), Ok("/status"));
        assert!(find("/debug/pprof", Audience::People).is_err_and(|f| f.error.contains("/debug/pprof")));
    }

    #[test]
    fn openapi_describes_exactly_the_paths_for_people() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut paths: Vec<&str> = ROUTES.iter().filter(|r| r.audience == Audience::People).map(|r| r.path).collect();
        paths.sort_unstable();
        assert_eq!(described, paths);
    }
}
