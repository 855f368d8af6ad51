//! Steps of a job.

use jiff::Timestamp;
use sqlx::PgPool;

use super::{
    notice::{self, CHANNEL},
    read,
    turns::Turns,
};
use crate::{
    job::{JobId, Status},
    store::{Change, Error, Fate, Progress, Record, Transition, row, row::Columns},
};

/// Changes a job.
pub(super) async fn transition(pool: &PgPool, turns: &Turns, step: Transition) -> Result<(), Error> {
    let id = step.job.id;
    let row = Columns::new(&step.job, step.fate)?;
    let claimed = if step.tasks.is_empty() { None } else { turns.last(pool, row.priority).await? };
    let query = sqlx::query(
        "WITH moved AS (
             UPDATE jobs SET document = $1, status = $2, attempt = $3, owner = $4, running = $5, waiting = $6,
                 due = coalesce($7, due), provisional = $8, progress = greatest(progress, $9), finished_at = $10
             WHERE id = $11 AND status = $12 AND attempt = $13 AND owner IS NOT DISTINCT FROM $14
             RETURNING id
         ), told AS (
             INSERT INTO events (job, number, json) SELECT id, $15, $16 FROM moved WHERE $15::bigint IS NOT NULL
         ), called AS (
             INSERT INTO callbacks (id, job, url, payload, created_at, due)
             SELECT $17, id, $18, $19, $20, $20 FROM moved WHERE $17::uuid IS NOT NULL
         ), certified AS (
             INSERT INTO certificates (job, json) SELECT $23::uuid, $24 FROM moved WHERE $24::text IS NOT NULL
             ON CONFLICT (job) DO UPDATE SET json = excluded.json
         ), first AS (
             SELECT coalesce(greatest($31::bigint + 1, min(turn)), 0) AS turn FROM jobs WHERE waiting AND priority = $28
         ), made AS (
             INSERT INTO jobs (id, document, status, attempt, running, waiting, due, priority, preset, provisional,
                 progress, created_at, parent, turn)
             SELECT task.id, task.document, $27, 0, FALSE, TRUE, 0, $28, $29, FALSE, 0, $30, moved.id,
                 first.turn + task.number - 1
             FROM moved, first, unnest($25::uuid[], $26::text[]) WITH ORDINALITY AS task (id, document, number)
             ON CONFLICT (id) DO NOTHING
         )
         SELECT pg_notify($21, word) FROM moved, unnest($22::text[]) AS word",
    );
    let query = query.bind(row.document).bind(row.status).bind(row.attempt).bind(row.owner).bind(row.running);
    let query = query.bind(row.waiting).bind(row.due).bind(row.provisional).bind(row.progress).bind(row.finished_at);
    let query = query.bind(row.id).bind(step.expected.status.name()).bind(i64::from(step.expected.attempt));
    let query = query.bind(step.expected.owner.map(|owner| owner.0));
    let (event, callback) = (step.event.as_ref(), step.callback.as_ref());
    let query = query.bind(event.map(|event| i64::from(event.number))).bind(event.map(|event| &event.json));
    let query = query.bind(callback.map(|callback| callback.id.0)).bind(callback.map(|callback| &callback.url));
    let query = query.bind(callback.map(|callback| &callback.payload)).bind(row::called_at(&step.job));
    let query = query.bind(CHANNEL).bind(words(&step)).bind(step.certified().uuid()).bind(&step.certificate);
    let tasks = step.tasks.iter().map(|task| Columns::new(task, Fate::Waiting { due: Timestamp::UNIX_EPOCH }));
    let (ids, documents): (Vec<_>, Vec<_>) =
        tasks.map(|row| row.map(|row| (row.id, row.document))).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let created_at = step.tasks.first().unwrap_or(&step.job).created_at.as_microsecond();
    let query = query.bind(ids).bind(documents).bind(Status::Queued.name()).bind(row.priority).bind(row.preset);
    let done = query.bind(created_at).bind(claimed).execute(pool).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(Error::Conflict(id)) }
}

/// What the others are told of a step; never nothing.
fn words(step: &Transition) -> Vec<String> {
    let mut words = vec![notice::write(&Change::Job(step.job.id))];
    if matches!(step.fate, Fate::Waiting { .. }) || !step.tasks.is_empty() {
        words.push(notice::write(&Change::Queued));
    }
    if step.callback.is_some() {
        words.push(notice::write(&Change::Callback));
    }
    words
}

/// Notes how far jobs are.
pub(super) async fn save_progress(pool: &PgPool, progress: Vec<Progress>) -> Result<(), Error> {
    if progress.is_empty() {
        return Ok(());
    }
    let (mut ids, mut attempts, mut owners, mut percents, mut words) = (vec![], vec![], vec![], vec![], vec![]);
    for Progress { id, attempt, owner, percent, event, update, .. } in progress {
        ids.push(id.uuid());
        attempts.push(i64::from(attempt));
        owners.push(owner.0);
        percents.push(percent);
        words.push(notice::write(&Change::Progress { id, event, update }));
    }
    let query = sqlx::query(
        "WITH moved AS (
             UPDATE jobs SET progress = greatest(jobs.progress, news.percent)
             FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::real[], $5::text[])
                 AS news (id, attempt, owner, percent, word)
             WHERE jobs.id = news.id AND jobs.attempt = news.attempt AND jobs.owner = news.owner
                 AND jobs.status IN ($6, $7)
             RETURNING news.word
         )
         SELECT pg_notify($8, word) FROM moved",
    );
    let query = query.bind(ids).bind(attempts).bind(owners).bind(percents).bind(words);
    query.bind(Status::Processing.name()).bind(Status::Uploading.name()).bind(CHANNEL).execute(pool).await?;
    Ok(())
}

/// Notes that a job is to be stopped.
pub(super) async fn request_cancel(pool: &PgPool, id: JobId) -> Result<Option<Record>, Error> {
    let query = sqlx::query(
        "WITH noted AS (
             UPDATE jobs SET cancel_requested = TRUE WHERE id = $1 AND finished_at IS NULL RETURNING id
         )
         SELECT pg_notify($2, $3) FROM noted",
    );
    query.bind(id.uuid()).bind(CHANNEL).bind(notice::write(&Change::Cancel(id))).execute(pool).await?;
    read::get(pool, id).await
}
