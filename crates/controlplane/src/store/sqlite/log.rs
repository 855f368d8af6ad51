//! When the log of a file is moved into the file, and by whom.
//!
//! A commit is durable in the log. Whoever moves the log into the file waits for the disk longer than for a commit, so a
//! thread of its own does it, beside the commits. It never reaches the end of a log that grows meanwhile, and only then
//! can the log begin anew: the writer moves the little that is left.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
    thread,
};

use rusqlite::Connection;

/// After how many pages what is in the log is moved: 16 MiB. Commits write the last pages of each tree again and again, and
/// each page is moved once a part.
const PART: i32 = 4096;

/// How many pages the log may have before the writer sees to its end: some more than what was moved last.
const WHOLE: i32 = 2 * PART + PART / 16;

thread_local! {
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Has the commits on a connection note how long the log is, instead of moving it.
pub(super) fn watch(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(pages);
        Ok(())
    }));
}

/// How many pages the log had after the last commit of this thread.
pub(super) fn pages() -> i32 {
    PAGES.get()
}

/// Moves the end of the log, for who commits: nothing is added meanwhile. Waits for the thread that moves the log, or SQLite
/// would do nothing, and a log that is moved in step with it would never begin anew.
pub(super) fn move_end(connection: &Connection, beside: Option<&Beside>) {
    let _turn = beside.map(|beside| beside.lock().unwrap_or_else(PoisonError::into_inner));
    move_into_file(connection);
}

/// Moves what nobody needs in the log any more. Does nothing while another connection does it.
fn move_into_file(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the log of the database cannot be moved into the file");
    }
}

/// Who is to move the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The thread, while others commit.
    Beside,
    /// The writer.
    Here,
}

/// When the log is to be moved next.
#[derive(Debug)]
pub(super) struct Schedule {
    /// At so many pages beside the commits.
    beside: i32,
    /// At so many by the writer.
    here: i32,
    seen: i32,
}

impl Schedule {
    /// For a log that begins.
    pub(super) fn new() -> Self {
        Self { beside: PART, here: WHOLE, seen: 0 }
    }

    /// What is to be done at so many pages.
    pub(super) fn due(&mut self, pages: i32) -> Option<Due> {
        if pages < self.seen {
            *self = Self::new();
        }
        self.seen = pages;
        if pages >= self.here {
            // A reader may need what is in the log. A try at each commit would cost more than a longer log.
            self.here = pages + PART;
            Some(Due::Here)
        } else if pages >= self.beside {
            self.beside += PART;
            Some(Due::Beside)
        } else {
            None
        }
    }
}

/// A connection that moves the log.
pub(super) type Beside = Arc<Mutex<Connection>>;

/// The thread that moves the log beside the commits. It ends some time after this is dropped.
#[derive(Debug)]
pub(super) struct Mover(SyncSender<Beside>);

impl Mover {
    /// Starts it. `guard` is dropped when it has ended.
    pub(super) fn start(guard: impl Send + 'static) -> io::Result<Self> {
        let (sender, orders) = mpsc::sync_channel::<Beside>(1);
        thread::Builder::new().name("sqlite-log".to_owned()).spawn(move || {
            let _guard = guard;
            for connection in orders {
                move_into_file(&connection.lock().unwrap_or_else(PoisonError::into_inner));
            }
        })?;
        Ok(Self(sender))
    }

    /// Has it move the log, unless it is about to.
    pub(super) fn order(&self, connection: &Beside) {
        // It has an order already, or has ended: the writer sees to a log that grows too long.
        let _ = self.0.try_send(Arc::clone(connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_waits_for_the_thread_and_moves_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Connection::open(folder.path().join("a.db")).expect("opens");
        let (writer, beside) = (open(), Arc::new(Mutex::new(open())));
        writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").expect("can be set");
        writer.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (zeroblob(100000))").expect("writes");
        let busy = beside.lock().expect("free");
        let (tell, told) = mpsc::channel();
        let other = Arc::clone(&beside);
        let here = thread::spawn(move || {
            move_end(&writer, Some(&other));
            let state = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            tell.send(writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], state)).expect("somebody listens");
        });
        // What does not wait is done long before.
        assert!(told.recv_timeout(std::time::Duration::from_millis(300)).is_err());
        drop(busy);
        let (pages, moved) = told.recv().expect("ends").expect("tells");
        here.join().expect("ends");
        assert_eq!(pages, moved);
    }

    #[test]
    fn the_thread_moves_parts_and_the_writer_the_end() {
        let mut schedule = Schedule::new();
        let due: Vec<_> =
            (0..=8500).step_by(10).filter_map(|pages| schedule.due(pages).map(|due| (pages, due))).collect();
        assert_eq!(due, [(4100, Due::Beside), (8200, Due::Beside), (8450, Due::Here)]);
    }

    #[test]
    fn a_log_that_cannot_begin_anew_is_not_moved_at_each_commit() {
        let mut schedule = Schedule::new();
        assert_eq!(schedule.due(WHOLE), Some(Due::Here));
        assert_eq!(schedule.due(WHOLE + 1), Some(Due::Beside));
        let more = (2..PART).filter(|more| schedule.due(WHOLE + more) == Some(Due::Here)).count();
        assert_eq!(more, 0);
        assert_eq!(schedule.due(WHOLE + PART), Some(Due::Here));
    }

    #[test]
    fn a_log_that_begins_anew_has_its_time() {
        let mut schedule = Schedule::new();
        assert_eq!(schedule.due(WHOLE), Some(Due::Here));
        assert_eq!(schedule.due(10), None);
        assert_eq!(schedule.due(PART), Some(Due::Beside));
    }
}
