//! Control planes and stores that die: the jobs go on.

mod planes;
mod restart;
mod start;
mod store;

use e2e::{Sandbox, processes::Process};
use serde_json::Value;

/// The ffmpeg that encodes.
fn encoder(sandbox: &Sandbox) -> Process {
    let mut tools = sandbox.tools();
    tools.retain(|tool| tool.program.contains("ffmpeg"));
    assert_eq!(tools.len(), 1, "{tools:?}");
    tools.remove(0)
}

fn attempts(job: &Value) -> &Vec<Value> {
    job["attempts"].as_array().expect("attempts")
}
