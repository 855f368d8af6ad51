//! Where results go: S3 over the real SDK and a real server, and folders.

mod faults;
mod local;
mod s3;
