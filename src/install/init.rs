//! A folder to start from: settings, an example plugin, folders. What is there already is left as it is.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::account::{self, Account};
use crate::config::{FILE_NAME, Layout};
use crate::settings::{Origin, TABLE};

/// Where plugins are, in the data folder.
const PLUGINS: &str = "jdserver.d";
/// A plugin that is not loaded before its name ends in `.lua`.
const EXAMPLE: &str = "10-example.lua.disabled";
/// Whether this build loads plugins at all.
const HAS_PLUGINS: bool = cfg!(feature = "lua");
/// Why something was left.
const THERE: &str = "it is there already";
/// Settings may hold secrets: they are not for everybody.
const SETTINGS_MODE: u32 = 0o640;
/// Everything else is for reading.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// What was written and what was left, for people.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// One line each.
    pub lines: Vec<String>,
    /// There was a settings file before.
    pub settings_were_there: bool,
}

/// Makes what `--init` makes; what was done and what to do next. Errors: one line.
pub fn init(layout: &Layout) -> Result<String, String> {
    let reader = reader(&layout.settings.user)?;
    let written = write(layout, None)?;
    if let Some(reader) = reader
        && !written.settings_were_there
    {
        give(&layout.config_file, None, &reader)?;
    }
    let mut text = written.lines.join("\n");
    text.push_str("\n\nnext:\n");
    for (command, what) in next(layout, &written) {
        text.push_str(&format!("  {command}\n      {what}\n"));
    }
    Ok(text)
}

/// Whom root's daemon becomes: reloads are that user's, who must be able to read the settings.
fn reader(user: &str) -> Result<Option<Account>, String> {
    if user.is_empty() || !geteuid().is_root() {
        return Ok(None);
    }
    let account = account::find(user)?.ok_or_else(|| account::missing(user))?;
    Ok(Some(account))
}

/// The commands that come next, each with what it does.
fn next(layout: &Layout, written: &Written) -> Vec<(String, &'static str)> {
    let mut command = "jdserver".to_owned();
    if layout.config_file != Path::new(".").join(FILE_NAME) {
        command.push_str(&format!(" -c {}", shell_word(&layout.config_file)));
    }
    // A new file says where the data is.
    if written.settings_were_there && layout.settings.origin("data_dir") == Origin::CommandLine {
        command.push_str(&format!(" -d {}", shell_word(&layout.data_dir)));
    }
    let mut commands = vec![
        (format!("{command} -t"), "checks the settings"),
        (command, "serves"),
    ];
    let example = layout.data_dir.join(PLUGINS).join(EXAMPLE);
    if HAS_PLUGINS && example.exists() {
        let (from, to) = (
            shell_word(&example),
            shell_word(&example.with_extension("")),
        );
        commands.push((format!("mv {from} {to}"), "switches the example plugin on"));
    }
    commands
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Writes all of it. With an owner, that one may read the settings, and gets the data folder if it is new.
pub(super) fn write(layout: &Layout, owner: Option<&Account>) -> Result<Written, String> {
    let (data_dir, config_file) = (&layout.data_dir, &layout.config_file);
    let mut maker = Maker::default();
    // Who owns a folder may lay links out in it, which root would follow.
    let may_enter = owner.is_none() || !data_dir.exists();
    if may_enter {
        maker.folder(data_dir, "logs, timers and data")?;
        if HAS_PLUGINS {
            let plugins = data_dir.join(PLUGINS);
            maker.folder(&plugins, "plugins, *.lua")?;
            let (path, text) = (plugins.join(EXAMPLE), include_str!("example.lua"));
            maker.file(
                &path,
                text,
                FILE_MODE,
                ["an example plugin, switched off", THERE],
            )?;
        }
        if let Some(owner) = owner {
            maker.give_all(owner)?;
        }
    } else {
        maker.say("left", data_dir, THERE);
    }
    if let Some(folder) = config_file.parent() {
        maker.made_folder(folder)?;
    }
    let says_more = TABLE
        .iter()
        .map(|setting| setting.name)
        .any(|name| name != "data_dir" && layout.settings.origin(name) == Origin::CommandLine);
    let what = match says_more {
        true => "it is there already, and what was given here is not set in it",
        false => THERE,
    };
    let text = layout.settings.template();
    let what = ["all settings, each with its default", what];
    let is_new = maker.file(config_file, &text, SETTINGS_MODE, what)?;
    maker.written.settings_were_there = !is_new;
    if is_new && let Some(owner) = owner {
        give(config_file, None, owner)?;
    }
    // The daemon looks for it beside the settings: below /etc, pages would be out of place.
    if may_enter && config_file.parent() == Some(data_dir.as_path()) {
        let what = "files that are served, before the pages in the binary";
        maker.folder(&data_dir.join("static"), what)?;
    }
    Ok(maker.written)
}

#[derive(Default)]
struct Maker {
    written: Written,
    /// In order.
    made: Vec<PathBuf>,
}

impl Maker {
    /// A folder that is told of.
    fn folder(&mut self, path: &Path, what: &str) -> Result<(), String> {
        if self.made_folder(path)? {
            self.say("made", path, what);
        }
        Ok(())
    }

    /// Whether it is new.
    fn made_folder(&mut self, path: &Path) -> Result<bool, String> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(false);
        }
        let made = DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path);
        made.map_err(|error| wrong(path, &error))?;
        self.made.push(path.to_owned());
        Ok(true)
    }

    /// A file; whether it is new. `what` it is when it is new, and when it was there.
    fn file(
        &mut self,
        path: &Path,
        text: &str,
        mode: u32,
        what: [&str; 2],
    ) -> Result<bool, String> {
        match new_file(path, text, mode) {
            Ok(()) => {
                self.say("wrote", path, what[0]);
                self.made.push(path.to_owned());
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.say("left", path, what[1]);
                Ok(false)
            }
            Err(error) => Err(wrong(path, &error)),
        }
    }

    /// All that was made, the first folder last: nobody is in there before all of it is done.
    fn give_all(&mut self, owner: &Account) -> Result<(), String> {
        let mut made = self.made.drain(..).rev();
        made.try_for_each(|path| give(&path, Some(owner), owner))
    }

    fn say(&mut self, done: &str, path: &Path, what: &str) {
        let line = format!("{done} {}: {what}", path.display());
        self.written.lines.push(line);
    }
}

/// Writes a file that must not be there, not even as a link that leads nowhere; none is left where that fails.
pub(super) fn new_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
}

/// To a user, where one is given, and to `group`'s group.
fn give(path: &Path, user: Option<&Account>, group: &Account) -> Result<(), String> {
    let uid = user.map(|user| user.uid.as_raw());
    chown(path, uid, Some(group.gid.as_raw())).map_err(|error| {
        format!(
            "{}: {error}; expected to give it to {}",
            path.display(),
            group.name
        )
    })
}

pub(super) fn wrong(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    format!(
        "{}: {error}; expected a folder that may be written: {}",
        path.display(),
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, parse};
    use crate::test_dir::TestDir;
    use std::ffi::OsString;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[track_caller]
    fn layout(args: &[&str]) -> Layout {
        let args = [&["--init"], args].concat();
        match parse(args.iter().map(OsString::from)) {
            Ok(Command::Init(layout)) => *layout,
            other => panic!("{other:?}"),
        }
    }

    /// All below a folder, sorted, folders with a slash.
    fn names(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).expect("there") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                let inner = names_below(&entry.path(), &name);
                names.push(format!("{name}/"));
                names.extend(inner);
            } else {
                names.push(name);
            }
        }
        names.sort_unstable();
        names
    }

    fn names_below(folder: &Path, name: &str) -> Vec<String> {
        let inner = names(folder).into_iter();
        inner.map(|inner| format!("{name}/{inner}")).collect()
    }

    #[test]
    fn a_folder_to_start_from_and_what_is_there_stays() {
        let dir = TestDir::new("init");
        let folder = dir.0.join("new/data");
        let layout = layout(&["-d", folder.to_str().expect("UTF-8"), "-p", "9000"]);
        let text = init(&layout).expect("written");
        assert_eq!(
            names(&folder),
            if cfg!(feature = "lua") {
                &[
                    "jdserver.d/",
                    "jdserver.d/10-example.lua.disabled",
                    "jdserver.toml",
                    "static/",
                ][..]
            } else {
                &["jdserver.toml", "static/"][..]
            }
        );
        let file = folder.join("jdserver.toml");
        let settings = fs::read_to_string(&file).expect("written");
        assert!(settings.contains("\nport = 9000\n") && settings.contains("\ndata_dir = \".\"\n"));
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o007, 0, "secrets are not for all");
        assert!(text.contains("next:\n  jdserver -c "), "{text}");
        assert!(!text.contains("left "), "{text}");
        fs::write(&file, "port = 1\n").expect("written");
        let text = init(&layout).expect("nothing to do");
        let want = format!(
            "left {}: it is there already, and what was given here is not set",
            file.display()
        );
        assert!(text.contains(&want), "{text}");
        assert!(
            !text.contains("wrote ") && !text.contains("made "),
            "{text}"
        );
        assert_eq!(fs::read_to_string(&file).expect("there"), "port = 1\n");
        assert!(
            text.contains(" -d "),
            "an old file may not say where the data is: {text}"
        );
    }

    #[test]
    fn settings_elsewhere_have_no_pages_beside_them() {
        let dir = TestDir::new("init-etc");
        let (etc, data) = (dir.0.join("etc/jdserver"), dir.0.join("lib"));
        let file = etc.join("jdserver.toml");
        let paths = [&file, &data].map(|path| path.to_str().expect("UTF-8"));
        init(&layout(&["-c", paths[0], "-d", paths[1]])).expect("written");
        assert_eq!(names(&etc), ["jdserver.toml"]);
        let settings = fs::read_to_string(&file).expect("written");
        assert!(settings.contains(&format!("\ndata_dir = \"{}\"\n", paths[1])));
        assert!(!data.join("static").exists() && !data.join("jdserver.toml").exists());
    }

    #[test]
    fn nobody_is_led_elsewhere_and_errors_name_the_place() {
        let dir = TestDir::new("init-link");
        symlink("nowhere", dir.0.join("jdserver.toml")).expect("linked");
        let path = dir.0.to_str().expect("UTF-8");
        let text = init(&layout(&["-d", path])).expect("all but the link");
        assert!(
            text.contains("left ") && !dir.0.join("nowhere").exists(),
            "{text}"
        );
        fs::write(dir.0.join("file"), "").expect("written");
        let below = dir.0.join("file/data");
        let error = init(&layout(&["-d", below.to_str().expect("UTF-8")])).expect_err("no folder");
        assert!(
            error.contains("file/data: ")
                && error.contains("expected a folder that may be written"),
            "{error}"
        );
    }

    #[test]
    fn an_owner_may_read_and_write() {
        let dir = TestDir::new("init-owner");
        let own = fs::metadata(&dir.0).expect("there");
        let owner = Account {
            name: "me".to_owned(),
            uid: own.uid().into(),
            gid: own.gid().into(),
        };
        let data = dir.0.join("data");
        let written = write(
            &layout(&["-d", data.to_str().expect("UTF-8")]),
            Some(&owner),
        );
        assert!(!written.expect("written").settings_were_there);
        assert_eq!(fs::metadata(&data).expect("there").uid(), own.uid());
        // It is the owner's by now: links there lead nobody elsewhere.
        fs::remove_dir_all(data.join("jdserver.d")).ok();
        symlink(&dir.0, data.join("jdserver.d")).expect("linked");
        let written = write(
            &layout(&["-d", data.to_str().expect("UTF-8")]),
            Some(&owner),
        );
        assert!(
            written
                .expect("left")
                .lines
                .iter()
                .all(|line| line.starts_with("left "))
        );
        assert!(!dir.0.join("10-example.lua.disabled").exists());
    }

    #[test]
    fn paths_as_a_shell_takes_them() {
        for (path, want) in [
            ("/a/b-1.toml", "/a/b-1.toml"),
            ("/a b/'c'", r"'/a b/'\''c'\'''"),
        ] {
            assert_eq!(shell_word(Path::new(path)), want);
        }
    }

    #[test]
    #[cfg(feature = "lua")]
    fn the_example_loads() {
        use crate::message::plugin::PluginSources;
        use crate::plugin;
        use crate::settings::Settings;
        let source = include_bytes!("example.lua");
        let sources = PluginSources {
            plugins: vec![("jdserver.d/10-example.lua".into(), source[..].into())],
            modules: Vec::new(),
        };
        let zone = jiff::tz::TimeZone::UTC;
        let table = plugin::check(&Settings::default(), &sources, &zone).expect("it loads");
        assert_eq!(table.objects, ["Note".into()]);
    }
}
