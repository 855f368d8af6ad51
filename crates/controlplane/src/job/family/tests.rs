//! Each row of the table: what has become of the tasks, and the step that follows.

use std::sync::Arc;

use jiff::Timestamp;
use rstest::rstest;

use super::*;
use crate::job::{
    Attempt, Blame, Report,
    attempt::{Ended, Outcome, Worker},
    part::tests::part,
    plan, task,
    tests::job,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A split job of two chunks with audio, and its tasks: the audio first.
fn family() -> (Job, Vec<Job>) {
    let mut parent = job();
    let plan = Arc::new(plan::tests::plan(2, true));
    parent.state = parent.state.apply(Report::Planned(Arc::clone(&plan)), NOW).expect("a legal report");
    parent.plan = Some(Arc::clone(&plan));
    let mut tasks = task::first(&parent, &plan, NOW);
    tasks.rotate_right(1);
    (parent, tasks)
}

#[test]
fn what_takes_longest_is_begun_first() {
    let parent = job();
    for (lengths, order) in [
        (vec![250, 250], "0 1 a"),
        (vec![300, 4000, 250], "1 a 0 2"),
        (vec![250; 3], "0 1 2 a"),
        (vec![50, 40, 700], "2 a 0 1"),
    ] {
        let mut plan = plan::tests::plan(lengths.len() as u64, true);
        plan.grid.frames = lengths.iter().sum();
        for (chunk, frames) in plan.chunks.iter_mut().zip(&lengths) {
            chunk.frames = *frames;
        }
        let name =
            |task: &Job| task.spec.task.as_ref()?.kind.index().map_or("a".to_owned(), |index| index.to_string()).into();
        let names: Vec<String> = task::first(&parent, &plan, NOW).iter().filter_map(name).collect();
        assert_eq!(names.join(" "), order, "{lengths:?}");
    }
}

/// The same, with every part there and the finish in this state.
fn finishing(report: Report) -> (Job, Vec<Job>) {
    let (parent, mut tasks) = family();
    tasks.iter_mut().for_each(done);
    let plan = parent.plan.clone().expect("a plan");
    let kind = TaskKind::Finish { plan, chunks: vec![part("v0.mp4"); 2], audio: Some(part("a.mp4")) };
    let mut finish = task::new(&parent, kind, NOW);
    finish.state = finish.state.apply(report, NOW).expect("a legal report");
    tasks.push(finish);
    (parent, tasks)
}

fn completed() -> Report {
    Report::Completed { output_url: "s3://b/o".to_owned() }
}

fn done(task: &mut Job) {
    task.state = task.state.clone().apply(completed(), NOW).expect("a legal report");
    task.part = Some(part(if task.spec.task.as_ref().is_some_and(|task| task.kind == TaskKind::Audio) {
        "a.mp4"
    } else {
        "v0.mp4"
    }));
}

/// Ends a task as failed after these attempts.
fn fail(task: &mut Job, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let worker = Worker { address: "w:1".to_owned(), lease: None };
        let ended = Some(Ended { at: NOW, outcome: *outcome, error: Some("x".to_owned()) });
        task.attempts.push(Attempt { number: task.attempt() + 1, worker, started_at: NOW, ended });
    }
    let report = Report::Failed { error: "x".to_owned(), blame: Blame::Job };
    task.state = task.state.clone().apply(report, NOW).expect("a legal report");
}

fn cancel(task: &mut Job) {
    task.state = task.state.clone().cancel(NOW).expect("it runs");
}

fn step(parent: &Job, tasks: &[Job], cancelled: bool) -> Step {
    let members: Vec<_> = tasks.iter().map(|task| Member { task, is_told: false }).collect();
    next(parent, &members, cancelled)
}

#[test]
fn tasks_that_run_are_waited_for() {
    let (parent, mut tasks) = family();
    assert_eq!(step(&parent, &tasks, false), Step::Wait);
    for index in 0..2 {
        done(&mut tasks[index]);
        assert_eq!(step(&parent, &tasks, false), Step::Wait);
    }
}

#[test]
fn when_every_part_is_there_the_finish_begins() {
    let (parent, mut tasks) = family();
    tasks.iter_mut().for_each(done);
    tasks.reverse();
    let finish = Step::Finish { chunks: vec![part("v0.mp4"); 2], audio: Some(part("a.mp4")) };
    assert_eq!(step(&parent, &tasks, false), finish);
}

#[rstest]
#[case::waits(Report::Queued, Step::Wait)]
#[case::joins(Report::Processing(10.0), Step::Wait)]
#[case::publishes(Report::Uploading, Step::Upload)]
#[case::has_published(completed(), Step::Complete { output_url: "s3://b/o".to_owned() })]
fn the_job_follows_its_finish(#[case] report: Report, #[case] expected: Step) {
    let (mut parent, tasks) = finishing(report);
    assert_eq!(step(&parent, &tasks, false), expected);
    if expected == Step::Upload {
        parent.state = parent.state.apply(Report::Uploading, NOW).expect("a legal report");
        assert_eq!(step(&parent, &tasks, false), Step::Wait, "once");
    }
}

#[test]
fn published_is_published_though_a_client_has_cancelled() {
    let (parent, tasks) = finishing(completed());
    assert!(matches!(step(&parent, &tasks, true), Step::Complete { .. }));
}

#[rstest]
#[case::the_input_is_to_blame(&[Outcome::Refused])]
#[case::no_worker_wants_it(&[])]
#[case::the_machine_is_to_blame_for_too_long(&[Outcome::Lost, Outcome::Failed])]
fn a_failed_task_ends_the_split_when_the_others_have_ended(#[case] outcomes: &[Outcome]) {
    let (parent, mut tasks) = family();
    fail(&mut tasks[1], outcomes);
    assert_eq!(step(&parent, &tasks, false), Step::Stop(vec![tasks[0].id, tasks[2].id]));
    done(&mut tasks[0]);
    assert_eq!(step(&parent, &tasks, false), Step::Stop(vec![tasks[2].id]));
    cancel(&mut tasks[2]);
    let expected = Step::Whole { reason: "chunk 0: x".to_owned() };
    assert_eq!(step(&parent, &tasks, false), expected);
    // Tasks come in any order.
    tasks.reverse();
    assert_eq!(step(&parent, &tasks, false), expected);
}

#[test]
fn a_finish_that_does_not_agree_is_followed_by_the_whole() {
    let (parent, mut tasks) = finishing(Report::Processing(1.0));
    fail(&mut tasks[3], &[Outcome::Refused]);
    assert_eq!(step(&parent, &tasks, false), Step::Whole { reason: "finish: x".to_owned() });
}

#[test]
fn a_task_that_somebody_has_cancelled_fails_the_job() {
    let (parent, mut tasks) = family();
    tasks.iter_mut().for_each(cancel);
    assert_eq!(step(&parent, &tasks, false), Step::Fail { error: "audio was cancelled".to_owned() });
}

#[test]
fn a_cancelled_job_ends_when_its_tasks_have() {
    let (parent, mut tasks) = family();
    done(&mut tasks[0]);
    assert_eq!(step(&parent, &tasks, true), Step::Stop(vec![tasks[1].id, tasks[2].id]));
    let told: Vec<_> = tasks.iter().map(|task| Member { task, is_told: true }).collect();
    assert_eq!(next(&parent, &told, true), Step::Wait);
    cancel(&mut tasks[1]);
    fail(&mut tasks[2], &[Outcome::Refused]);
    assert_eq!(step(&parent, &tasks, true), Step::Cancel);
}

#[test]
fn nobody_waits_for_the_cleanup() {
    let (parent, mut tasks) = family();
    tasks.iter_mut().for_each(cancel);
    tasks.push(task::new(&parent, TaskKind::Cleanup, NOW));
    assert_eq!(step(&parent, &tasks, true), Step::Cancel);
    fail(&mut tasks[3], &[Outcome::Refused]);
    assert_eq!(step(&parent, &tasks, true), Step::Cancel);
}

#[test]
fn progress_is_that_of_the_frames_and_then_of_the_finish() {
    let (parent, mut tasks) = family();
    let plan = parent.plan.clone().expect("a plan");
    let percent = |tasks: &[Job]| {
        let members: Vec<_> = tasks.iter().map(|task| Member { task, is_told: false }).collect();
        progress(&plan, &members)
    };
    assert!(percent(&tasks).abs() < 0.01);
    done(&mut tasks[0]);
    assert!(percent(&tasks).abs() < 0.01, "the audio has no frames");
    done(&mut tasks[1]);
    assert!((percent(&tasks) - 47.5).abs() < 0.01);
    tasks[2].state = tasks[2].state.clone().apply(Report::Processing(50.0), NOW).expect("a legal report");
    assert!((percent(&tasks) - 71.25).abs() < 0.01);
    let (_, tasks) = finishing(Report::Processing(40.0));
    assert!((percent(&tasks) - 97.0).abs() < 0.01);
}
