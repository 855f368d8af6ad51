//! Steps of a job.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{insert, pending::Operation, read, tx::Tx};
use crate::{
    job::{Job, JobId, Status},
    store::{
        Change, Error, Fate, Progress, Record, Transition,
        outbox::NewCallback,
        row::{self, Columns},
    },
};

impl Operation for Transition {
    type Answer = ();

    fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        let id = self.job.id;
        if !update(tx.write(), self)? {
            return Err(Error::Conflict(id));
        }
        if let Some(event) = &self.event {
            insert::event(tx.write(), id, event)?;
        }
        if let Some(callback) = &self.callback {
            insert_callback(tx.write(), callback, &self.job)?;
            tx.tell(Change::Callback);
        }
        if let Some(json) = &self.certificate {
            insert_certificate(tx.write(), self.certified(), json)?;
        }
        insert_tasks(tx, &self.tasks)?;
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

fn update(connection: &Connection, step: &Transition) -> Result<bool, Error> {
    let (row, expected) = (Columns::new(&step.job, step.fate)?, &step.expected);
    let mut update = connection.prepare_cached(
        "UPDATE jobs SET document = ?, status = ?, attempt = ?, owner = ?, running = ?, waiting = ?,
             due = coalesce(?, due), provisional = ?, progress = max(progress, ?), finished_at = ?
         WHERE id = ? AND status = ? AND attempt = ? AND owner IS ?",
    )?;
    let rows = update.execute(params![
        row.document,
        row.status,
        row.attempt,
        row.owner,
        row.running,
        row.waiting,
        row.due,
        row.provisional,
        row.progress,
        row.finished_at,
        row.id,
        expected.status.name(),
        expected.attempt,
        expected.owner.map(|owner| owner.0),
    ])?;
    Ok(rows == 1)
}

fn insert_callback(connection: &Connection, callback: &NewCallback, job: &Job) -> Result<(), Error> {
    let at = row::called_at(job);
    let sql = "INSERT INTO callbacks (id, job, url, payload, created_at, due) VALUES (?, ?, ?, ?, ?, ?)";
    let params = params![callback.id.0, job.id.uuid(), callback.url, callback.payload, at, at];
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

fn insert_certificate(connection: &Connection, id: JobId, json: &str) -> Result<(), Error> {
    let sql = "INSERT INTO certificates (job, json) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET json = excluded.json";
    connection.prepare_cached(sql)?.execute(params![id.uuid(), json])?;
    Ok(())
}

/// Writes the tasks of a job down: they wait, and take turns from the one that is due.
fn insert_tasks(tx: &mut Tx, tasks: &[Job]) -> Result<(), Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    for (later, task) in (0..).zip(tasks) {
        let row = Columns::new(task, Fate::Waiting { due: Timestamp::UNIX_EPOCH })?;
        let turn = tx.turn(row.priority)? + later;
        insert::task(tx.write(), &row, turn)?;
    }
    tx.tell(Change::Queued);
    Ok(())
}

/// Notes how far jobs are.
pub(super) struct SaveProgress(pub(super) Vec<Progress>);

impl Operation for SaveProgress {
    type Answer = ();

    fn run(&self, tx: &mut Tx) -> Result<(), Error> {
        for progress in &self.0 {
            let moved = save(tx.write(), progress)?;
            if moved && progress.is_task {
                let Progress { id, event, update, .. } = progress;
                tx.tell(Change::Progress { id: *id, event: event.clone(), update: *update });
            }
        }
        Ok(())
    }
}

/// Answers whether the job ran as named.
fn save(connection: &Connection, progress: &Progress) -> Result<bool, Error> {
    let mut update = connection.prepare_cached(
        "UPDATE jobs SET progress = max(progress, ?)
         WHERE id = ? AND attempt = ? AND owner = ? AND status IN (?, ?)",
    )?;
    let Progress { id, attempt, owner, percent, .. } = progress;
    let running = (Status::Processing.name(), Status::Uploading.name());
    let rows = update.execute(params![percent, id.uuid(), attempt, owner.0, running.0, running.1])?;
    Ok(rows == 1)
}

/// Notes that a job is to be stopped.
pub(super) struct RequestCancel(pub(super) JobId);

impl Operation for RequestCancel {
    type Answer = Option<Record>;

    fn run(&self, tx: &mut Tx) -> Result<Option<Record>, Error> {
        let sql = "UPDATE jobs SET cancel_requested = TRUE WHERE id = ? AND finished_at IS NULL";
        let rows = tx.write().prepare_cached(sql)?.execute([self.0.uuid()])?;
        if rows == 1 {
            tx.tell(Change::Cancel(self.0));
        }
        read::get(tx.read(), self.0)
    }
}
