//! What holds for every route: JSON errors, the API key, limits, both versions of HTTP.

use reqwest::{Client, Method, Response, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    plane::{Plane, good_job},
    stub::{Stub, nobody},
};

async fn plane() -> Plane {
    Plane::over(&[nobody().await]).await
}

async fn with_key() -> Plane {
    Plane::start(&[nobody().await], |config| config.api_key = Some("secret".into())).await
}

async fn error(response: Response) -> (u16, Value) {
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    (response.status().as_u16(), response.json().await.expect("a JSON body"))
}

#[rstest]
#[case::unknown_route(Method::GET, "/nope", 404, "not found")]
#[case::unknown_route_of_the_api(Method::GET, "/api/v1/nope", 404, "not found")]
#[case::root(Method::GET, "/", 404, "not found")]
#[case::wrong_method(Method::PUT, "/api/v1/jobs", 405, "method not allowed")]
#[case::wrong_method_outside(Method::POST, "/health", 405, "method not allowed")]
#[tokio::test]
async fn errors_are_json(#[case] method: Method, #[case] path: &str, #[case] status: u16, #[case] text: &str) {
    let response = plane().await.request(method, path).send().await.expect("an answer");
    assert_eq!(error(response).await, (status, json!({"error": text})));
}

#[rstest]
#[case::not_json("application/json", "{", 400, "invalid JSON: EOF while parsing an object at line 1 column 1", None)]
#[case::form_type_as_curl_sends_it(
    "application/x-www-form-urlencoded",
    "{}",
    400,
    "input_url: is required",
    Some("input_url")
)]
#[case::empty_object("application/json", "{}", 400, "input_url: is required", Some("input_url"))]
#[case::wrong_type(
    "application/json",
    r#"{"preset":7}"#,
    400,
    "preset: invalid type: integer `7`, expected a string at line 1 column 11",
    Some("preset")
)]
#[tokio::test]
async fn wrong_bodies_are_refused(
    #[case] content_type: &str,
    #[case] body: &'static str,
    #[case] status: u16,
    #[case] text: &str,
    #[case] field: Option<&str>,
) {
    let plane = plane().await;
    let request = plane.request(Method::POST, "/api/v1/jobs").header("content-type", content_type).body(body);
    let (given, body) = error(request.send().await.expect("an answer")).await;
    assert_eq!((given, body["error"].as_str(), body["field"].as_str()), (status, Some(text), field));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let plane = plane().await;
    let mut job = good_job();
    job["filler"] = json!("x".repeat(256 * 1024));
    let response = plane.request(Method::POST, "/api/v1/jobs").json(&job).send().await.expect("an answer");
    let text = "the body is longer than 262144 bytes";
    assert_eq!(error(response).await, (413, json!({"error": text})));
}

#[tokio::test]
async fn a_path_that_climbs_out_is_refused() {
    let plane = plane().await;
    for path in ["../x", "/etc/passwd", "a/../../b", "a\u{0}b", "a\nb"] {
        let mut job = good_job();
        job["output"]["path"] = json!(path);
        let (status, body) = plane.post(&job).await;
        assert_eq!((status, body["field"].as_str()), (StatusCode::BAD_REQUEST, Some("output.path")), "{path:?}");
    }
}

#[rstest]
#[case::no_header(None, "missing authorization header")]
#[case::no_scheme(Some("secret"), "invalid authorization header format")]
#[case::other_scheme(Some("Basic secret"), "invalid authorization header format")]
#[case::other_key(Some("Bearer wrong"), "invalid api key")]
#[tokio::test]
async fn the_api_needs_the_key(#[case] header: Option<&str>, #[case] text: &str) {
    let plane = with_key().await;
    for (method, path) in [
        (Method::POST, "/api/v1/jobs"),
        (Method::GET, "/api/v1/jobs"),
        (Method::PUT, "/api/v1/jobs"),
        (Method::GET, "/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000"),
        (Method::DELETE, "/api/v1/jobs/no-uuid"),
        (Method::GET, "/api/v1/jobs/550e8400-e29b-41d4-a716-446655440000/stream"),
        (Method::GET, "/api/v1/workers/status"),
        (Method::GET, "/api/v1/presets"),
        (Method::GET, "/api/v1/nope"),
    ] {
        let mut request = plane.request(method.clone(), path);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(error(response).await, (401, json!({"error": text})), "{method} {path}");
    }
}

#[tokio::test]
async fn the_key_opens_the_api_and_the_rest_is_open() {
    let plane = with_key().await;
    let presets = plane.request(Method::GET, "/api/v1/presets").bearer_auth("secret");
    assert_eq!(presets.send().await.expect("an answer").status(), StatusCode::OK);
    for path in ["/health", "/metrics", "/swagger", "/swagger/", "/swagger/swagger-ui.css", "/api/openapi.json"] {
        let response = plane.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn health_tells_the_version() {
    let (status, body) = plane().await.get("/health").await;
    assert_eq!((status, body), (StatusCode::OK, json!({"status": "ok", "version": service::VERSION})));
}

#[tokio::test]
async fn presets_are_listed() {
    let (status, body) = plane().await.get("/api/v1/presets").await;
    assert_eq!(status, StatusCode::OK);
    let presets = body["presets"].as_array().expect("a list");
    assert_eq!(presets.len(), preset::ALL.len());
    let ladder = presets.iter().find(|preset| preset["name"] == "hls_720p_abr").expect("an original preset");
    assert_eq!(ladder["output_type"], "hls");
}

#[tokio::test]
async fn swagger_loads_nothing_from_elsewhere() {
    let plane = plane().await;
    let page = plane.request(Method::GET, "/swagger/").send().await.expect("an answer").text().await.expect("text");
    assert!(page.contains("swagger-ui") && !page.contains("src=\"http") && !page.contains("href=\"http"), "{page}");
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let mut stream = TcpStream::connect(plane.address).await.expect("a connection");
    // The preface and an empty SETTINGS frame; the server's own SETTINGS frame (type 4) comes back.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("a write");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4);
}

#[tokio::test]
async fn the_health_check_tells_up_from_down() {
    let plane = plane().await;
    controlplane::healthcheck::ask(plane.address).await.expect("it is up");
    assert!(controlplane::healthcheck::ask(nobody().await).await.is_err());
    controlplane::tls::install();
    let client = Client::builder().no_proxy().build().expect("a client");
    let answer = client.head(format!("http://{}/health", plane.address)).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}
