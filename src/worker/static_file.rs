//! Reads a file below the static root, or finds the page inside the binary. Never anything
//! outside the root, never a dot file, never anything but a regular file (contract 6, "Files").

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use crate::limits::STATIC_FILE_BYTES_MAX;
use crate::message::{FileDone, FileJob};
use crate::pages;
use crate::proto::{etag, logtext, mime};
use crate::worker::regular;

/// Answers a request for a file: from the static root, else from the pages in the binary, else 404.
pub fn answer(static_root: Option<&Path>, job: FileJob) -> FileDone {
    let not_found = FileDone {
        reply_to: job.reply_to,
        status: 404,
        mime: mime::NOT_FOUND,
        etag: String::new(),
        policy: "",
        body: Bytes::new(),
    };
    let Some(mime) = mime::is_file_path(&job.path).filter(|_| !mime::is_hidden(&job.path)) else {
        return not_found;
    };
    let found = static_root.and_then(|root| read(root, &mime::file_of(&job.path)));
    let (body, etag, policy) = match (found, pages::find(&job.path)) {
        (Some((body, etag)), _) => (body, etag, ""),
        (None, Some(page)) => {
            let body = Bytes::from_static(page.bytes);
            (body, page.etag().to_owned(), page.policy())
        }
        (None, None) => return not_found,
    };
    if !etag.is_empty() && etag::is_named(&job.if_none_match, &etag) {
        return FileDone {
            status: 304,
            mime,
            etag,
            policy,
            ..not_found
        };
    }
    FileDone {
        status: 200,
        mime,
        etag,
        policy,
        body,
        ..not_found
    }
}

/// Content and tag of `path` (with its leading slash) below `root`.
fn read(root: &Path, path: &str) -> Option<(Bytes, String)> {
    let file = resolve(root, path)?;
    let (content, metadata) = match regular::read(&file, STATIC_FILE_BYTES_MAX) {
        Ok(read) => read,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("cannot serve {}: {error}", logtext::log_text(path, 200));
            }
            return None;
        }
    };
    let changed = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let etag = match changed {
        Some(changed) if content.len() as u64 == metadata.len() => {
            etag::of_file(metadata.len(), changed.as_nanos())
        }
        // Someone is writing it: a tag would outlive this content.
        _ => String::new(),
    };
    Some((Bytes::from(content), etag))
}

/// The file that the path stands for, all links followed; `None` unless it lies within the root
/// under a name that may be served.
fn resolve(root: &Path, path: &str) -> Option<PathBuf> {
    // The root itself may be a link that a deployment turns to the next version.
    let root = root.canonicalize().ok()?;
    let file = root
        .join(path.trim_start_matches('/'))
        .canonicalize()
        .ok()?;
    let within = file.strip_prefix(&root).ok()?;
    let is_hidden = within.iter().any(|part| part.as_bytes().starts_with(b"."));
    (!is_hidden).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnId;
    use crate::test_dir::TestDir;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn get(root: Option<&Path>, path: &str, if_none_match: &str) -> FileDone {
        let reply_to = ConnId {
            key: 7,
            generation: 1,
        };
        let done = answer(
            root,
            FileJob {
                reply_to,
                path: path.to_owned(),
                if_none_match: if_none_match.as_bytes().to_vec(),
            },
        );
        assert_eq!(done.reply_to, reply_to);
        done
    }

    #[track_caller]
    fn check_missing(root: &Path, path: &str) {
        let done = get(Some(root), path, "*");
        assert_eq!(
            (done.status, done.mime, done.etag.as_str(), done.body.len()),
            (404, "text/html", "", 0),
            "{path:?}"
        );
    }

    #[test]
    fn a_file_is_read_and_known_again() {
        let dir = TestDir::new("static");
        fs::create_dir(dir.0.join("sub")).expect("made");
        fs::write(dir.0.join("sub/a.json"), "{}").expect("written");
        let done = get(Some(&dir.0), "/sub/a.json", "");
        assert_eq!(
            (done.status, done.mime, &done.body[..]),
            (200, "application/json; charset=utf-8", &b"{}"[..])
        );
        assert!(
            done.etag.starts_with("\"2-") && done.etag.ends_with('"'),
            "{}",
            done.etag
        );
        let again = get(
            Some(&dir.0),
            "/sub/a.json",
            &format!("\"x\", W/{}", done.etag),
        );
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.etag, done.etag);
        assert_eq!(get(Some(&dir.0), "/sub/a.json", "*").status, 304);
        fs::write(dir.0.join("sub/a.json"), "{ }").expect("written");
        assert_eq!(get(Some(&dir.0), "/sub/a.json", &done.etag).status, 200);
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let dir = TestDir::new("static-empty");
        fs::write(dir.0.join("a.txt"), "").expect("written");
        let done = get(Some(&dir.0), "/a.txt", "");
        assert_eq!((done.status, done.body.len()), (200, 0));
    }

    #[test]
    fn the_folder_goes_before_the_pages_in_the_binary() {
        let dir = TestDir::new("static-pages");
        let built_in = pages::find("/").expect("an index");
        assert_eq!(&get(Some(&dir.0), "/", "").body[..], built_in.bytes);
        assert_eq!(&get(None, "/index.html", "").body[..], built_in.bytes);
        assert_eq!(get(None, "/", built_in.etag()).status, 304);
        fs::write(dir.0.join("index.html"), "mine").expect("written");
        assert_eq!(&get(Some(&dir.0), "/", "").body[..], b"mine");
        assert_eq!(
            &get(Some(&dir.0), "/index.html", built_in.etag()).body[..],
            b"mine"
        );
    }

    #[test]
    fn nothing_outside_the_root_and_no_dot_file() {
        let dir = TestDir::new("static-outside");
        let root = dir.0.join("root");
        fs::create_dir_all(root.join(".git")).expect("made");
        fs::create_dir_all(root.join("folder.txt")).expect("made");
        for path in [
            "secret.txt",
            "root/.hidden.txt",
            "root/.git/config.txt",
            "root/in.txt",
            "root/data",
        ] {
            fs::write(dir.0.join(path), "x").expect("written");
        }
        symlink(dir.0.join("secret.txt"), root.join("link.txt")).expect("linked");
        symlink(&dir.0, root.join("up")).expect("linked");
        symlink(root.join(".hidden.txt"), root.join("dot.txt")).expect("linked");
        symlink("loop.txt", root.join("loop.txt")).expect("linked");
        symlink("/dev/zero", root.join("zero.txt")).expect("linked");
        symlink("in.txt", root.join("inner.txt")).expect("linked");
        for path in [
            "/link.txt",
            "/up/secret.txt",
            "/dot.txt",
            "/loop.txt",
            "/zero.txt",
            "/../secret.txt",
            "/.hidden.txt",
            "/.git/config.txt",
            "/folder.txt",
            "/nosuch.txt",
            "/data",
            "//../secret.txt",
            "/in.txt/",
            "/in.txt/x.txt",
            "/in.txt\0.txt",
            "",
            "/folder.txt/.txt",
        ] {
            check_missing(&root, path);
        }
        check_missing(&root, &format!("/{}.txt", "x".repeat(10_000)));
        check_missing(&root, &format!("{}/etc/x.txt", "/".repeat(10)));
        assert_eq!(get(Some(&root), "/in.txt", "").status, 200);
        assert_eq!(
            get(Some(&root), "/inner.txt", "").status,
            200,
            "a link within the root"
        );
        check_missing(&dir.0.join("nosuch"), "/in.txt");
    }

    #[test]
    fn the_root_may_be_a_link() {
        let dir = TestDir::new("static-link");
        fs::create_dir(dir.0.join("v1")).expect("made");
        fs::write(dir.0.join("v1/a.txt"), "1").expect("written");
        symlink("v1", dir.0.join("static")).expect("linked");
        assert_eq!(get(Some(&dir.0.join("static")), "/a.txt", "").status, 200);
    }

    #[test]
    fn a_pipe_or_a_huge_file_is_not_served() {
        let dir = TestDir::new("static-pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(dir.0.join("pipe.txt"))
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        check_missing(&dir.0, "/pipe.txt");
        let huge = fs::File::create(dir.0.join("huge.txt")).expect("made");
        huge.set_len(STATIC_FILE_BYTES_MAX + 1).expect("sparse");
        check_missing(&dir.0, "/huge.txt");
    }
}
