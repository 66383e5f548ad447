//! OTLP targets that misbehave: what they cost, and how they are tried again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kanary::telemetry::{Loss, lost_total};

use crate::fixed::push::Push;
use crate::harness::http::try_get;
use crate::otlp::{expected, exponential, requests, same, strict, values};

/// What a bad target does with a request.
#[derive(Clone, Copy)]
enum Manner {
    Close,
    Hang,
    /// Answers this, head and body.
    Say(&'static [u8]),
}

const TAKEN: Manner = Manner::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");

/// A target that treats its n-th request in the n-th manner, the last one for ever; it tells when each arrived.
fn bad(manners: &'static [Manner]) -> (String, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (arrived, arrivals) = channel();
    let turn = Arc::new(Mutex::new(manners.iter().copied().cycle().take(manners.len())));
    let last = manners[manners.len() - 1];
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (arrived, turn) = (arrived.clone(), turn.clone());
            std::thread::spawn(move || {
                let mut stream = stream;
                while request(&mut stream).is_some() {
                    if arrived.send(Instant::now()).is_err() {
                        return;
                    }
                    match turn.lock().unwrap().next().unwrap_or(last) {
                        Manner::Close => return,
                        Manner::Hang => std::thread::sleep(Duration::from_secs(60)),
                        Manner::Say(answer) => stream.write_all(answer).unwrap(),
                    }
                }
            });
        }
    });
    (endpoint, arrivals)
}

/// Reads one request to its end.
fn request(stream: &mut TcpStream) -> Option<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|t| t.lines().next()?.trim().parse::<usize>().ok());
        if bytes.len() >= end + 4 + length? {
            return Some(());
        }
    }
}

fn push_to(endpoint: &str, interval: &str) -> Push {
    Push::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", interval),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "700"),
    ])
}

fn next(arrivals: &Receiver<Instant>) -> Instant {
    arrivals.recv_timeout(Duration::from_secs(20)).expect("a request arrives")
}

#[test]
fn retry_after_is_honoured_and_newer_replaces_older() {
    let (endpoint, arrivals) = bad(&[
        Manner::Say(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"),
        Manner::Say(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nbusy"),
        TAKEN,
    ]);
    let replaced = lost_total(Loss::OtlpReplaced);
    let push = push_to(&endpoint, "100");
    let (first, second, third) = (next(&arrivals), next(&arrivals), next(&arrivals));
    let gap = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
    assert!((2.0..3.0).contains(&gap(first, second)), "{}", gap(first, second));
    assert!((1.0..2.0).contains(&gap(second, third)), "{}", gap(second, third));
    // About thirty collections went by: all but the newest were replaced, and said so.
    assert!(lost_total(Loss::OtlpReplaced) - replaced >= 20);
    drop(push);
}

#[test]
fn a_target_that_hangs_or_is_down_costs_no_scrape() {
    let (endpoint, arrivals) = bad(&[Manner::Hang, Manner::Close, Manner::Hang]);
    let push = push_to(&endpoint, "50");
    next(&arrivals);
    let slowest = (0..100).map(|_| {
        let start = Instant::now();
        assert_eq!(try_get(&format!("{}/metrics", push.url), &[]).unwrap().0, 200);
        std::thread::sleep(Duration::from_millis(10));
        start.elapsed()
    });
    let slowest = slowest.max().unwrap();
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    next(&arrivals);
    next(&arrivals);
}

#[test]
fn what_is_refused_is_counted_and_not_sent_again() {
    let (endpoint, arrivals) = bad(&[
        Manner::Say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        // partial_success { rejected_data_points: 5 }
        Manner::Say(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x05",
        ),
        TAKEN,
    ]);
    let (rejected, partial) = (lost_total(Loss::OtlpRejected), lost_total(Loss::OtlpPartial));
    let push = push_to(&endpoint, "400");
    let (first, second, _) = (next(&arrivals), next(&arrivals), next(&arrivals));
    // The next one is the next interval's, not a retry's.
    assert!(second.duration_since(first) > Duration::from_millis(250));
    drop(push);
    assert_eq!(lost_total(Loss::OtlpRejected) - rejected, 1);
    assert_eq!(lost_total(Loss::OtlpPartial) - partial, 5);
}

#[test]
fn a_grpc_target_that_comes_up_later_is_found() {
    let test = "a_grpc_target_that_comes_up_later_is_found";
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hanging.local_addr().unwrap().port();
    let Some((target, grpc, _)) = strict(test, &[]) else { return };
    let _push = Push::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
    ]);
    // It accepts and says nothing, then nobody listens, then it passes everything on.
    std::thread::sleep(Duration::from_millis(1200));
    drop(hanging);
    std::thread::sleep(Duration::from_millis(1200));
    let relay = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for from in relay.incoming().flatten() {
            let to = TcpStream::connect(("127.0.0.1", grpc)).unwrap();
            for (mut a, mut b) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                std::thread::spawn(move || std::io::copy(&mut a, &mut b));
            }
        }
    });
    same(&values(&requests(&target, 1)[0]), &expected(exponential));
}
