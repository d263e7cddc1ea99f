//! Timers in virtual time: what calls answer, when callbacks go out, what is stored. No clock, no socket.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::call::answer::{self, Answer};
use crate::ids::{ConnId, Now};
use crate::limits::{CALLBACK_LOST_MS, DISPATCH_RETRY_MS};
use crate::message::{
    Callback, CallbackDone, LogFile, StoredTimers, TimerCall, TimerChange, TimerKey, TimerRecord,
    TimerRequest,
};
use crate::settings::{Overlap, Settings};
use crate::state::timers::{Timers, TimersInput, TimersOutput, TimersSetup};

/// 2026-11-22 00:00:00 UTC.
pub const MIDNIGHT_MS: u64 = 1_795_305_600_000;

/// Central Europe by its rule, for tests of the zone option.
fn zones(name: &str) -> Option<TimeZone> {
    (name == "Europe/Paris")
        .then(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a right rule"))
}

/// Timers with a disk and workers that a test plays.
pub struct Rig {
    pub timers: Timers,
    pub now: Now,
    /// Handed out and not ended: with the time they were.
    pub out: VecDeque<(Now, Callback)>,
    pub records: Vec<TimerRecord>,
    /// Whether the disk takes records at once.
    pub commits: bool,
    pub replies: Vec<(ConnId, Answer)>,
    pub trace: Vec<String>,
    pub log: Vec<String>,
    calls: u32,
}

pub fn setup(now: Now, stored: StoredTimers) -> TimersSetup {
    TimersSetup {
        settings: Settings::default(),
        zone: TimeZone::UTC,
        zones,
        now,
        stored,
        seed: 7,
    }
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with(
            Now {
                mono_ms: 5_000,
                unix_ms: MIDNIGHT_MS,
            },
            StoredTimers::default(),
        )
    }

    pub fn with(now: Now, stored: StoredTimers) -> Rig {
        let mut rig = Rig {
            timers: Timers::new(setup(now, stored)),
            now,
            out: VecDeque::new(),
            records: Vec::new(),
            commits: true,
            replies: Vec::new(),
            trace: Vec::new(),
            log: Vec::new(),
            calls: 0,
        };
        rig.turn();
        rig
    }

    pub fn turn(&mut self) {
        self.timers.begin_turn(self.now);
        self.drain();
    }

    pub fn handle(&mut self, input: TimersInput) {
        self.timers.handle(input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.timers.poll_output() {
            match output {
                TimersOutput::Reply { to, answer } => self.replies.push((to, answer)),
                TimersOutput::Record(record) => {
                    let seq = record.seq;
                    self.records.push(record);
                    if self.commits {
                        self.timers.handle(TimersInput::Committed { seq });
                    }
                }
                TimersOutput::Callback(callback) => self.out.push_back((self.now, *callback)),
                TimersOutput::Log(line) if line.file == LogFile::Trace => {
                    self.trace.push(line.text);
                }
                TimersOutput::Log(line) => self.log.push(line.text),
            }
        }
    }

    /// Both clocks go on; a turn at every time that is asked for.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        loop {
            let at = self
                .timers
                .poll_timeout()
                .map_or(end, |at| at.clamp(self.now.mono_ms, end));
            self.now.unix_ms += at - self.now.mono_ms;
            self.now.mono_ms = at;
            self.turn();
            let is_more = self
                .timers
                .poll_timeout()
                .is_some_and(|next| next <= self.now.mono_ms);
            if at == end && !is_more {
                return;
            }
        }
    }

    /// The answer as JSON; null where there is none yet.
    pub fn call(&mut self, request: TimerRequest) -> Value {
        self.calls += 1;
        let to = ConnId {
            key: self.calls,
            generation: 0,
        };
        self.handle(TimersInput::Call(Box::new(TimerCall {
            reply_to: to,
            request,
        })));
        // A long answer takes some turns, one that waits for the disk none.
        for _ in 0..20 {
            if !self.timers.listings.is_empty() {
                self.turn();
            }
        }
        self.reply_to(to)
    }

    pub fn reply_to(&self, to: ConnId) -> Value {
        self.replies
            .iter()
            .find(|(conn, _)| *conn == to)
            .map_or(Value::Null, |(_, answer)| answer::to_value(answer.clone()))
    }

    pub fn set(&mut self, fields: Value) -> Value {
        self.call(TimerRequest::Set(
            fields.as_object().cloned().expect("an object"),
        ))
    }

    pub fn rows(&mut self) -> Vec<Value> {
        match self.call(TimerRequest::Query) {
            Value::Array(mut answer) => match answer.pop() {
                Some(Value::Array(rows)) => rows,
                other => panic!("no rows: {other:?}"),
            },
            other => panic!("no answer: {other}"),
        }
    }

    /// Ends the first callback that is out.
    pub fn end(&mut self, outcome: Result<(u16, &str), &str>) {
        let (_, callback) = self.out.pop_front().expect("a callback");
        self.end_one(&callback, outcome);
    }

    pub fn end_one(&mut self, callback: &Callback, outcome: Result<(u16, &str), &str>) {
        self.handle(TimersInput::CallbackDone(Box::new(CallbackDone {
            timer: callback.timer,
            version: callback.version,
            host: callback.request.host.clone(),
            timed_out: outcome == Err("timeout"),
            outcome: outcome
                .map(|(status, body)| (status, body.into()))
                .map_err(Into::into),
            took_ms: 12,
        })));
    }

    /// Ends all that are out with 200.
    pub fn end_all(&mut self) -> usize {
        let mut count = 0;
        while !self.out.is_empty() {
            self.end(Ok((200, "OK")));
            count += 1;
        }
        count
    }

    /// URLs and Unix s of what went out since the last time, all ended with 200.
    pub fn fired(&mut self) -> Vec<(String, i64)> {
        let mut fired = Vec::new();
        while let Some((now, callback)) = self.out.front() {
            fired.push((
                callback
                    .request
                    .url
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                (now.unix_ms / 1_000) as i64 - (MIDNIGHT_MS / 1_000) as i64,
            ));
            self.end(Ok((200, "OK")));
        }
        fired
    }

    fn step_clock(&mut self, seconds: i64) {
        self.now.unix_ms = self.now.unix_ms.saturating_add_signed(seconds * 1_000);
    }
}

fn times(fired: &[(String, i64)]) -> Vec<i64> {
    fired.iter().map(|(_, at)| *at).collect()
}

fn id_of(answer: &Value) -> i64 {
    assert_eq!(answer[0], 0, "{answer}");
    answer[1].as_i64().expect("an id")
}

fn key(id: i64) -> TimerKey {
    TimerKey::Id(id)
}

fn code(code: &str) -> TimerKey {
    TimerKey::Code(code.to_owned())
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

#[test]
fn one_shots() {
    let mut rig = Rig::new();
    assert_eq!(rig.set(json!({"url": "h/now"})), json!([0, null]));
    assert_eq!(
        rig.set(json!({"url": "h/now2", "wait": -3})),
        json!([0, null])
    );
    assert_eq!(times(&rig.fired()), [0, 0]);
    let late = id_of(&rig.set(json!({"url": "h/late", "wait": "3000"})));
    let soon = id_of(&rig.set(json!({"url": "h/soon", "wait": 1_000, "code": "a-b-c"})));
    let gone = id_of(&rig.set(json!({"url": "h/gone", "wait": 2_000})));
    assert!(late < 0 && soon < late && gone < soon);
    assert_eq!(rig.call(TimerRequest::Del(key(gone))), json!([0, null]));
    assert_eq!(
        rig.call(TimerRequest::Del(key(gone))),
        json!([1, "参数不正确", format!("bad timer {gone}")])
    );
    assert!(rig.rows().is_empty());
    rig.advance(999);
    assert!(rig.out.is_empty(), "never early");
    rig.advance(1);
    assert_eq!(rig.fired(), [("soon".to_owned(), 1)]);
    rig.advance(10_000);
    assert_eq!(rig.fired(), [("late".to_owned(), 3)]);
    assert!(rig.records.is_empty(), "nothing is stored");
    assert!(rig.timers.texts.is_empty());
    let lines: Vec<&str> = rig.trace.iter().map(String::as_str).collect();
    assert_eq!(
        lines[4],
        format!(
            "=== REQ from [nil] at [2026-11-22 00:00:01] timer{soon} a-b-c exec: httpCall(http://h/soon, null)"
        )
    );
    assert_eq!(
        lines[5],
        format!(
            "=== REQ from [nil] at [2026-11-22 00:00:01] timer{soon} a-b-c ret: OK (200, 12 ms)"
        )
    );
}

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
        (
            json!({"url": "ftp://h/"}),
            "参数不正确",
            "bad url: ftp://h/",
        ),
    ] {
        assert_eq!(rig.set(fields), json!([1, message, detail]));
    }
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
fn intervals_do_not_drift() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/i", "cron": 1, "wait": 300, "code": "a-b-c"})));
    assert!(id > 0);
    rig.advance(0);
    assert_eq!(rig.end_all(), 1, "at once");
    // A turn that came late does not move those after it.
    rig.now.mono_ms += 340;
    rig.now.unix_ms += 340;
    rig.turn();
    assert_eq!(rig.end_all(), 1);
    rig.advance(259);
    assert!(rig.out.is_empty());
    rig.advance(1);
    assert_eq!(rig.end_all(), 1);
    rig.advance(3_000);
    assert_eq!(rig.end_all(), 10);
    // A step of the wall clock does not touch them.
    rig.step_clock(-7_200);
    rig.advance(3_000);
    assert_eq!(rig.end_all(), 10);
    assert_eq!(
        rig.trace[0],
        format!(
            "=== REQ from [nil] at [2026-11-22 00:00:00] timer#{id}-1 a-b-c exec: httpCall(http://h/i, null)"
        )
    );
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
    assert_eq!(rig.call(TimerRequest::Query), json!([0, []]));
    let next = id_of(&rig.set(json!({"url": "h/n", "cron": "1 1 * * *"})));
    assert!(next > other, "ids never start over");
}

#[test]
fn crontab_lines_and_zones() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/min", "cron": "*/20 0 * * *"}));
    rig.set(json!({"url": "h/paris", "cron": "30 1 * * *", "tz": "Europe/Paris"}));
    rig.advance(4_000_000);
    assert_eq!(
        rig.fired(),
        [
            ("min".to_owned(), 1_200),
            ("paris".to_owned(), 1_800),
            ("min".to_owned(), 2_400)
        ]
    );
}

#[test]
fn crontab_with_wait_looks() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/look", "cron": "0,2 * * * *", "wait": 25_000}));
    rig.advance(0);
    assert_eq!(times(&rig.fired()), [0], "looks at once");
    rig.advance(300_000);
    assert_eq!(times(&rig.fired()), [25, 50, 125, 150, 175]);
    // The clock goes back: these minutes had their turn.
    rig.step_clock(-300);
    rig.advance(290_000);
    assert!(rig.fired().is_empty());
    rig.advance(3_500_000);
    assert_eq!(times(&rig.fired()).len(), 6);
}

#[test]
fn steps_of_the_wall_clock() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/fixed", "cron": "30 0 * * *"}));
    rig.set(json!({"url": "h/wild", "cron": "*/10 * * * *"}));
    rig.advance(600_000);
    assert_eq!(rig.fired(), [("wild".to_owned(), 600)]);
    // Back: nothing twice.
    rig.step_clock(-600);
    rig.advance(1_199_000);
    assert!(rig.fired().is_empty());
    rig.advance(1_000);
    assert_eq!(rig.fired(), [("wild".to_owned(), 1_200)]);
    // Forward over both, noticed within 30 s.
    rig.step_clock(3_100);
    rig.advance(30_000);
    let fired = rig.fired();
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert_eq!(fired[0].0, "fixed");
    assert!(fired[0].1 <= 4_330);
    rig.advance(600_000);
    assert_eq!(rig.fired(), [("wild".to_owned(), 4_800)]);
    // A large step is the new time.
    rig.step_clock(86_400 + 7_200);
    rig.advance(30_000);
    assert!(rig.fired().is_empty());
    rig.step_clock(-86_400 * 3);
    rig.advance(600_000);
    let fired = rig.fired();
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert_eq!(fired[0].0, "wild");
    assert!(fired[0].1 < -86_400);
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
fn overlap() {
    for (word, default, calls) in [
        (json!(null), Overlap::Allow, 4),
        (json!("allow"), Overlap::Skip, 4),
        (json!("skip"), Overlap::Allow, 1),
        (json!(null), Overlap::Skip, 1),
        (json!("queue"), Overlap::Allow, 1),
    ] {
        let mut rig = Rig::new();
        let mut settings = Settings::default();
        settings.timer_overlap = default;
        rig.handle(TimersInput::Settings(Box::new(settings)));
        rig.set(json!({"url": "h/i", "cron": 1, "wait": 100, "overlap": word}));
        rig.advance(300);
        assert_eq!(rig.out.len(), calls, "{word} {default:?}");
        rig.end(Ok((200, "")));
        let more = usize::from(word == "queue");
        assert_eq!(rig.out.len(), calls - 1 + more, "{word} {default:?}");
    }
}

#[test]
fn retries() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/r", "retry": 2, "retryWait": 4_000, "sign": "whsec_AAEC"}));
    let header = |callback: &Callback, name: &str| {
        let found = callback
            .request
            .headers
            .iter()
            .find(|(key, _)| &**key == name);
        found.expect("a header").1.to_string()
    };
    let first = rig.out[0].1.clone();
    rig.end(Ok((503, "busy")));
    rig.advance(1_999);
    assert!(rig.out.is_empty());
    rig.advance(2_001);
    let second = rig.out[0].1.clone();
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_ne!(
        header(&first, "webhook-signature"),
        header(&second, "webhook-signature")
    );
    rig.end(Err("refused"));
    rig.advance(3_999);
    assert!(rig.out.is_empty());
    rig.advance(4_001);
    rig.end(Ok((404, "no\nsuch")));
    rig.advance(100_000_000);
    assert!(rig.out.is_empty());
    let last = rig.trace.last().expect("a line");
    assert!(last.ends_with("fails: no\\nsuch (404, 12 ms)"), "{last}");
    let counters = rig.timers.counters();
    assert_eq!(
        (counters.fired, counters.retried, counters.failed),
        (3, 2, 1)
    );
    // Without `retry`, any answer is a success.
    rig.set(json!({"url": "h/r"}));
    rig.end(Ok((500, "")));
    assert_eq!(rig.timers.counters().failed, 1);
}

#[test]
fn a_retry_ends_with_its_timer() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/r", "cron": "0 0 * * *", "retry": 5})));
    rig.call(TimerRequest::Run(key(id)));
    rig.end(Err("refused"));
    rig.call(TimerRequest::Del(key(id)));
    rig.advance(10_000_000);
    assert!(rig.out.is_empty());
    assert!(rig.timers.running.is_empty() && rig.timers.deadlines.is_empty());
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
fn a_start_runs_intervals_and_makes_up_for_what_was_missed() {
    let stored =
        StoredTimers {
            next_id: 10,
            timers: vec![
            (
                3,
                r#"{"url":"h/i","cron":1,"wait":"300","code":null,"useJson":"0","x":[1],"id":3}"#
                    .into(),
            ),
            (4, r#"{"url":"h/bad","cron":"61 * * * *","code":"a-b-bad","id":4}"#.into()),
            (
                5,
                r#"{"url":"h/off","cron":1,"wait":300,"disabled":true,"id":5}"#.into(),
            ),
            (
                6,
                format!(
                    r#"{{"url":"h/once","cron":"0 12 * * *","misfire":"once","_ranTo":{},"id":6}}"#,
                    MIDNIGHT_MS / 1_000 - 86_400 * 3
                )
                .into(),
            ),
            (7, r#"{"url":"h/skip","cron":"0 12 * * *","id":7}"#.into()),
            (
                8,
                r#"{"url":"h/max","cron":1,"wait":100,"maxRuns":5,"_runs":4,"id":8}"#.into(),
            ),
        ],
            ..StoredTimers::default()
        };
    let now = Now {
        mono_ms: 0,
        unix_ms: MIDNIGHT_MS,
    };
    let mut rig = Rig::with(now, stored);
    rig.advance(0);
    let urls: Vec<String> = rig.fired().into_iter().map(|(url, _)| url).collect();
    assert_eq!(urls, ["i", "max", "once"]);
    assert!(
        rig.log[0].contains("timer#4 is kept but does not run"),
        "{:?}",
        rig.log
    );
    let rows = rig.rows();
    assert_eq!(rows.len(), 6);
    assert!(
        rows[1]["error"]
            .as_str()
            .is_some_and(|text| text.contains("61"))
    );
    assert_eq!(rows[0]["x"], json!([1]));
    rig.advance(250);
    assert!(rig.fired().is_empty());
    assert_eq!(
        id_of(&rig.set(json!({"url": "h", "cron": "1 1 * * *"}))),
        10
    );
    let stored_runs = rig.records.iter().find_map(|record| match &record.change {
        TimerChange::Put { id: 8, json } => Some(json.clone()),
        _ => None,
    });
    assert!(stored_runs.is_some_and(|json| json.ends_with(r#""_runs":5,"id":8}"#)));
}

#[test]
fn until_and_splay() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/u", "cron": 1, "wait": 1_000, "until": "2026-11-22 00:00:03"}));
    rig.set(json!({"url": "h/s", "cron": "0 * * * *", "splay": 600, "code": "a-b-c"}));
    rig.advance(100_000);
    assert_eq!(times(&rig.fired()), [0, 1, 2, 3]);
    rig.advance(7_200_000);
    let fired = times(&rig.fired());
    assert_eq!(fired.len(), 2);
    assert!((3_600..4_200).contains(&fired[0]) && fired[1] == fired[0] + 3_600);
}

#[test]
fn a_lost_worker_gives_its_slot_back() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/a", "timeout": 1}));
    let (_, callback) = rig.out.pop_front().expect("one");
    rig.advance(1_000 + CALLBACK_LOST_MS - 1);
    assert_eq!(rig.timers.counters().busy_workers, 1);
    rig.advance(1);
    assert_eq!(rig.timers.counters().busy_workers, 0);
    // And an answer after all finds nothing.
    rig.end_one(&callback, Ok((200, "")));
    assert_eq!(rig.timers.counters().failed, 1);
}

#[test]
fn a_full_workers_queue_gives_callbacks_back() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/a"}));
    for _ in 0..3 {
        let (_, callback) = rig.out.pop_front().expect("one");
        rig.handle(TimersInput::CallbackRefused(Box::new(callback)));
        assert!(rig.out.is_empty());
        rig.advance(10);
    }
    assert_eq!(rig.end_all(), 1);
    assert_eq!(rig.trace.len(), 2);
    assert_eq!(rig.timers.counters().fired, 1);
}

#[test]
fn a_slow_host_delays_no_other() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        rig.set(json!({"url": "dead/x"}));
    }
    assert_eq!(rig.out.len(), 24);
    rig.set(json!({"url": "well/y"}));
    assert_eq!(rig.out.len(), 25);
    for _ in 0..20 {
        rig.end(Err("timeout"));
    }
    assert_eq!(rig.out.len(), 5);
    for _ in 0..4 {
        rig.end(Err("timeout"));
    }
    rig.advance(0);
    assert_eq!(rig.out.len(), 5);
    rig.out.rotate_left(1);
    rig.end(Ok((200, "")));
    assert!(rig.out.len() > 20, "it is well again");
    assert_eq!(
        rig.timers.counters().queue_depth,
        76 - 4 - rig.out.len() + 4
    );
}

#[test]
fn a_queued_one_shot_can_be_cancelled() {
    let mut rig = Rig::new();
    for _ in 0..24 {
        rig.set(json!({"url": "h/x"}));
    }
    let id = id_of(&rig.set(json!({"url": "h/late", "wait": 10})));
    rig.advance(10);
    assert_eq!(rig.call(TimerRequest::Del(key(id))), json!([0, null]));
    assert!(rig.fired().iter().all(|(url, _)| url == "x"));
    // One that is with a worker cannot.
    let id = id_of(&rig.set(json!({"url": "h/late", "wait": 10})));
    rig.advance(10);
    assert_eq!(rig.call(TimerRequest::Del(key(id)))[0], 1);
    rig.end_all();
    assert!(rig.timers.running.is_empty() && rig.timers.deadlines.is_empty());
    assert_eq!(
        (rig.timers.built, rig.timers.counters().busy_workers),
        (0, 0)
    );
}

#[test]
fn many_intervals_start_in_turns() {
    let timers = (1..=5_000)
        .map(|id| {
            (
                id,
                format!(r#"{{"url":"h{}/i","cron":1,"wait":60000}}"#, id % 10).into(),
            )
        })
        .collect();
    let stored = StoredTimers {
        timers,
        ..StoredTimers::default()
    };
    let mut rig = Rig::with(Now::default(), stored);
    assert_eq!(rig.out.len(), 32);
    assert_eq!(rig.timers.counters().queue_depth, 1_000 - 32);
    assert_eq!(rig.timers.poll_timeout(), Some(0));
    let mut count = 0;
    while !rig.out.is_empty() || rig.timers.counters().queue_depth > 0 {
        count += rig.end_all();
        rig.turn();
    }
    assert_eq!(count, 5_000);
    assert_eq!(rig.rows().len(), 5_000);
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
fn a_stop_ends_what_is_out_and_begins_nothing() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/i", "cron": 1, "wait": 100}));
    rig.advance(0);
    rig.handle(TimersInput::Stop);
    assert!(!rig.timers.is_stopped());
    assert_eq!(rig.set(json!({"url": "h/n"}))[0], 4);
    rig.advance(1_000);
    assert_eq!(rig.out.len(), 1);
    rig.end_all();
    assert!(rig.timers.is_stopped());
}

#[test]
fn one_shots_wait_for_room_in_the_queue() {
    let mut rig = Rig::new();
    // The queue's share of one host is filled by what can be set in a test.
    rig.timers.dispatch = crate::state::dispatch::Dispatch::new(100);
    for _ in 0..300 {
        assert_eq!(rig.set(json!({"url": "h/x"})), json!([0, null]));
    }
    assert!(rig.timers.queue.len() > 200, "they wait in the heap");
    let mut count = 0;
    for _ in 0..40 {
        count += rig.end_all();
        rig.advance(DISPATCH_RETRY_MS);
    }
    count += rig.end_all();
    assert_eq!(count, 300, "none is lost");
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
