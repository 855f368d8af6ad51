//! A job is read as it was written, whatever is in it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use controlplane::job::{
    Attempt, Job, JobSpec, State,
    attempt::{self, Lease, Outcome, Worker},
    spec::{Output, Split, Storage},
    state,
};
use jiff::Timestamp;
use preset::OutputType;
use proptest::{option, prelude::*, sample::select};
use uuid::Uuid;

fn time() -> impl Strategy<Value = Timestamp> + Clone {
    (0..4_000_000_000_000_000_000_i128).prop_map(|nanos| Timestamp::from_nanosecond(nanos).expect("in range"))
}

fn text() -> impl Strategy<Value = String> + Clone {
    any::<String>()
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let kind = select(vec![OutputType::Single, OutputType::Hls, OutputType::Dash]);
    let metadata = proptest::collection::btree_map(text(), text(), 0..3);
    let storage = select(vec![Storage::S3, Storage::Local]);
    let output =
        (storage, text(), metadata, kind).prop_map(|(storage, path, metadata, kind): (_, _, BTreeMap<_, _>, _)| {
            Output { storage, path, metadata, kind }
        });
    let preset = select(preset::ALL.iter().collect::<Vec<_>>());
    (text(), preset, output, option::of(text()), 0..=100_u8).prop_map(
        |(input_url, preset, output, callback_url, priority)| JobSpec {
            input_url,
            preset,
            output,
            callback_url,
            priority,
            split: Some(Split::Auto),
            task: None,
        },
    )
}

fn ended() -> impl Strategy<Value = state::Ended> {
    let parts = (0.0..=100.0_f32, option::of(time()), time());
    parts.prop_map(|(progress, started_at, finished_at)| state::Ended { progress, started_at, finished_at })
}

fn state() -> impl Strategy<Value = State> {
    let percent = || 0.0..=100.0_f32;
    prop_oneof![
        (percent(), option::of(time())).prop_map(|(progress, started_at)| State::Queued { progress, started_at }),
        (percent(), time()).prop_map(|(progress, started_at)| State::Processing { progress, started_at }),
        time().prop_map(|started_at| State::Uploading { started_at }),
        (text(), time(), time()).prop_map(|(output_url, started_at, finished_at)| State::Completed {
            output_url,
            started_at,
            finished_at
        }),
        (text(), ended()).prop_map(|(error, ended)| State::Failed { error, ended }),
        ended().prop_map(|ended| State::Cancelled { ended }),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let duration = || (0..u64::MAX / 2, 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos));
    let lease = (text(), text(), duration(), duration());
    let lease = lease.prop_map(|(instance, place, lasts, fence)| Lease { instance, place, lasts, fence });
    let worker = (text(), option::of(lease)).prop_map(|(address, lease)| Worker { address, lease });
    let outcomes =
        [Outcome::Completed, Outcome::Planned, Outcome::Failed, Outcome::Cancelled, Outcome::Lost, Outcome::HandedBack];
    let ended = (time(), select(outcomes.to_vec()), option::of(text()));
    let ended = ended.prop_map(|(at, outcome, error)| attempt::Ended { at, outcome, error });
    (any::<u32>(), worker, time(), option::of(ended)).prop_map(|(number, worker, started_at, ended)| Attempt {
        number,
        worker,
        started_at,
        ended,
    })
}

fn job() -> impl Strategy<Value = Job> {
    let attempts = proptest::collection::vec(attempt(), 0..4);
    let parts = (any::<u128>(), spec(), state(), text(), attempts, any::<u32>(), time());
    parts.prop_map(|(id, spec, state, message, attempts, milestones, created_at)| Job {
        id: Uuid::from_u128(id).into(),
        spec: Arc::new(spec),
        state,
        message,
        attempts,
        milestones,
        created_at,
        plan: None,
        whole: None,
        part: None,
    })
}

proptest! {
    #[test]
    fn a_job_survives_its_document(job in job()) {
        let document = serde_json::to_string(&job).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Job>(&document).expect("the same JSON"), job);
    }
}
