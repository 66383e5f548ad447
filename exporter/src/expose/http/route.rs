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
    summary: &'static str,
}

const fn route(path: &'static str, audience: Audience, endpoint: Endpoint, summary: &'static str) -> Route {
    Route { path, audience, endpoint, summary }
}

/// Every path.
static ROUTES: &[Route] = &[
    route("/", Audience::Machines, Endpoint::Landing, "this page"),
    route("/metrics", Audience::Machines, Endpoint::Metrics, "all metrics: text, OpenMetrics or protobuf"),
    route("/-/healthy", Audience::Machines, Endpoint::Healthy, "whether it runs"),
    route("/-/ready", Audience::Machines, Endpoint::Ready, "whether it has something to serve"),
    route("/anomalies", Audience::People, Endpoint::Anomalies, "JSON: episodes, newest first"),
    route("/trends", Audience::People, Endpoint::Trends, "JSON: slopes and times to limits"),
    route("/status", Audience::People, Endpoint::Status, "JSON: collectors, programs, components"),
    route("/openapi.json", Audience::People, Endpoint::OpenApi, "description of the JSON part"),
];

/// Answers a request, whatever it is.
pub async fn answer<S: Source>(app: &App<S>, audience: Audience, request: Request<Incoming>) -> Answer {
    try_answer(app, audience, request).await.unwrap_or_else(|fault| fault.answer())
}

async fn try_answer<S: Source>(app: &App<S>, audience: Audience, request: Request<Incoming>) -> Result<Answer, Fault> {
    let (head, body) = request.into_parts();
    discard(body).await?;
    let endpoint = find(head.uri.path(), audience)?;
    if head.method != Method::GET && head.method != Method::HEAD {
        let error = format!("{} is not allowed here: use {METHODS}", head.method);
        return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, error));
    }
    if endpoint == Endpoint::Metrics {
        scrape::answer(app, &head.headers, head.uri.query()).await
    } else {
        plain(app, audience, endpoint, head.uri.query())
    }
}

/// Whatever needs no collection.
fn plain<S: Source>(
    app: &App<S>,
    audience: Audience,
    endpoint: Endpoint,
    query: Option<&str>,
) -> Result<Answer, Fault> {
    let known: &[&str] = if endpoint == Endpoint::Anomalies { &["limit"] } else { &[] };
    let pairs = query::parse(query, known)?;
    Ok(match endpoint {
        Endpoint::Landing => ok("text/html; charset=utf-8", landing::page(visible(audience))),
        Endpoint::Healthy | Endpoint::Metrics => ok("text/plain; charset=utf-8", "healthy\n"),
        Endpoint::Ready => {
            app.source.ready().map_err(Fault::unavailable)?;
            ok("text/plain; charset=utf-8", "ready\n")
        }
        Endpoint::Anomalies => {
            json_answer(&app.source.anomalies(query::number(&pairs, "limit", EPISODES, EPISODES_MOST)?))
        }
        Endpoint::Trends => json_answer(&app.source.trends()),
        Endpoint::Status => json_answer(&app.source.status()),
        Endpoint::OpenApi => ok("application/json", include_str!("openapi.json")),
    })
}

fn find(path: &str, audience: Audience) -> Result<Endpoint, Fault> {
    let found = ROUTES.iter().find(|r| r.path == path && r.audience <= audience);
    found.map(|r| r.endpoint).ok_or_else(|| {
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
        assert_eq!(find("/metrics", Audience::Machines), Ok(Endpoint::Metrics));
        assert_eq!(find("/status", Audience::Machines).unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(find("/status", Audience::People), Ok(Endpoint::Status));
        assert!(find("/debug/pprof", Audience::People).unwrap_err().error.contains("/debug/pprof"));
    }

    #[test]
    fn openapi_describes_exactly_the_paths_for_people() {
        let document: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut paths: Vec<&str> = ROUTES.iter().filter(|r| r.audience == Audience::People).map(|r| r.path).collect();
        paths.sort_unstable();
        assert_eq!(described, paths);
    }
}
