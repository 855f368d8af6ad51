//! The wire contract as the original service knows it, generated from `tests/proto/original.proto`.

#![expect(missing_docs, unused_qualifications, clippy::allow_attributes, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("worker.v1");

/// Encoded `FileDescriptorSet` of the original contract.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/original.bin"));
