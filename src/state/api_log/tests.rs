use super::*;
use crate::message::{JobDone, ReactorMsg};
use crate::settings::Origin;
use crate::state::server::Input;
use crate::state::simulation::bench::Bench;

fn bench(level: &str) -> Bench {
    Bench::new(|settings| {
        settings
            .set("enableApiLog", level, Origin::File)
            .expect("right");
    })
}

impl Bench {
    fn ask(&mut self, head: &str, body: &str) -> ConnId {
        let id = self.accept();
        let length = body.len();
        let head = head.replace('\n', "\r\n");
        let request = format!("{head}\r\nHost: s\r\nContent-Length: {length}\r\n\r\n{body}");
        self.send(id, request.as_bytes());
        self.flush(&[]);
        id
    }

    /// The records of the jobs so far, which are done now.
    fn records(&mut self) -> Vec<ApiRecord> {
        let mut all = Vec::new();
        while !self.jobs.is_empty() {
            for job in self.jobs.drain(..).collect::<Vec<_>>() {
                if let Job::ApiLog(records) = job {
                    self.tell(records.len(), Ok(()));
                    all.extend(records);
                }
            }
            self.flush(&[]);
        }
        all
    }

    fn tell(&mut self, records: usize, outcome: Result<(), Box<str>>) {
        let done = JobDone::ApiLog(Box::new(ApiLogDone { records, outcome }));
        self.server
            .handle(Input::Message(ReactorMsg::JobDone(done)));
    }
}

#[test]
fn a_call_is_recorded_with_its_secrets_hidden() {
    let mut bench = bench("1");
    let head = "POST /push?_app=emp2&_ver=web/1&oldpwd=x HTTP/1.1\nUser-Agent: tea\nCookie: a=1; empid=s3\nContent-Type: application/x-www-form-urlencoded";
    bench.ask(head, "app=a&user=u&msg=hi&_pwd=y");
    let records = bench.records();
    let want = ApiRecord {
        began: "1970-01-01 00:00:00".into(),
        address: "unix".into(),
        user_agent: "tea".into(),
        app: "emp2".into(),
        session: "s3".into(),
        user: None,
        action: "push".into(),
        took_ms: 0,
        code: 0,
        request: "_app=emp2, _ver=web/1, oldpwd=?;\napp=a, user=u, msg=hi, _pwd=?".into(),
        answer: "[0,0]".into(),
        request_bytes: 61,
        answer_bytes: 6,
        version: "web/1".into(),
        sub_calls: Vec::new(),
    };
    assert_eq!(records, [want]);
}

#[test]
fn answers_are_recorded_without_secrets() {
    for (body, code, want) in [
        (
            r#"[0,{"id":1,"_token":"x"}]"#,
            0,
            r#"[0,{"id":1,"_token":"?"}]"#,
        ),
        (r#"[0,{"pwd":"x"#, 0, r#"[0,{"pwd":"?""#),
        ("id,pwd\n1,x\n", 0, "id,pwd\n1,x"),
        (r#"[1,"no","é"]"#, 1, r#"[1,"no","é"]"#),
    ] {
        assert_eq!(&*cut_answer(body.as_bytes(), code), want);
    }
    let long = format!(r#"[0,"{}"]"#, "é".repeat(200));
    assert_eq!(
        cut_answer(long.as_bytes(), 0).len(),
        API_LOG_ANSWER_BYTES_MAX
    );
}

#[test]
fn failures_are_recorded_whole_and_alone_where_told_so() {
    for (level, want) in [("0", &[][..]), ("1", &[0, 1, 1, 2]), ("2", &[1, 1, 2])] {
        let mut bench = bench(level);
        for target in [
            "/getUsers?app=a",
            "/push?app=a",
            "/push?app=a&user=u",
            "/Nosuch/x",
        ] {
            bench.ask(&format!("GET {target} HTTP/1.1"), "");
        }
        let records = bench.records();
        let codes: Vec<i64> = records.iter().map(|record| record.code).collect();
        assert_eq!(codes, want, "{level}");
        if let Some(record) = records.last() {
            assert!(record.answer.starts_with("[2,"), "{record:?}");
        }
    }
    // Its body is no JSON: it never becomes a call.
    let mut bench = bench("2");
    bench.ask(
        "POST /login HTTP/1.1\nContent-Type: text/json",
        r#"{"password":"x""#,
    );
    let records = bench.records();
    assert_eq!((&*records[0].action, records[0].code), ("login", 1));
    assert_eq!(&*records[0].request, ";\n{\"password\":\"?\"");
    bench.ask(
        "POST /login HTTP/1.1\nContent-Type: text/json",
        "name=a&pwd=x",
    );
    assert_eq!(&*bench.records()[0].request, ";\n?");
}

#[test]
fn the_calls_of_a_batch_are_recorded_with_it() {
    let calls = r#"[{"ac":"getUsers","get":{"app":"a","pwd":"x"}},{"ac":"nosuch","post":{"a":1}},{"ac":"push"}]"#;
    for (level, want) in [
        ("1", &["getUsers", "nosuch", "push"][..]),
        ("2", &["nosuch", "push"]),
    ] {
        let mut bench = bench(level);
        bench.ask(
            "POST /batch HTTP/1.1\nContent-Type: application/json",
            calls,
        );
        let records = bench.records();
        assert_eq!((&*records[0].action, records[0].code), ("batch", 0));
        let names: Vec<&str> = records[0]
            .sub_calls
            .iter()
            .map(|call| &*call.action)
            .collect();
        assert_eq!(names, want);
        let last = records[0].sub_calls.last().expect("some");
        assert_eq!((last.code, &*last.request), (1, ""));
        if level == "1" {
            let first = &records[0].sub_calls[0];
            assert_eq!(
                (&*first.request, &*first.answer),
                (r#"{"app":"a","pwd":"?"}"#, "[0,[]]")
            );
        }
        bench.ask("GET /getUsers HTTP/1.1", "");
        assert!(bench.records()[0].sub_calls.is_empty());
    }
}

#[test]
fn long_texts_are_cut() {
    let mut bench = bench("1");
    let long = "é".repeat(5_000);
    bench.ask(
        "POST /getUsers HTTP/1.1\nContent-Type: text/json",
        &format!(r#"{{"app":"{long}"}}"#),
    );
    bench.ask(
        "POST /getUsers HTTP/1.1\nContent-Type: text/json",
        &format!(r#"{{"app":"a","x":"{long}"}}"#),
    );
    let batch = format!(
        r#"[{}{{"ac":"x"}}]"#,
        format!(r#"{{"ac":"getUsers","get":{{"a":"{long}"}}}},"#).repeat(300)
    );
    bench.ask("POST /batch HTTP/1.1\nContent-Type: text/json", &batch);
    let mut records = bench.records();
    // It takes many turns.
    for _ in 0..500 {
        bench.pass(1);
        bench.flush(&[]);
        records.extend(bench.records());
    }
    for record in &records {
        assert!(record.request.len() <= API_LOG_REQUEST_BYTES_MAX);
        assert!(record.answer.len() <= API_LOG_ERROR_BYTES_MAX);
    }
    let last = records.last().expect("the batch");
    assert!(last.sub_calls.len() > 50 && last.bytes() < API_LOG_BATCH_BYTES_MAX + 10_000);
}

#[test]
fn records_wait_for_those_before_them_and_are_bounded() {
    let mut bench = bench("1");
    for _ in 0..=API_LOG_WAITING_MAX + 6 {
        let id = bench.ask("GET /getUsers?app=a HTTP/1.1", "");
        bench.server.handle(Input::Lost(id));
    }
    let sent: Vec<usize> = bench
        .jobs
        .iter()
        .map(|job| match job {
            Job::ApiLog(records) => records.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(sent, [1], "one job at a time");
    assert_eq!(bench.server.stats().api_log_dropped, 6);
    assert_eq!(bench.records().len(), 1 + API_LOG_WAITING_MAX);
}

#[test]
fn a_database_that_takes_none_is_told_of_once_and_counted() {
    let mut bench = bench("1");
    for _ in 0..3 {
        bench.ask("GET /getUsers?app=a HTTP/1.1", "");
    }
    bench.lines.clear();
    bench.tell(1, Err("no database".into()));
    bench.tell(2, Err("no database".into()));
    bench.flush(&[]);
    assert_eq!(bench.server.stats().api_log_dropped, 3);
    let told = bench
        .lines
        .iter()
        .filter(|line| line.text.contains("ApiLog: 1 calls are lost"));
    assert_eq!((told.count(), bench.lines.len()), (1, 1));
    bench.jobs.clear();
    bench.ask("GET /getUsers?app=a HTTP/1.1", "");
    let job = bench.jobs.pop().expect("a job");
    bench.server.handle(Input::JobRefused(job));
    assert_eq!(bench.server.stats().api_log_dropped, 4);
}

#[test]
fn at_the_end_all_records_leave() {
    let mut bench = bench("1");
    for _ in 0..3 {
        bench.ask("GET /getUsers?app=a HTTP/1.1", "");
    }
    assert_eq!(bench.jobs.len(), 1);
    bench.server.handle(Input::Stop);
    bench.flush(&[]);
    assert_eq!(bench.jobs.len(), 2);
}

#[test]
fn a_slow_call_is_told_of() {
    let mut bench = bench("0");
    let id = bench.accept();
    bench.send(id, b"GET /reload HTTP/1.1\r\nHost: s\r\n\r\n");
    bench.pass(1_500);
    let failed = JobDone::Failed { reply_to: Some(id) };
    bench
        .server
        .handle(Input::Message(ReactorMsg::JobDone(failed)));
    bench.flush(&[]);
    let slow = bench.lines.iter().find(|line| line.file == LogFile::Slow);
    let want = "=== REQ from [unix] at [1970-01-01 00:00:00] slow call `reload`: 1500 ms";
    assert_eq!(slow.map(|line| line.text.as_str()), Some(want));
}

#[test]
fn sessions_are_named_by_the_kind_of_app() {
    for (app, cookies, want) in [
        ("user", "userid=1", "1"),
        ("emp2", "userid=1; empid=2", "2"),
        ("emp-adm", "empid=3;x", "3"),
        ("emp-adm2", "empid=3;x", "3"),
        ("emp", "empida=3", ""),
        ("", "id=4", "4"),
    ] {
        assert_eq!(session_of(cookies, app), want, "{app}");
    }
}

/// The body of the answer to a GET, and its head.
fn get(bench: &mut Bench, target: &str) -> (String, String) {
    let id = bench.accept();
    bench.send(
        id,
        format!("GET {target} HTTP/1.1\r\nHost: s\r\n\r\n").as_bytes(),
    );
    let sent: Vec<u8> = bench
        .flush(&[])
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    let text = String::from_utf8(sent).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    (body.to_owned(), head.to_owned())
}

#[test]
fn in_test_mode_answers_tell_what_was_called() {
    for (mode, level, target, want) in [
        ("0", "9", "/getUsers?app=a", "[0,[]]\n"),
        ("1", "0", "/getUsers?app=a", "[0,[]]\n"),
        ("1", "1", "/getUsers?app=a", "[0,[],[\"getUsers: 0 ms\"]]\n"),
        ("1", "9", "/getUsers?app=a&_raw=1", "[]\n"),
        ("1", "9", "/nosuch", ",[\"nosuch: 0 ms\"]]\n"),
    ] {
        let mut bench = Bench::new(|settings| {
            settings
                .set("P_TEST_MODE", mode, Origin::File)
                .expect("right");
            settings.set("P_DEBUG", level, Origin::File).expect("right");
        });
        let (body, head) = get(&mut bench, target);
        assert!(body.ends_with(want), "{target}: {body}");
        assert_eq!(head.contains("X-Daca-Test-Mode: 1"), mode == "1", "{head}");
        assert!(bench.jobs.is_empty());
    }
}

#[test]
fn calls_are_told_with_input_and_output() {
    for (level, count) in [("0", 0), ("1", 4), ("2", 2)] {
        let mut bench = Bench::new(|settings| {
            settings
                .set("P_DEBUG_LOG", level, Origin::File)
                .expect("right");
        });
        get(&mut bench, "/getUsers?app=a&pwd=x");
        get(&mut bench, "/getUsers");
        for calls in [
            r#"[{"ac":"getUsers","get":{"app":"a"}}]"#,
            r#"[{"ac":"push"}]"#,
        ] {
            bench.ask(
                "POST /batch HTTP/1.1\nContent-Type: application/json",
                calls,
            );
        }
        let told: Vec<_> = bench
            .lines
            .iter()
            .filter(|line| line.file == LogFile::Debug)
            .collect();
        assert_eq!(told.len(), count);
        if level == "1" {
            let want = "=== REQ from [unix] at [1970-01-01 00:00:00] call `getUsers`: 0 ms, ret 0; in: app=a, pwd=?; out: [0,[]]";
            assert_eq!(told[0].text, want);
        }
        assert!(bench.jobs.is_empty());
    }
}
