//! Static files (contract 6): what is served, and what never is.

use std::os::unix::fs::symlink;

use crate::common::http::ask;
use crate::common::server::Server;

#[test]
fn types_by_ending() {
    let types = [
        ("html", "text/html; charset=utf-8"),
        ("json", "application/json; charset=utf-8"),
        ("txt", "text/plain; charset=utf-8"),
        ("js", "application/javascript; charset=utf-8"),
        ("css", "text/css"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("gif", "image/gif"),
        ("ico", "image/x-icon"),
        ("pdf", "application/pdf"),
        ("svg", "image/svg+xml"),
        ("wasm", "application/wasm"),
        ("webp", "image/webp"),
        ("woff2", "font/woff2"),
        ("mp4", "video/mp4"),
        ("zip", "application/zip"),
    ];
    let setup = types.iter().fold(Server::setup(), |setup, (ending, _)| {
        setup.file(&format!("static/a.{ending}"), "x")
    });
    let server = setup.start();
    for (ending, kind) in types {
        let answer = ask(&server, "GET", &format!("/a.{ending}"), "", "");
        let got = answer
            .header("content-type")
            .unwrap_or_default()
            .replace("; ", ";")
            .to_ascii_lowercase();
        assert_eq!(
            (answer.status, got),
            (200, kind.replace("; ", ";")),
            "{ending}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{ending}");
        assert_eq!(answer.text(), "x", "{ending}");
        // Known endings count in lower case only; any other ending is a call.
        let call = ask(
            &server,
            "GET",
            &format!("/a.{}", ending.to_ascii_uppercase()),
            "",
            "",
        );
        assert!(
            call.text().starts_with("[1,\"接口不支持\""),
            "{ending}: {call:?}"
        );
    }
}

#[test]
fn never_outside_the_root_and_never_a_dot_file() {
    let setup = Server::setup()
        .file("static/.hidden.txt", "secret")
        .file("static/.dir/a.txt", "secret")
        .file("static/dir/a.txt", "fine")
        .file("outside.txt", "secret");
    let folder = setup.folder().to_owned();
    symlink(folder.join("outside.txt"), folder.join("static/link.txt")).expect("symlink");
    symlink(&folder, folder.join("static/up")).expect("symlink");
    let server = setup.start();
    assert_eq!(ask(&server, "GET", "/dir/a.txt", "", "").text(), "fine");
    for target in [
        "/.hidden.txt",
        "/.dir/a.txt",
        "/%2ehidden.txt",
        "/dir/../.hidden.txt",
        "/link.txt",
        "/up/outside.txt",
        "/dir/a.txt/",
        "/dir/nosuch.txt",
        "/dir.txt",
        "//dir/nosuch.txt",
    ] {
        let answer = ask(&server, "GET", target, "", "");
        assert!(!answer.text().contains("secret"), "{target}: {answer:?}");
        if target.ends_with("txt") {
            assert_eq!((answer.status, answer.body.len()), (404, 0), "{target}");
        }
    }
}

#[test]
fn pages_are_in_the_binary_and_a_folder_goes_before_them() {
    let plain = Server::start();
    for target in ["/", "/index.html", "/test.html"] {
        let answer = ask(&plain, "GET", target, "", "");
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.text().contains("<html"), "{target}");
    }
    let server = Server::setup().file("static/index.html", "mine").start();
    assert_eq!(ask(&server, "GET", "/", "", "").text(), "mine");
    assert_eq!(
        ask(&server, "GET", "/index.html?x=1", "", "").text(),
        "mine"
    );
    assert!(
        ask(&server, "GET", "/test.html", "", "")
            .text()
            .contains("<html")
    );
}

#[test]
fn not_modified() {
    let server = Server::setup().file("static/a.txt", "one").start();
    let first = ask(&server, "GET", "/a.txt", "", "");
    let tag = first.header("etag").expect("an ETag").to_owned();
    for given in [
        tag.clone(),
        format!("\"other\", {tag}"),
        format!("W/{}", tag.trim_start_matches("W/")),
        "*".to_owned(),
    ] {
        let answer = ask(
            &server,
            "GET",
            "/a.txt",
            &format!("If-None-Match: {given}\r\n"),
            "",
        );
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{given}");
    }
    let other = ask(&server, "GET", "/a.txt", "If-None-Match: \"other\"\r\n", "");
    assert_eq!((other.status, other.text().as_str()), (200, "one"));
    std::fs::write(server.folder().join("static/a.txt"), "longer").expect("file");
    let changed = ask(
        &server,
        "GET",
        "/a.txt",
        &format!("If-None-Match: {tag}\r\n"),
        "",
    );
    assert_eq!((changed.status, changed.text().as_str()), (200, "longer"));
}

#[test]
fn the_manual_is_files_only() {
    let server = Server::setup()
        .file("static/manual/zz/index.html", "mine")
        .file("static/manual/zz/notes", "none of the known endings")
        .start();
    assert_eq!(ask(&server, "GET", "/manual/zz/", "", "").text(), "mine");
    for missing in [
        "/manual/zz/notes",
        "/manual/push?_ac=stat",
        "/manual/none/",
        "/manual/../manual/x.html",
    ] {
        let answer = ask(&server, "GET", missing, "", "");
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{missing}");
    }
    assert_eq!(ask(&server, "POST", "/manual/zz/", "", "").status, 405);
    let moved = ask(&server, "GET", "/manual", "", "");
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("./manual/"))
    );
}
