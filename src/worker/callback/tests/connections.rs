//! Which connections are used, which are not, and how they end.

use super::*;
use crate::settings::IpNet;

#[test]
fn a_get_survives_a_connection_closed_under_it_and_a_post_is_not_doubled() {
    for (method, tries) in [("GET", 3), ("POST", 2)] {
        let (seen, requests) = unbounded();
        let port = listen(move |at, mut stream| {
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            for turn in 0..2 {
                let Some(request) = request(at, &mut reader) else {
                    return;
                };
                let _ = seen.send(request.connection);
                if turn == 0 && stream.write_all(&ok("")).is_err() {
                    return;
                }
            }
        });
        let callbacks = Callbacks::default();
        let run = || {
            call(
                &callbacks,
                json!({"url": format!("127.0.0.1:{port}"), "method": method}),
            )
        };
        assert_eq!(run(), is(200, ""));
        assert_eq!(run().is_ok(), method == "GET");
        assert_eq!(requests.try_iter().count(), tries, "{method}");
    }
}

#[test]
fn a_first_connection_that_is_closed_is_not_tried_again() {
    let (seen, requests) = unbounded();
    let port = listen(move |at, stream| {
        let _ = seen.send(request(at, &mut BufReader::new(stream)).is_some());
    });
    let done = call(
        &Callbacks::default(),
        json!({"url": format!("127.0.0.1:{port}")}),
    );
    assert!(done.is_err());
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn forbidden_addresses_are_not_called() {
    let (port, requests) = server(move |seen| match &seen.head[..6] {
        "GET /r" => redirect(302, "http://127.0.0.2:1/"),
        _ => ok("in"),
    });
    let callbacks = Callbacks::default();
    let get = |path: &str| {
        call(
            &callbacks,
            json!({"url": format!("127.0.0.1:{port}/{path}")}),
        )
    };
    assert_eq!(get(""), is(200, "in"));
    let set = |allow: &[&str], deny: &[&str]| {
        callbacks.set(CallbackSettings {
            insecure: false,
            guard: client_guard(allow, deny),
        });
    };
    set(&[], &["127.0.0.2"]);
    assert_eq!(get(""), is(200, "in"));
    let denied = |address: &str| {
        Err(format!(
            "address {address} is not allowed (callback_allow, callback_deny)"
        ))
    };
    assert_eq!(get("r"), denied("127.0.0.2"));
    // A kept connection must not be a way around a new list.
    set(&[], &["127.0.0.0/8"]);
    assert_eq!(get(""), denied("127.0.0.1"));
    set(&["10.0.0.0/8"], &[]);
    assert_eq!(get(""), denied("127.0.0.1"));
    assert_eq!(requests.try_iter().count(), 3);
}

fn client_guard(allow: &[&str], deny: &[&str]) -> Guard {
    Guard {
        allow: nets(allow),
        deny: nets(deny),
    }
}

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter()
        .map(|net| net.parse().expect("a network"))
        .collect()
}

#[test]
fn an_interrupt_cuts_running_calls_of_old_settings_too() {
    let (seen, requests) = unbounded();
    let port = listen(move |at, stream| {
        let mut reader = BufReader::new(stream);
        while request(at, &mut reader).is_some() {
            let _ = seen.send(());
        }
    });
    let callbacks = Callbacks::default();
    let url = json!({"url": format!("127.0.0.1:{port}")});
    std::thread::scope(|scope| {
        let old = scope.spawn(|| call(&callbacks, url.clone()));
        requests.recv().expect("the first");
        callbacks.set(CallbackSettings {
            insecure: true,
            ..CallbackSettings::default()
        });
        let new = scope.spawn(|| call(&callbacks, url.clone()));
        requests.recv().expect("the second");
        callbacks.interrupt();
        for running in [old, new] {
            let stopped = Err("interrupted: the daemon stops".to_owned());
            assert_eq!(running.join().expect("no panic"), stopped);
        }
    });
    assert!(call(&callbacks, url.clone()).is_err());
    callbacks.set(CallbackSettings::default());
    assert!(call(&callbacks, url).is_err());
    assert_eq!(requests.try_iter().count(), 0);
}
