//! TLS in front of a web server.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use rcgen::CertifiedKey;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::Site;

/// A site that is reached over TLS. What it breaks off is broken off here, too.
#[derive(Debug)]
pub(crate) struct Secure {
    address: SocketAddr,
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Secure {
    /// Puts TLS in front of `site`, under a certificate that nobody knows yet.
    pub(crate) async fn before(site: &Site) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("an address can be certified");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), cert.pem()).expect("writes");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("they are ring's")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let (address, behind) = (listener.local_addr().expect("bound"), site.address());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client may hang up, or dislike the certificate.
                    let _ = hand_on(&acceptor, stream, behind).await;
                });
            }
        });
        Self { address, folder, task }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The file of whom to believe its certificate.
    pub(crate) fn authorities(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(acceptor: &TlsAcceptor, stream: TcpStream, behind: SocketAddr) -> io::Result<()> {
    let mut client = acceptor.accept(stream).await?;
    let mut server = TcpStream::connect(behind).await?;
    io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
