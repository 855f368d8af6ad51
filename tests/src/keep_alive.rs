//! The lightest HTTP/1.1 client there is, for measuring: one connection, one prepared request at a time.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// More than any head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// A kept connection.
#[derive(Debug)]
pub struct KeepAlive {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl KeepAlive {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a prepared request, reads the whole answer and tells its status.
    ///
    /// # Errors
    /// When the connection breaks, or the answer has no `Content-Length`.
    pub async fn send(&mut self, request: &[u8]) -> Result<u16> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        let (status, length) = loop {
            if let Some(head) = find_end(&self.buffer) {
                let (status, body) = read_head(&self.buffer[..head])?;
                break (status, head + 4 + body);
            }
            ensure!(self.buffer.len() < MAX_HEAD, "the head of the answer is too long");
            self.more().await?;
        };
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(status)
    }

    async fn more(&mut self) -> Result<()> {
        ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
        Ok(())
    }
}

/// A `POST` of JSON, ready to be sent.
#[must_use]
pub fn post(path: &str, json: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{json}", json.len()).into_bytes()
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head).context("the head of the answer is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    Ok((status, length.last().context("no Content-Length")?.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 12";
        assert_eq!(read_head(head).expect("a good head"), (202, 12));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }

    #[test]
    fn the_end_of_a_head_is_found() {
        assert_eq!(find_end(b"a\r\n\r\nb"), Some(1));
        assert_eq!(find_end(b"a\r\nb"), None);
    }
}
