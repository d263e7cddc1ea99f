//! Session files of plugins: one per session, JSON, `session/ID.json` in the data folder. Never decides who has which.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};

use crate::limits::SESSION_BYTES_MAX;
use crate::message::database::{SessionDone, SessionJob};
use crate::proto::json;
use crate::worker::regular;

/// Bytes of chance in an id, told as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;

/// Does what a coroutine asked for. Errors: one line.
pub fn run(data_dir: &Path, job: SessionJob) -> SessionDone {
    let folder = data_dir.join("session");
    match job {
        SessionJob::Load { id } => load(&folder, id.as_deref()),
        SessionJob::Store { id, data } => match path_of(&folder, &id) {
            Some(path) => store(&folder, &path, &data)
                .map(|()| (id, Value::Null))
                .map_err(|error| wrong(&path, &error)),
            None => Err("no such session".into()),
        },
        SessionJob::Destroy { id } => {
            let Some(path) = path_of(&folder, &id) else {
                return Err("no such session".into());
            };
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(wrong(&path, &error)),
                _ => Ok((id, Value::Null)),
            }
        }
    }
}

/// What is stored under an id of ours; a new id where there is nothing, so that nobody chooses their own.
fn load(folder: &Path, id: Option<&str>) -> SessionDone {
    let known = id.and_then(|id| Some((id, path_of(folder, id)?)));
    if let Some((id, path)) = known {
        match regular::read(&path, SESSION_BYTES_MAX as u64) {
            Ok((bytes, _)) => {
                let data = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                    log::warn!("{}: {error}: the session begins anew", path.display());
                    empty()
                });
                return Ok((id.into(), data));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&path, &error)),
        }
    }
    let mut bytes = [0; ID_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Box::<str>::from("the system gives no random numbers"))?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((id.into(), empty()))
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// The file of an id; `None` for what is no id of ours.
fn path_of(folder: &Path, id: &str) -> Option<PathBuf> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_ours = id.len() == 2 * ID_BYTES && id.bytes().all(is_digit);
    is_ours.then(|| folder.join(format!("{id}.json")))
}

/// Replaces the file whole: who reads it meanwhile sees the old or the new one.
fn store(folder: &Path, path: &Path, data: &Value) -> io::Result<()> {
    let mut text = Vec::new();
    json::write(&mut text, data);
    if text.len() > SESSION_BYTES_MAX {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("larger than {SESSION_BYTES_MAX} bytes"),
        ));
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Two calls of one session may store at once.
    let thread = format!("{:?}", std::thread::current().id());
    let digits: String = thread.chars().filter(char::is_ascii_digit).collect();
    let temporary = path.with_extension(format!("{digits}.tmp"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file.write_all(&text);
    written
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn wrong(path: &Path, error: &io::Error) -> Box<str> {
    format!("{}: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::test_dir::TestDir;

    #[track_caller]
    fn new(dir: &Path, id: Option<&str>) -> Box<str> {
        let id = id.map(Box::from);
        let (id, data) = run(dir, SessionJob::Load { id }).expect("loaded");
        assert_eq!(data, json!({}));
        id
    }

    #[test]
    fn what_is_stored_is_found_until_it_is_destroyed() {
        let dir = TestDir::new("session");
        let id = new(&dir.0, None);
        let data = json!({"uid": 7, "name": "梁"});
        let store = SessionJob::Store {
            id: id.clone(),
            data: data.clone(),
        };
        run(&dir.0, store).expect("stored");
        let load = || SessionJob::Load {
            id: Some(id.clone()),
        };
        assert_eq!(run(&dir.0, load()), Ok((id.clone(), data)));
        let path = dir.0.join("session").join(format!("{id}.json"));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "{broken").expect("written");
        assert_eq!(run(&dir.0, load()), Ok((id.clone(), json!({}))));
        run(&dir.0, SessionJob::Destroy { id: id.clone() }).expect("gone");
        assert!(!path.exists());
        assert_ne!(new(&dir.0, Some(&id)), id);
    }

    #[test]
    fn nobody_chooses_an_id_or_leaves_the_folder() {
        let dir = TestDir::new("session-ids");
        fs::write(dir.0.join("jdserver.json"), "{}").expect("written");
        for id in [
            "",
            "../jdserver",
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789ABCDEF",
            "../../../../../../../../etc/passw",
        ] {
            assert_ne!(&*new(&dir.0, Some(id)), id);
        }
        for id in ["../jdserver", "x"] {
            let data = json!({});
            assert!(
                run(
                    &dir.0,
                    SessionJob::Store {
                        id: id.into(),
                        data
                    }
                )
                .is_err()
            );
            assert!(run(&dir.0, SessionJob::Destroy { id: id.into() }).is_err());
        }
        assert!(dir.0.join("jdserver.json").exists());
    }

    #[test]
    fn too_much_is_refused_and_leaves_what_was() {
        let dir = TestDir::new("session-large");
        let id = new(&dir.0, None);
        let store = |data| SessionJob::Store {
            id: id.clone(),
            data,
        };
        run(&dir.0, store(json!({"a": 1}))).expect("stored");
        assert!(run(&dir.0, store(json!("x".repeat(SESSION_BYTES_MAX)))).is_err());
        let load = SessionJob::Load {
            id: Some(id.clone()),
        };
        assert_eq!(run(&dir.0, load), Ok((id, json!({"a": 1}))));
    }
}
