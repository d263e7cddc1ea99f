//! What plugins are told, in which order, and what leaves before what.

use serde_json::json;

use super::*;
use crate::message::ReactorMsg;
use crate::message::plugin::{CallTraces, SessionUse};
use crate::message::{Job, JobDone, SettingsDone};
use crate::settings::FileValues;
use crate::state::server::Input;
use crate::state::simulation::bench::Bench;

fn table() -> PluginTable {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
    PluginTable {
        calls: names(&["Order.pay", "hello"]),
        objects: names(&["Order"]),
        shapes: names(&["csv"]),
        default_shape: None,
        events: [names(&["a"]), names(&["a"]), names(&["a"]), names(&["a"])],
    }
}

fn bench() -> Bench {
    Bench::with_plugins(|_| {}, Some(table()))
}

impl Bench {
    /// The event told last, which must be one.
    fn event(&mut self) -> PluginEvent {
        match self.told.pop() {
            Some(PluginMsg::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, event: &PluginEvent, answer: Answer) {
        self.end_with(event, answer, Vec::new());
    }

    fn end_with(
        &mut self,
        event: &PluginEvent,
        answer: Answer,
        headers: Vec<(Box<str>, Box<str>)>,
    ) {
        let traces = CallTraces {
            headers,
            session: None,
        };
        self.end_leaving(event, answer, traces);
    }

    fn end_leaving(&mut self, event: &PluginEvent, answer: Answer, traces: CallTraces) {
        let done = EventDone {
            ticket: event.ticket,
            answer,
            traces,
        };
        let message = ReactorMsg::EventDone(Box::new(done));
        self.server.handle(Input::Message(message));
    }

    fn call(&mut self, on_behalf: Option<ConnId>, action: &str, get: Value) {
        let call = PluginCall {
            task: TaskId(7),
            on_behalf,
            action: action.into(),
            get,
            post: Value::Null,
        };
        let message = ReactorMsg::PluginCall(Box::new(call));
        self.server.handle(Input::Message(message));
    }

    fn request(&mut self, text: &str) -> ConnId {
        let id = self.accept();
        self.send(id, text.as_bytes());
        id
    }

    /// What one connection is sent now, as text.
    fn text(&mut self, id: ConnId) -> String {
        let sent = self.flush(&[]);
        let bytes = sent.into_iter().filter(|(to, _)| *to == id);
        let bytes: Vec<u8> = bytes.flat_map(|(_, bytes)| bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A user of the app `a` whose `open` was handled.
    fn member(&mut self, user: &str) -> ConnId {
        let id = self.user(user);
        self.flush(&[]);
        let open = self.event();
        self.end(&open, Ok(Data::Null));
        self.flush(&[]);
        id
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: s\r\nX-Tea: green\r\n\r\n")
}

fn post(target: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

#[test]
fn a_call_of_a_plugin_waits_for_it_and_takes_its_headers() {
    let mut bench = bench();
    let id = bench.request(&get("/hello?name=x%3C"));
    assert_eq!(bench.text(id), "");
    let event = bench.event();
    match &event.kind {
        PluginEventKind::Call(call) => {
            assert_eq!(
                (&*call.action, &call.get),
                ("hello", &json!({"name": "x<"}))
            );
            let request = call.request.as_ref().expect("it came by HTTP");
            assert!(request.headers.contains(&("x-tea".into(), "green".into())));
        }
        other => panic!("{other:?}"),
    }
    let headers = vec![("X-Plugin".into(), "1".into())];
    bench.end_with(&event, Ok(Data::Json(json!({"a": 1}))), headers);
    let text = bench.text(id);
    assert!(
        text.contains("X-Plugin: 1\r\n") && text.ends_with("[0,{\"a\":1}]\n"),
        "{text}"
    );
}

#[test]
fn objects_have_rest_paths_and_unknown_methods() {
    let mut bench = bench();
    let id = bench.request(&get("/Order/7/pay"));
    bench.flush(&[]);
    let event = bench.event();
    match &event.kind {
        PluginEventKind::Call(call) => {
            assert_eq!(
                (&*call.action, &call.get),
                ("Order.pay", &json!({"id": "7"}))
            );
        }
        other => panic!("{other:?}"),
    }
    bench.end(&event, Ok(Data::Null));
    assert!(bench.text(id).ends_with("[0,null]\n"));
    let id = bench.request(&get("/Order/7"));
    assert!(bench.text(id).contains("unknown `Order` method: `get`"));
    let id = bench.request(&get("/Other/7"));
    assert!(bench.text(id).contains("[2,"));
}

#[test]
fn a_page_takes_no_shape_and_a_plugin_may_write_any_answer() {
    let mut bench = bench();
    let id = bench.request(&get("/hello?_raw=1"));
    bench.flush(&[]);
    let event = bench.event();
    let page = crate::call::answer::Page {
        content_type: "text/csv".into(),
        body: (*b"a;b").into(),
    };
    bench.end(&event, Ok(Data::Page(Box::new(page.clone()))));
    let text = bench.text(id);
    assert!(
        text.contains("text/csv\r\n") && text.ends_with("\r\n\r\na;b"),
        "{text}"
    );

    let id = bench.request(&get("/getUsers?app=b&retfn=csv"));
    assert_eq!(bench.text(id), "");
    let event = bench.event();
    match &event.kind {
        PluginEventKind::Shape { name, answer, .. } => {
            assert_eq!((&**name, answer), ("csv", &json!([0, []])));
        }
        other => panic!("{other:?}"),
    }
    bench.end(&event, Ok(Data::Page(Box::new(page))));
    assert!(bench.text(id).ends_with("a;b"));
    let id = bench.request(&get("/getUsers?app=b&retfn=nosuch"));
    assert!(bench.text(id).ends_with("[0,[]]\n"));
}

#[test]
fn a_push_is_answered_behind_its_handlers_and_what_they_push() {
    let mut bench = bench();
    let (a, b) = (bench.member("a"), bench.member("b"));
    let id = bench.request(&get("/push?app=a&user=a&msg=hi"));
    let order: Vec<_> = bench.flush(&[]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [a]);
    let event = bench.event();
    match &event.kind {
        PluginEventKind::Push { app, user, msg } => {
            assert_eq!((&**app, user, &**msg), ("a", &json!("a"), "hi"));
        }
        other => panic!("{other:?}"),
    }
    // What a handler pushes tells handlers again.
    bench.call(
        event.ticket,
        "push",
        json!({"app": "a", "user": "b", "msg": "<again>"}),
    );
    bench.flush(&[]);
    let nested = bench.event();
    bench.end(&nested, Ok(Data::Null));
    bench.end(&event, Ok(Data::Null));
    let sent = bench.flush(&[]);
    assert!(
        matches!(bench.told.pop(), Some(PluginMsg::CallDone { task: TaskId(7), answer }) if *answer == Ok(Data::Count(1)))
    );
    assert_eq!(sent.last().map(|(to, _)| *to), Some(id), "{sent:?}");
    assert!(
        sent.iter().all(|(to, _)| *to != b),
        "delivered at once, unescaped"
    );
}

#[test]
fn a_message_waits_for_its_handlers_and_holds_up_nobody_else() {
    let mut bench = bench();
    let (a, b) = (bench.member("a"), bench.member("b"));
    bench.say(a, &[r#"{"ac":"alive"}"#, r#"{"ac":"x"}"#]);
    assert_eq!(bench.text(a), "");
    let first = bench.event();
    match &first.kind {
        PluginEventKind::Socket {
            kind,
            app,
            user,
            fd,
            data,
        } => {
            assert_eq!((*kind, &**app, &**user), (EventKind::Message, "a", "a"));
            assert_eq!((ConnId::from_fd(*fd), &**data), (a, r#"{"ac":"alive"}"#));
        }
        other => panic!("{other:?}"),
    }
    bench.say(b, &["{}"]);
    bench.flush(&[]);
    let other = bench.event();
    bench.end(&other, Ok(Data::Null));
    assert!(bench.text(b).ends_with("OK"));
    bench.end(&first, Ok(Data::Null));
    bench.flush(&[]);
    let second = bench.event();
    assert!(
        matches!(&second.kind, PluginEventKind::Socket { data, .. } if &**data == r#"{"ac":"x"}"#)
    );
}

#[test]
fn a_push_over_websocket_tells_both_kinds_of_handlers_of_the_app_pushed_to() {
    let mut bench = bench();
    let (sender, receiver) = (bench.member("s"), bench.member("r"));
    bench.say(
        sender,
        &[r#"{"ac":"push","app":"a","user":"r","msg":"hi"}"#],
    );
    assert!(bench.text(receiver).ends_with("hi"));
    let push = bench.event();
    assert!(matches!(push.kind, PluginEventKind::Push { .. }));
    bench.end(&push, Ok(Data::Null));
    assert_eq!(bench.text(sender), "");
    let message = bench.event();
    assert!(matches!(
        message.kind,
        PluginEventKind::Socket {
            kind: EventKind::Message,
            ..
        }
    ));
    bench.end(&message, Ok(Data::Null));
    assert!(bench.text(sender).ends_with('1'));
}

#[test]
fn a_connection_is_written_to_and_closed_by_its_number() {
    let mut bench = bench();
    let a = bench.member("a");
    let act = |bench: &mut Bench, action| {
        let message = ReactorMsg::SocketAction(Box::new(action));
        bench.server.handle(Input::Message(message));
    };
    for (fd, count) in [(a.to_fd(), 1), (a.to_fd() + 1, 0), (u64::MAX, 0)] {
        let (task, text) = (TaskId(1), "direct".into());
        let on_behalf = None;
        act(
            &mut bench,
            SocketAction::Push {
                task,
                fd,
                text,
                on_behalf,
            },
        );
        let text = bench.text(a);
        assert_eq!(text.contains("direct"), count == 1, "{text}");
        assert!(
            matches!(bench.told.pop(), Some(PluginMsg::CallDone { answer, .. }) if *answer == Ok(Data::Count(count)))
        );
    }
    let (fd, code, reason) = (a.to_fd(), 4_000, "go away".into());
    act(&mut bench, SocketAction::Disconnect { fd, code, reason });
    assert!(bench.text(a).ends_with("go away"));
    let close = bench.event();
    assert!(matches!(
        close.kind,
        PluginEventKind::Socket {
            kind: EventKind::Close,
            ..
        }
    ));
    assert_eq!(close.ticket, None, "nobody waits for it");
}

#[test]
fn a_batch_ends_the_transaction_of_its_plugin_calls() {
    for (is_ok, answers) in [(true, "[0,[[0,1],[0,[]],[0,1]]]\n"), (false, "")] {
        let mut bench = bench();
        let body = r#"[{"ac":"hello"},{"ac":"getUsers","get":{"app":"b"}},{"ac":"hello"}]"#;
        let id = bench.request(&post("/batch?useTrans=1", body));
        bench.flush(&[]);
        let first = bench.event();
        let transaction = match &first.kind {
            PluginEventKind::Call(call) => call.transaction,
            other => panic!("{other:?}"),
        };
        assert!(transaction.is_some());
        bench.end(&first, Ok(Data::Count(1)));
        bench.flush(&[]);
        let second = bench.event();
        assert!(
            matches!(&second.kind, PluginEventKind::Call(call) if call.transaction == transaction)
        );
        bench.end(
            &second,
            if is_ok {
                Ok(Data::Count(1))
            } else {
                Err(CallError::new(1, "no"))
            },
        );
        assert_eq!(bench.text(id), "", "the transaction is not ended yet");
        let end = bench.event();
        assert!(
            matches!(end.kind, PluginEventKind::EndTransaction { transaction: t, commit } if Some(t) == transaction && commit == is_ok)
        );
        bench.end(&end, Ok(Data::Null));
        let text = bench.text(id);
        assert!(text.ends_with(answers), "{text}");
        assert!(is_ok || text.contains("\"no\""), "{text}");
    }
}

#[test]
fn the_calls_of_a_batch_are_in_the_session_that_one_of_them_began() {
    let set = |settings: &mut crate::settings::Settings| {
        settings
            .set("enableApiLog", "1", crate::settings::Origin::File)
            .expect("right");
    };
    let mut bench = Bench::with_plugins(set, Some(table()));
    let body = r#"[{"ac":"hello"},{"ac":"hello"},{"ac":"hello"}]"#;
    let id = bench.request(&post("/batch", body));
    bench.flush(&[]);
    let mut cookies = Vec::new();
    for (user, cookie) in [(None, None), (Some(7), Some("userid=s1")), (None, None)] {
        let event = bench.event();
        let PluginEventKind::Call(call) = &event.kind else {
            panic!("{event:?}");
        };
        let headers = &call.request.as_ref().expect("by HTTP").headers;
        let found = headers.iter().find(|(name, _)| &**name == "cookie");
        cookies.push(found.map(|(_, value)| value.to_string()));
        let session = cookie.map(|cookie| {
            Box::new(SessionUse {
                id: "s1".into(),
                user,
                cookie: Some(Box::from(cookie)),
            })
        });
        let traces = CallTraces {
            headers: Vec::new(),
            session,
        };
        bench.end_leaving(&event, Ok(Data::Null), traces);
        bench.text(id);
    }
    assert_eq!(cookies, [None, None, Some("userid=s1".to_owned())]);
    let Some(Job::ApiLog(records)) = bench.jobs.pop() else {
        panic!("no records");
    };
    assert_eq!((&*records[0].session, records[0].user), ("s1", Some(7)));
}

#[test]
fn too_many_events_are_refused_and_others_notice_nothing() {
    let mut bench = Bench::with_plugins(|settings| settings.plugin_events = 5, Some(table()));
    bench.server.plugins.in_flight = 5;
    let id = bench.request(&get("/hello"));
    assert!(bench.text(id).contains("[4,\"服务器错误\",\"too busy"));
    let id = bench.request(&get("/push?app=a&user=*&msg=x"));
    assert!(bench.text(id).contains("[4,"));
    let id = bench.request(&get("/push?app=b&user=*&msg=x"));
    assert!(bench.text(id).ends_with("[0,0]\n"));
}

#[test]
fn a_call_of_a_coroutine_may_wait_as_any_other() {
    let mut bench = bench();
    bench.call(None, "batch", json!({}));
    bench.flush(&[]);
    assert!(
        matches!(bench.told.pop(), Some(PluginMsg::CallDone { answer, .. }) if answer.is_err())
    );
    bench.call(None, "hello", json!({"x": 1}));
    bench.flush(&[]);
    let event = bench.event();
    assert!(event.ticket.is_some_and(|id| id.ticket().is_some()));
    bench.end(&event, Ok(Data::Count(5)));
    bench.flush(&[]);
    assert!(
        matches!(bench.told.pop(), Some(PluginMsg::CallDone { answer, .. }) if *answer == Ok(Data::Count(5)))
    );
    assert!(bench.server.plugins.calls.is_empty());
}

#[test]
fn a_reload_is_answered_when_the_plugins_are_loaded() {
    let loaded = Ok(table());
    let failed = Err("api.lua:3: unexpected symbol".to_owned());
    for (outcome, answer) in [
        (loaded, "[0,true]\n"),
        (failed, "api.lua:3: unexpected symbol\"]\n"),
    ] {
        let mut bench = bench();
        let id = bench.request(&get("/reload"));
        let sources = PluginSources {
            plugins: vec![("api.lua".into(), (*b"x").into())],
            ..PluginSources::default()
        };
        let mut job = None;
        while let Some(output) = bench.server.poll_output() {
            if let Output::Job(Job::Settings { reply_to }) = output {
                job = Some(reply_to);
            }
        }
        let done = SettingsDone {
            reply_to: job.expect("a job"),
            outcome: Ok((FileValues::default(), None)),
            sources: Ok(sources.clone()),
        };
        let message = ReactorMsg::JobDone(JobDone::Settings(Box::new(done)));
        bench.server.handle(Input::Message(message));
        assert_eq!(bench.text(id), "");
        let reply_to = match bench.told.pop() {
            Some(PluginMsg::Load(load)) if load.sources == sources => load.reply_to,
            other => panic!("{other:?}"),
        };
        let loaded = PluginsLoaded { reply_to, outcome };
        bench
            .server
            .handle(Input::Message(ReactorMsg::PluginsLoaded(Box::new(loaded))));
        let text = bench.text(id);
        assert!(text.ends_with(answer), "{text}");
        assert!(bench.server.plugins.is_loaded());
    }
}
