//! Session files of plugins: one per session, JSON, `session/ID.json` in the data folder. Never decides who has which.
//!
//! The original locks a session for the whole of a call, so that calls of one user wait for each other. Here nobody waits: a
//! call tells which members it changed, and only those go into what the file holds by then.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};

use crate::limits::{SESSION_BYTES_MAX, SESSION_LOCKS};
use crate::message::database::{SessionDone, SessionJob};
use crate::proto::json;
use crate::worker::regular;

/// Bytes of chance in an id, told as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;

/// Who changes a session's file holds its lock, for as long as that takes; sessions share them.
#[derive(Debug, Default)]
pub struct SessionLocks([Mutex<()>; SESSION_LOCKS]);

impl SessionLocks {
    fn lock(&self, id: &str) -> MutexGuard<'_, ()> {
        let sum: usize = id.bytes().map(usize::from).sum();
        let lock = &self.0[sum % SESSION_LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what a coroutine asked for. Errors: one line.
pub fn run(data_dir: &Path, locks: &SessionLocks, job: SessionJob) -> SessionDone {
    let folder = data_dir.join("session");
    let known = |id: &str| path_of(&folder, id).ok_or(Box::<str>::from("no such session"));
    match job {
        SessionJob::Load { id } => load(&folder, id.as_deref()),
        SessionJob::Store {
            id,
            set,
            removed,
            is_new,
        } => {
            let path = known(&id)?;
            let _guard = locks.lock(&id);
            let outcome = match stored(&path) {
                Ok(None) if !is_new => Ok(()),
                Ok(data) => store(&folder, &path, changed(data, set, &removed)),
                Err(error) => Err(error),
            };
            outcome
                .map(|()| (id, Value::Null))
                .map_err(|error| wrong(&path, &error))
        }
        SessionJob::Destroy { id } => {
            let path = known(&id)?;
            let _guard = locks.lock(&id);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(wrong(&path, &error)),
                _ => Ok((id, Value::Null)),
            }
        }
    }
}

/// What a file holds; `None` where there is none.
fn stored(path: &Path) -> io::Result<Option<Value>> {
    let (bytes, _) = match regular::read(path, SESSION_BYTES_MAX as u64) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let data = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        log::warn!("{}: {error}: the session begins anew", path.display());
        empty()
    });
    Ok(Some(data))
}

fn changed(data: Option<Value>, set: Value, removed: &[Box<str>]) -> Value {
    let mut members = match data {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|name, _| !removed.iter().any(|removed| **removed == **name));
    if let Value::Object(set) = set {
        members.extend(set);
    }
    Value::Object(members)
}

/// What is stored under an id of ours; a new id where there is nothing, so that nobody chooses their own.
fn load(folder: &Path, id: Option<&str>) -> SessionDone {
    let known = id.and_then(|id| Some((id, path_of(folder, id)?)));
    if let Some((id, path)) = known
        && let Some(data) = stored(&path).map_err(|error| wrong(&path, &error))?
    {
        return Ok((id.into(), data));
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

/// Replaces the file whole: who reads it meanwhile sees the old or the new one. The session's lock is held.
fn store(folder: &Path, path: &Path, data: Value) -> io::Result<()> {
    let mut text = Vec::new();
    json::write(&mut text, &data);
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
    let temporary = path.with_extension("tmp");
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

    /// Session files in a folder of their own.
    struct Fixture {
        dir: TestDir,
        locks: SessionLocks,
    }

    impl Fixture {
        fn new(name: &str) -> Self {
            Fixture {
                dir: TestDir::new(name),
                locks: SessionLocks::default(),
            }
        }

        fn run(&self, job: SessionJob) -> SessionDone {
            run(&self.dir.0, &self.locks, job)
        }

        #[track_caller]
        fn make(&self, id: Option<&str>) -> Box<str> {
            let id = id.map(Box::from);
            let (id, data) = self.run(SessionJob::Load { id }).expect("loaded");
            assert_eq!(data, json!({}));
            id
        }

        fn load(&self, id: &str) -> SessionDone {
            self.run(SessionJob::Load {
                id: Some(id.into()),
            })
        }

        fn store(&self, id: &str, set: Value, removed: &[&str], is_new: bool) -> SessionDone {
            self.run(SessionJob::Store {
                id: id.into(),
                set,
                removed: removed.iter().map(|&name| name.into()).collect(),
                is_new,
            })
        }

        fn path(&self, id: &str) -> PathBuf {
            self.dir.0.join("session").join(format!("{id}.json"))
        }
    }

    #[test]
    fn what_is_stored_is_found_until_it_is_destroyed() {
        let fixture = Fixture::new("session");
        let id = fixture.make(None);
        let data = json!({"uid": 7, "name": "梁"});
        fixture.store(&id, data.clone(), &[], true).expect("stored");
        assert_eq!(fixture.load(&id), Ok((id.clone(), data)));
        let path = fixture.path(&id);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "{broken").expect("written");
        assert_eq!(fixture.load(&id), Ok((id.clone(), json!({}))));
        let destroy = SessionJob::Destroy { id: id.clone() };
        fixture.run(destroy).expect("gone");
        assert!(!path.exists());
        assert_ne!(fixture.make(Some(&id)), id);
        // A call that was under way meanwhile does not log in again who logged out.
        fixture
            .store(&id, json!({"a": 1}), &[], false)
            .expect("no error");
        assert!(!path.exists());
    }

    #[test]
    fn only_what_a_call_changed_is_written_over_what_is_there() {
        let fixture = Fixture::new("session-members");
        let id = fixture.make(None);
        let first = json!({"uid": 7, "cart": [1], "old": true});
        fixture.store(&id, first, &[], true).expect("stored");
        // Two calls loaded that; each stores what it changed.
        fixture
            .store(&id, json!({"cart": [1, 2]}), &[], false)
            .expect("stored");
        fixture
            .store(&id, json!({"lang": "zh"}), &["old", "none"], false)
            .expect("stored");
        let all = json!({"uid": 7, "cart": [1, 2], "lang": "zh"});
        assert_eq!(fixture.load(&id), Ok((id.clone(), all)));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (fixture, id) = (&fixture, &id);
                scope.spawn(move || {
                    for n in 0..25 {
                        let name = format!("{thread}-{n}");
                        fixture
                            .store(id, json!({ name: n }), &[], false)
                            .expect("stored");
                    }
                });
            }
        });
        let (_, data) = fixture.load(&id).expect("loaded");
        assert_eq!(data.as_object().map(Map::len), Some(103));
        let entries = fs::read_dir(fixture.dir.0.join("session")).expect("a folder");
        assert_eq!(entries.count(), 1, "nothing else is left there");
    }

    #[test]
    fn nobody_chooses_an_id_or_leaves_the_folder() {
        let fixture = Fixture::new("session-ids");
        let file = fixture.dir.0.join("jdserver.json");
        fs::write(&file, "{}").expect("written");
        for id in [
            "",
            "../jdserver",
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789ABCDEF",
            "../../../../../../../../etc/passw",
        ] {
            assert_ne!(&*fixture.make(Some(id)), id);
        }
        for id in ["../jdserver", "x"] {
            assert!(fixture.store(id, json!({}), &[], true).is_err());
            assert!(fixture.run(SessionJob::Destroy { id: id.into() }).is_err());
        }
        assert!(file.exists());
    }

    #[test]
    fn too_much_is_refused_and_leaves_what_was() {
        let fixture = Fixture::new("session-large");
        let id = fixture.make(None);
        fixture
            .store(&id, json!({"a": 1}), &[], true)
            .expect("stored");
        let half = "x".repeat(SESSION_BYTES_MAX / 2);
        fixture
            .store(&id, json!({"b": half}), &[], false)
            .expect("stored");
        assert!(fixture.store(&id, json!({"c": half}), &[], false).is_err());
        let (_, data) = fixture.load(&id).expect("loaded");
        assert_eq!(data, json!({"a": 1, "b": half}));
    }
}
