//! A binary under test as a child process.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::until;

/// A port that nobody else is given: a socket is bound to it, which does not listen. Until a daemon listens there,
/// connections are refused.
#[derive(Debug)]
pub struct Port(TcpSocket);

impl Port {
    /// Takes a free port.
    #[must_use]
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Lets the daemon bind the same port, again and again.
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        Self(socket)
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let port = self.0.local_addr().expect("bound").port();
        ([127, 0, 0, 1], port).into()
    }
}

/// How a daemon is started.
#[derive(Debug)]
pub struct Launch {
    /// The binary's name.
    pub binary: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where what it prints goes.
    pub log: PathBuf,
}

impl Launch {
    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts the process.
    pub(crate) fn spawn(&self) -> Child {
        let log = File::options().append(true).create(true).open(&self.log).expect("the log can be written");
        Command::new(crate::binary::path(self.binary))
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the binary starts")
    }

    /// Runs the process to its end.
    pub async fn run(&self) -> ExitStatus {
        exited(&mut self.spawn()).await
    }

    /// What was printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    launch: Launch,
    port: Port,
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it listens on `port`.
    pub async fn start(launch: Launch, port: Port) -> Self {
        let mut daemon = Self::spawn(launch, port);
        daemon.listening().await;
        daemon
    }

    /// Starts it and waits for nothing.
    #[must_use]
    pub fn spawn(launch: Launch, port: Port) -> Self {
        Self { child: launch.spawn(), launch, port }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process numbers are small"))
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.launch.output()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process was not reaped");
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it has ended.
    pub async fn exited(&mut self) -> ExitStatus {
        exited(&mut self.child).await
    }

    /// Kills it without warning, like a power cut.
    pub async fn crash(&mut self) {
        self.signal(Signal::SIGKILL);
        self.exited().await;
    }

    /// Starts it anew at the same address, once it has ended.
    pub async fn restart(&mut self) {
        self.exited().await;
        self.child = self.launch.spawn();
        self.listening().await;
    }

    async fn listening(&mut self) {
        let address = self.port.address();
        let (child, launch) = (&mut self.child, &self.launch);
        until("a daemon listens", async || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{} ended with {ended:?}: {}", launch.binary, launch.output());
            TcpStream::connect(address).await.is_ok()
        })
        .await;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where the process was reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn exited(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process ends", async || {
        status = child.try_wait().expect("a child can be waited for");
        status.is_some()
    })
    .await;
    status.expect("it has ended")
}
