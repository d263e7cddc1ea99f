//! Every line of the shared vectors: fire times that the cron daemon's own parser gave.

use std::collections::HashMap;

use jdserver::state::cron::Cron;
use jiff::tz::TimeZone;

/// Expression, zone, start, then fire times, `NEVER` or `ERR`, parted by tabs.
const VECTORS: &str = include_str!("cron/vectors.tsv");

fn fire_times(line: &str, zones: &mut HashMap<String, TimeZone>) -> Result<(), String> {
    let [expression, zone, start, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
        return Err("not four columns".to_owned());
    };
    let tz = zones
        .entry(zone.to_owned())
        .or_insert_with(|| TimeZone::get(zone).expect(zone));
    let cron = match (Cron::parse(expression), expected) {
        (Err(_), "ERR") => return Ok(()),
        (Ok(_), "ERR") => return Err("accepted".to_owned()),
        (Err(error), _) => return Err(error.to_string()),
        (Ok(cron), _) => cron,
    };
    let mut after: i64 = start.parse().map_err(|_| "bad start")?;
    if expected == "NEVER" {
        return cron
            .next(after, tz)
            .map_or(Ok(()), |time| Err(format!("fires at {time}")));
    }
    for expected in expected.split(',') {
        let expected: i64 = expected.parse().map_err(|_| "bad time")?;
        let next = cron.next(after, tz);
        if next != Some(expected) {
            return Err(format!("after {after}: {next:?}, expected {expected}"));
        }
        if !cron.matches_minute(expected, tz) || !cron.matches_minute(expected + 59, tz) {
            return Err(format!("does not match the minute of {expected}"));
        }
        after = expected;
    }
    Ok(())
}

#[test]
fn all_vectors_hold() {
    let mut zones = HashMap::new();
    let lines: Vec<&str> = VECTORS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let failed: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            fire_times(line, &mut zones)
                .err()
                .map(|error| format!("{line}\n    {error}"))
        })
        .collect();
    assert_eq!(lines.len(), 1474);
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
