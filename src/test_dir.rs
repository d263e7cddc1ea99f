//! A folder of its own for a test, removed afterwards. In tests only.

use std::fs;
use std::path::PathBuf;

pub(crate) struct TestDir(pub(crate) PathBuf);

impl TestDir {
    /// `name` must be unique among the tests of one run.
    pub(crate) fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("jdserver-test-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder");
        TestDir(path)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
