//! A PostgreSQL server under test: private to this process, on a free port, in a folder of its own.
//!
//! A small shell process starts it and waits for a word on its standard input. When this process dies, however it dies,
//! that input ends: the server is stopped and its folder removed.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::unistd::{User, geteuid};
use tokio::sync::OnceCell;

use crate::{daemon::Port, wait::until};

/// A user that has to give a password; all others are trusted.
pub const GUARDED: &str = "guarded";
/// That password.
pub const PASSWORD: &str = "hush";

/// Not before the server has written its number down does it heed signals.
const WATCH: &str = r#"
trap '' HUP INT TERM
if [ ! -d "$2/data" ]; then
    "$1/initdb" -A trust -U postgres -E UTF8 --locale=C --no-sync -D "$2/data" </dev/null >"$2/log" 2>&1 || exit 1
fi
"$1/postgres" -D "$2/data" -c config_file="$2/postgresql.conf" -c hba_file="$2/pg_hba.conf" -p "$3" \
    </dev/null >>"$2/log" 2>&1 &
server=$!
tries=0
until [ -s "$2/data/postmaster.pid" ] || [ $tries -ge 600 ]; do tries=$((tries + 1)); sleep 0.05; done
read -r word
case $word in
stop) kill -INT "$server"; wait "$server" ;;
crash) kill -QUIT "$server"; wait "$server" ;;
*) kill -QUIT "$server"; wait "$server"; rm -rf "$2" ;;
esac
"#;

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 16MB
fsync = off
full_page_writes = off
";

const ACCESS: &str = "
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
";

/// A PostgreSQL server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    folder: PathBuf,
    port: Port,
    /// `None` while it is stopped.
    watch: Mutex<Option<Child>>,
    databases: AtomicUsize,
}

impl Postgres {
    /// The server that the tests of this process share. Nobody may stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A server of one's own.
    pub async fn start() -> Self {
        let (binaries, port) = (binaries(), Port::reserve());
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a folder").keep();
        fs::write(folder.join("postgresql.conf"), SETTINGS).expect("a file");
        fs::write(folder.join("pg_hba.conf"), ACCESS).expect("a file");
        if let Some(user) = servant() {
            for path in [folder.clone(), folder.join("postgresql.conf"), folder.join("pg_hba.conf")] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root may give files away");
            }
        }
        let server = Self { binaries, folder, port, watch: Mutex::default(), databases: AtomicUsize::new(0) };
        server.restart().await;
        server.execute(&format!("CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The URL of a new, empty database.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("flux_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@{}/{name}", self.address())
    }

    /// Runs a statement as its administrator.
    pub fn execute(&self, sql: &str) {
        self.query("postgres", sql);
    }

    /// Runs a statement in a database, and answers what `psql` prints.
    #[must_use]
    pub fn ask(&self, database: &str, sql: &str) -> String {
        self.query(database, sql)
    }

    fn query(&self, database: &str, sql: &str) -> String {
        let (host, port) = (self.address().ip().to_string(), self.address().port().to_string());
        let mut command = Command::new(self.binaries.join("psql"));
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
        run(command.args(["-h", &host, "-p", &port, "-d", database, "-c", sql]))
    }

    /// Stops it as an administrator would: connections are closed.
    pub fn stop(&self) {
        self.end(b"stop\n");
    }

    /// Stops it as a crash would.
    pub fn crash(&self) {
        self.end(b"crash\n");
    }

    /// Starts it again after a stop, and waits until it answers.
    pub async fn restart(&self) {
        let port = self.address().port().to_string();
        let mut command = as_servant(OsStr::new("sh"));
        command.args(["-c", WATCH, "watch"]).arg(&self.binaries).arg(&self.folder).arg(&port);
        // A Ctrl-C is for the tests, and who reads their output must not wait for the end of the shell.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("a shell");
        let before = self.watch.lock().unwrap_or_else(PoisonError::into_inner).replace(child);
        assert!(before.is_none(), "the server runs already");
        until("PostgreSQL answers", async || {
            assert!(self.is_watched(), "{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
            let mut command = Command::new(self.binaries.join("pg_isready"));
            command.args(["-q", "-h", "127.0.0.1", "-p", &port]).status().expect("pg_isready runs").success()
        })
        .await;
    }

    fn is_watched(&self) -> bool {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_mut().is_some_and(|watch| watch.try_wait().expect("a child can be waited for").is_none())
    }

    fn end(&self, word: &[u8]) {
        let Some(mut watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if let Some(mut input) = watch.stdin.take() {
            input.write_all(word).expect("the shell reads");
        }
        watch.wait().expect("a child can be waited for");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end(b"");
        // Where it was stopped before.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The newest version that is installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path));
    newest.expect("PostgreSQL is installed (package postgresql)").join("bin")
}

/// The server refuses to run as root.
fn servant() -> Option<User> {
    let find = |name| User::from_name(name).expect("users can be looked up");
    geteuid().is_root().then(|| find("postgres").or_else(|| find("nobody")).expect("a user without rights"))
}

fn as_servant(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if let Some(user) = servant() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
