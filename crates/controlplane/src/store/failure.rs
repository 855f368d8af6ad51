//! What an error of a database means: that it may go away by itself, or that it is a defect.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};

use super::Error;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Database(error) => is_passing(error.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            _ => false,
        };
        let text = reason(&error);
        if passing { Self::Unavailable(text) } else { Self::Broken(text) }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let passing = code(&error).is_some_and(is_passing_in_sqlite);
        let text = error.to_string();
        if passing { Self::Unavailable(text) } else { Self::Broken(text) }
    }
}

/// What an error says, without the words around it.
pub(super) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection within the time allowed".to_owned(),
        error => error.to_string(),
    }
}

fn is_passing(error: &dyn DatabaseError) -> bool {
    if let Some(error) = error.try_downcast_ref::<SqliteError>() {
        return primary_code(error).is_some_and(is_passing_in_sqlite);
    }
    error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| is_passing_in_postgres(error.code()))
}

/// The kind of an error of SQLite.
pub(super) fn code(error: &rusqlite::Error) -> Option<u32> {
    let code = u32::try_from(error.sqlite_error()?.extended_code).ok()?;
    // The upper bytes tell more of the same.
    Some(code & 0xff)
}

/// The same, as the migrations tell it.
pub(super) fn primary_code(error: &SqliteError) -> Option<u32> {
    let code: u32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Is not a database, or is damaged.
pub(super) fn is_damage(code: u32) -> bool {
    matches!(code, 11 | 26)
}

/// PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN and PROTOCOL; and damage, which a backup heals.
fn is_passing_in_sqlite(code: u32) -> bool {
    matches!(code, 3 | 5..=8 | 10 | 13..=15) || is_damage(code)
}

/// Connections, authorization, read-only transactions, conflicts and deadlocks, resources, the operator, the system.
fn is_passing_in_postgres(code: &str) -> bool {
    // `3D` and `42501` (no such database, no right) are mistakes in the set-up, which somebody may mend.
    ["08", "25006", "28", "3D", "40", "42501", "53", "55", "57", "58", "XX001"]
        .iter()
        .any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("08006", true)]
    #[case("57P01", true)]
    #[case("53100", true)]
    #[case("25006", true)]
    #[case("40P01", true)]
    #[case("25001", false)]
    #[case("23505", false)]
    #[case("42703", false)]
    fn what_may_pass_is_not_a_defect(#[case] code: &str, #[case] passing: bool) {
        assert_eq!(is_passing_in_postgres(code), passing);
    }
}
