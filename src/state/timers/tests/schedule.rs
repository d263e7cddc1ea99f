//! When callbacks go out: waits, intervals, crontab lines, starts, steps of the clock.

use super::*;

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
    // The present is rounded down to a ms, so one more makes a wait whole.
    rig.advance(1_000);
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
    assert_eq!(rig.timers.counters().queue_depth, DUE_PER_TURN - 32);
    assert_eq!(rig.timers.poll_timeout(), Some(0));
    let mut count = 0;
    while !rig.out.is_empty() || rig.timers.counters().queue_depth > 0 {
        count += rig.end_all();
        rig.turn();
    }
    assert_eq!(count, 5_000);
    assert_eq!(rig.rows().len(), 5_000);
}

/// So many crontab lines of that kind, from the disk.
fn many_lines(count: i64, line: &str) -> Rig {
    let timers = (1..=count)
        .map(|id| {
            let json = format!(r#"{{"url":"h{}/{id}","cron":"{line}"}}"#, id % 50);
            (id, json.into())
        })
        .collect();
    let now = Now {
        mono_ms: 5_000,
        unix_ms: MIDNIGHT_MS,
    };
    let stored = StoredTimers {
        timers,
        ..StoredTimers::default()
    };
    Rig::with(now, stored)
}

#[test]
fn a_new_time_is_taken_in_turns_and_misses_nothing_meanwhile() {
    let mut rig = many_lines(1_000, "0 12 * * *");
    // One second before noon two days later: the lines that wait meanwhile are not run for it.
    rig.step_clock(86_400 * 2 + 43_199);
    rig.turn();
    assert_eq!(rig.timers.poll_timeout(), Some(rig.now.mono_ms), "goes on");
    assert!(rig.timers.retiming.is_some());
    assert!(rig.fired().is_empty());
    // Noon comes before the last of them know of it.
    rig.now.unix_ms += 1_500;
    rig.now.mono_ms += 1_500;
    rig.turn();
    assert!(rig.timers.retiming.is_some());
    assert!(rig.fired().is_empty());
    rig.set(json!({"url": "h/late", "cron": "0 12 * * *"}));
    let mut count = 0;
    for _ in 0..200 {
        rig.advance(0);
        count += rig.fired().len();
    }
    assert_eq!(count, 1_000, "each once, the late one not");
    assert!(rig.timers.retiming.is_none());
    rig.advance(60_000);
    assert!(rig.fired().is_empty());
}

#[test]
fn what_a_step_forward_skips_is_skipped_in_turns() {
    let mut rig = many_lines(1_000, "*/10 * * * *");
    rig.step_clock(3_600 + 90);
    rig.turn();
    assert!(rig.fired().is_empty());
    rig.advance(0);
    assert!(rig.fired().is_empty());
    let next: Vec<_> = rig
        .rows()
        .iter()
        .map(|row| row["nextRun"].clone())
        .collect();
    assert_eq!(next.len(), 1_000);
    assert!(
        next.iter().all(|at| at == "2026-11-22 01:10:00"),
        "{next:?}"
    );
    // Set back again, a line that is new since then is not one of those.
    rig.step_clock(-3_600);
    rig.turn();
    rig.set(json!({"url": "h/new", "cron": "*/10 * * * *"}));
    rig.advance(600_000);
    assert_eq!(rig.fired(), [("new".to_owned(), 600)]);
}
