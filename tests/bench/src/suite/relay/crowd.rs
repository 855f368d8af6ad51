//! Many listeners, each with a connection of its own, as light as can be: they share the machine with what is measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::stub::now;

/// Longer than any event takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many connections are opened at once: fewer than the backlog of a listening socket.
const AT_ONCE: usize = 100;

/// Listeners of some jobs, the same number of each.
#[derive(Debug)]
pub(super) struct Crowd {
    plane: SocketAddr,
    jobs: Vec<String>,
    listeners: JoinSet<()>,
    heard: mpsc::UnboundedReceiver<Heard>,
    tell: mpsc::UnboundedSender<Heard>,
}

/// An event that a listener has got.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Heard {
    progress: f32,
    delay: f64,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(plane: SocketAddr, jobs: Vec<String>) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        Self { plane, jobs, listeners: JoinSet::new(), heard, tell }
    }

    /// Has more listeners come, until there are so many.
    pub(super) async fn grow(&mut self, size: usize) -> Result<()> {
        let (plane, jobs) = (self.plane, &self.jobs);
        let connect = |number: usize| listen(plane, &jobs[number % jobs.len()]);
        let new = stream::iter(self.listeners.len()..size).map(connect).buffer_unordered(AT_ONCE);
        let new: Vec<_> = new.try_collect().await?;
        for socket in new {
            let tell = self.tell.clone();
            self.listeners.spawn(async move {
                // Who waits for events notices that they do not come.
                let _ = read(socket, &tell).await;
            });
        }
        Ok(())
    }

    /// Waits until every listener has heard of this progress, and tells the delays in milliseconds.
    pub(super) async fn hear(&mut self, progress: f32) -> Result<Vec<f64>> {
        let mut delays = Vec::with_capacity(self.listeners.len());
        while delays.len() < self.listeners.len() {
            let heard = timeout(PATIENCE, self.heard.recv()).await;
            let heard = heard.ok().flatten();
            let heard = heard.with_context(|| format!("{} of {} heard", delays.len(), self.listeners.len()))?;
            // Who comes later gets the last event that was before.
            if heard.progress.total_cmp(&progress).is_eq() {
                delays.push(heard.delay);
            }
        }
        Ok(delays)
    }
}

/// A connection over which events have begun to come.
async fn listen(plane: SocketAddr, job: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(plane).await.context("cannot connect")?;
    let request = format!("GET /api/v1/jobs/{job}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    timeout(PATIENCE, socket.read_exact(&mut head)).await.context("no answer")??;
    ensure!(&head == b"HTTP/1.1 200", "answered {}", String::from_utf8_lossy(&head));
    Ok(socket)
}

async fn read(mut socket: TcpStream, tell: &mpsc::UnboundedSender<Heard>) -> Result<()> {
    let mut buffer = Vec::with_capacity(1024);
    while socket.read_buf(&mut buffer).await? > 0 {
        let arrived = now();
        while let Some(end) = buffer.windows(2).position(|window| window == b"\n\n") {
            if let Some(heard) = parse(&String::from_utf8_lossy(&buffer[..end]), arrived) {
                tell.send(heard)?;
            }
            buffer.drain(..end + 2);
        }
    }
    Ok(())
}

/// An event of a stub's job.
fn parse(event: &str, arrived: f64) -> Option<Heard> {
    let after = |name: &str| event.split_once(name).map(|(_, rest)| rest);
    let sent: f64 = after("\"sent at ")?.split_once(" ms").and_then(|(number, _)| number.parse().ok())?;
    let progress = after("\"progress\":")?.split(',').next().and_then(|number| number.parse().ok())?;
    Some(Heard { progress, delay: arrived - sent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_when_it_was_sent() {
        let event = r#"data: {"job_id":"a","progress":1.5,"message":"sent at 10.250 ms","timestamp":"t"}"#;
        assert_eq!(parse(event, 12.5), Some(Heard { progress: 1.5, delay: 2.25 }));
        assert_eq!(parse(r#"data: {"progress":0.0,"message":"encoding"}"#, 0.0), None);
    }
}
