//! The chaos test, in short. `tests/chaos.sh` has the long form.

use std::time::Duration;

use e2e::chaos::{self, Options};

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_whatever_is_killed() {
    let time = Duration::from_secs(45);
    let store = chaos::store::Kind::Sqlite;
    let options = Options { seed: 3, time, store, planes: 1, jobs_at_once: 4, keep: false };
    let tally = chaos::run(options).await;
    println!("{tally}");
    assert_eq!(tally.violations(), 0, "{tally}");
    assert!(tally.get("jobs", "accepted") > 10, "{tally}");
}
