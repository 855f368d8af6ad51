//! What a worker is asked to do, on the wire.

use proto::v1::{self, task::Kind};

use super::AttemptName;
use crate::job::{
    JobSpec, Part, Plan, Task, TaskKind,
    plan::{Chunk, FrameGrid},
};

/// The request for an attempt at a job, or at a task of one.
pub(super) fn job(attempt: AttemptName, clock: u64, spec: &JobSpec) -> v1::JobRequest {
    let output = v1::OutputConfig {
        storage: spec.output.storage.name().to_owned(),
        path: spec.output.path.clone(),
        metadata: spec.output.metadata.clone().into_iter().collect(),
        r#type: spec.output.kind.name().to_owned(),
    };
    v1::JobRequest {
        job_id: attempt.job.to_string(),
        input_url: spec.input_url.clone(),
        preset: spec.preset.name.to_owned(),
        output: Some(output),
        callback_url: spec.callback_url.clone().unwrap_or_default(),
        attempt: attempt.number,
        clock_ms: clock,
        task: spec.task.as_ref().map(task),
    }
}

fn task(task: &Task) -> v1::Task {
    let kind = match &task.kind {
        TaskKind::Chunk { index, grid: frames, chunk: range } => {
            Kind::Chunk(v1::ChunkTask { index: *index, grid: Some(grid(*frames)), chunk: Some(chunk(*range)) })
        }
        TaskKind::Audio => Kind::Audio(v1::AudioTask {}),
        TaskKind::Finish { plan: split, chunks, audio } => Kind::Finish(v1::FinishTask {
            plan: Some(plan(split)),
            chunks: chunks.iter().map(part).collect(),
            audio: audio.as_ref().map(part),
        }),
        TaskKind::Cleanup => Kind::Cleanup(v1::CleanupTask {}),
    };
    v1::Task { job_id: task.job.to_string(), kind: Some(kind) }
}

fn plan(plan: &Plan) -> v1::Plan {
    let chunks = plan.chunks.iter().copied().map(chunk).collect();
    v1::Plan { grid: Some(grid(plan.grid)), chunks, has_audio: plan.has_audio }
}

fn grid(grid: FrameGrid) -> v1::FrameGrid {
    let FrameGrid { rate_numerator, rate_denominator, start_us, frames, source_bytes, source_tag } = grid;
    v1::FrameGrid { rate_numerator, rate_denominator, start_us, frames, source_bytes, source_tag }
}

fn chunk(Chunk { first_frame, frames, key_frame, encoder_threads }: Chunk) -> v1::Chunk {
    v1::Chunk { first_frame, frames, key_frame, encoder_threads }
}

fn part(part: &Part) -> v1::Part {
    let file = |file: &crate::job::part::StoredFile| v1::StoredFile {
        path: file.path.clone(),
        size: file.size,
        sha256: file.sha256.0.to_vec(),
    };
    v1::Part { files: part.files.iter().map(file).collect() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        job::{JobId, part::tests::part, plan::tests::plan, spec::tests::spec},
        worker_client::outcome,
    };

    fn sent(kind: TaskKind) -> (JobId, v1::Task) {
        let parent = JobId::random();
        let spec = JobSpec { task: Some(Task { job: parent, kind }), ..spec() };
        let request = job(AttemptName { job: JobId::random(), number: 1 }, 0, &spec);
        (parent, request.task.expect("a task"))
    }

    #[test]
    fn a_task_is_sent_with_all_that_the_worker_needs() {
        let split = plan(2, true);
        let (parent, task) = sent(TaskKind::Chunk { index: 1, grid: split.grid, chunk: split.chunks[1] });
        assert_eq!(task.job_id, parent.to_string());
        let Some(Kind::Chunk(chunk)) = task.kind else { panic!("{task:?}") };
        assert_eq!((chunk.index, chunk.chunk.map(|chunk| (chunk.first_frame, chunk.frames))), (1, Some((250, 250))));
        assert_eq!(chunk.grid.map(|grid| grid.frames), Some(500));
        let finish = TaskKind::Finish {
            plan: Arc::new(split.clone()),
            chunks: vec![part("v0.mp4"), part("v1.mp4")],
            audio: Some(part("a.mp4")),
        };
        let Some(Kind::Finish(finish)) = sent(finish).1.kind else { panic!("another kind") };
        assert_eq!(outcome::plan(finish.plan.expect("a plan")), Ok(split));
        let chunks: Vec<_> = finish.chunks.into_iter().map(outcome::part).collect();
        assert_eq!(chunks, [Ok(part("v0.mp4")), Ok(part("v1.mp4"))]);
        assert_eq!(finish.audio.map(outcome::part), Some(Ok(part("a.mp4"))));
    }
}
