//! The sources of the load, as files and over HTTP.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Path as Name, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::load::Source;
use crate::clips;

/// Makes the sources in `folder`.
pub fn fill(folder: &Path) {
    for source in Source::GOOD {
        let clip = match source {
            Source::Tiny => clips::talking("320x180", 1),
            Source::Short => clips::talking("320x180", 3),
            Source::Middle => clips::talking("640x360", 6),
            Source::Long => clips::talking("640x360", 15),
            Source::Noise => clips::noise(),
            Source::Missing | Source::Garbage => continue,
        };
        fs::copy(clip, folder.join(source.file())).expect("a copy");
    }
    fs::write(folder.join(Source::Garbage.file()), b"not a video ".repeat(4_000)).expect("a file");
}

type Files = Arc<BTreeMap<String, Bytes>>;

/// Serves the files of `folder`, in ranges where a client asks for them. Ends with the runtime.
pub async fn serve(folder: &Path) -> SocketAddr {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let files = entries.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, Bytes::from(fs::read(entry.path()).expect("a file")))
    });
    let router = Router::new().route("/{name}", get(file)).with_state(Files::new(files.collect()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn file(State(files): State<Files>, Name(name): Name<String>, headers: HeaderMap) -> Response {
    let Some(bytes) = files.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let accepts = (header::ACCEPT_RANGES, "bytes".to_owned());
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some((from, to)) = range.and_then(|range| bounds(range, bytes.len())) else {
        return ([accepts], bytes.clone()).into_response();
    };
    let content = (header::CONTENT_RANGE, format!("bytes {from}-{}/{}", to - 1, bytes.len()));
    (StatusCode::PARTIAL_CONTENT, [accepts, content], bytes.slice(from..to)).into_response()
}

/// Reads `bytes=FROM-` and `bytes=FROM-TO`; the end that is answered is not part of the range.
fn bounds(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let to = if to.is_empty() { length } else { to.parse::<usize>().ok()?.saturating_add(1).min(length) };
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(bounds("bytes=0-", 10), Some((0, 10)));
        assert_eq!(bounds("bytes=2-3", 10), Some((2, 4)));
        assert_eq!(bounds("bytes=2-99", 10), Some((2, 10)));
        assert_eq!(bounds("bytes=10-", 10), None);
        assert_eq!(bounds("lines=1-2", 10), None);
    }
}
