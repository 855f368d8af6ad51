//! Reading jobs: one with its attempts, and many in pages.

use jiff::Timestamp;
use proto::v1::JobStatus::Processing;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    plane::{Plane, good_job},
    stub::{Stub, nobody},
};

/// A control plane whose jobs wait.
async fn waiting() -> Plane {
    Plane::start(&[nobody().await], |config| config.max_queued_jobs = 100).await
}

async fn list(plane: &Plane, query: &str) -> Value {
    let (status, body) = plane.get(&format!("/api/v1/jobs{query}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn ids(page: &Value) -> Vec<String> {
    let jobs = page["jobs"].as_array().expect("jobs");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn pages_are_newest_first_and_stay_while_jobs_arrive() {
    let plane = waiting().await;
    assert_eq!(list(&plane, "").await, json!({"jobs": []}));
    let mut posted = Vec::new();
    for _ in 0..5 {
        posted.push(plane.accepted().await);
    }
    posted.reverse();
    let mut page = list(&plane, "?limit=2").await;
    let mut seen = ids(&page);
    while let Some(cursor) = page["next_cursor"].as_str() {
        plane.accepted().await;
        page = list(&plane, &format!("?limit=2&cursor={cursor}")).await;
        seen.extend(ids(&page));
    }
    assert_eq!(seen, posted);
    assert_eq!(list(&plane, "").await["jobs"].as_array().map(Vec::len), Some(7));
}

#[tokio::test]
async fn a_list_has_what_the_filters_leave() {
    let plane = waiting().await;
    let mut other = good_job();
    other["preset"] = json!("480p_h264");
    let (_, small) = plane.post(&other).await;
    let cancelled = plane.accepted().await;
    plane.delete(&format!("/api/v1/jobs/{cancelled}")).await;
    let between = Timestamp::now();
    let last = plane.accepted().await;
    for status in ["cancelled", "JOB_STATUS_CANCELLED"] {
        assert_eq!(ids(&list(&plane, &format!("?status={status}")).await), [cancelled.as_str()]);
    }
    assert_eq!(ids(&list(&plane, "?preset=480p_h264").await), [small["job_id"].as_str().expect("an id")]);
    assert_eq!(ids(&list(&plane, &format!("?created_after={between}")).await), [last]);
    assert_eq!(ids(&list(&plane, "?status=completed").await), [""; 0]);
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_by_its_name() {
    let plane = waiting().await;
    for name in ["status", "preset", "created_after", "limit", "cursor", "unknown"] {
        let (status, body) = plane.get(&format!("/api/v1/jobs?{name}=@")).await;
        assert_eq!((status, body["field"].as_str()), (StatusCode::BAD_REQUEST, Some(name)), "{body}");
    }
}

#[tokio::test]
async fn a_job_tells_its_priority_and_every_attempt() {
    let mut worker = Stub::with_slots(1).await;
    let plane = Plane::over(&[worker.address]).await;
    let mut request = good_job();
    request["priority"] = json!(70);
    let (_, body) = plane.post(&request).await;
    let id = body["job_id"].as_str().expect("an id");
    let job = worker.job().await;
    job.say(Processing, 10.0, "encoding");
    plane.events(id).await.until("JOB_STATUS_PROCESSING").await;
    let running = plane.job(id).await;
    assert_eq!(running["priority"], 70);
    let attempt = &running["attempts"][0];
    assert_eq!((&attempt["attempt"], &attempt["worker"]), (&json!(1), &json!(worker.address.to_string())));
    assert!(attempt["started_at"].is_string() && attempt.get("outcome").is_none(), "{attempt}");
    job.complete();
    plane.events(id).await.rest().await;
    let attempts = &plane.job(id).await["attempts"];
    assert_eq!((attempts[0]["outcome"].as_str(), attempts.as_array().map(Vec::len)), (Some("completed"), Some(1)));
    assert!(attempts[0]["finished_at"].is_string() && attempts[0].get("error").is_none(), "{attempts}");
}
