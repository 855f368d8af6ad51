//! A job's input: from the URL that a client sent to options that let ffmpeg read that and nothing else.
//!
//! - the scheme is http, https, s3, or file inside `INPUT_DIR`
//! - network connections go through a guard that refuses loopback, link-local and metadata addresses, after every
//!   redirect and for every URL in a playlist
//! - ffmpeg may use only the protocols that the scheme needs and only demuxers that open no other files

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use url::Url;

use crate::{failure::Blame, folder::Version, media, tool::confine, uploader::S3Client};
use connect::Rules;
use guard::Guard;
pub(crate) use location::Location;

mod connect;
mod guard;
mod location;
mod tag;
mod trouble;

/// Longest cause of a failure in characters.
const MAX_CAUSE: usize = 500;

/// Largest picture that is decoded: 16,384 × 8,192. A few bytes of hostile input can ask for gigabytes.
const MAX_PIXELS: u32 = 1 << 27;

/// How long a presigned URL may be used for new requests: longer than any sensible encode, and the most that S3's signatures have.
const PRESIGNED_FOR: Duration = Duration::from_hours(7 * 24);

/// Demuxers that read one self-contained file.
const CONTAINERS: &str = "mov,matroska,mpegts,mpeg,avi,flv,asf,ogg,wav,mp3,aac,flac,ac3,eac3,aiff,mxf,nut,rm,dv,ivf,\
    h264,hevc,mpegvideo,m4v,gif,wtv,w64,webvtt,av1,obu,vc1,swf,caf";

/// How inputs are read on this worker.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Inputs may come from this machine (`INPUT_ALLOW_LOOPBACK`).
    pub allow_loopback: bool,
    /// Folder that file URLs may name files in (`INPUT_DIR`).
    pub directory: Option<PathBuf>,
    /// Longest wait for a connection or for more bytes (`INPUT_TIMEOUT`).
    pub patience: Duration,
}

/// Why an input cannot be opened. Each names the field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not a URL that can be an input anywhere.
    #[error("input_url: {0}")]
    Malformed(String),
    /// A file URL where none is allowed.
    #[error("input_url: file URLs need INPUT_DIR to be set on the worker")]
    NoDirectory,
    /// A file that is not there, or not in the folder.
    #[error("input_url: {0}: no such file in INPUT_DIR")]
    NoSuchFile(String),
    /// No S3 credentials, or a malformed name.
    #[error("input_url: {0}")]
    Presign(String),
    /// Whether it is the version that was planned.
    #[error("input_url: cannot find out whether it was replaced: {0}")]
    Version(String),
    /// The guard cannot listen.
    #[error("cannot start the input guard: {0}")]
    Guard(#[from] io::Error),
}

impl Error {
    /// Who can mend it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Malformed(_) | Self::NoSuchFile(_) | Self::NoDirectory => Blame::Job,
            Self::Presign(_) | Self::Version(_) | Self::Guard(_) => Blame::Infrastructure,
        }
    }
}

/// Where a source is, for those who look at it themselves.
#[derive(Debug)]
enum Place {
    /// A file, with what leads to it resolved.
    File(PathBuf),
    /// An object in S3.
    Object { bucket: String, key: String },
    /// At a server that only ffmpeg talks to, through the guard.
    Network,
}

/// An input that ffmpeg can be given. Lives as long as the task: the guard stops with it.
#[derive(Debug)]
pub(crate) struct Source {
    /// What ffmpeg and ffprobe get.
    pub(crate) input: media::Input,
    /// Which file it is, of a file.
    pub(crate) version: Option<Version>,
    place: Place,
    guard: Option<Guard>,
    /// What ffmpeg is told to read, which may hold credentials.
    operand: String,
    /// The same for people.
    shown: String,
}

impl Source {
    /// Opens an input.
    ///
    /// # Errors
    /// Why it cannot be opened; that nothing can be read from it shows only when it is probed.
    pub(crate) async fn open(location: &Location, policy: &Policy, s3: &S3Client) -> Result<Self, Error> {
        match location {
            Location::Http(url) => Self::network(url, policy, None).await,
            Location::S3 { bucket, key } => {
                let url = s3
                    .presign_get(bucket, key, PRESIGNED_FOR)
                    .await
                    .map_err(|error| Error::Presign(error.to_string()))?;
                let source = Self::network(&url, policy, Some(endpoint(&url))).await?;
                let place = Place::Object { bucket: bucket.clone(), key: key.clone() };
                Ok(Self { shown: format!("s3://{bucket}/{key}"), place, ..source })
            }
            Location::File(path) => Self::file(path, policy).await,
        }
    }

    async fn network(url: &Url, policy: &Policy, trusted: Option<(String, u16)>) -> Result<Self, Error> {
        let rules = Rules { allow_loopback: policy.allow_loopback, trusted };
        let guard = Guard::start(rules, policy.patience).await?;
        // The guard speaks first when both see the same silence: it knows more.
        let silence = (policy.patience + Duration::from_secs(1)).as_micros().to_string();
        // A playlist can name a URL that leads around the guard; only the kernel can stop that.
        let formats = if confine::is_possible() { format!("{CONTAINERS},hls") } else { CONTAINERS.to_owned() };
        let mut args = options(&[
            ("-protocol_whitelist", "http,https,tcp,tls,httpproxy,crypto,data"),
            ("-format_whitelist", &formats),
            ("-rw_timeout", &silence),
            ("-user_agent", concat!("flux-encoder/", env!("CARGO_PKG_VERSION"))),
            ("-reconnect", "1"),
            ("-reconnect_delay_max", "4"),
        ]);
        if url.scheme() == "https" {
            // The guard proves certificates. Its own is for nobody.
            args.extend(["-tls_verify".into(), "0".into()]);
        }
        args.extend(["-i".into(), url.as_str().into()]);
        let input = media::Input { args, proxy: Some(guard.address()) };
        let (operand, shown) = (url.to_string(), without_secrets(url));
        Ok(Self { input, version: None, place: Place::Network, guard: Some(guard), operand, shown })
    }

    async fn file(path: &Path, policy: &Policy) -> Result<Self, Error> {
        let root = policy.directory.as_deref().ok_or(Error::NoDirectory)?;
        let missing = || Error::NoSuchFile(path.display().to_string());
        // Resolved, so that neither `..` nor a link leads out.
        let root = tokio::fs::canonicalize(root).await.map_err(|_| missing())?;
        let resolved = tokio::fs::canonicalize(path).await.map_err(|_| missing())?;
        if !resolved.starts_with(&root) {
            return Err(missing());
        }
        let file = tokio::fs::metadata(&resolved).await.ok().filter(std::fs::Metadata::is_file).ok_or_else(missing)?;
        let version = Version::new(&file).ok();
        let mut operand = OsString::from("file:");
        operand.push(&resolved);
        // No playlists: they could name files outside the folder.
        let mut args = options(&[("-protocol_whitelist", "file,crypto,data"), ("-format_whitelist", CONTAINERS)]);
        args.extend(["-i".into(), operand]);
        let shown = path.display().to_string();
        let operand = format!("file:{}", resolved.display());
        let input = media::Input { args, proxy: None };
        Ok(Self { input, version, place: Place::File(resolved), guard: None, operand, shown })
    }

    /// What tells versions of the source that have the same length apart; 0 where nothing does.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(crate) async fn tag(&self, policy: &Policy, s3: &S3Client) -> Result<u64, Error> {
        let look = async {
            match &self.place {
                Place::File(path) => {
                    tag::of_file(path.clone()).await.map_err(|error| Error::Version(error.to_string()))
                }
                Place::Object { bucket, key } => match s3.etag(bucket, key).await {
                    Ok(etag) => Ok(etag.map_or(0, |etag| tag::of_text(&etag))),
                    Err(error) => Err(Error::Version(error.to_string())),
                },
                Place::Network => Ok(0),
            }
        };
        let silence = || Error::Version(format!("no answer for {} s", policy.patience.as_secs()));
        timeout(policy.patience, look).await.map_err(|_| silence())?
    }

    /// Why reading failed: what the guard saw, or else what the program said.
    pub(crate) fn cause(&self, said: &str) -> String {
        match self.guard.as_ref().and_then(Guard::trouble) {
            Some(trouble) => trouble.to_string(),
            None if said.contains("Input/output error") && self.guard.as_ref().is_some_and(Guard::ignores_ranges) => {
                format!(
                    "{} (the server ignores range requests, which a file with its index at the end needs)",
                    self.redact(said)
                )
            }
            None => self.redact(said),
        }
    }

    /// Why a part of the input was refused or could not be read: whatever the program made of the rest, it is not the
    /// input that was meant.
    pub(crate) fn unread(&self) -> Option<String> {
        self.guard.as_ref().and_then(Guard::unread).map(|trouble| trouble.to_string())
    }

    /// A command that reads this input, for clients: without what is secret.
    pub(crate) fn shown(&self, program: &str, args: &[OsString]) -> Vec<String> {
        let show = |arg: &OsString| redact_urls(&arg.to_string_lossy().replace(&self.operand, &self.shown));
        [program.to_owned()].into_iter().chain(args.iter().map(show)).collect()
    }

    fn redact(&self, said: &str) -> String {
        let said = redact_urls(&said.replace(&self.operand, &self.shown));
        match said.char_indices().nth(MAX_CAUSE) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        }
    }
}

/// Takes the secrets out of every URL in a text: redirects and playlists lead to others than the job's own.
fn redact_urls(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("http://").into_iter().chain(rest.find("https://")).min() {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| c.is_whitespace() || "'\"<>".contains(c)).unwrap_or(from.len());
        let (token, after) = from.split_at(end);
        // ffmpeg puts a colon behind a URL that it complains about.
        let url = token.trim_end_matches([':', ',', '.', ')']);
        redacted.push_str(before);
        redacted.push_str(&Url::parse(url).map_or_else(|_| "a URL".to_owned(), |url| without_secrets(&url)));
        redacted.push_str(&token[url.len()..]);
        rest = after;
    }
    redacted + rest
}

/// A URL without user, password and query, where tokens and signatures stand.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs without a host have no place for these.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn options(pairs: &[(&str, &str)]) -> Vec<OsString> {
    let pixels = MAX_PIXELS.to_string();
    let all = pairs.iter().copied().chain([("-max_pixels", pixels.as_str())]);
    all.flat_map(|(name, value)| [name.into(), value.into()]).collect()
}

fn endpoint(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn policy(directory: Option<&Path>) -> Policy {
        Policy { allow_loopback: false, directory: directory.map(Path::to_owned), patience: Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn only_files_in_the_folder_can_be_opened() {
        let (inside, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let policy = policy(Some(inside.path()));
        std::fs::write(inside.path().join("a.mp4"), "x").expect("writes");
        std::fs::write(outside.path().join("b.mp4"), "x").expect("writes");
        std::os::unix::fs::symlink(outside.path().join("b.mp4"), inside.path().join("link.mp4")).expect("links");
        assert!(Source::file(&inside.path().join("a.mp4"), &policy).await.is_ok());
        let climbing = inside.path().join("..").join(outside.path().file_name().expect("a name")).join("b.mp4");
        for path in [outside.path().join("b.mp4"), inside.path().join("link.mp4"), climbing, inside.path().to_owned()] {
            assert!(Source::file(&path, &policy).await.is_err(), "{}", path.display());
        }
    }

    #[tokio::test]
    async fn a_file_input_may_open_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.mp4"), "x").expect("writes");
        let source = Source::file(&folder.path().join("a.mp4"), &policy(Some(folder.path()))).await.expect("opens");
        let args: Vec<_> = source.input.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        assert_eq!(args[..2], ["-protocol_whitelist", "file,crypto,data"]);
        assert!(args[2] == "-format_whitelist" && !args[3].contains("hls") && !args[3].contains("concat"));
        assert!(args.last().is_some_and(|operand| operand.starts_with("file:/")));
    }

    #[tokio::test]
    async fn a_command_shows_no_secret() {
        let url: Url = "https://user:secret@h.example/a.mp4?token=secret".parse().expect("a URL");
        let source = Source::network(&url, &policy(None), None).await.expect("opens");
        let shown = source.shown("ffmpeg", &source.input.args).join(" ");
        assert!(shown.ends_with("-i https://h.example/a.mp4") && !shown.contains("secret"), "{shown}");
    }

    #[tokio::test]
    async fn credentials_in_a_url_are_not_shown() {
        let url = Url::parse("https://user:pass@example.org/a.mp4?X-Amz-Signature=1#t").expect("a URL");
        let source = Source::network(&url, &policy(None), None).await.expect("opens");
        assert_eq!(source.cause(&format!("{url}: not found")), "https://example.org/a.mp4: not found");
    }

    #[rstest]
    #[case("nothing to hide", "nothing to hide")]
    #[case("http://u:p@h/a.ts?sig=1: Connection timed out", "http://h/a.ts: Connection timed out")]
    #[case("from 'https://h/a?b#c' to \"http://i/?d\",", "from 'https://h/a' to \"http://i/\",")]
    #[case("http://[bad?secret: no", "a URL: no")]
    fn no_url_shows_its_secrets(#[case] said: &str, #[case] shown: &str) {
        assert_eq!(redact_urls(said), shown);
    }

    #[tokio::test]
    async fn a_long_cause_is_cut_after_its_secrets_are_taken_out() {
        let url = Url::parse(&format!("https://example.org/a?{}", "s".repeat(7000))).expect("a URL");
        let source = Source::network(&url, &policy(None), None).await.expect("opens");
        assert_eq!(source.cause(&format!("{url}: not found")), "https://example.org/a: not found");
        assert!(source.cause(&"ü".repeat(9000)).chars().count() <= MAX_CAUSE + 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_redaction_panic(text in "(http://|https://|[ -~ü]){0,40}") {
            let _ = redact_urls(&text);
        }
    }
}
