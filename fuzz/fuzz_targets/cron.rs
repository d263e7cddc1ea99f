//! Crontab lines: what is read has fire times that are the same from wherever one looks for them,
//! also around a change of the clocks. The input is a line, a line feed, and a Unix time.
#![no_main]

use jdserver::limits::{CRON_ERROR_CHARS_MAX, CRON_HORIZON_S_MAX};
use jdserver::state::cron::Cron;
use jiff::{Timestamp, tz::TimeZone};
use libfuzzer_sys::fuzz_target;

/// None, an hour, half an hour, four changes a year, and one day left out in 2011.
const ZONES: [&str; 5] = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
];
const STEPS: usize = 6;
/// Offsets are whole minutes from here (1973), and the years end with 2100.
const START_S: i64 = 94_694_400;
const END_S: i64 = 4_133_980_800;

/// The fire times that follow `after_s`.
fn walk(cron: &Cron, mut after_s: i64, tz: &TimeZone) {
    for _ in 0..STEPS {
        let Some(next_s) = cron.next(after_s, tz) else {
            return check_none(cron, after_s, tz);
        };
        assert!(next_s > after_s && next_s - after_s <= CRON_HORIZON_S_MAX);
        assert_eq!(next_s % 60, 0, "{next_s} is no minute");
        let between_s = after_s + (next_s - after_s) / 2;
        for from_s in [after_s + 1, between_s, next_s - 60, next_s - 1] {
            if !(after_s..next_s).contains(&from_s) {
                continue;
            }
            assert_eq!(cron.next(from_s, tz), Some(next_s), "looked from {from_s}");
            if from_s - from_s % 60 > after_s {
                assert!(!cron.matches_minute(from_s, tz), "{from_s} fires");
            }
        }
        for second in [0, 30, 59] {
            assert!(cron.matches_minute(next_s + second, tz), "{next_s}");
        }
        after_s = next_s;
    }
}

/// Where nothing comes within the horizon, nothing comes a little later either.
fn check_none(cron: &Cron, after_s: i64, tz: &TimeZone) {
    for later_s in [1, 3_600, 86_400, CRON_HORIZON_S_MAX].map(|ahead_s| after_s + ahead_s) {
        let next_s = cron.next(later_s, tz);
        assert!(
            next_s.is_none_or(|next_s| next_s > after_s + CRON_HORIZON_S_MAX),
            "{next_s:?} was not seen from {after_s}"
        );
    }
}

thread_local! {
    static TIME_ZONES: [TimeZone; 5] = ZONES.map(|name| TimeZone::get(name).expect(name));
}

fn check(cron: &Cron, unix_s: i64, tz: &TimeZone) {
    let _ = cron.next(unix_s, tz);
    let _ = cron.matches_minute(unix_s, tz);
    let start_s = START_S + unix_s.rem_euclid(END_S - START_S);
    walk(cron, start_s, tz);
    let change = Timestamp::from_second(start_s)
        .ok()
        .and_then(|start| tz.following(start).next());
    if let Some(change) = change {
        let change_s = change.timestamp().as_second();
        for ahead_s in [90_000, 3_700, 60, 1, 0, -600] {
            walk(cron, change_s - ahead_s, tz);
        }
    }
}

fuzz_target!(|text: &str| {
    let (line, time) = text.split_once('\n').unwrap_or((text, ""));
    match Cron::parse(line) {
        Ok(cron) => {
            let unix_s = time.trim().parse().unwrap_or(1_793_491_200);
            TIME_ZONES.with(|zones| zones.iter().for_each(|tz| check(&cron, unix_s, tz)));
        }
        Err(error) => {
            let detail = error.detail();
            assert!(detail.starts_with("bad cron format"));
            assert!(detail.chars().count() <= CRON_ERROR_CHARS_MAX + 200);
        }
    }
});
