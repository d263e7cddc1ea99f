//! Opens a path only if it is a regular file of bounded size, and reads it. Never waits for a
//! pipe's other end and never touches a device.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The content of a regular file of at most `bytes_max` bytes, and what was known when it was
/// opened. The size there may differ from the content's where someone was writing it.
/// Errors: the system's; `InvalidInput` for what is no regular file; `FileTooLarge`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let content = read_at_most(file, metadata.len(), bytes_max)?;
    Ok((content, metadata))
}

fn read_at_most(file: File, size: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {bytes_max} bytes"),
        )
    };
    if size > bytes_max {
        return Err(too_large());
    }
    // One more than its size shows the end without growing the vector.
    let mut content = Vec::with_capacity(size as usize + 1);
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(too_large());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn only_regular_files_within_the_bound() {
        let dir = TestDir::new("regular");
        let path = dir.0.join("a");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(read(&path, 5).expect("read").0, b"12345");
        assert_eq!(
            read(&path, 4).map(drop).map_err(|error| error.kind()),
            Err(io::ErrorKind::FileTooLarge)
        );
        for other in [
            dir.0.as_path(),
            Path::new("/dev/null"),
            Path::new("/dev/zero"),
        ] {
            assert_eq!(
                read(other, 5).map(drop).map_err(|error| error.kind()),
                Err(io::ErrorKind::InvalidInput),
                "{other:?}"
            );
        }
        assert_eq!(
            read(&dir.0.join("b"), 5)
                .map(drop)
                .map_err(|error| error.kind()),
            Err(io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let dir = TestDir::new("pipe");
        let path = dir.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        assert!(read(&path, 5).is_err());
    }
}
