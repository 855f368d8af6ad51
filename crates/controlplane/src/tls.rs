//! One implementation of cryptography for every TLS connection of the process.

/// Makes ring the implementation of cryptography. Later calls change nothing.
pub fn install() {
    // It fails only where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
