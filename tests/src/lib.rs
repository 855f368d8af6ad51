//! What the end-to-end tests stand on: the real binaries as child processes, each test in a folder of its own.
//!
//! A test makes a [`Sandbox`] first, so that it is dropped last. The sandbox starts workers, control planes and S3
//! servers ([`Worker`], [`Plane`], [`S3Server`]), each of them a [`Daemon`] whose log goes to a file; it prints the
//! logs when the test fails, and when the test ends it makes sure that no process is left that belongs to it.
//!
//! - [`chaos`] – a load of jobs while everything is killed
//! - [`clips`] – sources made with ffmpeg
//! - [`events`] – what a job's stream tells
//! - [`gate`] – a network that can be stopped and cut
//! - [`keep_alive`] – the lightest HTTP client, for measuring
//! - [`original`] – the wire contract as the original service knows it
//! - [`postgres`] – a PostgreSQL server, private to a test process
//! - [`wait`] – waiting on conditions instead of on the clock

#![expect(clippy::missing_panics_doc, reason = "a helper of tests that cannot do its work fails the test")]

pub mod binary;
pub mod chaos;
pub mod clips;
pub mod daemon;
pub mod events;
pub mod gate;
pub mod keep_alive;
pub mod original;
pub mod plane;
pub mod postgres;
pub mod processes;
pub mod s3;
pub mod sandbox;
pub mod wait;
pub mod worker;

pub use daemon::{Daemon, Launch, Port};
pub use events::{Events, statuses};
pub use gate::Gate;
pub use plane::Plane;
pub use postgres::Postgres;
pub use s3::S3Server;
pub use sandbox::Sandbox;
pub use wait::{PATIENCE, until};
pub use worker::Worker;

use serde_json::{Value, json};

/// An HTTP client that uses no proxy.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // Another test of the same process may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// A job request: this input to this path of this storage.
#[must_use]
pub fn job(input_url: &str, preset: &str, storage: &str, path: &str) -> Value {
    json!({"input_url": input_url, "preset": preset, "output": {"storage": storage, "path": path}})
}
