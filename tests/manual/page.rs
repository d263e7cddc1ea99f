//! A page of the manual: its samples, anchors and links. Knows the few forms that the pages are written in, no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What is looked at of a page.
#[derive(Debug)]
pub struct Page {
    /// Its name, for messages.
    pub name: String,
    /// All of it.
    pub text: String,
    /// Users that are online while its samples run, as `app/user`.
    pub online: Vec<(String, String)>,
    /// In order.
    pub samples: Vec<Sample>,
    /// Functions of plugins, in order.
    pub functions: Vec<Function>,
    /// Values of `data-limit` and the number in that cell.
    pub limits: BTreeMap<String, u64>,
    /// All `id`s.
    pub anchors: BTreeSet<String>,
    /// All `href`s and `src`s.
    pub links: Vec<String>,
}

/// `<pre class="sample" data-lang="…">`, and the `<pre class="output">` behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Sample {
    /// `curl`, `sh`, `js`, `php`, `toml`, `lua`, `apache`, `nginx`, `systemd`.
    pub lang: String,
    /// The file that it is to be saved as, where the page says so.
    pub file: Option<String>,
    /// Whether later samples of its language stand below it.
    pub is_kept: bool,
    /// The code.
    pub text: String,
    /// What it prints; `…` stands for anything.
    pub output: Option<String>,
}

/// `<tr id="fn-NAME">`: what a plugin may call.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// `NAME`.
    pub name: String,
    /// With the types of what it takes and gives.
    pub signature: String,
    /// Whether its row says what an error is.
    pub tells_errors: bool,
    /// A line, and what it gives: text as it is, all else as JSON; `…` stands for anything.
    pub example: Option<(String, Option<String>)>,
}

/// The names of all pages in a language.
pub fn names(language: &str) -> BTreeSet<String> {
    let folder = format!("{}/static/manual/{language}", env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(folder).expect("the manual");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// The path that a relative link stands for, in a folder without a slash at its end.
pub fn resolve(folder: &str, target: &str) -> String {
    let mut path = if target.starts_with('/') {
        String::new()
    } else {
        folder.to_owned()
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => path.truncate(path.rfind('/').expect("inside the site")),
            part => path = format!("{path}/{part}"),
        }
    }
    if target.ends_with('/') || path.is_empty() {
        path + "/"
    } else {
        path
    }
}

impl Page {
    /// From the tree.
    #[track_caller]
    pub fn read(language: &str, name: &str) -> Self {
        let path = format!(
            "{}/static/manual/{language}/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        Self::parse(name, &fs::read_to_string(path).expect(name))
    }

    /// From its text.
    #[track_caller]
    pub fn parse(name: &str, html: &str) -> Self {
        let online = values(html, " data-online=\"");
        let online = online.iter().flat_map(|list| list.split(' '));
        Self {
            name: name.to_owned(),
            text: html.to_owned(),
            online: online
                .map(|one| one.split_once('/').expect("app/user"))
                .map(|(app, user)| (app.to_owned(), user.to_owned()))
                .collect(),
            samples: samples(html),
            functions: html.split("<tr id=\"fn-").skip(1).map(function).collect(),
            limits: html.split(" data-limit=\"").skip(1).map(limit).collect(),
            anchors: values(html, " id=\"").into_iter().collect(),
            links: [values(html, " href=\""), values(html, " src=\"")].concat(),
        }
    }
}

/// All values of an attribute, given with its quote.
fn values(html: &str, attribute: &str) -> Vec<String> {
    let parts = html.split(attribute).skip(1);
    parts
        .map(|rest| decoded(rest.split('"').next().unwrap_or_default()))
        .collect()
}

/// `NAME"><td><code>SIGNATURE</code></td><td>… <i>Error</i>: …<br><code>LINE</code> → <code>RESULT</code></td></tr>`
#[track_caller]
fn function(rest: &str) -> Function {
    let (name, rest) = rest.split_once("\">").expect("a name");
    let (row, _) = rest.split_once("</tr>").expect("its end");
    let (signature, row) = row.split_once("</td>").expect("two cells");
    let signature = signature.replace("<td>", "");
    let signature = signature.replace("<code>", "").replace("</code>", "");
    let example = row.split_once("<br>").map(|(_, example)| {
        let mut codes = example.split("<code>").skip(1).map(|code| {
            let (code, _) = code.split_once("</code>").expect("its end");
            decoded(code)
        });
        (codes.next().expect("a line"), codes.next())
    });
    Function {
        name: name.to_owned(),
        signature: decoded(&signature),
        tells_errors: row.contains("<i>Error</i>") || row.contains("<i>错误</i>"),
        example,
    }
}

/// `NAME">32 KiB</td>…`
#[track_caller]
fn limit(rest: &str) -> (String, u64) {
    let (name, rest) = rest.split_once("\">").expect("a value");
    let (text, _) = rest.split_once("</td>").expect("a cell");
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        _ => 0,
    };
    let number: u64 = number.replace(',', "").parse().expect("a number");
    (name.to_owned(), number << shift)
}

#[track_caller]
fn samples(html: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for rest in html.split("<pre class=\"sample\"").skip(1) {
        let (tag, rest) = rest.split_once('>').expect("a tag");
        let (text, rest) = rest.split_once("</pre>").expect("its end");
        let value = |name: &str| values(tag, &format!(" {name}=\"")).pop();
        let output = rest.trim_start().strip_prefix("<pre class=\"output\">");
        let output = output.map(|rest| rest.split_once("</pre>").expect("its end").0);
        samples.push(Sample {
            lang: value("data-lang").expect("data-lang"),
            file: value("data-file"),
            is_kept: tag.contains(" data-keep"),
            text: decoded(text),
            output: output.map(decoded),
        });
    }
    samples
}

/// Text without markup and with its entities resolved.
fn decoded(html: &str) -> String {
    assert!(!html.contains('<'), "markup within a sample: {html}");
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
