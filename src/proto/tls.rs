//! A certificate and its key, from PEM to what a TLS listener goes by. Reads no file and speaks no TLS: that is
//! `crate::reactor::tls`'s business.

use std::fmt;

/// What TLS connections are made by. There is none in a build without the feature `tls`.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub struct TlsConfig(pub Box<rustls::ServerConfig>);

/// What TLS connections are made by. There is none in a build without the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub enum TlsConfig {}

/// It holds a key: nothing of it is shown.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConfig")
    }
}

/// Why a certificate and a key are of no use. Displayed as what was wrong and what would be right, without a word of
/// what the files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// In the certificate's file.
    Certificate(String),
    /// In the key's file.
    Key(String),
    /// Between the two.
    Pair(String),
    /// This build speaks no TLS.
    Absent,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Certificate(text) | TlsError::Key(text) | TlsError::Pair(text) => {
                f.write_str(text)
            }
            TlsError::Absent => {
                f.write_str("this build speaks no TLS; expected one with the feature `tls`, as builds have it by default")
            }
        }
    }
}

impl std::error::Error for TlsError {}

/// Without the feature `tls`: none.
#[cfg(not(feature = "tls"))]
pub fn config(_certificates: &[u8], _key: &[u8]) -> Result<TlsConfig, TlsError> {
    Err(TlsError::Absent)
}

/// The certificate, with those between it and the root behind it, and its key; both as PEM, which may hold other
/// sections too. TLS 1.2 and 1.3, HTTP/1.1 alone, no client certificates.
#[cfg(feature = "tls")]
pub fn config(certificates: &[u8], key: &[u8]) -> Result<TlsConfig, TlsError> {
    use std::sync::Arc;

    use rustls::Error;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::Certificate(
            "found no whole certificate; expected PEM, with a line: -----BEGIN CERTIFICATE-----"
                .to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        TlsError::Key(
            "found no whole private key; expected PEM without a passphrase, with a line: -----BEGIN PRIVATE KEY-----".to_owned(),
        )
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            TlsError::Pair("the key is not that of the certificate".to_owned())
        }
        Error::InvalidCertificate(why) => {
            TlsError::Certificate(format!("the first certificate cannot be used: {why:?}"))
        }
        error => TlsError::Key(format!(
            "the private key cannot be used: {error}; expected RSA from 2048 bits up, ECDSA P-256 or P-384, or Ed25519"
        )),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConfig(Box::new(config)))
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    /// A certificate and its key.
    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        (cert.pem(), signing_key.serialize_pem())
    }

    #[track_caller]
    fn check_error(certificates: &str, key: &str, want: fn(String) -> TlsError, words: &str) {
        let error = config(certificates.as_bytes(), key.as_bytes()).expect_err("an error");
        let text = error.to_string();
        assert_eq!(error, want(text.clone()));
        assert!(text.contains(words), "{text}");
        for secret in key
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with('-'))
        {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn a_pair_is_taken_from_two_files_or_one() {
        let ((certificate, key), (other, _)) = (pair(), pair());
        let both = format!("a comment\n{key}\n{certificate}\n{other}");
        for (certificates, key) in [(&certificate, &key), (&both, &both)] {
            let TlsConfig(config) =
                config(certificates.as_bytes(), key.as_bytes()).expect("a pair");
            assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        }
    }

    #[test]
    fn errors_say_which_of_the_two_is_wrong() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let cut = |text: &str| text[..text.len() / 2].to_owned();
        check_error("", &key, TlsError::Certificate, "no whole certificate");
        check_error(&key, &key, TlsError::Certificate, "no whole certificate");
        check_error(
            &cut(&certificate),
            &key,
            TlsError::Certificate,
            "no whole certificate",
        );
        check_error(&certificate, "", TlsError::Key, "no whole private key");
        check_error(
            &certificate,
            &certificate,
            TlsError::Key,
            "no whole private key",
        );
        check_error(
            &certificate,
            &cut(&key),
            TlsError::Key,
            "no whole private key",
        );
        check_error(
            &certificate,
            &other,
            TlsError::Pair,
            "not that of the certificate",
        );
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n";
        check_error(&certificate, no_key, TlsError::Key, "expected RSA");
        let no_certificate = no_key.replace("PRIVATE KEY", "CERTIFICATE");
        check_error(
            &no_certificate,
            &key,
            TlsError::Certificate,
            "cannot be used",
        );
    }
}
