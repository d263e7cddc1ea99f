//! Every line of the shared crontab vectors through `Timer.preview`; [`crate`]'s sibling `tests/cron.rs` asks the parser itself.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::common::http::Conn;
use crate::common::server::Server;

/// Expression, zone, start, then fire times, `NEVER` or `ERR`, parted by tabs.
const VECTORS: &str = include_str!("../cron/vectors.tsv");

/// How many lines are asked about before the answers are read.
const PIPELINED: usize = 50;

/// The line as a call, and what stands in its last column.
fn call(line: &str) -> (String, &str) {
    let [expression, zone, start, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("not four columns: {line}");
    };
    let count = expected.split(',').count();
    let mut cron = String::new();
    for byte in expression.bytes() {
        let _ = write!(cron, "%{byte:02X}");
    }
    let request = format!(
        "GET /Timer.preview?cron={cron}&tz={zone}&from={start}&n={count} HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    (request, expected)
}

/// Whether that is what the line wants.
fn holds(answer: &Value, expected: &str) -> bool {
    match expected {
        "ERR" => answer[0] == 1 && answer[1] == "时间设置(cron)不正确",
        "NEVER" => answer[0] == 0 && answer[1]["list"] == json!([]),
        times => {
            let times: Vec<i64> = times
                .split(',')
                .map(|time| time.parse().expect("Unix seconds"))
                .collect();
            let list = answer[1]["list"].as_array();
            let given: Option<Vec<i64>> =
                list.map(|list| list.iter().filter_map(|row| row["t"].as_i64()).collect());
            given.is_some_and(|given| given == times)
        }
    }
}

#[test]
fn all_lines_hold_as_calls() {
    let server = Server::start();
    let mut conn = Conn::open(&server);
    let lines: Vec<&str> = VECTORS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 1474);
    let mut failed = Vec::new();
    for lines in lines.chunks(PIPELINED) {
        let calls: Vec<_> = lines.iter().map(|line| call(line)).collect();
        conn.send(
            calls
                .iter()
                .map(|(request, _)| request.as_str())
                .collect::<String>(),
        );
        for (line, (_, expected)) in lines.iter().zip(&calls) {
            let answer = conn.answer();
            let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
            if !holds(&answer, expected) {
                failed.push(format!("{line}\n    {answer}"));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
