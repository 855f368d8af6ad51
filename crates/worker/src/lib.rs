//! The worker: takes jobs over gRPC, runs ffmpeg, proves the result whole, publishes it, and exits when idle.

#![expect(dead_code, reason = "being built")]

pub mod failure;
mod media;
mod scratch;
pub mod tool;
mod uploader;
mod validator;
