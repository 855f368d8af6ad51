//! The wire contract between control plane and workers, generated from `proto/worker/v1/worker.proto`.
//!
//! No I/O and no logic: what a message means belongs to the crate that sends or receives it.

/// Package `worker.v1`: messages, client and server of `WorkerService`.
#[expect(missing_docs, unused_qualifications, clippy::allow_attributes, clippy::pedantic, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("worker.v1");

    /// Encoded `FileDescriptorSet` of this package, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/worker_v1.bin"));
}
