//! Compiles the wire contract without an installed `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTO: &str = "worker/v1/worker.proto";
const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let descriptors = protox::compile([PROTO], [ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Server reflection hands these descriptors to clients such as grpcurl.
    fs::write(out.join("worker_v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
