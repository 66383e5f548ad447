//! HTTP as a client, and questions to Prometheus.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

/// Ports given out lie below those that the kernel gives to connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port nobody listens on at this moment, and never the same twice: tests run side by side.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let length = u32::from(PORTS.end - PORTS.start);
    let next = || std::process::id().wrapping_mul(97).wrapping_add(GIVEN.fetch_add(1, Relaxed)) % length;
    let mut ports = std::iter::repeat_with(|| PORTS.start + next() as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("loopback has free ports")
}

/// A client that keeps its connections.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// Status and body.
///
/// # Errors
/// When no answer came.
pub fn try_get(url: &str, headers: &[(&str, &str)]) -> Result<(u16, String), ureq::Error> {
    try_get_by(&agent(), url, headers)
}

/// The same by a client that is used again.
///
/// # Errors
/// When no answer came.
pub fn try_get_by(agent: &ureq::Agent, url: &str, headers: &[(&str, &str)]) -> Result<(u16, String), ureq::Error> {
    let request = headers.iter().fold(agent.get(url), |request, (name, value)| request.header(*name, *value));
    let mut response = request.call()?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

/// The body of a 200.
///
/// # Panics
/// When there is no answer, or another.
pub fn get(url: &str) -> String {
    let (status, body) = try_get(url, &[]).unwrap_or_else(|e| panic!("GET {url}: {e}"));
    assert_eq!(status, 200, "GET {url}: {body}");
    body
}

/// The parsed body of a 200.
pub fn get_json(url: &str) -> Value {
    let body = get(url);
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("GET {url}: {e}: {body}"))
}

/// Status and body of a JSON POST.
pub fn post_json(url: &str, body: &Value) -> (u16, String) {
    let mut response = agent()
        .post(url)
        .content_type("application/json")
        .send(body.to_string())
        .unwrap_or_else(|e| panic!("POST {url}: {e}"));
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a text body"))
}

/// The `result` list of an instant query to the Prometheus at `base`.
///
/// # Errors
/// Prometheus' own words.
pub fn prom_query(base: &str, expression: &str) -> Result<Vec<Value>, String> {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
    let (_, body) = try_get(&format!("{base}/api/v1/query?{query}"), &[]).map_err(|e| e.to_string())?;
    let mut answer: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
    match answer["data"]["result"].take() {
        Value::Array(result) => Ok(result),
        _ => Err(answer["error"].as_str().unwrap_or(&body).to_string()),
    }
}
