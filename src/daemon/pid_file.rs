//! The file that tells others our process, for as long as we run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file; gone with its owner, where that may remove it.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes it. One that was left over is written over: the lock of the data folder tells whether its owner runs.
    /// Errors: one line.
    pub fn write(path: &Path) -> Result<Self, String> {
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            // Root must not be led elsewhere by whoever may write in that folder.
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .and_then(|mut file| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| {
            format!(
                "pid_file: {}: {error}; expected a path that can be written",
                path.display()
            )
        })?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // In a folder of root's it stays: the user that was become may not remove it.
        let _ = fs::remove_file(&self.0);
    }
}
