//! Runs samples, each with the program its readers would use, against a server of the page's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::http::get;
use crate::common::program::program;
use crate::common::server::Server;
use crate::common::websocket::Ws;
use crate::page::{Page, Sample};

/// A server, whoever is online on it, and a folder to run samples in.
pub struct Runner<'p> {
    page: &'p Page,
    server: Server,
    _online: Vec<Ws>,
}

impl<'p> Runner<'p> {
    /// A server as one gets it, but that it does not ping, for nobody would answer.
    #[track_caller]
    pub fn start(page: &'p Page) -> Self {
        let server = Server::configured("ping_interval = 0\n");
        for name in ["jdserver.php", "jdpush.js"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("static")
                .join(name);
            fs::copy(from, server.folder().join(name)).expect("a client");
        }
        let online = page
            .online
            .iter()
            .map(|(app, user)| Ws::user(&server, app, user))
            .collect();
        Self {
            page,
            server,
            _online: online,
        }
    }

    /// Runs one sample and compares what it prints.
    #[track_caller]
    pub fn run(&self, sample: &Sample) {
        let said = match sample.lang.as_str() {
            "curl" | "sh" => self.program("sh", "sample.sh", "set -e\n", sample, &[]),
            "js" => {
                let before = "globalThis.jdPush = require('./jdpush.js');";
                fs::write(self.server.folder().join("before.cjs"), before).expect("a file");
                let flags = [
                    "--experimental-websocket",
                    "--no-warnings",
                    "--require",
                    "./before.cjs",
                ];
                self.program("node", "sample.mjs", "", sample, &flags)
            }
            "php" => self.program("php", "sample.php", "<?php\n", sample, &[]),
            "toml" => self.settings(sample),
            "lua" => self.plugin(sample),
            "systemd" => self.unit(sample),
            "apache" | "nginx" => {
                // Those blocks of the README run in the tests of proxies.
                let block = format!("```{}\n{}\n```", sample.lang, sample.text.trim());
                assert!(
                    include_str!("../../README.md").contains(&block),
                    "{}",
                    sample.text
                );
                None
            }
            other => panic!("{}: nobody runs {other}", self.page.name),
        };
        if let (Some(said), Some(wanted)) = (said, &sample.output) {
            let (said, wanted) = (said.trim(), self.here(wanted.trim()));
            assert!(
                matches(&wanted, said),
                "{}: {}\nshown: {wanted}\ngot:   {said}",
                self.page.name,
                sample.text
            );
        }
    }

    /// What a program prints; `None` where it is not installed.
    #[track_caller]
    fn program(
        &self,
        name: &str,
        file: &str,
        first: &str,
        sample: &Sample,
        flags: &[&str],
    ) -> Option<String> {
        let program = program(name)?;
        let of_same = |other: &&Sample| other.lang == sample.lang;
        let above = self
            .page
            .samples
            .iter()
            .take_while(|other| *other != sample)
            .filter(of_same);
        let above: String = above
            .filter(|other| other.is_kept)
            .map(|other| other.text.as_str())
            .collect();
        let text = self.here(&format!("{first}{above}\n{}", sample.text));
        fs::write(self.server.folder().join(file), text).expect("a file");
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_jdserver"));
        let path = std::env::join_paths(
            [binary.parent().expect("a folder").to_owned()]
                .into_iter()
                .chain(std::env::split_paths(
                    &std::env::var_os("PATH").unwrap_or_default(),
                )),
        );
        let output = Command::new(program)
            .args(flags)
            .arg(file)
            .current_dir(self.server.folder())
            .env("PATH", path.expect("a path"))
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}: {}\n{said}\n{errors}",
            self.page.name,
            sample.text
        );
        Some(said)
    }

    /// A settings file is judged by `-t`, with this folder for the one that a package makes.
    #[track_caller]
    fn settings(&self, sample: &Sample) -> Option<String> {
        let file = self.server.folder().join("sample.toml");
        let folder = self.server.folder().display().to_string();
        let text = sample.text.replace("/var/lib/jdserver", &folder);
        fs::write(&file, text).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_jdserver"))
            .arg("-t")
            .arg("-c")
            .arg(&file)
            .output()
            .expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}: {}\n{errors}",
            self.page.name,
            sample.text
        );
        None
    }

    /// A unit is judged by systemd, beside a service that it may be for.
    #[track_caller]
    fn unit(&self, sample: &Sample) -> Option<String> {
        let analyze = program("systemd-analyze")?;
        let folder = self.server.folder().join("units");
        fs::create_dir_all(&folder).expect("a folder");
        let service = "[Service]\nExecStart=/bin/true\n";
        fs::write(folder.join("jdserver.service"), service).expect("a file");
        let path = folder.join(sample.file.as_deref().expect("a unit has a name"));
        fs::write(&path, &sample.text).expect("a file");
        let output = Command::new(analyze).arg("verify").arg(path).output();
        let said = output.expect("it runs").stderr;
        let said = String::from_utf8_lossy(&said);
        // Of the machine's own units there may be complaints.
        let ours: Vec<_> = said
            .lines()
            .filter(|line| line.contains("jdserver"))
            .collect();
        assert!(
            ours.is_empty(),
            "{}: {}\n{ours:?}",
            self.page.name,
            sample.text
        );
        None
    }

    /// A plugin is put where the page says and loaded. Without a place, it is the body of a function, and what that
    /// returns is what it prints.
    #[track_caller]
    fn plugin(&self, sample: &Sample) -> Option<String> {
        let name = sample.file.as_deref().unwrap_or("jdserver.d/99-sample.lua");
        let path = self.server.folder().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        let text = match sample.file {
            Some(_) => sample.text.clone(),
            None => format!("function api_sample(env)\n{}\nend\n", sample.text),
        };
        fs::write(path, self.here(&text)).expect("a file");
        assert_eq!(
            get(&self.server, "/reload?jdcloud=1"),
            "[0,true]\n",
            "{}: {}",
            self.page.name,
            sample.text
        );
        sample
            .file
            .is_none()
            .then(|| get(&self.server, "/sample?_raw=1"))
    }

    /// Runs the lines beside the functions of plugins, all in one call, and compares what they give.
    #[cfg(feature = "lua")]
    #[track_caller]
    pub fn run_examples(&self) {
        let examples = self.page.functions.iter();
        let examples: Vec<_> = examples
            .filter_map(|function| function.example.as_ref())
            .collect();
        let lines: String = examples
            .iter()
            .map(|(line, _)| format!("  told(function() return {line} end),\n"))
            .collect();
        let source = format!(
            "local function shown(value)
               return type(value) == 'table' and jsonEncode(value) or tostring(value)
             end
             function api_examples(env)
               local function told(f)
                 local values = table.pack(f())
                 for at = 1, values.n do values[at] = shown(values[at]) end
                 return table.concat(values, ', ')
               end
               return {{ {lines} }}
             end"
        );
        let path = self.server.folder().join("jdserver.d/99-examples.lua");
        fs::write(path, self.here(&source)).expect("a file");
        assert_eq!(get(&self.server, "/reload"), "[0,true]\n");
        let answer = get(&self.server, "/examples?_raw=1");
        let given: Vec<String> = serde_json::from_str(&answer).expect(&answer);
        assert_eq!(given.len(), examples.len());
        for ((line, result), given) in examples.into_iter().zip(given) {
            let shown = result.as_deref().unwrap_or_default();
            assert!(
                matches(shown, &given),
                "{line}\nshown: {shown}\ngot:   {given}"
            );
        }
    }

    /// A text with this server instead of the one on the usual port.
    fn here(&self, text: &str) -> String {
        text.replace("8081", &self.server.port().to_string())
    }
}

/// Whether `text` is `pattern`, in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let parts: Vec<_> = pattern.split('…').collect();
    let [first, middle @ .., last] = &parts[..] else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn dots_stand_for_anything() {
    for (pattern, text, same) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…", "ab", true),
        ("…b…", "abc", true),
        ("a…c…e", "abcde", true),
        ("a…c…e", "abde", false),
        ("a…a", "a", false),
    ] {
        assert_eq!(matches(pattern, text), same, "{pattern} {text}");
    }
}
