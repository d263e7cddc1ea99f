//! Certificates.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::message::{Job, JobDone};
use crate::worker::{Work, WorkerPool};

/// A TLS server with a certificate that nobody signed.
fn tls_server() -> u16 {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a key that fits");
    let config = Arc::new(config);
    listen(move |at, stream| {
        let tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
        let mut reader = BufReader::new(rustls::StreamOwned::new(tls, stream));
        while request(at, &mut reader).is_some() {
            let text = ok(&at.to_string());
            if reader.get_mut().write_all(&text).is_err() {
                return;
            }
        }
    })
}

#[test]
fn self_signed_certificates_pass_only_where_told_and_on_a_workers_stack() {
    let port = tls_server();
    let work = Work::default();
    let run = |times: usize| {
        let (replies, outcomes) = unbounded();
        let work = work.clone();
        let pool = WorkerPool::new(1, work, move |done| {
            let _ = replies.send(done);
        });
        let fields = json!({"url": format!("https://127.0.0.1:{port}/")});
        for _ in 0..times {
            let job = Job::Callback(Box::new(callback(&fields, LONG_MS)));
            assert!(pool.submit(job).is_ok());
        }
        let next = || match outcomes.recv() {
            Ok(JobDone::Callback(done)) => outcome(*done),
            other => panic!("{other:?}"),
        };
        (0..times).map(|_| next()).collect::<Vec<_>>()
    };
    let refused = run(1).remove(0);
    assert!(
        refused
            .as_ref()
            .is_err_and(|reason| reason.starts_with("TLS: invalid peer certificate")),
        "{refused:?}"
    );
    let mut settings = crate::settings::Settings::default();
    settings.callback_insecure = true;
    work.set_settings(&settings);
    // All on one connection: the second of the server.
    assert_eq!(run(3), [is(200, "1"), is(200, "1"), is(200, "1")]);
    let plain = call(
        &work.callbacks,
        json!({"url": format!("http://127.0.0.1:{port}/")}),
    );
    assert!(plain.is_err());
    let (port, _requests) = server(|_| ok(""));
    let reason = call(
        &work.callbacks,
        json!({"url": format!("https://127.0.0.1:{port}/")}),
    );
    assert!(
        reason
            .as_ref()
            .is_err_and(|reason| reason.starts_with("TLS: ")),
        "{reason:?}"
    );
}
