//! Connections and migrations.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::store::{OpenError, failure, url::Postgres};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// Connections of one control plane, beside the one that listens.
const CONNECTIONS: u32 = 10;

/// How long a call waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How long the server may take to answer at the start, migrations by another control plane included.
const START: Duration = Duration::from_secs(30);

/// What each connection is told. Statements are short, so one that takes longer waits for something that hangs. A
/// commit must be on the disk when it is answered, whatever the server's default is.
const SESSION: &str = "SELECT set_config('statement_timeout', '8s', false), set_config('lock_timeout', '5s', false),
    set_config('idle_in_transaction_session_timeout', '10s', false),
    CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END";

/// Connects and brings the tables up to date.
pub(super) async fn open(url: &Postgres) -> Result<PgPool, OpenError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(|error| refused(url, &error))?;
    let options = options.application_name("flux-controlplane").disable_statement_logging();
    let ready = timeout(START, migrate(&options)).await;
    ready.unwrap_or_else(|_| Err(late())).map_err(|error| explain(url, error))?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async {
            sqlx::query(SESSION).execute(connection).await?;
            Ok(())
        })
    });
    Ok(pool.connect_lazy_with(options))
}

/// On a connection of its own: the pool would not say why it has none.
async fn migrate(options: &PgConnectOptions) -> Result<(), MigrateError> {
    let connection = timeout(ACQUIRE, PgConnection::connect_with(options)).await;
    let mut connection = connection.map_err(|_| late())?.map_err(MigrateError::Execute)?;
    MIGRATOR.run_direct(None, &mut connection, false).await?;
    // Nothing depends on how it ends.
    let _ = connection.close().await;
    Ok(())
}

fn late() -> MigrateError {
    MigrateError::Execute(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

fn explain(url: &Postgres, error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => refused(url, &error),
        error @ (MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
            OpenError::Version { database: url.to_string(), reason: error.to_string() }
        }
        error => OpenError::Server { database: url.to_string(), reason: error.to_string() },
    }
}

/// The server is not there, or does not want us.
pub(super) fn refused(url: &Postgres, error: &sqlx::Error) -> OpenError {
    OpenError::Server { database: url.to_string(), reason: failure::reason(error) }
}
