//! One daemon per data folder: the folder itself is locked, so nothing is left behind and a folder that takes no
//! files will do. The kernel releases it with the process, however that ends. Never looks at what is in it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a folder that is taken is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// A data folder that no other daemon uses as long as this lives.
#[derive(Debug)]
pub struct FolderLock {
    /// `None` where the file system knows no locks.
    _folder: Option<File>,
}

/// Takes a data folder. One that another daemon has is waited for up to `patience`, for that one may be ending;
/// `on_wait` hears of it first. Gives a warning too, where nothing can be locked. Errors: it is still taken.
pub fn lock(
    folder: &Path,
    patience: Duration,
    on_wait: impl FnOnce(),
) -> Result<(FolderLock, Option<String>), String> {
    let unlocked = |error: io::Error| {
        let folder = folder.display();
        let warning = format!(
            "{folder} cannot be locked ({error}): see to it that no other jdserver uses it"
        );
        Ok((FolderLock { _folder: None }, Some(warning)))
    };
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) => return unlocked(error),
    };
    let deadline = Instant::now() + patience;
    let mut on_wait = Some(on_wait);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                return Ok((
                    FolderLock {
                        _folder: Some(file),
                    },
                    None,
                ));
            }
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(format!(
                    "data_dir: {} is in use by another jdserver; expected a folder of its own, \
                     e.g. -d OTHER, or that the other one is stopped",
                    folder.display()
                ));
            }
            Err(Errno::INTR) => continue,
            Err(error) => return unlocked(error.into()),
        }
        if let Some(on_wait) = on_wait.take() {
            on_wait();
        }
        thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_dir::TestDir;

    const NO_TIME: Duration = Duration::ZERO;

    #[test]
    fn a_folder_has_one_user_until_that_ends() {
        let dir = TestDir::new("lock");
        // Permission bits bind all but root, for whom this is a folder like others.
        std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o500)).expect("mode");
        let (first, warning) = lock(&dir.0, NO_TIME, || {}).expect("free");
        assert_eq!(warning, None);
        let refused = lock(&dir.0, NO_TIME, || panic!("no time to wait")).expect_err("taken");
        assert!(refused.contains(&*dir.0.to_string_lossy()), "{refused}");
        // By another name it is the same folder.
        assert!(lock(&dir.0.join("."), NO_TIME, || {}).is_err());
        drop(first);
        assert!(lock(&dir.0, NO_TIME, || {}).is_ok());
        std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o700)).expect("mode");
    }

    #[test]
    fn one_that_is_ending_is_waited_for() {
        let dir = TestDir::new("lock-wait");
        let (first, _) = lock(&dir.0, NO_TIME, || {}).expect("free");
        let second = lock(&dir.0, Duration::from_secs(20), move || drop(first));
        assert!(second.is_ok());
    }

    #[test]
    fn what_cannot_be_locked_is_told() {
        let (_, warning) = lock(Path::new("/nonexistent"), NO_TIME, || {}).expect("no error");
        assert!(warning.is_some_and(|text| text.starts_with("/nonexistent cannot be locked")));
    }
}
