//! Every cell of the transition table, and what holds for any sequence of reports.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn report(status: Status) -> Report {
    match status {
        Status::Queued => Report::Queued,
        Status::Processing => Report::Processing(10.0),
        Status::Uploading => Report::Uploading,
        Status::Completed => Report::Completed { output_url: "file:///out".to_owned() },
        Status::Failed => Report::Failed { error: "encoding failed: x".to_owned(), blame: Blame::Job },
        Status::Cancelled => Report::Cancelled,
    }
}

fn state(status: Status) -> State {
    State::NEW.apply(report(status), NOW).expect("every state can follow the first")
}

#[rstest]
#[case::queued(Status::Queued, &Status::ALL)]
#[case::processing(Status::Processing, &Status::ALL[1..])]
#[case::uploading(Status::Uploading, &Status::ALL[2..])]
#[case::completed(Status::Completed, &[])]
#[case::failed(Status::Failed, &[])]
#[case::cancelled(Status::Cancelled, &[])]
fn each_status_leads_only_forward(#[case] from: Status, #[case] allowed: &[Status]) {
    for to in Status::ALL {
        let next = state(from).apply(report(to), NOW);
        if allowed.contains(&to) {
            assert_eq!(next.expect("an allowed step").status(), to, "{from:?} to {to:?}");
        } else {
            assert_eq!(next, Err(InvalidTransition { from, to }));
        }
    }
}

#[test]
fn an_illegal_step_names_both_ends() {
    let error = InvalidTransition { from: Status::Completed, to: Status::Failed };
    assert_eq!(error.to_string(), "a job cannot go from JOB_STATUS_COMPLETED to JOB_STATUS_FAILED");
}

#[test]
fn a_failed_job_tells_how_far_it_came() {
    let later = Timestamp::from_second(5).expect("in range");
    let state = State::NEW.apply(Report::Processing(42.0), NOW).and_then(|state| state.fail("x".to_owned(), later));
    let state = state.expect("legal steps");
    assert_eq!((state.progress(), state.started_at(), state.finished_at()), (42.0, Some(NOW), Some(later)));
    assert_eq!(state.error(), Some("x"));
}

fn any_report() -> impl Strategy<Value = Report> {
    prop_oneof![
        Just(Report::Queued),
        any::<f32>().prop_map(Report::Processing),
        Just(Report::Uploading),
        ".{0,9}".prop_map(|output_url| Report::Completed { output_url }),
        ".{0,9}".prop_map(|error| Report::Failed { error, blame: Blame::Job }),
        Just(Report::Cancelled),
    ]
}

proptest! {
    #[test]
    fn whatever_a_worker_says_nothing_goes_back(reports in proptest::collection::vec(any_report(), 0..40)) {
        let mut state = State::NEW;
        let mut changes = 0;
        for report in reports {
            let Ok(next) = state.clone().apply(report, NOW) else { continue };
            prop_assert!(!state.status().is_terminal());
            prop_assert!((0.0..=100.0).contains(&next.progress()));
            prop_assert!(next.progress() >= state.progress());
            changes += u32::from(next.status() != state.status());
            state = next;
        }
        // The feed keeps one milestone a status change, so their number must be bounded.
        prop_assert!(changes <= 3);
    }
}
