//! Asks the server of this machine whether it is up.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `GET /health` of the server at `address`.
///
/// # Errors
/// When nobody answers, not in time, or not with 200.
pub async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let answer = timeout(PATIENCE, request(address)).await.context("no answer")??;
    let status = answer.lines().next().unwrap_or("");
    ensure!(status.starts_with("HTTP/1.1 200 ") || status.starts_with("HTTP/1.0 200 "), "answer is {status:?}");
    Ok(())
}

async fn request(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).await?;
    Ok(answer)
}
