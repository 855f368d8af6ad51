//! The worker: takes jobs over gRPC, runs ffmpeg, proves the result whole, publishes it, and exits when idle.
//!
//! The way of a job: `grpc` decodes the request, `task` checks and admits it and runs it through [`input`] (what may be
//! read), [`encoder`] (ffmpeg), [`validator`] (is it whole?) and `uploader` (publish).

pub mod config;
pub mod encoder;
pub mod failure;
pub mod input;
pub mod tool;
pub mod validator;

mod certificate;
mod clock;
mod folder;
mod grpc;
mod identity;
mod lease;
mod media;
mod parts;
mod permit;
mod plan;
mod playlist;
mod proof;
mod scratch;
mod server;
mod shutdown;
mod task;
mod uploader;

pub use plan::chunk_lengths;
pub use server::Worker;
