//! Which paths are files and of what type (contract 6, "Files"). Never looks at a disk.
//! The reading goes on in [`crate::pages`] and [`crate::worker`].

use std::borrow::Cow;

/// The type of a page, and of the empty answer where a file is missing it is [`NOT_FOUND`].
pub const HTML: &str = "text/html; charset=utf-8";
/// The type of a script.
pub const JAVASCRIPT: &str = "application/javascript; charset=utf-8";
/// The type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The type of a style sheet.
pub const CSS: &str = "text/css";
/// The type of JSON.
pub const JSON: &str = "application/json; charset=utf-8";
/// The folder of the manual: whatever lies below it is a file or missing, never a call.
pub const MANUAL: &str = "/manual/";
/// Type of the 404 answer, as the original sends it.
pub const NOT_FOUND: &str = "text/html";

/// The extension's type. Source: contract 6; `svg` and what follows it are ours.
fn of_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "html" => HTML,
        "json" => JSON,
        "txt" => TEXT,
        "js" | "mjs" => JAVASCRIPT,
        "css" => CSS,
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "pdf" => "application/pdf",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "zip" => "application/zip",
        "rar" => "application/x-rar-compressed",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "mp4" => "video/mp4",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "map" => "application/json",
        "wasm" => "application/wasm",
        "csv" => "text/csv",
        _ => return None,
    })
}

/// The type of the file that a decoded path names; `None` when the path is a call, or lies below [`MANUAL`] and names
/// no file. `/` is `/index.html`, a folder of the manual likewise. Says nothing about whether the file exists or may be
/// served ([`is_hidden`]).
pub fn is_file_path(path: &str) -> Option<&'static str> {
    if is_folder(path) {
        return Some(HTML);
    }
    let (_, extension) = path.rsplit_once('.')?;
    of_extension(extension)
}

/// The path of the file that a path stands for.
pub fn file_of(path: &str) -> Cow<'_, str> {
    if is_folder(path) {
        Cow::Owned([path, "index.html"].concat())
    } else {
        Cow::Borrowed(path)
    }
}

/// Whether the path is a folder that is shown by its index.
fn is_folder(path: &str) -> bool {
    path == "/" || path.starts_with(MANUAL) && path.ends_with('/')
}

/// Whether any part of the path starts with a dot: such a file is never served.
pub fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, mime: Option<&str>) {
        assert_eq!(is_file_path(path), mime, "{path:?}");
    }

    #[test]
    fn paths_are_files_by_their_ending() {
        check("/", Some(HTML));
        check("/index.html", Some("text/html; charset=utf-8"));
        check("/a/b/c.json", Some("application/json; charset=utf-8"));
        check("/x.min.js", Some("application/javascript; charset=utf-8"));
        check("/favicon.ico", Some("image/x-icon"));
        check("/a.jpg", Some("image/jpeg"));
        check("/a.jpeg", Some("image/jpeg"));
        check("/.html", Some(HTML));
        check("/a.wasm", Some("application/wasm"));
        check("/manual/", Some(HTML));
        check("/manual/en/", Some(HTML));
        check("/manual/en/calls.html", Some(HTML));
        check("/manual/none", None);
        assert_eq!(file_of("/manual/en/"), "/manual/en/index.html");
        assert_eq!(file_of("/manual/en/a.css"), "/manual/en/a.css");
    }

    #[test]
    fn other_paths_are_calls() {
        for path in [
            "",
            "*",
            "/push",
            "/Timer.set",
            "/a.HTML",
            "/a.Html",
            "/html",
            "/a.html/",
            "/a.html/x",
            "/a.",
            "/a.php",
            "/a.htm",
            "/a.html ",
            "//",
            "/manual",
            "/manuals/",
            "/other/",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn dot_files_are_hidden_anywhere() {
        for path in [
            "/.htaccess.html",
            "/.git/config.txt",
            "/a/.b/c.html",
            "/a/..html",
            "/../a.html",
            "/./a.html",
        ] {
            assert!(is_hidden(path), "{path:?}");
        }
        for path in ["/", "/a.html", "/a.b/c.html", "/a/b..html"] {
            assert!(!is_hidden(path), "{path:?}");
        }
    }
}
