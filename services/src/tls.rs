//! TLS for whatever speaks HTTP from here, the lake's S3 among it: rustls with ring.

/// Call before the first client is made. A second call changes nothing.
pub fn install() {
    // Fails where one is installed already, which is then this one.
    drop(rustls::crypto::ring::default_provider().install_default());
}
