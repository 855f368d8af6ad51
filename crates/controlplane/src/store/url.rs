//! `DATABASE_URL` and `DATA_DIR`: which store, and where.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

/// A store, as the settings name it.
#[derive(Debug, Clone)]
pub enum Database {
    /// SQLite in memory: it ends with the process.
    Memory,
    /// SQLite in this file.
    File(PathBuf),
    /// PostgreSQL.
    Postgres(Postgres),
}

/// The URL of a PostgreSQL database. It may hold a password, which nothing shows.
#[derive(Clone)]
pub struct Postgres(SecretString);

impl Postgres {
    /// The URL with its password.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match url::Url::parse(self.expose()) {
            Ok(url) => {
                let (host, database) = (url.host_str().unwrap_or("localhost"), url.path());
                write!(f, "{}://{host}:{}{database}", url.scheme(), url.port().unwrap_or(5432))
            }
            Err(_) => f.write_str("postgres://"),
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Database {
    /// Reads `DATABASE_URL`; a file in it is relative to `data_dir`.
    ///
    /// # Errors
    /// What is wrong with it and what is right.
    pub fn parse(text: &str, data_dir: &Path) -> Result<Self, String> {
        // Never the whole value in a message: it may hold a password.
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("has no scheme; {FORMS}"));
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err("must be `memory:` alone: it has no name".to_owned()),
            "sqlite" => file(rest.strip_prefix("//").unwrap_or(rest)).map(|path| Self::File(data_dir.join(path))),
            "postgres" | "postgresql" => postgres(text),
            _ => Err(format!("the scheme {scheme:?} is not known; {FORMS}")),
        }
    }
}

const FORMS: &str = "must be sqlite://FILE (relative to DATA_DIR), sqlite:///ABSOLUTE/FILE, \
                     postgres://USER:PASSWORD@HOST/DATABASE or memory:";

fn file(path: &str) -> Result<&Path, String> {
    if path.is_empty() || path.ends_with('/') {
        return Err("must name a file, such as sqlite://flux.db".to_owned());
    }
    if path.contains(":memory:") {
        return Err("must be `memory:` for a store in memory".to_owned());
    }
    if path.contains(['?', '#', '\0']) {
        return Err("must be sqlite:// and a path, without parameters".to_owned());
    }
    Ok(Path::new(path))
}

fn postgres(text: &str) -> Result<Database, String> {
    let url = url::Url::parse(text).map_err(|error| format!("cannot be read: {error}"))?;
    if url.path().len() < 2 {
        return Err("must name a database, such as postgres://user:password@host/flux".to_owned());
    }
    Ok(Database::Postgres(Postgres(text.to_owned().into())))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Database::parse(text, Path::new("data")).map(|database| format!("{database:?}"))
    }

    #[rstest]
    #[case("sqlite://flux.db", "File(\"data/flux.db\")")]
    #[case("sqlite:flux.db", "File(\"data/flux.db\")")]
    #[case("sqlite:///var/lib/flux/jobs.db", "File(\"/var/lib/flux/jobs.db\")")]
    #[case("memory:", "Memory")]
    #[case("postgres://flux:hush@db/flux", "Postgres(postgres://db:5432/flux)")]
    #[case("postgresql://db:5433/flux?sslmode=require", "Postgres(postgresql://db:5433/flux)")]
    fn each_form_is_read_and_no_password_shown(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(parse(text), Ok(shown.to_owned()));
    }

    #[rstest]
    #[case("flux.db", "has no scheme; must be sqlite://FILE")]
    #[case("mysql://u:hush@h/d", "the scheme \"mysql\" is not known; must be sqlite://FILE")]
    #[case("sqlite://", "must name a file")]
    #[case("sqlite://folder/", "must name a file")]
    #[case("sqlite::memory:", "must be `memory:`")]
    #[case("sqlite://flux.db?mode=rwc", "without parameters")]
    #[case("memory://x", "must be `memory:` alone")]
    #[case("postgres://flux:hush@db", "must name a database")]
    #[case("postgres://flux:hush@db:port/flux", "cannot be read: invalid port number")]
    fn each_mistake_is_named_without_the_password(#[case] text: &str, #[case] part: &str) {
        let message = parse(text).expect_err("a mistake");
        assert!(message.contains(part) && !message.contains("hush"), "{message}");
    }
}
