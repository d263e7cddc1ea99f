//! The client's side: certificates that are made on the spot, and who trusts them.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::common::http::Conn;

/// A certificate for `localhost` that vouches for itself, and its key; PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        Pair {
            certificate: cert.pem(),
            key: signing_key.serialize_pem(),
            der: cert.der().clone(),
        }
    }

    /// A client that trusts this certificate only.
    pub fn client(&self) -> ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS)
    }

    /// The same, of these versions of TLS.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// A connection to a port of this machine, its handshake not begun.
pub fn open(port: u16, client: &Arc<ClientConfig>) -> Conn {
    Conn::open_port(port).with_tls(session(client))
}

/// The client's half of a handshake.
pub fn session(client: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(client), name).expect("a client")
}
