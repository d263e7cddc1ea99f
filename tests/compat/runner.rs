//! Takes the steps of a scenario one by one, with the meaning `compat/replay.py` gives them, but
//! without its pauses: where that one sleeps 50 ms for the server to notice an event, the HTTP
//! step behind it is asked again until it gives what is wanted (a push that came too early for its
//! receiver reached nobody, so asking again is harmless); where that one listens for a while to
//! see that nothing comes, a ping is sent and its pong must come next.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::common::WAIT;
use crate::common::http::Conn;
use crate::common::server::Server;
use crate::common::websocket::{Message, Ws};
use crate::expect::same;
use crate::sink::Sink;

/// How long an event that no answer reports (a close, a poll's arrival) may take to be noticed.
const NOTICE: Duration = Duration::from_secs(3);

/// A scenario of a file.
#[derive(Deserialize)]
pub struct Case {
    /// `file/what`.
    pub name: String,
    steps: Vec<Value>,
}

/// What steps leave for later ones.
struct Run<'a> {
    server: &'a Server,
    sink: &'a Sink,
    sockets: HashMap<String, Ws>,
    polls: HashMap<String, Conn>,
    saved: Vec<(String, String)>,
    /// Whether there was an event since the last HTTP step that the server may not have noticed.
    unnoticed: bool,
}

/// The scenarios of one file.
#[track_caller]
pub fn load(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/cases/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Plays one scenario; the first difference ends it and is described.
pub fn play(case: &Case, server: &Server, sink: &Sink) -> Option<String> {
    sink.take(0, Duration::ZERO);
    let (sockets, polls) = (HashMap::new(), HashMap::new());
    let mut run = Run {
        server,
        sink,
        sockets,
        polls,
        saved: Vec::new(),
        unnoticed: false,
    };
    for (number, raw) in case.steps.iter().enumerate() {
        let step = run.fill(raw);
        let want = step.get("ours").or(step.get("expect")).cloned();
        let got = run.take(&step, want.as_ref());
        run.save(&step, &got);
        if want.as_ref().is_some_and(|want| !same(want, &got)) {
            let want = want.unwrap_or_default();
            return Some(format!(
                "{} step {number} {raw}\n  want {want}\n  got  {got}",
                case.name
            ));
        }
    }
    None
}

impl Run<'_> {
    /// Does one step and says what came of it; null where nothing can.
    fn take(&mut self, step: &Value, want: Option<&Value>) -> Value {
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        let millis = |key: &str| {
            step.get(key)
                .and_then(Value::as_u64)
                .map(Duration::from_millis)
        };
        if let Some(request) = step.get("http") {
            let unnoticed = std::mem::take(&mut self.unnoticed);
            let within = if unnoticed { NOTICE } else { Duration::ZERO };
            return self.http(request, want, within);
        } else if let Some(name) = text("open") {
            let path = text("path").unwrap_or("/");
            let ws = Ws::open_at(self.server, path, &header_lines(step.get("headers")));
            self.sockets.insert(name.to_owned(), ws);
        } else if let Some(name) = text("send") {
            let json = step.get("json").map(Value::to_string);
            let text = text("text").map_or_else(|| json.expect("text or json"), str::to_owned);
            self.socket(name).send_text(&text);
        } else if let Some(name) = text("recv") {
            let nothing = want == Some(&json!({"nothing": true}));
            return if nothing {
                self.quiet(name)
            } else {
                said(self.socket(name))
            };
        } else if let Some(name) = text("quiet") {
            return self.quiet(name);
        } else if let Some(name) = text("close") {
            self.sockets.remove(name).expect("an open socket");
            self.unnoticed = true;
        } else if let Some(name) = text("poll") {
            let request = json!({"path": step["path"], "headers": step.get("headers")});
            let conn = self.send(&request);
            self.polls.insert(name.to_owned(), conn);
            self.unnoticed = true;
        } else if let Some(name) = text("polled") {
            let mut conn = self.polls.remove(name).expect("a poll under way");
            return answered(&mut conn, "GET");
        } else if let Some(wanted) = step.get("sink").and_then(Value::as_u64) {
            let within = millis("within_ms").unwrap_or(NOTICE);
            return self.called(step, wanted as usize, within, want);
        } else if let Some(time) = millis("drain_ms") {
            self.sink.take(usize::MAX, time);
        } else if step.get("sleep_ms").is_some() {
            self.unnoticed = true;
        } else {
            panic!("unknown step {step}");
        }
        Value::Null
    }

    /// Asks until the answer is the wanted one, `within` has passed, or once.
    fn http(&self, request: &Value, want: Option<&Value>, within: Duration) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let method = request["method"].as_str().unwrap_or("GET");
            let got = answered(&mut self.send(request), method);
            if want.is_none_or(|want| same(want, &got)) || Instant::now() >= deadline {
                return got;
            }
        }
    }

    /// Sends a request on a connection of its own, as `replay.py` writes it.
    fn send(&self, request: &Value) -> Conn {
        let given = request.get("headers").filter(|headers| headers.is_object());
        let named = |name: &str| {
            let headers = given.and_then(Value::as_object);
            headers.is_some_and(|headers| headers.keys().any(|key| key.eq_ignore_ascii_case(name)))
        };
        let json = request.get("json");
        let body = json.map_or_else(
            || request["body"].as_str().unwrap_or("").into(),
            Value::to_string,
        );
        let method = if body.is_empty() { "GET" } else { "POST" };
        let method = request["method"].as_str().unwrap_or(method);
        let path = request["path"].as_str().expect("a path");
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
            self.server.port()
        );
        head += &header_lines(given);
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
            if !named("Content-Type") {
                let kind = if json.is_some() {
                    "json"
                } else {
                    "x-www-form-urlencoded"
                };
                head += &format!("Content-Type: application/{kind}\r\n");
            }
        }
        if !named("Connection") {
            head += "Connection: close\r\n";
        }
        let mut conn = Conn::open(self.server);
        conn.send(format!("{head}\r\n{body}"));
        conn
    }

    /// The callbacks that came, with the headers the step asks for.
    fn called(&self, step: &Value, wanted: usize, within: Duration, want: Option<&Value>) -> Value {
        let none = want.and_then(Value::as_array).is_some_and(Vec::is_empty);
        // Waiting for calls ends with the last of them, so only waiting for none needs its time.
        let mut hits = self.sink.take(wanted, if none { within } else { WAIT });
        let content_type = vec![json!("content-type")];
        let keep = step
            .get("keep")
            .and_then(Value::as_array)
            .unwrap_or(&content_type);
        for hit in &mut hits {
            if let Some(headers) = hit["headers"].as_object_mut() {
                headers.retain(|name, _| keep.iter().any(|kept| kept == name));
            }
        }
        Value::from(hits)
    }

    /// `{"nothing": true}`, or what came before a pong.
    fn quiet(&mut self, name: &str) -> Value {
        let ws = self.socket(name);
        ws.send(crate::common::websocket::PING, b"quiet?");
        let pong = Message::Pong(b"quiet?".to_vec());
        match ws.message() {
            message if message == pong => json!({"nothing": true}),
            message => describe(message),
        }
    }

    fn socket(&mut self, name: &str) -> &mut Ws {
        self.sockets.get_mut(name).expect("an open socket")
    }

    /// Keeps the last number of an answer's body for `{NAME}` in later steps.
    fn save(&mut self, step: &Value, got: &Value) {
        let (Some(name), Some(body)) = (step["save"].as_str(), got["body"].as_str()) else {
            return;
        };
        let end = body
            .rfind(|c: char| c.is_ascii_digit())
            .expect("a number to save")
            + 1;
        let mut start = body[..end]
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .len();
        if body[..start].ends_with('-') {
            start -= 1;
        }
        self.saved
            .push((format!("{{{name}}}"), body[start..end].to_owned()));
    }

    /// Puts the sink's URL and saved numbers into all strings.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let text = text.replace("{SINK}", &self.sink.url);
                let put =
                    |text: String, (name, value): &(String, String)| text.replace(name, value);
                Value::from(self.saved.iter().fold(text, put))
            }
            Value::Array(list) => list.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => {
                let filled = map.iter().map(|(key, item)| (key.clone(), self.fill(item)));
                Value::from(filled.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}

fn header_lines(headers: Option<&Value>) -> String {
    let headers = headers.and_then(Value::as_object).into_iter().flatten();
    let line = |(name, value): (&String, &Value)| {
        format!(
            "{name}: {}\r\n",
            value.as_str().expect("a header value is a string")
        )
    };
    headers.map(line).collect()
}

fn answered(conn: &mut Conn, method: &str) -> Value {
    let answer = conn.answer_to(method);
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let headers = headers.collect::<Map<_, _>>();
    json!({"status": answer.status, "headers": headers, "body": answer.text()})
}

/// The next message, pings answered.
fn said(ws: &mut Ws) -> Value {
    loop {
        match ws.message() {
            Message::Ping(payload) => ws.send(crate::common::websocket::PONG, &payload),
            message => return describe(message),
        }
    }
}

fn describe(message: Message) -> Value {
    match message {
        Message::Text(text) => json!({"text": text}),
        Message::Close(code, reason) => json!({"close": code, "reason": reason}),
        Message::End => json!({"gone": "eof"}),
        other => json!({"unexpected": format!("{other:?}")}),
    }
}
