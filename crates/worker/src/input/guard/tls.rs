//! Ends TLS on either side of the guard: towards ffmpeg under a certificate of its own, towards a server by the machine's
//! certificate authorities.

use std::sync::{Arc, LazyLock};

use rcgen::CertifiedKey;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::PrivateKeyDer,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What ffmpeg is shown. It does not look at it, and need not: it can connect to nothing but the guard.
static TOWARDS_FFMPEG: LazyLock<TlsAcceptor> = LazyLock::new(|| {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["guard.invalid".to_owned()]).expect("a name can be certified");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("they are ring's")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
});

/// Whom inputs are taken from. Read at the first https input: there are a hundred and more.
static TOWARDS_SERVERS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    if roots.add_parsable_certificates(found.certs).0 == 0 {
        tracing::warn!(
            errors = ?found.errors,
            "no certificate authorities are installed, so no https input can be read: install ca-certificates, or set SSL_CERT_FILE"
        );
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("they are ring's")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});

/// Speaks TLS as a server, to ffmpeg.
pub(super) fn acceptor() -> TlsAcceptor {
    TOWARDS_FFMPEG.clone()
}

/// Speaks TLS as a client. Reads files the first time.
pub(super) async fn connector() -> TlsConnector {
    let read = tokio::task::spawn_blocking(|| TOWARDS_SERVERS.clone()).await;
    read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}
