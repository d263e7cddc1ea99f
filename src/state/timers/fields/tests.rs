//! Fields, right and wrong.

use super::*;
use serde_json::json;

fn fields(value: Value) -> Fields {
    value.as_object().cloned().expect("an object")
}

fn read(value: Value) -> Result<Plan, CallError> {
    Plan::read(&fields(value), &TimeZone::UTC, |name| {
        (name == "UTC").then_some(TimeZone::UTC)
    })
}

#[track_caller]
fn check_error(value: Value, message: &str, detail: &str) {
    let error = read(value).expect_err("refused");
    assert_eq!(
        (error.code, &*error.message, &*error.detail),
        (1, message, detail)
    );
}

#[test]
fn waits() {
    for (wait, ms) in [
        (json!(null), 0),
        (json!(50), 50),
        (json!(50.9), 50),
        (json!(-5), 0),
        (json!("3000"), 3_000),
        (json!("50 "), 50),
        (json!(" 50"), 50),
        (json!("50ms"), 50),
        (json!("1e3"), 1_000),
        (json!("1e"), 1),
        (json!("1.9"), 1),
        (json!("-1"), 0),
        (json!("x"), 0),
        (json!(""), 0),
        (json!("+"), 0),
        (json!("."), 0),
        (json!("é1"), 0),
        (json!("1é"), 1),
        (json!(true), 1),
        (json!([]), 0),
        (json!({}), 0),
        (json!("9".repeat(400)), 0),
        (json!(1e300), WAIT_MS_MAX),
        (json!(u64::MAX), WAIT_MS_MAX),
    ] {
        assert_eq!(wait_ms(&fields(json!({ "wait": wait }))), ms, "{wait}");
    }
}

#[test]
fn rhythms() {
    let kind = |value: Value| match read(value).map(|plan| plan.rhythm) {
        Ok(Rhythm::Once(ms)) => format!("once {ms}"),
        Ok(Rhythm::Interval(ms)) => format!("every {ms}"),
        Ok(Rhythm::Line(_)) => "line".to_owned(),
        Ok(Rhythm::Look(_, ms)) => format!("look {ms}"),
        Err(error) => error.detail.into_owned(),
    };
    for cron in [json!(0), json!("0"), json!(""), json!(null), json!(false)] {
        assert_eq!(kind(json!({"url": "a", "cron": cron})), "once 0", "{cron}");
    }
    for cron in [json!(1), json!("1"), json!(true), json!(1.0)] {
        assert_eq!(
            kind(json!({"url": "a", "cron": cron, "wait": "100"})),
            "every 100"
        );
        assert_eq!(
            kind(json!({"url": "a", "cron": cron, "wait": 99})),
            "min wait time>100ms"
        );
    }
    assert_eq!(kind(json!({"url": "a", "cron": "* * * * *"})), "line");
    assert_eq!(
        kind(json!({"url": "a", "cron": "* * * * *", "wait": 500})),
        "look 500"
    );
    for cron in [json!(2), json!("x"), json!([1]), json!("* * *")] {
        assert_eq!(
            kind(json!({"url": "a", "cron": cron, "wait": 500})),
            "bad cron format",
            "{cron}"
        );
    }
}

#[test]
fn errors_as_recorded() {
    check_error(json!({"wait": 10}), "缺少参数`url`", "require param `url`");
    check_error(json!({"url": ""}), "缺少参数`url`", "require param `url`");
    check_error(
        json!({"url": "a", "cron": 1, "wait": 50}),
        "间隔时间(wait)太小不允许",
        "min wait time>100ms",
    );
    check_error(
        json!({"url": "a", "cron": "x * * * *"}),
        "时间设置(cron)不正确",
        "bad cron format",
    );
    for code in ["nodash", "a-b", "-b-c", "a--c", "é-b-c", "a b-c-d"] {
        check_error(
            json!({"url": "a", "code": code}),
            "code参数格式错误",
            &format!("bad code for timer: {code}"),
        );
    }
    for code in ["a-b-", "a-b-c", "a_1-B-c-d é"] {
        assert!(read(json!({"url": "a", "code": code})).is_ok(), "{code}");
    }
    check_error(
        json!({"url": "a", "useJson": "x"}),
        "参数不正确",
        "Bad Request - bool param `useJson`=`x`.",
    );
}

#[test]
fn options() {
    let plan = read(json!({
        "url": "a", "cron": "1 1 * * *", "code": "a-b-c", "timeout": "0.5", "retry": 3, "retryWait": "200",
        "tz": "UTC", "overlap": "skip", "misfire": "once", "splay": 60, "maxRuns": 5,
        "until": "2026-11-22 00:00", "sign": "s", "persist": 0, "disabled": "on"
    }))
    .expect("right");
    assert_eq!(
        (
            plan.call.timeout_ms,
            plan.call.retry,
            plan.call.retry_wait_ms
        ),
        (Some(500), 3, 200)
    );
    assert_eq!(
        (plan.overlap, plan.max_runs),
        (Some(Overlap::Skip), Some(5))
    );
    assert!(plan.misfire_once && plan.disabled && !plan.persist && plan.tz.is_some());
    assert!(plan.splay_ms > 0 && plan.splay_ms < 60_000);
    assert_eq!(plan.until_s, Some(1_795_305_600));
    assert_eq!(plan.call.key.as_deref(), Some(&b"s"[..]));
    for (name, value) in [
        ("timeout", json!(0)),
        ("timeout", json!(1e9)),
        ("timeout", json!("x")),
        ("retry", json!(-1)),
        ("retry", json!(100_000)),
        ("retryWait", json!(0)),
        ("tz", json!("Mars/Base")),
        ("overlap", json!("never")),
        ("misfire", json!("twice")),
        ("splay", json!(-1)),
        ("maxRuns", json!(0)),
        ("until", json!("tomorrow")),
        ("persist", json!("maybe")),
        ("sign", json!("whsec_!")),
    ] {
        let error = read(json!({"url": "a", name: value})).expect_err(name);
        assert_eq!(error.code, 1);
        assert!(error.detail.contains(name), "{}", error.detail);
    }
}

#[test]
fn kept_form() {
    let kept = normalize(
        fields(
            json!({"url": "a", "code": null, "x": {"y": 1}, "id": 7, "useJson": "1", "disabled": "",
            "runs": 3, "_due": 1, "wait": "5"}),
        ),
        &TimeZone::UTC,
    );
    assert_eq!(
        kept,
        Ok(fields(
            json!({"url": "a", "x": {"y": 1}, "useJson": true, "disabled": "", "wait": "5"})
        ))
    );
}
