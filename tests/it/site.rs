//! A web server for inputs and players, which can also misbehave in every way that servers do.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{self, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) use secure::Secure;

mod secure;

/// Longest request head that is read, in lines.
const MAX_LINES: usize = 100;

/// What a request gets.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// This content, or the range of it that was asked for.
    Content(Vec<u8>),
    /// This content, whatever range was asked for, and without a length.
    Endless(Vec<u8>),
    /// This content, with a length that is so many bytes too large, and then the end of the connection.
    Short(Vec<u8>, usize),
    /// The head and this content of a longer whole, and then nothing, over an open connection.
    Hang(Vec<u8>),
    /// The head and this content of a longer whole, and then a reset.
    Reset(Vec<u8>),
    /// Nothing at all, over an open connection.
    Silence,
    /// Something that is not HTTP.
    Noise,
    /// An empty answer with this status.
    Status(u16),
    /// Look there.
    Redirect(String),
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Site {
    /// Serves what `answer` gives for a path, on this machine alone.
    pub(crate) async fn local(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::at([127, 0, 0, 1].into(), answer).await
    }

    /// Serves what `answer` gives for a path, at this address of the machine.
    pub(crate) async fn at(ip: IpAddr, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("an address of this machine");
        let address = listener.local_addr().expect("bound");
        let (connections, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    // A client may hang up at any time.
                    let _ = serve(stream, &*answer).await;
                });
            }
        });
        Self { address, connections, task }
    }

    /// Serves the files of several folders.
    pub(crate) async fn folders(folders: Vec<PathBuf>) -> Self {
        Self::local(move |path| {
            let found = folders.iter().find_map(|folder| fs::read(inside(folder, path)?).ok());
            found.map_or(Answer::Status(404), Answer::Content)
        })
        .await
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

async fn serve(stream: TcpStream, answer: &(dyn Fn(&str) -> Answer + Send + Sync)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
    request.answer(stream.into_inner(), answer(&request.path)).await
}

/// As much of a request as matters here.
struct Request {
    path: String,
    /// First byte that is wanted, and last, if there is one.
    range: Option<(usize, Option<usize>)>,
}

impl Request {
    async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let (mut path, mut range) = (None, None);
        for _ in 0..MAX_LINES {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_none() {
                path = line.split(' ').nth(1).map(|target| target.split('?').next().unwrap_or(target).to_owned());
            }
            range = range.or_else(|| byte_range(line));
        }
        Ok(path.map(|path| Self { path, range }))
    }

    async fn answer(&self, mut stream: TcpStream, answer: Answer) -> io::Result<()> {
        match answer {
            Answer::Content(content) => {
                let (head, content) = self.content(&content);
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(content).await?;
            }
            Answer::Endless(content) => {
                stream.write_all(head("200 OK", &self.path, "").as_bytes()).await?;
                stream.write_all(&content).await?;
            }
            Answer::Short(content, missing) => self.part(&mut stream, &content, missing).await?,
            Answer::Hang(content) => {
                self.part(&mut stream, &content, content.len()).await?;
                std::future::pending::<()>().await;
            }
            Answer::Reset(content) => {
                self.part(&mut stream, &content, content.len()).await?;
                stream.set_zero_linger()?;
                return Ok(());
            }
            Answer::Silence => std::future::pending().await,
            Answer::Noise => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await?,
            Answer::Status(status) => {
                let status = format!("{status} Told");
                stream.write_all(head(&status, &self.path, "Content-Length: 0\r\n").as_bytes()).await?;
            }
            Answer::Redirect(to) => {
                let fields = format!("Location: {to}\r\nContent-Length: 0\r\n");
                stream.write_all(head("302 Found", &self.path, &fields).as_bytes()).await?;
            }
        }
        stream.shutdown().await
    }

    /// The head of a whole that has `missing` bytes more than `content`, and the content.
    async fn part(&self, stream: &mut TcpStream, content: &[u8], missing: usize) -> io::Result<()> {
        let length = format!("Content-Length: {}\r\n", content.len() + missing);
        stream.write_all(head("200 OK", &self.path, &length).as_bytes()).await?;
        stream.write_all(content).await
    }

    fn content<'a>(&self, content: &'a [u8]) -> (String, &'a [u8]) {
        let whole = content.len();
        let Some((first, last)) = self.range else {
            let fields = format!("Accept-Ranges: bytes\r\nContent-Length: {whole}\r\n");
            return (head("200 OK", &self.path, &fields), content);
        };
        let end = last.map_or(whole, |last| whole.min(last + 1));
        let Some(part) = content.get(first..end).filter(|part| !part.is_empty()) else {
            let fields = format!("Content-Range: bytes */{whole}\r\nContent-Length: 0\r\n");
            return (head("416 Range Not Satisfiable", &self.path, &fields), &[]);
        };
        let fields = format!("Content-Range: bytes {first}-{}/{whole}\r\nContent-Length: {}\r\n", end - 1, part.len());
        (head("206 Partial Content", &self.path, &fields), part)
    }
}

fn byte_range(line: &str) -> Option<(usize, Option<usize>)> {
    let (name, value) = line.split_once(':')?;
    let range = value.trim().strip_prefix("bytes=").filter(|_| name.eq_ignore_ascii_case("range"))?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()))
}

fn head(status: &str, path: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {}\r\nConnection: close\r\n{fields}\r\n", content_type(path))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "m3u8" => "application/vnd.apple.mpegurl",
        "ts" => "video/mp2t",
        "mp4" | "m4s" => "video/mp4",
        "mpd" => "application/dash+xml",
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript",
        _ => "application/octet-stream",
    }
}
