//! A network between a client and a server that a test can stop and cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    select,
    sync::watch,
};

use crate::wait::until;

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything.
    Open,
    /// So many bytes from clients, then nothing more; answers pass.
    HoldAfter(u64),
    /// Nothing, in neither direction; connections stay.
    Frozen,
    /// Nothing: every connection is broken.
    Down,
}

/// A network to one server. Clients connect to [`Gate::address`].
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    road: Road,
}

#[derive(Debug, Clone)]
struct Road {
    state: watch::Sender<State>,
    /// How often the connections of the time were broken.
    breaks: watch::Sender<u64>,
    sent: Arc<AtomicU64>,
}

impl Gate {
    /// An open gate before `server`.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let road = Road { state: watch::Sender::new(State::Open), breaks: watch::Sender::new(0), sent: Arc::default() };
        tokio::spawn(accept(listener, server, road.clone()));
        Self { address, road }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stands still once clients have sent so many bytes from now on.
    pub fn hold_after(&self, bytes: u64) {
        let sent = self.road.sent.load(Ordering::SeqCst);
        self.road.state.send_replace(State::HoldAfter(sent + bytes));
    }

    /// Waits until it stands still.
    pub async fn holding(&self) {
        until("the gate holds something back", async || match *self.road.state.borrow() {
            State::HoldAfter(limit) => self.road.sent.load(Ordering::SeqCst) > limit,
            State::Open | State::Frozen | State::Down => false,
        })
        .await;
    }

    /// Holds everything back, in both directions, until it is opened.
    pub fn freeze(&self) {
        self.road.state.send_replace(State::Frozen);
    }

    /// Lets everything pass again.
    pub fn open(&self) {
        self.road.state.send_replace(State::Open);
    }

    /// Breaks every connection, and every one to come.
    pub fn shut(&self) {
        self.road.state.send_replace(State::Down);
        self.break_connections();
    }

    /// Breaks the connections there are.
    pub fn break_connections(&self) {
        self.road.breaks.send_modify(|count| *count += 1);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, road: Road) {
    while let Ok((client, _)) = listener.accept().await {
        let (road, mut breaks) = (road.clone(), road.breaks.subscribe());
        tokio::spawn(async move {
            // Dropping the sockets breaks the connection for both.
            if let Ok(server) = TcpStream::connect(server).await {
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                select! {
                    () = carry(from_client, to_server, &road, Direction::Request) => {}
                    () = carry(from_server, to_client, &road, Direction::Answer) => {}
                    _ = breaks.changed() => {}
                    () = road.wait_for(|state| *state == State::Down) => {}
                }
            }
        });
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Request,
    Answer,
}

/// Carries bytes past the gate.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, road: &Road, direction: Direction) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        match direction {
            Direction::Request => road.pass(count).await,
            Direction::Answer => road.wait_for(|state| *state != State::Frozen).await,
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

impl Road {
    async fn pass(&self, count: usize) {
        let sent = self.sent.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
        self.wait_for(|state| match state {
            State::Open => true,
            State::HoldAfter(limit) => sent <= *limit,
            State::Frozen | State::Down => false,
        })
        .await;
    }

    async fn wait_for(&self, condition: impl FnMut(&State) -> bool) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.state.subscribe().wait_for(condition).await;
    }
}
