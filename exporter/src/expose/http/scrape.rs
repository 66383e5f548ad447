//! `/metrics`: a fresh collection in the format asked for, within the scraper's deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer, Fault};
use super::negotiate::{self, Rendering};
use super::{App, query};
use crate::expose::Source;
use crate::expose::buffers::{self, Pool};
use crate::expose::gzip::Gzip;
use crate::expose::page::Page;
use crate::expose::protobuf;
use crate::expose::text::{self, Format};
use crate::snapshot::Snapshot;

/// Prometheus' default scrape timeout is 10 s; the answer has to travel too.
const DEADLINE: Duration = Duration::from_secs(9);
const OFFSET: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(120);
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// Snapshots into bodies, with memory that is used again.
pub struct Renderer {
    max_series: usize,
    buffers: Arc<Pool<Vec<u8>>>,
    compressors: Pool<Gzip>,
}

impl Renderer {
    /// `max_series`: most series on one page.
    pub fn new(max_series: usize) -> Self {
        Renderer { max_series, buffers: Arc::default(), compressors: Pool::default() }
    }

    /// The body of one answer; what is left out is counted.
    pub fn render(&self, snapshot: &Snapshot, rendering: Rendering, gzip: bool) -> Bytes {
        let page = Page::counted(snapshot, self.max_series);
        let mut plain = self.buffers.take().unwrap_or_default();
        match rendering {
            Rendering::Text => text::render(&page, Format::Text, &mut plain),
            Rendering::OpenMetrics => text::render(&page, Format::OpenMetrics, &mut plain),
            Rendering::Protobuf => protobuf::render(&page, &mut plain),
        }
        let plain = buffers::body(plain, &self.buffers);
        if gzip { self.compress(&plain) } else { plain }
    }

    fn compress(&self, plain: &[u8]) -> Bytes {
        let mut compressor = self.compressors.take().unwrap_or_default();
        let mut packed = self.buffers.take().unwrap_or_default();
        compressor.compress(plain, &mut packed);
        self.compressors.give(compressor);
        buffers::body(packed, &self.buffers)
    }
}

/// Answers a scrape.
///
/// # Errors
/// 400 for a collector that is not exposed, 503 when the collection comes too late.
pub async fn answer<S: Source>(app: &App<S>, headers: &HeaderMap, query: &[query::Pair]) -> Result<Answer, Fault> {
    let want = query::want(query, app.source.exposed())?;
    let choice = negotiate::rendering(&joined(headers, ACCEPT));
    let gzip = negotiate::gzip(&joined(headers, ACCEPT_ENCODING));
    let patience = patience(headers.get(TIMEOUT_HEADER).and_then(|v| v.to_str().ok()));
    let deadline = Instant::now() + patience;
    let Ok(Ok(snapshot)) = timeout_at(deadline, app.source.collect(want, deadline)).await else {
        return Err(Fault::unavailable(format!("no collection within {} s", patience.as_secs_f64())));
    };
    let mut answer = answer::ok(choice.content_type(), app.renderer.render(&snapshot, choice.rendering, gzip));
    if gzip {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

fn joined(headers: &HeaderMap, name: hyper::header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    values.join(",")
}

/// How long a scrape may take, by the scraper's own timeout.
fn patience(header: Option<&str>) -> Duration {
    let asked = header.and_then(|v| v.trim().parse::<f64>().ok()).filter(|s| s.is_finite() && *s > 0.0);
    let Some(asked) = asked else { return DEADLINE };
    let asked = Duration::from_secs_f64(asked.min(LONGEST.as_secs_f64()));
    asked.saturating_sub(OFFSET).max(asked / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_leaves_time_for_the_way_back() {
        let ms = |header| patience(header).as_millis();
        assert_eq!(ms(None), 9000);
        assert_eq!(ms(Some("10")), 9500);
        assert_eq!(ms(Some("0.4")), 200);
        assert_eq!(ms(Some("1e9")), 119_500);
        for bad in ["", "x", "-1", "0", "NaN", "inf"] {
            assert_eq!(ms(Some(bad)), 9000, "{bad}");
        }
    }
}
