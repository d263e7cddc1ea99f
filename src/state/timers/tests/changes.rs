//! What calls answer and what is stored: errors, changes, undo.

use super::*;
use crate::limits::FREED_PER_TURN;

#[test]
fn errors() {
    let mut rig = Rig::new();
    for (fields, message, detail) in [
        (json!({"wait": 10}), "缺少参数`url`", "require param `url`"),
        (
            json!({"url": "h", "cron": 1, "wait": 50}),
            "间隔时间(wait)太小不允许",
            "min wait time>100ms",
        ),
        (
            json!({"url": "h", "cron": "* * *"}),
            "时间设置(cron)不正确",
            "bad cron format",
        ),
        (
            json!({"url": "h", "wait": 5, "code": "a-b"}),
            "code参数格式错误",
            "bad code for timer: a-b",
        ),
    ] {
        assert_eq!(rig.set(fields), json!([1, message, detail]));
    }
    assert_eq!(rig.set(json!({"url": "ftp://h/", "wait": 5}))[0], 1);
    for request in [
        TimerRequest::Del(key(99_999)),
        TimerRequest::Get(key(99_999)),
        TimerRequest::Enable(key(99_999), true),
        TimerRequest::Run(key(99_999)),
        TimerRequest::Log(key(99_999)),
        TimerRequest::Retry(99_999),
        TimerRequest::Change(key(99_999), map(json!({"cron": 1}))),
    ] {
        assert_eq!(
            rig.call(request),
            json!([1, "参数不正确", "bad timer 99999"])
        );
    }
    assert_eq!(
        rig.call(TimerRequest::Change(
            code("zz-zz-z"),
            map(json!({"cron": 1}))
        )),
        json!([1, "参数不正确", "bad timer zz-zz-z"])
    );
    assert!(rig.records.is_empty() && rig.out.is_empty());
}

#[test]
fn enable_disable_set_and_delete() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/i", "cron": 1, "wait": 200})));
    rig.advance(200);
    assert_eq!(rig.end_all(), 2);
    assert_eq!(
        rig.call(TimerRequest::Enable(key(id), false)),
        json!([0, null])
    );
    rig.advance(1_000);
    assert_eq!(rig.end_all(), 0);
    assert_eq!(rig.rows()[0]["disabled"], true);
    assert_eq!(
        rig.call(TimerRequest::Enable(key(id), true)),
        json!([0, null])
    );
    rig.advance(0);
    assert_eq!(rig.end_all(), 1, "enabling runs it at once");
    let set = TimerRequest::Change(key(id), map(json!({"wait": "60000", "id": 99})));
    assert_eq!(rig.call(set), json!([0, null]));
    rig.advance(59_999);
    assert_eq!(rig.end_all(), 1);
    rig.advance(1);
    assert_eq!(rig.end_all(), 1);
    let bad = TimerRequest::Change(key(id), map(json!({"wait": 5})));
    assert_eq!(rig.call(bad)[0], 1);
    assert_eq!(
        rig.rows()[0]["wait"],
        "60000",
        "a set that fails changes nothing"
    );
    assert_eq!(rig.call(TimerRequest::Del(key(id))), json!([0, null]));
    assert!(rig.rows().is_empty());
    rig.advance(100_000);
    assert_eq!(rig.end_all(), 0);
    assert_eq!(rig.call(TimerRequest::Del(key(id)))[0], 1);
}

#[test]
fn the_same_code_replaces() {
    let mut rig = Rig::new();
    let first = id_of(
        &rig.set(json!({"url": "h/c", "cron": "9 0 * * *", "code": "app1-task-2", "extra": "x"})),
    );
    let other = id_of(&rig.set(json!({"url": "h/o", "cron": "9 0 * * *"})));
    let second =
        id_of(&rig.set(json!({"url": "h/d", "cron": "10 0 * * *", "code": "app1-task-2"})));
    assert_eq!(first, second);
    let rows = rig.rows();
    assert_eq!(rows[0]["id"], first);
    assert_eq!(rows[1]["id"], other);
    let row = rows[0].to_string();
    assert!(
        row.starts_with(r#"{"url":"h/d","cron":"10 0 * * *","code":"app1-task-2","id":1,"nextRun":"2026-11-22 00:10:00","lastRun":null,"#),
        "{row}"
    );
    assert_eq!(row.matches(['{', '}']).count(), 2, "flat: {row}");
    rig.advance(3_600_000);
    assert_eq!(rig.fired(), [("o".to_owned(), 540), ("d".to_owned(), 600)]);
    // A code that is another's is refused, a new one is free to be had.
    let set = |code: &str| TimerRequest::Change(key(other), map(json!({"code": code})));
    assert_eq!(rig.call(set("app1-task-2"))[0], 1);
    assert_eq!(rig.call(set("app1-task-3")), json!([0, null]));
    assert_eq!(
        rig.call(TimerRequest::Get(code("app1-task-3")))[1]["url"],
        "h/o"
    );
    assert_eq!(rig.call(TimerRequest::Clear), json!([0, null]));
    assert_eq!(
        rig.call(TimerRequest::Query {
            text: "".into(),
            limit: usize::MAX,
        }),
        json!([0, []])
    );
    let next = id_of(&rig.set(json!({"url": "h/n", "cron": "1 1 * * *"})));
    assert!(next > other, "ids never start over");
}

#[test]
fn rows_are_found_by_their_fields_and_bounded() {
    let mut rig = Rig::new();
    for n in 0..250 {
        let url = format!("h/{}", n % 10);
        rig.set(json!({"url": url, "cron": "1 1 * * *"}));
    }
    let mut ids = |text: &str, limit| {
        let text = text.into();
        let answer = rig.call(TimerRequest::Query { text, limit });
        let rows = answer[1].as_array().expect("rows").iter();
        rows.map(|row| row["id"].as_i64().expect("an id"))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("", usize::MAX).len(), 250);
    assert_eq!(ids("", 100).len(), 100, "as many as a turn makes");
    assert_eq!(ids("", 3), [1, 2, 3]);
    assert_eq!(ids("h/7", 3), [8, 18, 28]);
    assert_eq!(ids("h/7", 500).len(), 25);
    assert_eq!(ids("nosuch", 500), [0; 0]);
}

#[test]
fn nothing_runs_or_answers_before_it_is_stored() {
    let mut rig = Rig::new();
    rig.commits = false;
    assert_eq!(
        rig.set(json!({"url": "h/i", "cron": 1, "wait": 200})),
        Value::Null
    );
    assert_eq!(rig.rows().len(), 1, "visible at once");
    rig.advance(1_000);
    assert!(rig.out.is_empty());
    rig.handle(TimersInput::Committed { seq: 1 });
    assert_eq!(
        rig.reply_to(ConnId {
            key: 1,
            generation: 0
        }),
        json!([0, 1])
    );
    rig.advance(0);
    assert_eq!(rig.end_all(), 1);
}

#[test]
fn what_is_refused_is_undone_in_reverse() {
    let mut rig = Rig::new();
    let a = id_of(&rig.set(json!({"url": "h/a", "cron": 1, "wait": 1_000, "code": "a-a-a"})));
    let b = id_of(&rig.set(json!({"url": "h/b", "cron": "5 * * * *"})));
    rig.advance(0);
    rig.end_all();
    let rows = rig.rows();
    let first = rig.records.len();
    rig.commits = false;
    rig.call(TimerRequest::Change(
        key(a),
        map(json!({"url": "h/a2", "code": "b-b-b"})),
    ));
    rig.call(TimerRequest::Enable(key(a), false));
    rig.call(TimerRequest::Del(key(b)));
    let new = rig.set(json!({"url": "h/n", "cron": 1, "wait": 100, "code": "a-a-a"}));
    assert_eq!(new, Value::Null);
    rig.call(TimerRequest::Clear);
    assert!(rig.rows().is_empty());
    let seq = rig.records[first].seq;
    let replies = rig.replies.len();
    rig.handle(TimersInput::Refused {
        seq,
        reason: "disk full".into(),
    });
    assert_eq!(rig.replies.len(), replies + 5);
    for (_, answer) in &rig.replies[replies..] {
        assert_eq!(
            answer::to_value(answer.clone()),
            json!([4, "服务器错误", "disk full"])
        );
    }
    assert_eq!(rig.rows(), rows);
    assert_eq!(rig.call(TimerRequest::Get(code("b-b-b")))[0], 1);
    // The interval keeps its rhythm; the next record is of a new generation.
    rig.commits = true;
    rig.advance(1_000);
    assert_eq!(rig.fired(), [("a".to_owned(), 1)]);
    rig.call(TimerRequest::Del(key(a)));
    let last = rig.records.last().expect("one");
    assert_eq!((last.generation, last.seq), (1, seq + 5));
    rig.advance(300_000);
    assert_eq!(rig.fired(), [("b".to_owned(), 300)]);
}

#[test]
fn persistent_one_shots() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/p", "wait": 60_000, "persist": 1, "code": "a-b-c"})));
    assert!(id < 0);
    assert_eq!(rig.rows()[0]["nextRun"], "2026-11-22 00:01:00");
    let TimerChange::Put { json, .. } = &rig.records[0].change else {
        panic!("no put");
    };
    // Half a minute later, after a restart, it is due at the same time.
    let stored = StoredTimers {
        timers: vec![(id, json.clone())],
        ..StoredTimers::default()
    };
    let now = Now {
        mono_ms: 10,
        unix_ms: MIDNIGHT_MS + 30_000,
    };
    let mut rig = Rig::with(now, stored);
    rig.advance(29_999);
    assert!(rig.out.is_empty());
    rig.advance(1);
    assert_eq!(rig.rows().len(), 1, "it is there until it is done");
    rig.end(Err("refused"));
    assert!(rig.rows().is_empty());
    let failed = rig.call(TimerRequest::Failed);
    assert_eq!(failed[1][0]["error"], "refused");
    assert_eq!(failed[1][0]["id"], id);
    assert_eq!(rig.call(TimerRequest::Retry(id)), json!([0, null]));
    assert_eq!(rig.call(TimerRequest::Failed), json!([0, []]));
    rig.advance(0);
    rig.end(Ok((200, "")));
    assert!(rig.rows().is_empty());
    assert_eq!(
        rig.records.last().map(|record| record.change.clone()),
        Some(TimerChange::Del { id })
    );
    let next = id_of(&rig.set(json!({"url": "h/q", "persist": true, "wait": 1})));
    assert!(next < id);
}

#[test]
fn a_done_one_shot_is_not_run_again_though_the_disk_refuses() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/p", "persist": 1}));
    rig.advance(0);
    rig.commits = false;
    rig.end(Ok((200, "")));
    for _ in 0..3 {
        let seq = rig.records.last().expect("one").seq;
        rig.handle(TimersInput::Refused {
            seq,
            reason: "full".into(),
        });
        rig.advance(5_000);
        assert!(rig.out.is_empty());
        assert!(rig.records.last().expect("one").seq > seq, "told again");
    }
    rig.commits = true;
    let seq = rig.records.last().expect("one").seq;
    rig.handle(TimersInput::Committed { seq });
    assert!(rig.rows().is_empty());
}

#[test]
fn log_run_get_and_preview() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/x", "cron": "0 3 * * *", "data": {"a": [1]}})));
    rig.call(TimerRequest::Enable(key(id), false));
    assert_eq!(rig.call(TimerRequest::Run(key(id))), json!([0, null]));
    rig.end(Ok((201, "made")));
    let log = rig.call(TimerRequest::Log(key(id)));
    assert_eq!(
        log[1],
        json!([{"run": 1, "tm": "2026-11-22 00:00:00", "status": 201, "ok": true, "ms": 12, "lateMs": 0, "ret": "made"}])
    );
    let row = &rig.call(TimerRequest::Get(key(id)))[1];
    assert_eq!(
        (&row["lastStatus"], &row["runs"], &row["nextRun"]),
        (&json!(201), &json!(1), &json!(null))
    );
    let preview = rig.call(TimerRequest::Preview {
        cron: "30 2 * * *".to_owned(),
        tz: Some("Europe/Paris".to_owned()),
        from: Some((MIDNIGHT_MS / 1_000) as i64),
        n: 2,
    });
    assert_eq!(
        preview[1],
        json!({"tz": "Europe/Paris", "list": [
            {"t": 1_795_311_000, "tm": "2026-11-22 02:30:00"},
            {"t": 1_795_397_400, "tm": "2026-11-23 02:30:00"}]})
    );
    let bad = |cron: &str, tz: Option<&str>| TimerRequest::Preview {
        cron: cron.to_owned(),
        tz: tz.map(str::to_owned),
        from: None,
        n: 5,
    };
    assert_eq!(
        rig.call(bad("x", None)),
        json!([1, "时间设置(cron)不正确", "bad cron format"])
    );
    assert_eq!(rig.call(bad("1 1 1 1 1", Some("Mars")))[0], 1);
}

#[test]
fn a_run_asked_for_before_its_timer_is_stored_waits_for_that() {
    let mut rig = Rig::new();
    rig.commits = false;
    rig.set(json!({"url": "h/x", "cron": "5 0 * * *", "code": "a-b-c"}));
    assert_eq!(rig.call(TimerRequest::Run(code("a-b-c"))), json!([0, null]));
    assert!(rig.out.is_empty());
    rig.handle(TimersInput::Committed { seq: 1 });
    assert_eq!(rig.end_all(), 1);
    rig.advance(300_000);
    assert_eq!(rig.end_all(), 1, "beside its schedule");
}

#[test]
fn a_clear_of_many_is_at_once_and_frees_in_turns() {
    let calls = 2 * FREED_PER_TURN as i64 + 10;
    let timers = (1..=calls)
        .map(|id| {
            let json = format!(r#"{{"url":"h/{id}","cron":"1 1 * * *","code":"a-b-{id}"}}"#);
            (id, json.into())
        })
        .collect();
    let stored = StoredTimers {
        timers,
        ..StoredTimers::default()
    };
    let mut rig = Rig::with(Now::default(), stored);
    let kept = id_of(&rig.set(json!({"url": "h/p", "persist": 1, "wait": 60_000})));
    assert_eq!(rig.call(TimerRequest::Clear), json!([0, null]));
    let rows = rig.rows();
    assert_eq!((rows[0]["id"].as_i64(), rows.len()), (Some(kept), 1));
    assert_eq!(rig.call(TimerRequest::Get(code("a-b-7")))[0], 1);
    let mut turns = 0;
    while !rig.timers.cleared.is_empty() {
        assert_eq!(rig.timers.poll_timeout(), Some(rig.now.mono_ms), "goes on");
        rig.turn();
        turns += 1;
    }
    assert_eq!(turns, 3);
    let again = json!({"url": "h/p", "cron": "1 1 * * *", "code": "a-b-7"});
    assert_eq!(id_of(&rig.set(again)), calls + 1);
}

#[test]
fn a_clear_that_is_refused_restores_what_the_disk_took_meanwhile() {
    let mut rig = Rig::new();
    let old = id_of(&rig.set(json!({"url": "h/old", "cron": 1, "wait": 10_000})));
    rig.advance(0);
    rig.end_all();
    rig.commits = false;
    rig.set(json!({"url": "h/new", "cron": 1, "wait": 60_000}));
    let set = rig.records.last().expect("one").seq;
    rig.call(TimerRequest::Clear);
    let clear = rig.records.last().expect("one").seq;
    rig.set(json!({"url": "h/later", "cron": 1, "wait": 100}));
    rig.handle(TimersInput::Committed { seq: set });
    rig.advance(10_000);
    assert!(rig.out.is_empty(), "all of them wait for the disk");
    rig.handle(TimersInput::Refused {
        seq: clear,
        reason: "disk full".into(),
    });
    rig.advance(0);
    let fired: Vec<String> = rig.fired().into_iter().map(|(url, _)| url).collect();
    assert_eq!(fired, ["old", "new"], "one begins, one was due");
    let ids: Vec<_> = rig.rows().iter().map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, [Some(old), Some(old + 1)]);
}

#[test]
fn failed_ones_are_listed_in_turns() {
    let failed = (1..=250)
        .map(|n| {
            let json = format!(r#"{{"url":"h/{n}","persist":1,"failedAt":"then","error":"e"}}"#);
            (-n, json.into())
        })
        .collect();
    let stored = StoredTimers {
        failed,
        ..StoredTimers::default()
    };
    let mut rig = Rig::with(Now::default(), stored);
    rig.handle(TimersInput::Call(Box::new(TimerCall {
        reply_to: ConnId {
            key: 9,
            generation: 0,
        },
        request: TimerRequest::Failed,
    })));
    assert_eq!(rig.timers.listings.len(), 1, "100 rows so far");
    let answer = rig.call(TimerRequest::Failed);
    let rows = answer[1].as_array().expect("rows");
    assert_eq!(rows.len(), 250);
    assert_eq!(
        rows[249],
        json!({"url": "h/250", "persist": 1, "id": -250, "failedAt": "then", "error": "e"})
    );
    assert_eq!(rows[0]["id"], -1, "the oldest first");
}
