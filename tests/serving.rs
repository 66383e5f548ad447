//! How the HTTP server treats clients: those that ask well, badly, slowly, and those that do not listen.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use kanary::config::LISTEN;
use kanary::expose::http::{Audience, CONNECTIONS, bind};

use crate::fixed::{Fixed, Server, snapshot};
use crate::harness::daemon::{Daemon, kanary_command, temp_dir};
use crate::harness::http::{free_port, get_json};

/// A parsed response: status, head in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    /// The `error` of a JSON fault.
    fn error(&self) -> String {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        json["error"].as_str().unwrap().to_string()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Reads until the server closes.
fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a response has a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    Answer { status: head[9..12].parse().unwrap(), head, body: bytes.split_off(end + 4) }
}

fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    // A server that has heard enough may close while we still send.
    let _ = stream.write_all(request);
    read(stream)
}

fn ask(server: &Server, method: &str, target: &str, headers: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n{headers}\r\n");
    send(server.address, request.as_bytes())
}

fn people() -> Server {
    Server::start(Fixed::new(snapshot()), Audience::People, "127.0.0.1:0")
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = people();
    for (method, target, status, error) in [
        ("GET", "/debug/pprof/", 404, "no such path: /debug/pprof/"),
        ("GET", "/metrics/", 404, "no such path: /metrics/"),
        ("POST", "/metrics", 405, "POST is not allowed here: use GET, HEAD"),
        ("DELETE", "/status", 405, "DELETE is not allowed here"),
        ("GET", "/metrics?collect[]=zfs", 400, "collect[]=zfs: unknown or disabled collector; allowed are host, odd"),
        ("GET", "/metrics?collect[]=odd&exclude[]=host", 400, "cannot be combined"),
        ("GET", "/metrics?colect=odd", 400, "unknown parameter `colect`"),
        ("GET", "/anomalies?limit=many", 400, "`limit=many`"),
        ("GET", "/status?x=1", 400, "unknown parameter `x`"),
    ] {
        let answer = ask(&server, method, target, "");
        assert_eq!(answer.status, status, "{method} {target}");
        assert!(answer.error().contains(error), "{}", answer.error());
        assert_eq!(answer.head.contains("\r\nallow: get, head"), status == 405);
    }
}

#[test]
fn machines_do_not_see_the_api() {
    let server = Server::of_snapshot();
    for (path, status) in [("/", 200), ("/-/healthy", 200), ("/-/ready", 200), ("/status", 404), ("/openapi.json", 404)]
    {
        assert_eq!(ask(&server, "GET", path, "").status, status, "{path}");
    }
    let people = people();
    for path in ["/", "/-/ready", "/anomalies?limit=5", "/trends", "/status", "/openapi.json"] {
        assert_eq!(ask(&people, "GET", path, "").status, 200, "{path}");
    }
    assert!(ask(&people, "GET", "/", "").text().contains("href=\"/openapi.json\""));
}

#[test]
fn collectors_can_be_chosen() {
    let server = Server::of_snapshot();
    let only = ask(&server, "GET", "/metrics?collect%5B%5D=odd", "");
    assert!(only.text().contains("kanary_test_odd") && !only.text().contains("node_cpu"));
    let except = ask(&server, "GET", "/metrics?exclude[]=odd", "");
    assert!(!except.text().contains("kanary_test_odd") && except.text().contains("node_cpu"));
}

#[test]
fn formats_and_compression_are_negotiated() {
    let server = Server::of_snapshot();
    let plain = ask(&server, "GET", "/metrics", "");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", plain.head);
    let packed = ask(&server, "GET", "/metrics", "Accept-Encoding: gzip\r\n");
    assert!(packed.head.contains("content-encoding: gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let open = ask(&server, "GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0") && open.text().ends_with("# EOF\n"));

    let head = ask(&server, "HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.head.contains(&format!("content-length: {}", plain.body.len())), "{}", head.head);
}

#[test]
fn what_is_no_http_is_said_so() {
    let server = Server::of_snapshot();
    for garbage in [
        &b"hello\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let answer = send(server.address, garbage);
        assert_eq!(answer.status, 400, "{garbage:?}");
        assert!(answer.error().contains("not an HTTP/1.1 request"), "{}", answer.error());
    }
}

#[test]
fn large_heads_and_bodies_are_refused() {
    let server = Server::of_snapshot();
    let fine = ask(&server, "GET", "/metrics", &format!("X-Long: {}\r\n", "x".repeat(15_000)));
    assert_eq!(fine.status, 200);
    let long = "x".repeat(1 << 20);
    let header = ask(&server, "GET", "/metrics", &format!("X-Long: {long}\r\n"));
    assert_eq!((header.status, header.error().contains("longer than 16384 bytes")), (431, true));
    let target = ask(&server, "GET", &format!("/metrics?collect[]={long}"), "");
    assert_eq!(target.status, 431);
    let fields = ask(&server, "GET", "/metrics", &"A: b\r\n".repeat(200));
    assert_eq!(fields.status, 431);

    let told = format!("GET /metrics HTTP/1.1\r\nHost: k\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let body = send(server.address, told.as_bytes());
    assert_eq!((body.status, body.error()), (413, "the body is longer than 65536 bytes".into()));
    let chunk = format!("{:x}\r\n{long}\r\n", long.len());
    let chunked = format!("GET /metrics HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}");
    assert_eq!(send(server.address, chunked.as_bytes()).status, 413);
    assert_eq!(ask(&server, "GET", "/metrics", "").status, 200);
}

#[test]
fn slow_heads_and_bodies_time_out() {
    let server = Server::of_snapshot();
    let drip = |first: &'static [u8], address: SocketAddr| {
        std::thread::spawn(move || {
            let start = Instant::now();
            let mut stream = connect(address);
            stream.write_all(first).unwrap();
            let mut dripping = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                while start.elapsed() < Duration::from_secs(20) && dripping.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(500));
                }
            });
            (read(stream), start.elapsed())
        })
    };
    let head = drip(b"GET /metrics HTTP/1.1\r\nX-Slow: ", server.address);
    let body = drip(b"GET /metrics HTTP/1.1\r\nHost: k\r\nContent-Length: 5000\r\n\r\n", server.address);
    let silent = drip(b"", server.address);
    for (client, error) in
        [(head, "head did not arrive"), (body, "body did not arrive"), (silent, "head did not arrive")]
    {
        let (answer, took) = client.join().unwrap();
        assert_eq!(answer.status, 408);
        assert!(answer.error().contains(error), "{}", answer.error());
        assert!((9..14).contains(&took.as_secs()), "{took:?}");
    }
}

#[test]
fn late_collections_are_given_up_at_the_scrapers_deadline() {
    let source = Fixed { delay: Duration::from_secs(20), ..Fixed::new(snapshot()) };
    let server = Server::start(source, Audience::Machines, "127.0.0.1:0");
    let start = Instant::now();
    let answer = ask(&server, "GET", "/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n");
    assert_eq!((answer.status, answer.error()), (503, "no collection within 0.5 s".into()));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(ask(&server, "GET", "/-/healthy", "").status, 200);
}

#[test]
fn connections_are_bounded_and_come_free() {
    let server = Server::of_snapshot();
    let open: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(server.address)).collect();
    std::thread::sleep(Duration::from_millis(200));
    let refused = ask(&server, "GET", "/metrics", "");
    assert_eq!((refused.status, refused.error()), (503, format!("{CONNECTIONS} connections are open already")));
    drop(open);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ask(&server, "GET", "/metrics", "").status, 200);
}

#[test]
fn clients_that_do_not_read_cost_nobody_else() {
    let server = Server::of_snapshot();
    let deaf: Vec<TcpStream> = (0..20)
        .map(|_| {
            let stream = connect(server.address);
            stream.set_nonblocking(true).unwrap();
            let requests = b"GET /metrics HTTP/1.1\r\nHost: k\r\n\r\n".repeat(20_000);
            let _ = (&stream).write(&requests);
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(ask(&server, "GET", "/metrics", "").status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(deaf);
}

#[test]
fn a_connection_serves_many_and_fifty_are_served_at_once() {
    let server = Server::of_snapshot();
    let address = server.address;
    let clients: Vec<_> = (0..50)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = connect(address);
                for _ in 0..3 {
                    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: k\r\n\r\n").unwrap();
                    let mut bytes = [0; 4096];
                    let n = stream.read(&mut bytes).unwrap();
                    assert!(bytes[..n].starts_with(b"HTTP/1.1 200 OK"));
                }
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n").unwrap();
                assert_eq!(read(stream).status, 200);
            })
        })
        .collect();
    clients.into_iter().for_each(|c| c.join().unwrap());
    // One that sends its end of the connection first still gets its answer.
    let mut stream = connect(address);
    stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read(stream).text(), "healthy\n");
}

#[test]
fn a_port_in_use_is_one_line_and_ipv6_works() {
    let server = Server::start(Fixed::new(snapshot()), Audience::Machines, "[::1]:0");
    assert_eq!(ask(&server, "GET", "/-/healthy", "").status, 200);
    let error = bind(&LISTEN, server.address).unwrap_err().to_string();
    assert!(error.starts_with(&format!("KANARY_LISTEN={}: cannot listen there: Address", server.address)), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn the_api_is_as_it_describes_itself() {
    let folder = temp_dir();
    let (mut command, url) = kanary_command(folder.path(), &[("KANARY_EBPF", "off"), ("KANARY_TYPO", "1")]);
    let api = format!("127.0.0.1:{}", free_port());
    command.env("KANARY_API_LISTEN", &api);
    let _kanary = Daemon::start("kanary", &mut command, folder, url).ready("/-/ready");
    let document = get_json(&format!("http://{api}/openapi.json"));
    for path in document["paths"].as_object().unwrap().keys() {
        let answers = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let mut schema = answers["application/json"]["schema"].clone();
        schema["components"] = document["components"].clone();
        let answer = get_json(&format!("http://{api}{path}"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<String> = validator.iter_errors(&answer).map(|e| e.to_string()).collect();
        assert_eq!(faults, [""; 0], "{path}: {answer}");
    }
}
