//! A forward proxy for the inputs of one task, through which ffmpeg makes every connection.
//!
//! ffmpeg follows redirects and opens what playlists name, so checking the job's URL alone protects nothing. Here each
//! connection's address is checked after its name was resolved, and the checked address is the one that is connected
//! to, which leaves no room for DNS rebinding. The proxy also knows why an input failed, which ffmpeg often does not
//! say. It listens on loopback on a port of its own and ends with the task.
//!
//! It ends TLS, too. ffmpeg proves the certificate of the job's URL at most, not those of what a playlist names, and goes
//! on without what it could not read there; over https a proxy that only hands bytes on would never know.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header,
    http::uri::{Authority, PathAndQuery, Scheme},
    rt::{Read, Write},
    server, service,
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::BoxError;
use tower_http::timeout::TimeoutBody;

use self::troubles::{Part, Troubles};
use super::{
    connect::{self, Rules},
    trouble::Trouble,
};

mod tls;
mod troubles;

type Body = BoxBody<Bytes, BoxError>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connector = tower::util::BoxCloneSyncService<Uri, Stream, connect::Error>;

/// A running proxy; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    address: SocketAddr,
    troubles: Arc<Mutex<Troubles>>,
    ignores_ranges: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Guard {
    /// Starts a proxy. `patience` bounds each wait: for a connection, and for more of an answer.
    pub(crate) async fn start(rules: Rules, patience: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let proxy = Proxy::new(rules, patience, stop.clone());
        let (troubles, ignores_ranges) = (Arc::clone(&proxy.troubles), Arc::clone(&proxy.ignores_ranges));
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, proxy)));
        Ok(Self { address, troubles, ignores_ranges, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What went wrong; a refusal before anything else, otherwise the latest.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.troubles().latest()
    }

    /// Why a part of the input was never read, though ffmpeg may have gone on without it.
    pub(crate) fn unread(&self) -> Option<Trouble> {
        self.troubles().unread()
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when a server sent a whole file where a part was asked for: ffmpeg cannot seek in it.
    pub(crate) fn ignores_ranges(&self) -> bool {
        self.ignores_ranges.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, proxy: Proxy) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => proxy.spawn(proxy.clone().serve(TokioIo::new(stream), None)),
            // Out of file descriptors: let some connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Connects as the rules have it, and proves who is there where the URL asks for that.
async fn connect(rules: &Rules, uri: &Uri, patience: Duration) -> Result<Stream, connect::Error> {
    let stream = TokioIo::new(rules.connect(uri, patience).await?);
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Ok(stream.into());
    }
    let host = connect::host(uri);
    let failed = |error: String| connect::Error::Tls(host.clone(), error);
    let name = ServerName::try_from(host.clone()).map_err(|error| failed(error.to_string()))?;
    let shaken = timeout(patience, tls::connector().await.connect(name, TokioIo::new(stream))).await;
    let stream = shaken.map_err(|_| connect::Error::TimedOut(host.clone()))?;
    Ok(stream.map_err(|error| failed(error.to_string()))?.into())
}

#[derive(Clone)]
struct Proxy {
    rules: Arc<Rules>,
    client: Client<Connector, Incoming>,
    patience: Duration,
    troubles: Arc<Mutex<Troubles>>,
    ignores_ranges: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Proxy {
    fn new(rules: Rules, patience: Duration, stop: CancellationToken) -> Self {
        let rules = Arc::new(rules);
        let connector = {
            let rules = Arc::clone(&rules);
            tower::service_fn(move |uri: Uri| {
                let rules = Arc::clone(&rules);
                async move { connect(&rules, &uri, patience).await }
            })
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15))
            .build(Connector::new(connector));
        Self { rules, client, patience, troubles: Arc::default(), ignores_ranges: Arc::default(), stop }
    }

    /// Runs a task that ends with the proxy.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(task));
    }

    /// Serves ffmpeg on a connection; `tunnel` is the authority that it asked for, where TLS was ended on it.
    async fn serve<I>(self, stream: I, tunnel: Option<Authority>)
    where
        I: Read + Write + Send + Unpin + 'static,
    {
        let handle = service::service_fn(|request| {
            let (proxy, tunnel) = (self.clone(), tunnel.clone());
            async move { Ok::<_, hyper::Error>(proxy.handle(request, tunnel).await) }
        });
        let connection = server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .preserve_header_case(true)
            .serve_connection(stream, handle)
            .with_upgrades();
        // The only client is ffmpeg, which hangs up as it likes; what it asks for comes from a playlist.
        if connection.await.is_err_and(|error| error.is_parse()) {
            let name = tunnel.as_ref().map(Authority::to_string).unwrap_or_default();
            self.troubles().note(Part::unnamed(&name), Trouble::Malformed);
        }
    }

    async fn handle(&self, request: Request<Incoming>, tunnel: Option<Authority>) -> Response<Body> {
        let mut part = Part::of(&request);
        let uri = request.uri().clone();
        let answer = match tunnel {
            None if request.method() == Method::CONNECT => match self.rules.resolve(&uri, self.patience).await {
                Err(error @ connect::Error::Forbidden { .. }) => Err(error.into()),
                // What else is wrong shows when something is asked for, and may be over by then.
                Ok(_) | Err(_) => self.tunnel(request),
            },
            None if uri.scheme() == Some(&Scheme::HTTP) => self.forward(request).await,
            Some(authority) if uri.authority().is_none() => {
                let request = with_uri(request, secure(authority, &uri));
                part = Part::of(&request);
                self.forward(request).await
            }
            None | Some(_) => Err(Trouble::NotHttp),
        };
        answer.unwrap_or_else(|trouble| {
            tracing::debug!(%uri, %trouble, "input request failed");
            let status = trouble.status();
            self.troubles().note(part, trouble);
            empty(status)
        })
    }

    /// HTTPS: what ffmpeg says in the tunnel is answered like any other request.
    fn tunnel(&self, request: Request<Incoming>) -> Result<Response<Body>, Trouble> {
        let authority = request.uri().authority().cloned().ok_or(Trouble::NotHttp)?;
        let proxy = self.clone();
        self.spawn(async move {
            let Ok(client) = hyper::upgrade::on(request).await else { return };
            match timeout(proxy.patience, tls::acceptor().accept(TokioIo::new(client))).await {
                Ok(Ok(client)) => proxy.serve(TokioIo::new(client), Some(authority)).await,
                // Another error than that it hung up.
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let trouble = Trouble::Guard(authority.host().to_owned(), error.to_string());
                    proxy.troubles().note(Part::unnamed(authority.as_str()), trouble);
                }
                Ok(Err(_)) | Err(_) => {}
            }
        });
        Ok(empty(StatusCode::OK))
    }

    /// Asks the server that is named in absolute form (RFC 9112 section 3.2.2), or by the tunnel.
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Trouble> {
        let part = Part::of(&request);
        let host = request.uri().host().ok_or(Trouble::NotHttp)?.to_owned();
        let wanted_range = request.headers().contains_key(header::RANGE);
        for hop_by_hop in ["connection", "proxy-connection", "proxy-authorization", "keep-alive", "upgrade", "te"] {
            request.headers_mut().remove(hop_by_hop);
        }
        let answer = timeout(self.patience, self.client.request(request)).await;
        let answer =
            answer.map_err(|_| Trouble::NoAnswer(host.clone()))?.map_err(|error| Trouble::of(host.clone(), &error))?;
        self.troubles().answered(&part, &answer);
        if wanted_range && answer.status() == StatusCode::OK {
            self.ignores_ranges.store(true, Ordering::Relaxed);
        }
        let (proxy, patience) = (self.clone(), self.patience);
        let broken = move |error: BoxError| {
            proxy.troubles().note(part.clone(), Trouble::broken(host.clone(), &*error));
            error
        };
        // Time counts while ffmpeg wants more, not while it has enough.
        Ok(answer.map(|body| TimeoutBody::new(patience, body).map_err(broken).boxed()))
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked for in a tunnel.
fn secure(authority: Authority, path: &Uri) -> Uri {
    let mut parts = path.clone().into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("all parts are there")
}

fn with_uri(mut request: Request<Incoming>, uri: Uri) -> Request<Incoming> {
    *request.uri_mut() = uri;
    request
}

fn empty(status: StatusCode) -> Response<Body> {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if status != StatusCode::OK {
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
