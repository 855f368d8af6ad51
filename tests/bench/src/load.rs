//! Requests over kept connections: as fast as they are answered, or at a fixed rate.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use e2e::keep_alive::KeepAlive;
use tokio::{task::JoinSet, time::sleep_until};

use crate::measure::{Series, count, millis};

/// Who is asked what.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// A whole request, whose answer must be 202.
    pub(crate) request: Arc<Vec<u8>>,
}

/// What a load found.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Milliseconds of each.
    pub(crate) millis: Series,
}

impl Target {
    /// As many requests as are answered, each connection sending the next when it has its answer.
    pub(crate) async fn closed_loop(&self, connections: u64, time: Duration) -> Result<Figures> {
        let mut senders = JoinSet::new();
        let kept = self.connect(connections).await?;
        let start = Instant::now();
        for mut connection in kept {
            let request = Arc::clone(&self.request);
            senders.spawn(async move {
                let mut taken = Vec::new();
                while start.elapsed() < time {
                    let sent = Instant::now();
                    accepted(&mut connection, &request).await?;
                    taken.push(millis(sent.elapsed()));
                }
                Ok(taken)
            });
        }
        collect(senders, start).await
    }

    /// Requests at a fixed rate. Each is due at a time of its own, whichever connection is free sends it, and it is timed
    /// from the moment it was due: one that had to wait for another counts its wait.
    pub(crate) async fn open_loop(&self, connections: u64, rate: u64, time: Duration) -> Result<Figures> {
        let mut senders = JoinSet::new();
        let kept = self.connect(connections).await?;
        let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let total = rate * time.as_secs().max(1);
        for mut connection in kept {
            let (request, next) = (Arc::clone(&self.request), Arc::clone(&next));
            senders.spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return Ok(taken);
                    }
                    let due = start + Duration::from_nanos(number * 1_000_000_000 / rate);
                    sleep_until(due.into()).await;
                    accepted(&mut connection, &request).await?;
                    taken.push(millis(due.elapsed()));
                }
            });
        }
        collect(senders, start).await
    }

    async fn connect(&self, connections: u64) -> Result<Vec<KeepAlive>> {
        let mut kept = Vec::new();
        for _ in 0..connections {
            kept.push(KeepAlive::connect(self.address).await?);
        }
        Ok(kept)
    }
}

async fn accepted(connection: &mut KeepAlive, request: &[u8]) -> Result<()> {
    let status = connection.send(request).await?;
    ensure!(status == 202, "answered {status}");
    Ok(())
}

async fn collect(mut senders: JoinSet<Result<Vec<f64>>>, start: Instant) -> Result<Figures> {
    let mut taken = Vec::new();
    while let Some(sender) = senders.join_next().await {
        taken.extend(sender??);
    }
    ensure!(!taken.is_empty(), "nothing was accepted");
    let rate = count(taken.len()) / start.elapsed().as_secs_f64();
    Ok(Figures { rate, millis: Series::from(taken) })
}
