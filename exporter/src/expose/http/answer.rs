//! Answers: bodies with their types, and faults as JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub type Answer = Response<Full<Bytes>>;

pub const METHODS: &str = "GET, HEAD";

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    /// Names the fault, in words for whoever sent the request.
    pub error: String,
}

impl Fault {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Fault { status, error: error.into() }
    }
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    pub fn body(&self) -> String {
        json!({ "error": self.error }).to_string() + "\n"
    }

    /// As an answer within a connection.
    pub fn answer(&self) -> Answer {
        let mut answer = ok("application/json", self.body());
        *answer.status_mut() = self.status;
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        answer
    }

    /// As the last bytes of a connection that hyper has given up.
    pub fn last_words(&self) -> Vec<u8> {
        let body = self.body();
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
        .into_bytes()
    }
}

/// A 200 with this body.
pub fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub fn json_answer(value: &Value) -> Answer {
    ok("application/json", value.to_string() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_a_whole_response() {
        let words = String::from_utf8(Fault::bad("a \"quoted\" word").last_words()).unwrap();
        let (head, body) = words.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        assert_eq!(body, "{\"error\":\"a \\\"quoted\\\" word\"}\n");
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let answer = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "no").answer();
        assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
    }
}
