//! Clients that only cost, and what they cost.

use std::{future::pending, net::SocketAddr};

use axum::routing::get;
use rstest::rstest;
use service::lifecycle::Outcome;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::Instant,
};

use super::*;

const LONG: Duration = Duration::from_hours(1);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

/// A server that only an abort ends.
async fn start(connections: usize, router: Router, lifecycle: &Lifecycle) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let closing = lifecycle.hard_token().cancelled_owned();
    lifecycle.spawn("server", serve(listener, connections, router, lifecycle.clone(), closing));
    address
}

async fn connect(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client.write_all(sent).await.expect("a write");
    client
}

#[rstest]
#[case::nothing(b"")]
#[case::half_a_preface(b"PRI * HTTP")]
#[case::half_a_head(b"GET / HTTP/1.1\r\nHost: ")]
#[case::a_whole_preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")]
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_request_is_dropped(#[case] sent: &[u8]) {
    let lifecycle = Lifecycle::new();
    let start_of_wait = Instant::now();
    let mut client = connect(start(1, Router::new(), &lifecycle).await, sent).await;
    // Nothing else can happen, so the paused clock runs ahead to the time-out.
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("the server closes the connection");
    assert!(start_of_wait.elapsed() < 2 * HEAD, "it could wait long");
    lifecycle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_room_for_a_hundred_requests_and_no_more() {
    let lifecycle = Lifecycle::new();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut said = Vec::new();
    connect(start(1, Router::new(), &lifecycle).await, preface).await.read_to_end(&mut said).await.expect("a close");
    // RFC 9113, section 6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS.
    assert!(said.windows(6).any(|setting| setting == [0, 3, 0, 0, 0, 100]), "{said:?}");
    lifecycle.abort();
}

/// A request whose head has so many bytes.
fn head(length: usize, method: &str, fields: &str) -> String {
    let begin = format!("{method} / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{fields}Cookie: ");
    format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4))
}

async fn answer(address: SocketAddr, sent: &[u8]) -> String {
    let mut answer = String::new();
    connect(address, sent).await.read_to_string(&mut answer).await.expect("an answer");
    answer
}

/// Whoever connects may have that much kept, many times over.
#[tokio::test(start_paused = true)]
async fn a_long_head_is_refused_before_it_is_whole() {
    let lifecycle = Lifecycle::new();
    let count = async |body: String| body.len().to_string();
    let address = start(1, Router::new().route("/", get(async || "hello").post(count)), &lifecycle).await;
    let longest = answer(address, head(HEAD_SIZE, "GET", "").as_bytes()).await;
    assert!(longest.ends_with("hello"), "{longest}");
    let too_long = answer(address, &head(HEAD_SIZE + 1, "GET", "").as_bytes()[..HEAD_SIZE]).await;
    assert!(too_long.starts_with("HTTP/1.1 431 "), "{too_long}");
    // What is behind the head does not count.
    let length = 256 * 1024;
    let mut long = head(HEAD_SIZE, "POST", &format!("Content-Length: {length}\r\n"));
    long.push_str(&"y".repeat(length));
    let counted = answer(address, long.as_bytes()).await;
    assert!(counted.ends_with(&length.to_string()), "{counted}");
    lifecycle.abort();
}

/// Asks over a connection that stays open.
async fn ask(client: &mut TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.expect("a write");
    let mut answer = String::new();
    while !answer.ends_with("hello") {
        let mut part = [0; 1024];
        let length = client.read(&mut part).await.expect("an answer");
        assert!(length > 0, "closed: {answer:?}");
        answer.push_str(std::str::from_utf8(&part[..length]).expect("text"));
    }
}

/// How long the server keeps a connection on which nothing comes.
async fn kept(mut client: TcpStream) -> Duration {
    let start = Instant::now();
    client.read_to_end(&mut Vec::new()).await.expect("the server closes the connection in the end");
    start.elapsed()
}

/// The pools of common clients keep connections for a minute and a half. Should the server close one while a request is on
/// its way, nobody would know whether the request was taken.
#[tokio::test(start_paused = true)]
async fn a_client_that_pauses_may_go_on() {
    let lifecycle = Lifecycle::new();
    let address = start(3, Router::new().route("/", get(async || "hello")), &lifecycle).await;
    let mut client = connect(address, b"").await;
    ask(&mut client).await;
    sleep(Duration::from_secs(90)).await;
    ask(&mut client).await;
    let kept = kept(client).await;
    assert!(kept >= PAUSE && kept < 2 * PAUSE, "{kept:?}");
    lifecycle.abort();
}

#[tokio::test(start_paused = true)]
async fn where_there_is_little_room_it_may_not_for_long() {
    let lifecycle = Lifecycle::new();
    let address = start(1, Router::new().route("/", get(async || "hello")), &lifecycle).await;
    let mut client = connect(address, b"").await;
    ask(&mut client).await;
    assert!(kept(client).await < 2 * HEAD);
    lifecycle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_too_many_waits_until_another_leaves() {
    let lifecycle = Lifecycle::new();
    let address = start(1, Router::new().route("/", get(async || "hello")), &lifecycle).await;
    let start = Instant::now();
    let _idle = connect(address, b"").await;
    let mut answer = String::new();
    connect(address, REQUEST).await.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(start.elapsed() >= HEAD, "served beside the idle client");
    lifecycle.abort();
}

#[tokio::test]
async fn a_full_server_can_be_stopped() {
    let lifecycle = Lifecycle::new();
    start(0, Router::new(), &lifecycle).await;
    lifecycle.abort();
    assert_eq!(lifecycle.finish(LONG, LONG).await, Outcome::Clean);
}

#[tokio::test]
async fn an_abort_drops_a_young_connection_too() {
    let lifecycle = Lifecycle::new();
    let (entered, mut requests) = mpsc::unbounded_channel();
    let hang = async move || {
        entered.send(()).expect("the test waits");
        pending::<()>().await;
    };
    let _client = connect(start(1, Router::new().route("/", get(hang)), &lifecycle).await, REQUEST).await;
    requests.recv().await.expect("a request");
    lifecycle.abort();
    // Less than the time that a client has for its first request.
    assert_eq!(lifecycle.finish(LONG, HEAD / 2).await, Outcome::Clean);
}
