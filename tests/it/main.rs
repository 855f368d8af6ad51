//! Both binaries, real ffmpeg, a real S3 server and real sockets together, against the contract.

mod api;
mod guard;
mod players;
mod sources;
mod tools;
