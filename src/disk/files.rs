//! The handful of file operations that the timers' storage needs, in one folder, so that tests can
//! have them fail or stop at any of them. Decides nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, access};

/// Device and inode: which file it is, whatever its name.
pub(super) type Identity = (u64, u64);

/// One folder.
pub(super) trait Files: Clone + Send + 'static {
    /// An open file of it.
    type File: OpenFile;
    /// All of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// A new, empty file; one that has the name loses it.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// A file to write to.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Replaces `to`, if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Has names last: what was created, renamed, removed.
    fn sync_names(&self) -> io::Result<()>;
    /// Which file has that name.
    fn identity(&self, name: &str) -> io::Result<Identity>;
    /// An error where no file could be created or renamed.
    fn may_change(&self) -> io::Result<()>;
    /// The folder, for messages.
    fn path(&self) -> &Path;
}

/// An open file.
pub(super) trait OpenFile: Send {
    /// Writes all of it there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts it.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Has the content last.
    fn sync(&self) -> io::Result<()>;
    /// Which file it is.
    fn identity(&self) -> io::Result<Identity>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub(super) struct RealFiles(Arc<PathBuf>);

impl RealFiles {
    pub(super) fn new(folder: &Path) -> Self {
        RealFiles(Arc::new(folder.to_owned()))
    }
}

impl Files for RealFiles {
    type File = File;

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Callbacks carry passwords and tokens: not for everyone.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.0.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&*self.0)?.sync_all()
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        fs::metadata(self.0.join(name)).map(|data| (data.dev(), data.ino()))
    }

    fn may_change(&self) -> io::Result<()> {
        Ok(access(&*self.0, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl OpenFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn identity(&self) -> io::Result<Identity> {
        self.metadata().map(|data| (data.dev(), data.ino()))
    }
}
