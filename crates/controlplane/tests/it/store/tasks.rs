//! The tasks of split jobs: rows like others, which clients do not see.

use std::sync::Arc;

use controlplane::{
    job::{
        Job, JobId, JobSpec, Plan, TaskKind,
        plan::{Chunk, FrameGrid},
        task,
    },
    store::{Error, Fate, Filter, JobStore, PlaneId, Record, Transition},
};
use rstest::rstest;

use super::world::*;

/// The job with a plan of so many chunks.
fn planned(job: &Job, chunks: u64) -> Job {
    let grid = FrameGrid {
        rate_numerator: 25,
        rate_denominator: 1,
        start_us: 0,
        frames: chunks * 250,
        source_bytes: 9,
        source_tag: u64::MAX,
    };
    let chunks = (0..chunks)
        .map(|index| Chunk { first_frame: index * 250, frames: 250, key_frame: None, encoder_threads: 0 })
        .collect();
    let plan = Plan { grid, chunks, has_audio: false }.checked().expect("a good plan");
    Job { plan: Some(Arc::new(plan)), ..job.clone() }
}

/// A job that `plane` conducts, and its tasks in order.
async fn split(store: &dyn JobStore, plane: PlaneId, chunks: u64) -> (Record, Vec<Job>) {
    let record = started(store, &job(), plane).await;
    let job = planned(&record.job, chunks);
    let tasks = task::first(&job, job.plan.as_ref().expect("a plan"), at(5));
    let step = step(&record, &job, Fate::Conducted { by: plane });
    go(store, Transition { tasks: tasks.clone(), ..step }).await;
    (get(store, job.id).await, tasks)
}

async fn everything(store: &dyn JobStore) -> Vec<JobId> {
    let filter = Filter { status: None, preset: None, created_after: None, after: None, limit: 100 };
    store.list(filter).await.expect("the store answers").records.into_iter().map(|record| record.job.id).collect()
}

#[rstest]
#[tokio::test]
async fn tasks_come_with_the_step_and_are_seen_by_their_family_only(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let (parent, tasks) = split(&*world.store, plane, 3).await;
    let mut family: Vec<_> = world
        .store
        .family(parent.job.id)
        .await
        .expect("the store answers")
        .into_iter()
        .map(|record| record.job)
        .collect();
    family.sort_by_key(|task| tasks.iter().position(|other| other.id == task.id));
    assert_eq!(family, tasks);
    assert_eq!(world.store.family(tasks[0].id).await, Ok(vec![]));
    assert_eq!(everything(&*world.store).await, [parent.job.id]);
    assert_eq!(world.store.waiting().await, Ok(0));
    assert_eq!(world.store.next_due(at(-1)).await, Ok(Some(at(0))));
    assert_eq!(world.store.create(limited(&job(), 1)).await, Err(Error::QueueFull), "some of the job waits");
    world.store.create(limited(&job(), 2)).await.expect("its three tasks count once");
    assert_eq!(world.store.create(limited(&job(), 2)).await, Err(Error::QueueFull));
    assert_eq!(world.store.waiting().await, Ok(1));
}

#[rstest]
#[tokio::test]
async fn a_step_that_is_refused_makes_no_tasks_and_one_that_is_taken_twice_makes_them_once(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let record = started(&*world.store, &job(), plane).await;
    let job = planned(&record.job, 2);
    let tasks = task::first(&job, job.plan.as_ref().expect("a plan"), at(5));
    let good = Transition { tasks, ..step(&record, &job, Fate::Conducted { by: plane }) };
    let mut late = good.clone();
    late.expected.attempt = 9;
    assert_eq!(world.store.transition(late).await, Err(Error::Conflict(job.id)));
    assert_eq!(world.store.family(job.id).await, Ok(vec![]));
    for _ in 0..2 {
        go(&*world.store, good.clone()).await;
        assert_eq!(world.store.family(job.id).await.expect("the store answers").len(), 2);
    }
}

#[rstest]
#[tokio::test]
async fn tasks_take_turns_with_other_jobs(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let (parent, long) = split(store, plane, 6).await;
    for task in &long[..2] {
        assert_eq!(claim(store, plane).await.job.id, task.id);
    }
    let short = job_at(50, 9);
    queue(store, &short).await;
    let (_, other) = split(store, plane, 2).await;
    let finish = task::new(&parent.job, TaskKind::Cleanup, at(11));
    let tasks = vec![finish.clone()];
    go(store, Transition { tasks, ..step(&parent, &parent.job, Fate::Conducted { by: plane }) }).await;
    let urgent = job_at(60, 12);
    queue(store, &urgent).await;
    // At each turn the oldest comes first.
    let mut order = Vec::new();
    for _ in 0..9 {
        order.push(claim(store, plane).await.job.id);
    }
    let turn = [long[2].id, other[0].id, short.id, finish.id];
    assert_eq!(order[0], urgent.id);
    assert!(turn.iter().all(|id| order[1..5].contains(id)), "{order:?}");
    let next = [long[3].id, other[1].id];
    assert!(next.iter().all(|id| order[5..7].contains(id)), "{order:?}");
    assert_eq!(order[7..], [long[4].id, long[5].id]);
}

/// The one slot there is, for which jobs keep coming: two always wait.
struct Slot {
    plane: PlaneId,
    running: Option<Record>,
    waiting: Vec<JobId>,
}

impl Slot {
    fn new(plane: PlaneId) -> Self {
        Self { plane, running: None, waiting: Vec::new() }
    }

    async fn come(&mut self, store: &dyn JobStore, count: usize) {
        while self.waiting.len() < count {
            let job = job_at(50, 10);
            queue(store, &job).await;
            self.waiting.push(job.id);
        }
    }

    async fn end(&mut self, store: &dyn JobStore) {
        if let Some(record) = self.running.take() {
            go(store, step(&record, &cancelled(record.job.clone(), 900), Fate::Ended)).await;
        }
    }

    /// Ends what has the slot, and begins what is next.
    async fn next(&mut self, store: &dyn JobStore) -> JobId {
        self.end(store).await;
        let id = self.running.insert(claim(store, self.plane).await).job.id;
        self.waiting.retain(|waiting| *waiting != id);
        id
    }

    /// Lets jobs come until so many tasks have started: each after two of them.
    async fn takes_turns(&mut self, store: &dyn JobStore, tasks: &[Job]) {
        let mut order = Vec::new();
        for _ in 0..3 * tasks.len() {
            self.come(store, 1).await;
            self.end(store).await;
            // Now nothing that runs tells how far the turns are.
            self.come(store, 2).await;
            let id = self.next(store).await;
            order.push(tasks.iter().position(|task| task.id == id));
        }
        let started: Vec<_> = order.iter().copied().flatten().collect();
        assert!(started.is_sorted() && started.len() == tasks.len(), "{order:?}");
        assert!(order.windows(3).all(|three| three.iter().flatten().count() == 1), "{order:?}");
    }
}

#[rstest]
#[tokio::test]
async fn jobs_that_keep_coming_do_not_hold_up_a_family(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    // It has the first turn, and pauses for all of the test.
    store.create(new(&job(), Fate::Waiting { due: at(2000) })).await.expect("a new job");
    let (_, tasks) = split(store, plane, 12).await;
    let mut slot = Slot::new(plane);
    assert_eq!(slot.next(store).await, tasks[0].id);
    slot.takes_turns(store, &tasks[1..5]).await;
    // Another priority has turns of its own.
    let urgent = job_at(60, 10);
    queue(store, &urgent).await;
    assert_eq!(slot.next(store).await, urgent.id);
    slot.takes_turns(store, &tasks[5..9]).await;
}

#[rstest]
#[tokio::test]
async fn a_task_that_comes_back_does_not_let_new_jobs_pass(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let (_, tasks) = split(store, plane, 8).await;
    let first = claim(store, plane).await;
    let mut slot = Slot::new(plane);
    for task in &tasks[1..4] {
        assert_eq!(slot.next(store).await, task.id);
    }
    go(store, step(&first, &first.job, WAITS)).await;
    assert_eq!(slot.next(store).await, first.job.id);
    slot.takes_turns(store, &tasks[4..8]).await;
}

#[rstest]
#[tokio::test]
async fn turns_go_on_after_a_restart(#[values(Kind::File, Kind::Postgres)] kind: Kind) {
    let (mut world, plane) = (World::new(kind).await, PlaneId::random());
    world.store.create(new(&job(), Fate::Waiting { due: at(2000) })).await.expect("a new job");
    let (_, tasks) = split(&*world.store, plane, 8).await;
    let mut slot = Slot::new(plane);
    for task in &tasks[..3] {
        assert_eq!(slot.next(&*world.store).await, task.id);
    }
    world.reopen().await;
    slot.takes_turns(&*world.store, &tasks[3..7]).await;
}

#[tokio::test]
async fn turns_are_those_of_all_control_planes() {
    let (world, plane) = (World::new(Kind::Postgres).await, PlaneId::random());
    let (store, other) = (&*world.store, world.again().await.expect("a store that is good"));
    store.create(new(&job(), Fate::Waiting { due: at(2000) })).await.expect("a new job");
    let (_, tasks) = split(store, plane, 8).await;
    let mut slot = Slot::new(plane);
    for task in &tasks[..3] {
        assert_eq!(slot.next(store).await, task.id);
    }
    let short = job_at(50, 10);
    queue(&*other, &short).await;
    let order = [slot.next(store).await, slot.next(store).await, slot.next(store).await];
    assert_eq!(order, [tasks[3].id, short.id, tasks[4].id]);
    other.close().await;
}

#[rstest]
#[tokio::test]
async fn who_cannot_run_tasks_is_given_none(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    split(&*world.store, plane, 2).await;
    assert_eq!(world.store.claim(plane, at(1000), false).await, Ok(None));
    let whole = job();
    queue(&*world.store, &whole).await;
    let claimed = world.store.claim(plane, at(1000), false).await.expect("the store answers").expect("a job waits");
    assert_eq!(claimed.job.id, whole.id);
    assert_eq!(world.store.waiting().await, Ok(0));
}

#[rstest]
#[tokio::test]
async fn a_conducted_job_is_taken_over_and_its_tasks_wait_on(
    #[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind,
) {
    let (world, dead, heir) = (World::new(kind).await, PlaneId::random(), PlaneId::random());
    let (mut parent, tasks) = split(&*world.store, dead, 2).await;
    // Its attempt has ended, as that of a planned job has.
    parent.job = requeued(parent.job);
    let record = get(&*world.store, parent.job.id).await;
    go(&*world.store, step(&record, &parent.job, Fate::Conducted { by: dead })).await;
    claim(&*world.store, dead).await;
    let adopted = world.store.adopt(heir).await.expect("the store answers");
    assert_eq!(adopted.iter().map(|record| record.job.id).collect::<Vec<_>>(), [parent.job.id]);
    assert_eq!(world.store.waiting().await, Ok(0));
    for _ in 0..2 {
        let claimed = claim(&*world.store, heir).await.job.id;
        assert!(tasks.iter().any(|task| task.id == claimed));
    }
}

#[rstest]
#[tokio::test]
async fn a_family_goes_together(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let (parent, tasks) = split(store, plane, 2).await;
    let end_next = async |seconds| {
        let claimed = claim(store, plane).await;
        go(store, step(&claimed, &cancelled(claimed.job.clone(), seconds), Fate::Ended)).await;
    };
    end_next(6).await;
    assert_eq!(store.expire(at(100), 9).await, Ok(0), "its parent has not ended");
    end_next(6).await;
    let cleanup = task::new(&parent.job, TaskKind::Cleanup, at(7));
    let end = step(&parent, &cancelled(parent.job.clone(), 7), Fate::Ended);
    go(store, Transition { certificate: Some("{}".to_owned()), tasks: vec![cleanup.clone()], ..end }).await;
    assert_eq!(store.expire(at(100), 9).await, Ok(0), "what is left over of it is still there");
    let other = started(store, &job(), plane).await;
    go(store, step(&other, &cancelled(other.job.clone(), 8), Fate::Ended)).await;
    assert_eq!(store.expire(at(100), 1).await, Ok(1), "it holds up no other");
    end_next(99).await;
    assert_eq!(store.expire(at(100), 9).await, Ok(1));
    for task in tasks.iter().chain([&cleanup]) {
        assert_eq!(store.get(task.id).await, Ok(None));
    }
    assert_eq!(store.certificate(parent.job.id).await, Ok(None));
}

#[rstest]
#[tokio::test]
async fn what_the_finish_certifies_is_the_jobs(#[values(Kind::Memory, Kind::File, Kind::Postgres)] kind: Kind) {
    let (world, plane) = (World::new(kind).await, PlaneId::random());
    let store = &*world.store;
    let (parent, _) = split(store, plane, 1).await;
    let record = claim(store, plane).await;
    for json in ["{}", "{\"a\":1}"] {
        let record = get(store, record.job.id).await;
        let message = json.to_owned();
        let job = Job { message, spec: Arc::new(JobSpec::clone(&record.job.spec)), ..record.job.clone() };
        let certificate = Some(json.to_owned());
        go(store, Transition { certificate, ..step(&record, &job, driven(plane)) }).await;
        assert_eq!(store.certificate(parent.job.id).await, Ok(Some(json.to_owned())));
    }
    assert_eq!(store.certificate(record.job.id).await, Ok(None));
}
