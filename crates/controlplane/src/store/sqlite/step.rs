//! Steps of a job.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{
    create::{insert_event, insert_tasks},
    insert::groups,
    pending::Operation,
    read,
    tx::Tx,
};
use crate::{
    job::{JobId, Status},
    store::{Change, Error, Fate, Progress, Record, Transition, outbox::NewCallback, row, row::Columns},
};

impl Operation for Transition {
    type Answer = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let id = self.job.id;
        if !update(tx, self).await? {
            return Err(Error::Conflict(id));
        }
        if let Some(event) = &self.event {
            insert_event(tx.write().await?, id, event).await?;
        }
        if let Some(callback) = &self.callback {
            insert_callback(tx, callback, self).await?;
            tx.tell(Change::Callback);
        }
        if let Some(json) = &self.certificate {
            let query = sqlx::query(
                "INSERT INTO certificates (job, json) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET json = excluded.json",
            );
            query.bind(self.certified().uuid()).bind(json).execute(tx.write().await?).await?;
        }
        insert_tasks(tx, &self.tasks).await?;
        let waits = matches!(self.fate, Fate::Waiting { .. });
        if self.job.parent().is_none() {
            tx.moved(i64::from(waits) - i64::from(self.expected.waits()));
        }
        tx.tell(Change::Job(id));
        if waits {
            tx.tell(Change::Queued);
        }
        Ok(())
    }
}

async fn update(tx: &mut Tx, step: &Transition) -> Result<bool, Error> {
    let row = Columns::new(&step.job, step.fate)?;
    let query = sqlx::query(
        "UPDATE jobs SET document = ?, status = ?, attempt = ?, owner = ?, running = ?, waiting = ?,
             due = coalesce(?, due), provisional = ?, progress = max(progress, ?), finished_at = ?
         WHERE id = ? AND status = ? AND attempt = ? AND owner IS ?",
    );
    let query = query.bind(row.document).bind(row.status).bind(row.attempt).bind(row.owner).bind(row.running);
    let query = query.bind(row.waiting).bind(row.due).bind(row.provisional).bind(row.progress).bind(row.finished_at);
    let query = query.bind(row.id).bind(step.expected.status.name()).bind(step.expected.attempt);
    let done = query.bind(step.expected.owner.map(|owner| owner.0)).execute(tx.write().await?).await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_callback(tx: &mut Tx, callback: &NewCallback, step: &Transition) -> Result<(), Error> {
    let at = row::called_at(&step.job);
    let query = sqlx::query("INSERT INTO callbacks (id, job, url, payload, created_at, due) VALUES (?, ?, ?, ?, ?, ?)");
    let query = query.bind(callback.id.0).bind(step.job.id.uuid()).bind(&callback.url).bind(&callback.payload);
    query.bind(at).bind(at).execute(tx.write().await?).await?;
    Ok(())
}

/// Notes how far jobs are.
pub(super) struct SaveProgress(pub(super) Vec<Progress>);

impl Operation for SaveProgress {
    type Answer = ();

    async fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        for group in groups(&self.0) {
            let moved = save(tx, group).await?;
            for Progress { id, event, update, .. } in
                group.iter().filter(|progress| progress.is_task && moved.contains(&progress.id.uuid()))
            {
                tx.tell(Change::Progress { id: *id, event: event.clone(), update: *update });
            }
        }
        Ok(())
    }
}

/// Answers which jobs ran as named.
async fn save(tx: &mut Tx, group: &[Progress]) -> Result<HashSet<Uuid>, Error> {
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE jobs SET progress = max(progress, news.column1) FROM (");
    query.push_values(group, |mut values, progress| {
        values.push_bind(progress.percent).push_bind(progress.id.uuid());
        values.push_bind(progress.attempt).push_bind(progress.owner.0);
    });
    query.push(") AS news WHERE id = news.column2 AND attempt = news.column3 AND owner = news.column4 AND status IN (");
    query.push_bind(Status::Processing.name()).push(", ").push_bind(Status::Uploading.name()).push(") RETURNING id");
    let moved: Vec<Uuid> = query.build_query_scalar().fetch_all(tx.write().await?).await?;
    Ok(moved.into_iter().collect())
}

/// Notes that a job is to be stopped.
pub(super) struct RequestCancel(pub(super) JobId);

impl Operation for RequestCancel {
    type Answer = Option<Record>;

    async fn run(&self, tx: &mut Tx) -> Result<Option<Record>, Error> {
        let query = sqlx::query("UPDATE jobs SET cancel_requested = TRUE WHERE id = ? AND finished_at IS NULL");
        let done = query.bind(self.0.uuid()).execute(tx.write().await?).await?;
        if done.rows_affected() == 1 {
            tx.tell(Change::Cancel(self.0));
        }
        read::get(tx.read().await?, self.0).await
    }
}
