//! The HTTP client under the callbacks: one ureq agent with kept connections, its connectors, and
//! what they tell about the attempt. Never decides what to send.
//!
//! Traps this module is about: ureq asks the environment for proxies, loads the platform's
//! certificates for every connection of a request that has its own timeout (seen in 3.5.2:
//! only agent-level requests fill the cache), and never tries again on a kept connection that the
//! server has just closed.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use ureq::Agent;
use ureq::config::AutoHeaderValue;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};

use crate::limits::{
    CALLBACK_BUFFER_BYTES, CALLBACK_IDLE_CONNECTIONS_MAX, CALLBACK_IDLE_MS_MAX,
    CALLBACKS_PER_HOST_MAX,
};
use crate::settings::Settings;
use crate::worker::failure::Failure;
use crate::worker::resolver::{CachingResolver, Guard};

/// The settings that calls of URLs depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallbackSettings {
    /// Whether any certificate will do.
    pub insecure: bool,
    /// Which addresses may be called.
    pub guard: Guard,
}

impl From<&Settings> for CallbackSettings {
    fn from(settings: &Settings) -> Self {
        CallbackSettings {
            insecure: settings.callback_insecure,
            guard: Guard {
                allow: settings.callback_allow.clone(),
                deny: settings.callback_deny.clone(),
            },
        }
    }
}

/// An agent by these settings, without a connection yet. No proxy, no compression, no redirects, any
/// status is an answer.
pub fn agent(settings: &CallbackSettings) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(settings.insecure)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .user_agent(concat!("jdserver/", env!("CARGO_PKG_VERSION")))
        .accept_encoding(AutoHeaderValue::None)
        .input_buffer_size(CALLBACK_BUFFER_BYTES)
        .output_buffer_size(CALLBACK_BUFFER_BYTES)
        // A full buffer must be over the limit, or it would look like the end of the connection.
        .max_response_header_size(CALLBACK_BUFFER_BYTES - 1)
        .max_idle_connections(CALLBACK_IDLE_CONNECTIONS_MAX)
        .max_idle_connections_per_host(CALLBACKS_PER_HOST_MAX)
        .max_idle_age(Duration::from_millis(CALLBACK_IDLE_MS_MAX))
        .build();
    let connector =
        ().chain(TcpLayer(TcpConnector::default()))
            .chain(TlsLayer(RustlsConnector::default()));
    Agent::with_parts(
        config,
        connector,
        CachingResolver::new(settings.guard.clone()),
    )
}

/// What is known of the attempt that this thread makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// A new connection was opened for it.
    pub connected: bool,
    /// Something came back.
    pub answered: bool,
}

thread_local! {
    // ureq connects and reads on the thread that calls it, and hands nothing through.
    static ATTEMPT: Cell<Attempt> = const { Cell::new(Attempt { connected: false, answered: false }) };
}

/// Runs one attempt; what it gave and what is known of it.
pub fn attempt<T>(run: impl FnOnce() -> T) -> (T, Attempt) {
    ATTEMPT.set(Attempt::default());
    let outcome = run();
    (outcome, ATTEMPT.get())
}

#[derive(Debug)]
struct TcpLayer(TcpConnector);

impl<In: Transport> Connector<In> for TcpLayer {
    type Out = Watched<<TcpConnector as Connector<In>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        ATTEMPT.set(Attempt {
            connected: true,
            ..ATTEMPT.get()
        });
        match self.0.connect(details, chained) {
            Ok(transport) => Ok(transport.map(Watched)),
            // Only ureq itself says so, after its shutdown.
            Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotConnected => {
                Err(ureq::Error::Io(error))
            }
            Err(ureq::Error::Io(error)) => Err(Failure::Connect(error).into()),
            Err(error) => Err(error),
        }
    }
}

/// A connection that notes when something comes.
#[derive(Debug)]
struct Watched<T>(T);

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let came = self.0.await_input(timeout)?;
        if came {
            ATTEMPT.set(Attempt {
                answered: true,
                ..ATTEMPT.get()
            });
        }
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

#[derive(Debug)]
struct TlsLayer(RustlsConnector);

impl<In: Transport> Connector<In> for TlsLayer {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if !details.needs_tls() {
            return Ok(chained.map(Either::A));
        }
        let details = ConnectionDetails {
            // Else the certificates are read anew: see the module's head.
            request_level: false,
            uri: details.uri,
            addrs: details.addrs.clone(),
            resolver: details.resolver,
            config: details.config,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        match self.0.connect(&details, chained) {
            Err(ureq::Error::Io(error)) => Err(Failure::Tls(match error.into_inner() {
                Some(inner) => inner.to_string(),
                None => "the handshake was cut off".to_owned(),
            })
            .into()),
            outcome => outcome,
        }
    }
}
