//! Reads the sources of all plugins, at start and for a reload. Never runs them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::limits::{
    PLUGIN_FILE_BYTES_MAX, PLUGIN_FILES_MAX, PLUGIN_FOLDER_DEPTH_MAX, PLUGIN_SOURCE_BYTES_MAX,
};
use crate::message::plugin::PluginSources;
use crate::worker::regular;

/// Files in the data folder that are loaded first, in this order.
const FIRST: [&str; 2] = ["api.lua", "api.user.lua"];
/// The folder of the others.
const FOLDER: &str = "jdserver.d";

type Source = (Box<str>, Box<[u8]>);

/// What there is in the data folder; nothing is no error. Errors: one line that names the file and what is wrong.
pub fn read(data_dir: &Path) -> Result<PluginSources, String> {
    let mut reader = Reader {
        files: 0,
        bytes: 0,
        modules: Vec::new(),
    };
    let mut plugins = Vec::new();
    for name in FIRST {
        plugins.extend(reader.file(data_dir, name)?);
    }
    let folder = data_dir.join(FOLDER);
    for name in entries(&folder).map_err(|error| wrong(&folder, &error))? {
        if folder.join(&name).is_dir() {
            reader.folder(&folder, &name, 1)?;
        } else if name.ends_with(".lua") {
            let name = format!("{FOLDER}/{name}");
            plugins.extend(reader.file(data_dir, &name)?);
        }
    }
    Ok(PluginSources {
        plugins,
        modules: reader.modules,
    })
}

/// Names in a folder, sorted; none where there is no such folder. Hidden ones are left out, and what is no UTF-8.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Reader {
    files: usize,
    bytes: usize,
    modules: Vec<Source>,
}

impl Reader {
    /// One file by its path below `base`; `None` where there is none.
    fn file(&mut self, base: &Path, name: &str) -> Result<Option<Source>, String> {
        let path = base.join(name);
        let content = match regular::read(&path, PLUGIN_FILE_BYTES_MAX) {
            Ok((content, _)) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&path, &error)),
        };
        self.files += 1;
        self.bytes += content.len();
        if self.files > PLUGIN_FILES_MAX || self.bytes > PLUGIN_SOURCE_BYTES_MAX {
            return Err(format!(
                "{}: too many plugins: expected at most {PLUGIN_FILES_MAX} files of {} MiB together",
                path.display(),
                PLUGIN_SOURCE_BYTES_MAX >> 20
            ));
        }
        Ok(Some((name.into(), content.into())))
    }

    /// The modules of one folder and those in it.
    fn folder(&mut self, base: &Path, name: &str, depth: usize) -> Result<(), String> {
        let folder = base.join(name);
        if depth > PLUGIN_FOLDER_DEPTH_MAX {
            let deep = format!("folders more than {PLUGIN_FOLDER_DEPTH_MAX} deep");
            return Err(format!("{}: {deep}", folder.display()));
        }
        for entry in entries(&folder).map_err(|error| wrong(&folder, &error))? {
            let name = format!("{name}/{entry}");
            if base.join(&name).is_dir() {
                self.folder(base, &name, depth + 1)?;
            } else if name.ends_with(".lua") {
                let module = self.file(base, &name)?;
                self.modules.extend(module);
            }
        }
        Ok(())
    }
}

fn wrong(path: &Path, error: &io::Error) -> String {
    format!(
        "{}: {error}; expected a plugin that can be read",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn names(sources: &[Source]) -> Vec<&str> {
        sources.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn plugins_come_in_their_order_and_modules_by_their_path() {
        let dir = TestDir::new("plugin-files");
        assert_eq!(read(&dir.0), Ok(PluginSources::default()));
        fs::create_dir_all(dir.0.join("jdserver.d/lib/deep")).expect("made");
        for (name, text) in [
            ("jdserver.d/20-b.lua", "b"),
            ("jdserver.d/10-a.lua", "a"),
            ("jdserver.d/10-a.lua.disabled", "x"),
            ("jdserver.d/.hidden.lua", "x"),
            ("jdserver.d/lib/util.lua", "u"),
            ("jdserver.d/lib/deep/x.lua", "d"),
            ("api.user.lua", "user"),
            ("api.lua", "api"),
        ] {
            fs::write(dir.0.join(name), text).expect("written");
        }
        let sources = read(&dir.0).expect("all can be read");
        assert_eq!(
            names(&sources.plugins),
            [
                "api.lua",
                "api.user.lua",
                "jdserver.d/10-a.lua",
                "jdserver.d/20-b.lua"
            ]
        );
        assert_eq!(names(&sources.modules), ["lib/deep/x.lua", "lib/util.lua"]);
        assert_eq!(&*sources.plugins[2].1, b"a");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = TestDir::new("plugin-files-bad");
        let path = dir.0.join("api.lua");
        fs::create_dir(&path).expect("made");
        let error = read(&dir.0).expect_err("a folder");
        assert!(error.contains("api.lua: "), "{error}");
        fs::remove_dir(&path).expect("removed");
        fs::write(&path, vec![b' '; PLUGIN_FILE_BYTES_MAX as usize + 1]).expect("written");
        assert!(read(&dir.0).is_err());
        fs::remove_file(&path).expect("removed");
        let mut deep = dir.0.join(FOLDER);
        for _ in 0..=PLUGIN_FOLDER_DEPTH_MAX {
            deep = deep.join("d");
        }
        fs::create_dir_all(&deep).expect("made");
        assert!(read(&dir.0).is_err());
    }
}
