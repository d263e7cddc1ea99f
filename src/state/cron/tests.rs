//! Crontab lines against tables, and against a stepper around every change of the clock.

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect(name)
}

fn unix_s(time: &str) -> i64 {
    time.parse::<Timestamp>().expect(time).as_second()
}

/// Fire times after `start` in `tz`, all in UTC as `DDTHH:MM`.
#[track_caller]
fn check(line: &str, tz: &str, start: &str, expected: &[&str]) {
    let (cron, tz) = (Cron::parse(line).expect(line), zone(tz));
    let mut after = unix_s(start);
    for expected in expected {
        after = cron
            .next(after, &tz)
            .unwrap_or_else(|| panic!("{line}: none after {after}"));
        let time = Timestamp::from_second(after).expect("in range").to_string();
        assert_eq!(&time[8..16], *expected, "{line}");
    }
}

#[test]
fn days_match_both_where_one_begins_with_a_star_else_either() {
    // 2026-11-01 is a Sunday.
    check(
        "0 0 13 * fri",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["06T00:00", "13T00:00", "20T00:00"],
    );
    check(
        "0 0 13-15 * fri",
        "UTC",
        "2026-11-12T00:00:00Z",
        &["13T00:00", "14T00:00", "15T00:00", "20T00:00"],
    );
    check(
        "0 0 */2 * fri",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["13T00:00", "27T00:00", "11T00:00"],
    );
    check(
        "0 0 13 * *",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["13T00:00", "13T00:00"],
    );
    check(
        "0 0 13 * */5",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["13T00:00", "13T00:00", "13T00:00"],
    );
    check(
        "0 0 1-31 * sun",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["02T00:00", "03T00:00"],
    );
    check(
        "0 0 * * 7",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["08T00:00", "15T00:00"],
    );
}

#[test]
fn a_clock_that_goes_forward() {
    // New York, 2027-03-14: 02:00 -05:00 becomes 03:00 -04:00, which is 07:00Z.
    let (zone, start) = ("America/New_York", "2027-03-14T05:30:00Z");
    check("30 2 * * *", zone, start, &["14T07:00", "15T06:30"]);
    check("0,15,30 2 * * *", zone, start, &["14T07:00", "15T06:00"]);
    check("0 2,3 * * *", zone, start, &["14T07:00", "15T06:00"]);
    check(
        "30 1,2,3 * * *",
        zone,
        start,
        &["14T06:30", "14T07:00", "14T07:30"],
    );
    check("*/30 2 * * *", zone, start, &["15T06:00", "15T06:30"]);
    check("30 * * * *", zone, start, &["14T06:30", "14T07:30"]);
    check("59 1 * * *", zone, "2027-03-14T06:59:00Z", &["15T05:59"]);
    // Lord Howe, 2026-10-04: half an hour is left out at 15:30Z.
    check(
        "10 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        &["03T15:30", "04T15:10"],
    );
    // Cairo, 2027-04-30: the hour left out is the first of the day.
    check(
        "0 0 30 4 *",
        "Africa/Cairo",
        "2027-04-01T00:00:00Z",
        &["29T22:00"],
    );
}

#[test]
fn a_clock_that_goes_back() {
    // New York, 2026-11-01: 02:00 -04:00 becomes 01:00 -05:00, which is 06:00Z.
    let (zone, start) = ("America/New_York", "2026-11-01T04:30:00Z");
    check("30 1 * * *", zone, start, &["01T05:30", "02T06:30"]);
    check("30 1 * * *", zone, "2026-11-01T06:10:00Z", &["02T06:30"]);
    check(
        "0 1,2 * * *",
        zone,
        start,
        &["01T05:00", "01T07:00", "02T06:00"],
    );
    check(
        "30 * * * *",
        zone,
        start,
        &["01T05:30", "01T06:30", "01T07:30"],
    );
    check(
        "*/40 1 * * *",
        zone,
        start,
        &["01T05:00", "01T05:40", "01T06:00", "01T06:40", "02T06:00"],
    );
    check(
        "0 * * * *",
        zone,
        "2026-11-01T05:59:59Z",
        &["01T06:00", "01T07:00"],
    );
    check("* 2 * * *", zone, "2026-11-01T05:59:00Z", &["01T07:00"]);
}

#[test]
fn the_present_minute() {
    let tz = zone("America/New_York");
    for (line, time, expected) in [
        ("30 1 * * *", "2026-10-31T05:30:59Z", true),
        ("30 1 * * *", "2026-10-31T05:29:59Z", false),
        ("30 1 * * *", "2026-10-31T05:31:00Z", false),
        ("30 1 * * *", "2026-11-01T05:30:10Z", true),
        ("30 1 * * *", "2026-11-01T06:30:10Z", false),
        ("30 * * * *", "2026-11-01T06:30:10Z", true),
        ("30 2 * * *", "2027-03-14T07:00:59Z", true),
    ] {
        assert_eq!(
            Cron::parse(line)
                .expect(line)
                .matches_minute(unix_s(time), &tz),
            expected,
            "{line} {time}"
        );
    }
}

#[test]
fn names_stand_for_lines() {
    for (name, line) in NAMED {
        let (named, plain) = (
            Cron::parse(name).expect(name),
            Cron::parse(line).expect(line),
        );
        assert_eq!(named.days.source(), plain.days.source());
        assert_eq!(named.is_wildcard(), name == "@hourly", "{name}");
    }
    check("@weekly", "UTC", "2026-11-01T00:00:00Z", &["08T00:00"]);
    check(
        " \t5  4\t* * *\r\n",
        "UTC",
        "2026-11-01T00:00:00Z",
        &["01T04:05"],
    );
}

#[test]
fn wildcards_begin_with_a_star() {
    for (line, expected) in [
        ("*/5 1 * * *", true),
        ("1 *,2 * * *", true),
        ("0-59 0-23 * * *", false),
        ("2,* 1 * * *", false),
    ] {
        assert_eq!(
            Cron::parse(line).expect(line).is_wildcard(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn nothing_within_nine_years() {
    let utc = TimeZone::UTC;
    let next = |line: &str, after: i64| Cron::parse(line).expect(line).next(after, &utc);
    let year_2026 = unix_s("2026-11-22T00:00:00Z");
    assert_eq!(next("0 0 30 2 *", year_2026), None);
    assert_eq!(next("0 0 31 4,6,9,11 *", year_2026), None);
    assert_eq!(
        next("0 0 29 2 *", year_2026),
        Some(unix_s("2028-02-29T00:00:00Z"))
    );
    assert_eq!(
        next("0 0 29 2 */6", year_2026),
        Some(unix_s("2032-02-29T00:00:00Z"))
    );
    // Its weekday moves on by five in four years: Friday, Wednesday, Monday, and Saturday in 2048.
    assert_eq!(next("0 0 29 2 */6", unix_s("2032-02-29T00:00:00Z")), None);
    for after in [
        i64::MIN,
        i64::MAX,
        -377_705_023_201,
        253_402_207_200,
        unix_s("2101-01-01T00:00:00Z"),
    ] {
        for line in ["* * * * *", "0 0 1 1 *", "0 0 1 1 1"] {
            assert_eq!(next(line, after), None, "{line} {after}");
        }
        let cron = Cron::parse("* * * * *").expect("valid");
        assert!(!cron.matches_minute(after, &zone("Asia/Tehran")));
    }
}

#[test]
fn details_are_the_recorded_ones_or_say_more() {
    for (line, detail) in [
        ("* * *", BAD_FORMAT),
        ("x * * * *", BAD_FORMAT),
        ("", BAD_FORMAT),
        ("* * * * * *", BAD_FORMAT),
        ("@reboot", BAD_FORMAT),
        ("* * 15W * *", BAD_FORMAT),
        ("* * * * *\n* * * * *", BAD_FORMAT),
        (
            "61 * * * *",
            "bad cron format: minute `61`: expected 0 to 59",
        ),
        (
            "* * * * foo",
            "bad cron format: day of week `foo`: expected 0 to 7 or sun to sat",
        ),
    ] {
        assert_eq!(
            Cron::parse(line).expect_err(line).detail(),
            detail,
            "{line}"
        );
    }
}

#[test]
fn errors_explain_and_stay_short() {
    for (line, text) in [
        (
            "* * *",
            "bad cron format: `* * *` has 3 fields: expected 5, minute, hour, day of month, month, day of week",
        ),
        ("x * * * *", "bad cron format: minute `x`: expected 0 to 59"),
        (
            "@Daily",
            "bad cron format: `@Daily`: expected one of @hourly @daily @midnight @weekly @monthly @yearly @annually",
        ),
    ] {
        assert_eq!(Cron::parse(line).expect_err(line).to_string(), text);
    }
    let long = format!("{}1 * * * *", "\u{20ac}".repeat(1 << 20));
    assert!(
        Cron::parse(&long)
            .expect_err("too many digits")
            .to_string()
            .len()
            < 200
    );
}

/// Minute by minute, with the rule told from what the wall clock shows: what was shown before is a
/// second pass, what was jumped over is a gap.
fn stepped(line: &str, tz: &TimeZone, from_s: i64, to_s: i64) -> Vec<i64> {
    let texts: Vec<&str> = line.split(' ').collect();
    let fields = [
        &field::MINUTE,
        &field::HOUR,
        &field::DAY_OF_MONTH,
        &field::MONTH,
        &field::DAY_OF_WEEK,
    ];
    let sets: Vec<u64> = fields
        .iter()
        .zip(&texts)
        .map(|(field, text)| field.parse(text).expect(line))
        .collect();
    let both = texts[2].starts_with('*') || texts[4].starts_with('*');
    let wildcard = texts[0].starts_with('*') || texts[1].starts_with('*');
    let has = |at: usize, value: i8| sets[at] & (1 << value) != 0;
    let matches = |wall_s: i64| {
        let wall = Offset::UTC.to_datetime(Timestamp::from_second(wall_s).expect("in range"));
        let weekday = wall.weekday().to_sunday_zero_offset();
        let day = if both {
            has(2, wall.day()) && has(4, weekday)
        } else {
            has(2, wall.day()) || has(4, weekday)
        };
        day && has(0, wall.minute()) && has(1, wall.hour()) && has(3, wall.month())
    };
    let wall = |unix_s: i64| {
        unix_s + seconds(tz.to_offset(Timestamp::from_second(unix_s).expect("in range")))
    };
    let mut shown_s = wall(from_s - 4 * 3_600);
    let mut fired = Vec::new();
    for unix_s in (from_s - 4 * 3_600..to_s).step_by(60) {
        let wall_s = wall(unix_s);
        let fires = if wildcard {
            matches(wall_s)
        } else {
            (shown_s + 60..=wall_s).step_by(60).any(matches)
        };
        shown_s = shown_s.max(wall_s);
        if fires && unix_s > from_s {
            fired.push(unix_s);
        }
    }
    fired
}

#[test]
fn agrees_with_a_stepper_around_every_change_of_the_clock() {
    let mut seed = 0x5eed_0003_u64;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let zones = [
        "America/New_York",
        "Africa/Cairo",
        "America/Havana",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "America/Scoresbysund",
    ];
    for round in 0..400 {
        let name = zones[random(zones.len() as u64) as usize];
        let tz = zone(name);
        let year_s = unix_s("2026-01-01T00:00:00Z") + random(3_000) as i64 * 86_400;
        let change_s = transition_after(year_s, &tz).expect("a zone whose clock is turned");
        let minute = ["*", "*/17", "0", "30", "0-59", "59,0", "5-1/7"][random(7) as usize];
        let hour = ["*", "*/3", "1", "2", "23-3", "0", "0-2,12"][random(7) as usize];
        let day = ["*", "1-31/2", "*/2", "31-1", "27-4"][random(5) as usize];
        let weekday = ["*", "sun", "sat-mon", "*/2", "7,5"][random(5) as usize];
        let line = format!("{minute} {hour} {day} * {weekday}");
        let from_s = change_s - random(36 * 60) as i64 * 60 - 30 * random(2) as i64;
        let from_s = if round % 4 == 0 {
            change_s + (random(300) as i64 - 150) * 30
        } else {
            from_s
        };
        let start_s = from_s - from_s.rem_euclid(60);
        let to_s = start_s + 60 * 3_600;
        let cron = Cron::parse(&line).expect(&line);
        let mut after_s = from_s;
        let expected = stepped(&line, &tz, start_s, to_s);
        for expected_s in expected.into_iter().filter(|time_s| *time_s > from_s) {
            let next = cron.next(after_s, &tz);
            assert_eq!(
                next,
                Some(expected_s),
                "{line} in {name} after {after_s}, round {round}"
            );
            after_s = expected_s;
        }
        assert!(
            cron.next(after_s, &tz).is_none_or(|next_s| next_s >= to_s),
            "{line} in {name} after {after_s}"
        );
    }
}
