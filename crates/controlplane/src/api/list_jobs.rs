//! `GET /api/v1/jobs`

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Error, cursor, error::ErrorBody, query::Query};
use crate::{
    job::Status,
    store::{Filter, Page},
    view::JobView,
};

/// Jobs of a page, where the client does not say.
const DEFAULT_LIMIT: u32 = 50;

/// Jobs of a page at most.
const MAX_LIMIT: u32 = 200;

/// Some jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobsView {
    /// Newest first.
    jobs: Vec<JobView>,
    /// Where the next page begins, for the parameter `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// List jobs
///
/// Newest first. Jobs that arrive meanwhile do not move the pages.
#[utoipa::path(
    get,
    path = "/jobs",
    tag = "jobs",
    security(("api_key" = [])),
    params(
        ("status" = Option<String>, Query, description = "Only those with this status: `JOB_STATUS_FAILED` or `failed`"),
        ("preset" = Option<String>, Query, description = "Only those with this preset"),
        ("created_after" = Option<String>, Query, format = DateTime, description = "Only those accepted later, RFC 3339"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "At most so many; 50 where not given"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "Some jobs", body = JobsView),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No API key, or a wrong one", body = ErrorBody),
        (status = 500, description = "The jobs could not be read", body = ErrorBody),
        (status = 503, description = "The store is not available now", body = ErrorBody),
    )
)]
pub(super) async fn list_jobs(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Json<JobsView>, Error> {
    let page = api.dispatcher.list(filter(&query.unwrap_or_default())?).await?;
    Ok(Json(JobsView::from(page)))
}

impl From<Page> for JobsView {
    fn from(page: Page) -> Self {
        let jobs = page.records.iter().map(|record| JobView::of(&record.job)).collect();
        Self { jobs, next_cursor: page.next.map(cursor::encode) }
    }
}

fn filter(query: &str) -> Result<Filter, Error> {
    let query = Query::parse(query, &["status", "preset", "created_after", "limit", "cursor"])?;
    Ok(Filter {
        status: query.get("status", status)?,
        preset: query.get("preset", preset)?,
        created_after: query.get("created_after", time)?,
        after: query.get("cursor", cursor::decode)?,
        limit: query.get("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

/// The part of a status's name that is not the same for all.
fn short(status: Status) -> String {
    let name = status.name();
    name.strip_prefix("JOB_STATUS_").unwrap_or(name).to_ascii_lowercase()
}

fn status(text: &str) -> Result<Status, String> {
    let found = Status::ALL.into_iter().find(|status| status.name() == text || short(*status) == text);
    found.ok_or_else(|| format!("must be one of {}", Status::ALL.map(short).join(", ")))
}

fn preset(text: &str) -> Result<String, String> {
    let names = || preset::ALL.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
    preset::find(text).map(|preset| preset.name.to_owned()).ok_or_else(|| format!("must be one of {}", names()))
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    // Whoever does not escape the `+` of an offset sends a space.
    let time = text.parse().or_else(|_| text.replace(' ', "+").parse());
    time.map_err(|_: jiff::Error| "must be a time such as 2026-11-23T04:48:07Z")
}

fn limit(text: &str) -> Result<u32, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("must be a whole number from 1 to {MAX_LIMIT}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ok(query: &str) -> Filter {
        filter(query).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    #[test]
    fn without_parameters_everything_is_listed() {
        let filter = ok("");
        assert_eq!((filter.status, filter.preset, filter.created_after, filter.after), (None, None, None, None));
        assert_eq!(filter.limit, 50);
    }

    #[test]
    fn a_status_has_a_long_and_a_short_name() {
        for status in Status::ALL {
            for name in [status.name().to_owned(), short(status)] {
                assert_eq!(ok(&format!("status={name}")).status, Some(status), "{name}");
            }
        }
    }

    #[test]
    fn a_time_may_have_an_offset_escaped_or_not() {
        let expected: Timestamp = "2026-11-23T04:48:07.5Z".parse().expect("a time");
        for time in ["2026-11-23T04:48:07.5Z", "2026-11-23T05:48:07.5%2B01:00", "2026-11-23T05:48:07.5+01:00"] {
            assert_eq!(ok(&format!("created_after={time}")).created_after, Some(expected), "{time}");
        }
    }

    #[rstest]
    #[case("status=done", "status: must be one of queued, processing, uploading, completed, failed, cancelled")]
    #[case("status=JOB_STATUS_UNSPECIFIED", "status: must be one of queued, processing, ")]
    #[case("preset=4k", "preset: must be one of 480p_h264, ")]
    #[case("created_after=yesterday", "created_after: must be a time such as 2026-11-23T04:48:07Z")]
    #[case("limit=0", "limit: must be a whole number from 1 to 200")]
    #[case("limit=201", "limit: must be a whole number from 1 to 200")]
    #[case("limit=-1", "limit: must be a whole number from 1 to 200")]
    #[case("cursor=x", "cursor: must be the next_cursor of an earlier answer")]
    #[case("page=2", "page: is not known; give status, preset, created_after, limit, cursor")]
    fn a_wrong_parameter_is_named(#[case] query: &str, #[case] text: &str) {
        let error = filter(query).expect_err("a wrong parameter");
        assert_eq!(error.status(), axum::http::StatusCode::BAD_REQUEST);
        assert!(error.to_string().starts_with(text), "{error}");
    }
}
