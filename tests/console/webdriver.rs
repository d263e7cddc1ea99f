//! Chromium driven by its own driver, over WebDriver (w3.org/TR/webdriver2): as much of it as the console's tests
//! need. Never a guess about time: what a page shows is waited for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::program::program;
use crate::common::server::Folder;
use crate::common::wait_for;

/// What the driver says once it takes commands, before the port.
const STARTED: &str = "ChromeDriver was started successfully on port ";

/// The member of a JSON object that names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. It ends with its test, also when that fails.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: Folder,
}

impl Browser {
    /// Starts a browser that speaks `language`; `None` after saying `skipped: …` where there is none.
    #[track_caller]
    pub fn start(language: &str) -> Option<Self> {
        Self::with_arguments(language, &[])
    }

    /// The same, with arguments for Chromium beyond our own.
    #[track_caller]
    pub fn with_arguments(language: &str, more: &[&str]) -> Option<Self> {
        let (chromium, chromedriver) = (program("chromium")?, program("chromedriver")?);
        let profile = Folder::new();
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            // What Chromium keeps besides its profile goes there too.
            .env("HOME", &profile.0)
            .env("TMPDIR", &profile.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let said = BufReader::new(driver.stdout.take().expect("piped"));
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix(STARTED)?.trim_end_matches('.').to_owned()));
        let port = port.expect("a line that names the port");
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let mut browser = Browser {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: config.build().into(),
            _profile: profile,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1360,900",
        ];
        let mut arguments: Vec<String> = arguments
            .iter()
            .chain(more)
            .map(|&text| text.to_owned())
            .collect();
        arguments.push(format!("--lang={language}"));
        arguments.push(format!(
            "--user-data-dir={}/user",
            browser._profile.0.display()
        ));
        let options = json!({
            "binary": chromium,
            "args": arguments,
            "prefs": {"intl.accept_languages": language},
        });
        let wanted = json!({"alwaysMatch": {"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options}});
        let session = browser.post("", json!({"capabilities": wanted}));
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// Goes to a page and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    /// The value of a script, a function's body.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
    }

    /// The value that a script's promise gives.
    #[track_caller]
    pub fn promise(&self, script: &str) -> Value {
        let script =
            format!("const done = arguments[0]; ({script}).then(done, e => done('' + e));");
        self.post("/execute/async", json!({"script": script, "args": []}))
    }

    /// Clicks on what a CSS selector finds, once it can be.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        wait_for(&format!("a click on {selector}"), || {
            let id = self.element(selector)?;
            self.ask("POST", &format!("/element/{id}/click"), json!({}))
                .ok()
        });
    }

    /// Types into a field in place of what is there, or chooses.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        let id = wait_for(selector, || self.element(selector));
        let clear = "arguments[0].value = ''";
        self.post(
            "/execute/sync",
            json!({"script": clear, "args": [{ELEMENT: id}]}),
        );
        self.post(&format!("/element/{id}/value"), json!({"text": text}));
    }

    /// Waits until what a CSS selector finds holds a text, and gives all of its text.
    #[track_caller]
    pub fn shows(&self, selector: &str, text: &str) -> String {
        let mut last = String::new();
        let what = format!("{text:?} in {selector}");
        wait_for(&what, || {
            // One call for all elements, which may be drawn anew at any time.
            let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join('\\n')";
            let shown = self.post(
                "/execute/sync",
                json!({"script": script, "args": [selector]}),
            );
            last = shown.as_str().unwrap_or_default().to_owned();
            last.contains(text).then(|| last.clone())
        })
    }

    /// What the page has written to its console since the last look, errors of the network included.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"}));
        let entries = log.as_array().expect("a list").iter();
        entries
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: Value) {
        self.post(
            "/goog/cdp/execute",
            json!({"cmd": command, "params": parameters}),
        );
    }

    fn element(&self, selector: &str) -> Option<String> {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/element", found).ok()?;
        Some(found[ELEMENT].as_str()?.to_owned())
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, body)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// One command; `Err` is what the driver says was wrong.
    fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let answer = match method {
            "DELETE" => self.agent.delete(&url).call(),
            _ => self.agent.post(&url).send(body.to_string()),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let is_done = answer.status().is_success();
        let text = answer.body_mut().read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match is_done {
            true => Ok(value["value"].clone()),
            false => Err(value["value"]["message"].to_string()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser first: without its driver nobody would end it.
        let _ = self.ask("DELETE", "", Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
