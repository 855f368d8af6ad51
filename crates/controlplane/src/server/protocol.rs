//! Which HTTP a client speaks. Told before hyper reads anything: hyper-util's way of telling hands it the first bytes
//! alone, for which each connection would get a read buffer of twice the size.

use std::io::{self, Cursor};

use tokio::{
    io::{AsyncReadExt as _, Chain, Join, join},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What a client of HTTP/2 without TLS begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read to begin with, in bytes: the head of most requests.
const BEGIN: usize = 1024;

/// A connection from which nothing is missing that was read.
pub(super) type Whole = Join<Chain<Cursor<Box<[u8]>>, OwnedReadHalf>, OwnedWriteHalf>;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 or older, or nonsense.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Waits for the first bytes.
///
/// # Errors
/// When the connection ends before.
pub(super) async fn tell(mut stream: TcpStream) -> io::Result<(Protocol, Whole)> {
    let mut begin = Vec::with_capacity(BEGIN);
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        if stream.read_buf(&mut begin).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let protocol = if begin.starts_with(PREFACE) { Protocol::Http2 } else { Protocol::Http1 };
    let (read, write) = stream.into_split();
    Ok((protocol, join(Cursor::new(begin.into_boxed_slice()).chain(read), write)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[rstest]
    #[case::a_request(&["GET / HTTP/1.1\r\n\r\n"], Ok(Protocol::Http1))]
    #[case::a_letter(&["G", "ET / HTTP/1.1\r\n\r\n"], Ok(Protocol::Http1))]
    #[case::like_a_preface(&["PRI * HTTP/2.0\r\n\r\n", "XX\r\n\r\n"], Ok(Protocol::Http1))]
    #[case::a_preface(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "more"], Ok(Protocol::Http2))]
    #[case::a_preface_in_pieces(&["PRI * HT", "TP/2.0\r\n\r\nSM\r\n", "\r\nmore"], Ok(Protocol::Http2))]
    #[case::half_a_preface(&["PRI * HT"], Err(io::ErrorKind::UnexpectedEof))]
    #[tokio::test]
    async fn nothing_is_missing_that_was_read(
        #[case] sent: &[&str],
        #[case] expected: Result<Protocol, io::ErrorKind>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = async {
            let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
            client.set_nodelay(true).expect("sets");
            for piece in sent {
                client.write_all(piece.as_bytes()).await.expect("a write");
                tokio::task::yield_now().await;
            }
        };
        let server = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            let (protocol, mut whole) = tell(stream).await.map_err(|error| error.kind())?;
            let mut text = String::new();
            whole.read_to_string(&mut text).await.expect("text");
            assert_eq!(text, sent.concat());
            Ok(protocol)
        };
        assert_eq!(tokio::join!(client, server).1, expected);
    }
}
