use std::net::SocketAddr;

use ::service::address::Forbidden;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::input::connect::Error;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers every connection's first bytes with `answer`, or never when it is `None`.
async fn server(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => std::future::pending().await,
                }
            });
        }
    });
    address
}

async fn guard(rules: Rules, patience: Duration) -> Guard {
    Guard::start(rules, patience).await.expect("starts")
}

fn open() -> Rules {
    Rules { allow_loopback: true, trusted: None }
}

/// Sends a request to the proxy and reads the answer to its end.
async fn ask(guard: &Guard, request: &str) -> String {
    let mut stream = TcpStream::connect(guard.address()).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr) -> String {
    format!("GET http://{address}/a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn what_is_allowed_goes_through() {
    let server = server(Some("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")).await;
    let guard = guard(open(), PATIENCE).await;
    let answer = ask(&guard, &get(server)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    assert!(guard.trouble().is_none());
}

#[tokio::test]
async fn a_tunnel_carries_nothing_but_tls() {
    let server = server(Some("pong")).await;
    let guard = guard(open(), PATIENCE).await;
    let answer = ask(&guard, &format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\nping")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("pong"), "{answer}");
}

/// They are not what ffmpeg asks a proxy in the clear.
#[tokio::test]
async fn a_secure_url_is_not_fetched_for_a_request_in_the_clear() {
    let guard = guard(open(), PATIENCE).await;
    let answer = ask(&guard, "GET https://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn loopback_is_refused_without_a_connection() {
    let server = server(Some("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")).await;
    for request in [get(server), format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\nx")] {
        let guard = guard(Rules::default(), PATIENCE).await;
        let answer = ask(&guard, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let trouble = guard.trouble().expect("it was refused");
        assert!(trouble.is_refusal());
        assert_eq!(trouble.to_string(), "127.0.0.1 is a loopback address, which inputs may not use");
    }
}

#[tokio::test]
async fn a_name_is_judged_by_its_address() {
    let rules = Rules::default();
    let error = rules.connect(&"http://localhost:1".parse().expect("a URI"), PATIENCE).await.expect_err("refused");
    assert!(matches!(error, Error::Forbidden { why: Forbidden::Loopback, .. }), "{error}");
}

#[tokio::test]
async fn only_the_trusted_host_and_port_are_exempt() {
    let (server, other) = (server(Some("HTTP/1.1 204 No Content\r\n\r\n")).await, server(None).await);
    let rules = Rules { allow_loopback: false, trusted: Some(("127.0.0.1".into(), server.port())) };
    let guard = guard(rules, PATIENCE).await;
    assert!(ask(&guard, &get(server)).await.starts_with("HTTP/1.1 204"));
    assert!(ask(&guard, &get(other)).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn an_error_of_the_server_is_passed_on_and_noted() {
    let server = server(Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).await;
    let guard = guard(open(), PATIENCE).await;
    assert!(ask(&guard, &get(server)).await.starts_with("HTTP/1.1 404"));
    assert_eq!(guard.trouble().expect("noted").to_string(), "the server answered 404 Not Found");
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_noticed() {
    for (status, expected) in [("200 OK", true), ("206 Partial Content", false)] {
        let answer: &str = Box::leak(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_boxed_str());
        let (server, guard) = (server(Some(answer)).await, guard(open(), PATIENCE).await);
        ask(&guard, &get(server).replace("Connection", "Range: bytes=0-\r\nConnection")).await;
        assert_eq!(guard.ignores_ranges(), expected, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_named_in_time() {
    let server = server(None).await;
    let guard = guard(open(), Duration::from_millis(100)).await;
    assert!(ask(&guard, &get(server)).await.starts_with("HTTP/1.1 504"));
    let trouble = guard.trouble().expect("noted").to_string();
    assert_eq!(trouble, "127.0.0.1 accepts connections but does not answer");
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    drop(listener);
    let guard = guard(open(), PATIENCE).await;
    assert!(ask(&guard, &get(address)).await.starts_with("HTTP/1.1 502"));
    let trouble = guard.trouble().expect("noted").to_string();
    assert!(trouble.starts_with("cannot connect to 127.0.0.1: "), "{trouble}");
}

#[tokio::test]
async fn a_refusal_is_not_forgotten_for_a_later_error() {
    let (forbidden, guard) = (server(None).await, guard(Rules::default(), PATIENCE).await);
    ask(&guard, &get(forbidden)).await;
    ask(&guard, "GET ftp://example.org/ HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n").await;
    assert!(guard.trouble().expect("noted").to_string().contains("loopback"));
}

#[tokio::test]
async fn the_proxy_ends_with_its_guard() {
    let guard = guard(open(), PATIENCE).await;
    let address = guard.address();
    drop(guard);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_unread() {
    let server = server(Some("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")).await;
    let guard = guard(open(), PATIENCE).await;
    ask(&guard, &get(server)).await;
    let trouble = guard.unread().expect("noted").to_string();
    assert!(trouble.starts_with("127.0.0.1 broke the connection: "), "{trouble}");
}

#[tokio::test]
async fn a_refused_part_is_unread() {
    let (server, guard) = (server(None).await, guard(Rules::default(), PATIENCE).await);
    ask(&guard, &get(server)).await;
    assert!(guard.unread().expect("noted").is_refusal());
}

async fn noted(guard: &Guard) -> Trouble {
    let look = async {
        loop {
            match guard.unread() {
                Some(trouble) => return trouble,
                None => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, look).await.expect("noted")
}

/// ffmpeg would go on without it.
#[tokio::test]
async fn a_request_for_no_url_is_noted() {
    let guard = guard(open(), PATIENCE).await;
    let answer = ask(&guard, "GET http://h/a b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(noted(&guard).await, Trouble::Malformed);
}

#[tokio::test]
async fn a_client_that_insists_on_a_known_certificate_is_noted() {
    let (server, guard) = (server(None).await, guard(open(), PATIENCE).await);
    let mut stream = TcpStream::connect(guard.address()).await.expect("connects");
    let connect = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n");
    stream.write_all(connect.as_bytes()).await.expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are ring's")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let shaken = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    assert!(shaken.is_err());
    let trouble = noted(&guard).await;
    assert!(matches!(&trouble, Trouble::Guard(host, _) if host == "127.0.0.1"), "{trouble}");
}
