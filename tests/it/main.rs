//! Both binaries, real ffmpeg, a real S3 server and real sockets together, against the contract.

mod admission;
mod api;
mod cleanup;
mod docs;
mod guard;
mod idle;
mod interop;
mod orphans;
mod parts;
mod players;
mod site;
mod sources;
mod split;
mod storage;
mod survive;
mod tools;
