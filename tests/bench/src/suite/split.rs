//! Split jobs: against ffmpeg by hand, over several workers, at the scale of a hundred, where they are short, and while
//! workers are killed.
//!
//! - `pairs`: one worker against the same ffmpeg command by hand
//! - `speedup`: two cores against one
//! - `scale`: many workers that encode nothing but take the time
//! - `short`: what may not become slower
//! - `quality`: what it costs in bytes and in quality
//! - `halves`: what there is to gain on this machine
//! - `killed`: the same bytes whatever dies
//! - `lengths`: which length of a chunk is best

pub(super) mod halves;
pub(super) mod killed;
pub(super) mod lengths;
pub(super) mod pairs;
pub(super) mod quality;
pub(super) mod scale;
pub(super) mod short;
pub(super) mod speedup;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Result, ensure};
use e2e::{Plane, Sandbox, clips, plane::PlaneBuilder, until};
use serde_json::Value;

use crate::{measure::timed, plan::Plan};

/// Long enough for three chunks of [`SMOKE_CHUNK`] seconds, and as many segments.
const SMOKE_FILM: u32 = 13;
const SMOKE_CHUNK: f64 = 5.0;

/// A film of so many seconds.
fn film(plan: &Plan, seconds: u32) -> PathBuf {
    if !plan.smoke {
        return plan.film(seconds);
    }
    let picture = format!("testsrc2=size=160x90:rate=2:duration={SMOKE_FILM}");
    let sound = format!("sine=frequency=440:sample_rate=48000:duration={SMOKE_FILM}");
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound];
    clips::made("slides.mp4", &[&inputs[..], &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]].concat())
}

/// How long the [`film`] of so many seconds is.
fn film_seconds(plan: &Plan, seconds: u32) -> f64 {
    plan.pick(seconds, SMOKE_FILM).into()
}

/// A control plane that splits what it can, into chunks of so many seconds: as it would by itself unless told otherwise.
fn plane(plan: &Plan, sandbox: &Sandbox, workers: &[SocketAddr], chunk_seconds: Option<f64>) -> PlaneBuilder {
    let plane = sandbox.plane(workers).env("SPLIT", "auto");
    match chunk_seconds.or_else(|| plan.smoke.then_some(SMOKE_CHUNK)) {
        Some(seconds) => plane.env("SPLIT_CHUNK_SECONDS", &seconds),
        None => plane,
    }
}

/// Seconds from POST to COMPLETED of a job that is split.
async fn split(plane: &Plane, job: &Value) -> Result<f64> {
    let ((id, last), took) = timed(async {
        let id = plane.accepted(job).await;
        let last = plane.events(&id).await.last().await;
        (id, last)
    })
    .await;
    ensure!(last["status"] == "JOB_STATUS_COMPLETED", "{last}");
    let whole = &plane.job(&id).await["whole"];
    ensure!(whole.is_null(), "encoded whole: {whole}");
    // What comes next is not to share the machine with it.
    until("what is left of the parts is gone", async || {
        let tasks = plane.job(&id).await["tasks"].take();
        let is_done = |task: &Value| task["kind"] == "cleanup" && task["status"] == "JOB_STATUS_COMPLETED";
        tasks.as_array().is_some_and(|tasks| tasks.iter().any(is_done))
    })
    .await;
    Ok(took)
}
