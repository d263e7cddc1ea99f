//! Reads the settings file, at start and for a reload. What its text means is
//! [`crate::settings::file`]'s business.

use std::path::Path;

use crate::limits::SETTINGS_FILE_BYTES_MAX;
use crate::settings::FileValues;
use crate::worker::regular;

/// What the file says, where there is one, and the environment where that says nothing. Errors: one line that names the
/// file, the line where there is one, what was wrong and what would be right.
pub fn load(path: Option<&Path>) -> Result<FileValues, String> {
    let mut values = path.map(read).transpose()?.unwrap_or_default();
    values.add_environment(|name| std::env::var(name).ok())?;
    Ok(values)
}

fn read(path: &Path) -> Result<FileValues, String> {
    let shown = path.display();
    let (bytes, _) = regular::read(path, SETTINGS_FILE_BYTES_MAX).map_err(|error| {
        format!("{shown}: {error}; expected a settings file, e.g. one with the line: port = 8081")
    })?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        format!("{shown}:{line}: expected UTF-8")
    })?;
    FileValues::parse(text).map_err(|error| format!("{shown}:{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::test_dir::TestDir;

    #[track_caller]
    fn check_error(content: &[u8], want: &str) {
        let dir = TestDir::new("load-error");
        let path = dir.0.join("jdserver.toml");
        std::fs::write(&path, content).expect("written");
        assert_eq!(load(Some(&path)), Err(format!("{}{want}", path.display())));
    }

    #[test]
    fn a_right_file_is_read() {
        let dir = TestDir::new("load");
        let path = dir.0.join("jdserver.toml");
        std::fs::write(&path, "max_rate = 3\n").expect("written");
        let mut settings = Settings::default();
        load(Some(&path)).expect("right").apply(&mut settings);
        assert_eq!(settings.max_rate, 3);
    }

    #[test]
    fn errors_name_file_and_line() {
        check_error(
            b"\nmax_rat = 3\n",
            ":2: unknown setting `max_rat`: did you mean `max_rate`?",
        );
        check_error(b"port = 1\n\n# \xff\n", ":3: expected UTF-8");
        let dir = TestDir::new("load-missing");
        let error = load(Some(&dir.0.join("x.toml"))).expect_err("missing");
        assert!(
            error.contains("x.toml: ") && error.contains("expected a settings file"),
            "{error}"
        );
        assert!(load(Some(&dir.0)).is_err());
    }
}
