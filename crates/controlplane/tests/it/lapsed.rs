//! A control plane that hears nothing of its store for longer than its lease, and then does again.

use std::time::Duration;

use controlplane::store::Database;
use e2e::{Gate, Postgres};
use proto::v1::JobStatus::Processing;
use tokio::time::timeout;

use crate::{
    plane::{Plane, statuses},
    stub::Stub,
};

/// Longer than a control plane's lease and the time between two looks for jobs that nobody drives.
const TAKE_OVER: Duration = Duration::from_mins(1);

async fn plane(worker: &Stub, url: &str) -> Plane {
    let database = Database::parse(url, std::path::Path::new("")).expect("a database");
    Plane::start(&[worker.address], |config| {
        config.database = database;
        config.max_queued_jobs = 10;
        config.job_max_attempts = 3;
    })
    .await
}

#[tokio::test]
async fn who_wakes_up_after_its_lease_leaves_its_jobs_to_the_one_that_took_them_over() {
    let (postgres, mut worker) = (Postgres::shared().await, Stub::with_leases(1).await);
    let (gate, url) = (Gate::before(postgres.address()).await, postgres.database());
    let sleeper = plane(&worker, &url.replace(&postgres.address().to_string(), &gate.address().to_string())).await;
    let id = sleeper.accepted().await;
    let job = worker.job().await;
    job.say(Processing, 10.0, "encoding");
    sleeper.events(&id).await.until("JOB_STATUS_PROCESSING").await;
    let heir = plane(&worker, &url).await;
    let mut events = heir.events(&id).await;
    gate.freeze();
    let taken_over =
        async { while events.next().await.expect("an event")["message"] != "the control plane took the job over" {} };
    timeout(TAKE_OVER, taken_over).await.expect("the job is taken over");
    gate.open();
    // Both hear it from the worker; only one may write it down.
    job.say(Processing, 50.0, "encoding");
    job.complete();
    for plane in [&heir, &sleeper] {
        let all = plane.events(&id).await.rest().await;
        assert_eq!(statuses(&all), ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_COMPLETED"]);
        assert_eq!(plane.job(&id).await["attempts"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(worker.submissions(), 1);
}
