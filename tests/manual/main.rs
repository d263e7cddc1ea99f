//! The manual (`static/manual`) holds what it says: every code sample runs against the real binary and gives the output
//! shown beside it, both languages show the same samples, and every link leads somewhere. Never how it looks.
//!
//! [`page`] reads the pages, [`runner`] runs samples; here is what is asked of them.

#[path = "../common/mod.rs"]
mod common;

mod page;
mod runner;

use std::collections::BTreeSet;

use common::http::{ask, get};
use common::server::Server;
use page::{Function, Page, names};
use runner::Runner;

/// Runs the samples of one page in the order in which a reader meets them.
#[track_caller]
fn check(name: &str) {
    check_samples(&Page::read("en", name));
}

#[track_caller]
fn check_samples(page: &Page) -> Runner<'_> {
    let runner = Runner::start(page);
    for sample in &page.samples {
        runner.run(sample);
    }
    runner
}

#[test]
fn calls() {
    check("calls.html");
}

#[test]
fn first_steps() {
    check("index.html");
}

#[test]
fn push() {
    check("push.html");
}

#[test]
fn timers() {
    check("timers.html");
}

#[test]
#[cfg(feature = "lua")]
fn plugins() {
    let page = Page::read("en", "plugins.html");
    let runner = check_samples(&page);
    runner.run_examples();
}

/// What plugins may call, by the rows that tell of it.
const FUNCTIONS: &str = "\
    on frame.fd ws:push ws:disconnect env:param env:mparam env._GET env._POST env:header env:write \
    env.appName .appType .clientVer env.onAfterActions jdRet callSvcInt class JDApiBase retfn_NAME \
    X_RET_FN sleep safeGo setTimeoutLocal setIntervalLocal clearTimeoutLocal clearIntervalLocal httpCall \
    pushMsg getUsers logit writeLog addLog getConf setConf env:session_start env:session_destroy \
    onGetPerms env:hasPerm env:checkAuth queryAll queryOne execOne dbInsert dbUpdate Q jsonEncode \
    jsonDecode jsonObject makeUrl urlEncodeArr startsWith endWith inSet tobool randChr arrFind arrMap \
    arrGrep arrCopy arrayCmp date strtotime md5 sha1 hmac base64.encode base64.decode listenTcp \
    connectTcp conn:readLine conn:read conn:write conn:close listenUdp udp:send listener:address \
    listener:close";

/// Each has a signature with types, what an error is, and an example that runs, in both languages.
#[test]
fn every_function_is_told() {
    let (english, chinese) = (
        Page::read("en", "plugins.html"),
        Page::read("zh", "plugins.html"),
    );
    assert_eq!(english.functions.len(), chinese.functions.len());
    for (one, other) in english.functions.iter().zip(&chinese.functions) {
        assert_eq!(one, other);
        assert!(one.tells_errors, "{}", one.name);
    }
    let lua = english.samples.iter().filter(|sample| sample.lang == "lua");
    let samples: String = lua.map(|sample| sample.text.as_str()).collect();
    let mut examples = samples;
    for function in &english.functions {
        if let Some((line, _)) = &function.example {
            examples.push_str(line);
        }
    }
    for name in FUNCTIONS.split_whitespace() {
        let is_told = |function: &&Function| {
            let mut words = function.signature.split([' ', '(', ')', ',', '?']);
            words.any(|word| word.trim_end_matches(':') == name)
        };
        let function = english.functions.iter().find(is_told);
        let function = function.unwrap_or_else(|| panic!("{name} has no row"));
        // A connection and a listener have other names in plugins, and a name of one's own stands for NAME.
        let used = match name.split_once([':', '.']) {
            Some((_, method)) => method,
            None => name.trim_end_matches("NAME"),
        };
        assert!(examples.contains(used), "{name} has no example");
        assert!(
            function.signature.contains([':', '=']) || function.signature.contains('→'),
            "{name} has no types"
        );
    }
}

#[test]
fn settings() {
    check("settings.html");
}

#[test]
fn operations() {
    check("operations.html");
}

#[test]
fn moving() {
    check("moving.html");
}

#[test]
fn security() {
    check("security.html");
}

#[test]
fn every_page_with_samples_has_a_test() {
    let source = include_str!("main.rs");
    for name in names("en") {
        let has_samples = !Page::read("en", &name).samples.is_empty();
        assert_eq!(
            source.contains(&format!("check(\"{name}\")")) || name == "plugins.html",
            has_samples,
            "{name}"
        );
    }
}

#[test]
fn both_languages_have_the_same_pages_and_samples() {
    assert_eq!(names("en"), names("zh"));
    for name in names("en") {
        let (english, chinese) = (Page::read("en", &name), Page::read("zh", &name));
        assert_eq!(english.samples.len(), chinese.samples.len(), "{name}");
        for (one, other) in english.samples.iter().zip(&chinese.samples) {
            assert_eq!(one, other, "{name}");
        }
        assert_eq!(english.anchors, chinese.anchors, "{name}");
    }
}

/// The table of limits says what the limits are.
#[test]
fn limits_are_told_as_they_are() {
    macro_rules! limits {
        ($($name:ident)+) => {
            [$((stringify!($name), jdserver::limits::$name as u64)),+]
        };
    }
    let limits = limits! {
        HEAD_BYTES_MAX HEADERS_MAX TARGET_BYTES_MAX NAME_BYTES_MAX GLOB_BYTES_MAX GLOBS_MAX FORM_PAIRS_MAX
        JSON_VALUES_MAX JSON_DEPTH_MAX BATCH_CALLS_MAX STATIC_FILE_BYTES_MAX HELD_BYTES_MAX KEPT_TIMERS_MAX
        TIMERS_PENDING_MAX HOST_CALLBACKS_MAX SLOW_HOST_CALLBACKS_MAX DISPATCH_QUEUE_MAX CALLBACK_ANSWER_BYTES_MAX
        CALLBACK_REDIRECTS_MAX INTERVAL_MS_MIN CONF_OTHER_MAX
    };
    for language in ["en", "zh"] {
        let told = Page::read(language, "limits.html").limits;
        assert_eq!(told.len(), limits.len(), "{language}");
        for (name, value) in limits {
            assert_eq!(told.get(name), Some(&value), "{language}: {name}");
        }
    }
}

/// The chapter on operations knows every option of the command line.
#[test]
fn every_option_is_told() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_jdserver"))
        .arg("-h")
        .output()
        .expect("it runs");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, options) = help.split_once("Options:").expect("options");
    let (options, _) = options.split_once("\n\n").expect("their end");
    let mut count = 0;
    for line in options
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('-'))
    {
        let name = line.split([' ', ',']).next().expect("a name");
        for language in ["en", "zh"] {
            let page = Page::read(language, "operations.html");
            assert!(
                page.text.contains(&format!("<code>{name}")),
                "{language}: {name}"
            );
        }
        count += 1;
    }
    assert!(count > 8, "{help}");
}

/// All of the manual is in the binary, and nothing on its pages leads nowhere or out of it by accident.
#[test]
fn links_lead_somewhere() {
    let server = Server::start();
    let mut seen = BTreeSet::new();
    let mut left = vec!["/manual/".to_owned()];
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = ask(&server, "GET", &path, "", "");
        assert_eq!(answer.status, 200, "{path}");
        if !(path.ends_with(".html") || path.ends_with('/')) {
            continue;
        }
        let page = Page::parse(&path, &answer.text());
        for link in page.links {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            if target.starts_with("http") || target.starts_with("data:") {
                continue;
            }
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let full = match target {
                "" => path.clone(),
                target => page::resolve(folder, target),
            };
            if !anchor.is_empty() {
                let there = Page::parse(&full, &get(&server, &full));
                assert!(there.anchors.contains(anchor), "{path}: {link}");
            }
            left.push(full);
        }
    }
    for language in ["en", "zh"] {
        for name in names(language) {
            let path = format!("/manual/{language}/{name}");
            assert!(
                seen.contains(&path) || seen.contains(path.trim_end_matches("index.html")),
                "no link leads to {path}"
            );
        }
    }
}
