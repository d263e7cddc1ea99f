//! What `--init` and `--install-service` are to make: where, and which settings go into the file. Changes nothing.

use std::path::{Path, PathBuf};

use getopts::Matches;

use crate::config::FILE_NAME;
use crate::settings::{Listen, Origin, Settings};

/// The service's settings file.
pub const SERVICE_FILE: &str = "/etc/jdserver/jdserver.toml";
/// The service's data folder.
pub const SERVICE_DATA: &str = "/var/lib/jdserver";
/// The user that the service runs as, where none is named.
pub const SERVICE_USER: &str = "jdserver";

/// The places and the content of a new installation.
#[derive(Debug)]
pub struct Layout {
    /// What the command line says; those values are set in the new file. Paths are absolute.
    pub settings: Settings,
    /// The settings file.
    pub config_file: PathBuf,
    /// The folder of data and plugins.
    pub data_dir: PathBuf,
}

/// What `--install-service` is to install.
#[derive(Debug)]
pub struct Service {
    /// Its settings and folders.
    pub layout: Layout,
    /// `NAME` or `NAME:GROUP`.
    pub user: String,
    /// That user is the usual one: it may be made.
    pub user_may_be_new: bool,
}

impl Layout {
    /// For `--init`: the data folder is `-d`, else the working directory; the file is `-c`, else there.
    pub(super) fn of_init(
        matches: &Matches,
        mut settings: Settings,
        working_dir: &Path,
    ) -> Result<Self, String> {
        let data_dir = working_dir.join(&settings.data_dir);
        let config_file = match matches.opt_str("config") {
            Some(path) => working_dir.join(path),
            None => data_dir.join(FILE_NAME),
        };
        if settings.origin("data_dir") == Origin::CommandLine
            && config_file.parent() == Some(data_dir.as_path())
        {
            // The two may be moved together.
            say(&mut settings, "data_dir", ".")?;
        }
        make_absolute(&mut settings, working_dir)?;
        Ok(Layout {
            settings,
            config_file,
            data_dir,
        })
    }
}

impl Service {
    /// For `--install-service`, with its paths below `root`, which is `/` but in tests.
    pub(crate) fn new(
        mut settings: Settings,
        working_dir: &Path,
        root: &Path,
    ) -> Result<Self, String> {
        let user = std::mem::take(&mut settings.user);
        // The unit says it; in the file it would be one user that becomes another.
        settings
            .set("user", "", Origin::Default)
            .map_err(|error| error.to_string())?;
        let user_may_be_new = user.is_empty();
        say(&mut settings, "data_dir", SERVICE_DATA)?;
        make_absolute(&mut settings, working_dir)?;
        let within = |path: &str| root.join(path.trim_start_matches('/'));
        Ok(Service {
            layout: Layout {
                settings,
                config_file: within(SERVICE_FILE),
                data_dir: within(SERVICE_DATA),
            },
            user: if user_may_be_new {
                SERVICE_USER.to_owned()
            } else {
                user
            },
            user_may_be_new,
        })
    }
}

fn say(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let set = settings.set(name, value, Origin::CommandLine);
    set.map_err(|error| error.to_string())
}

/// On the command line a path is beside the working directory, in the file beside the file.
fn make_absolute(settings: &mut Settings, working_dir: &Path) -> Result<(), String> {
    let absolute = |path: &str| {
        let path = std::path::absolute(working_dir.join(path));
        let path = path.map_err(|error| format!("the working directory: {error}"))?;
        path.into_os_string()
            .into_string()
            .map_err(|path| format!("{}: expected UTF-8", path.to_string_lossy()))
    };
    for (name, path) in [
        ("data_dir", settings.data_dir.clone()),
        ("log_file", settings.log_file.clone()),
        ("unix", settings.unix.clone()),
    ] {
        if settings.origin(name) == Origin::CommandLine && path != "." {
            say(settings, name, &absolute(&path)?)?;
        }
    }
    for listen in &mut settings.listen {
        if let Listen::Unix(path) = listen {
            *path = absolute(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[track_caller]
    fn matches_of(args: &[&str]) -> (Matches, Settings) {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let matches = options::split(&args).expect("right");
        let mut settings = Settings::default();
        options::apply(&matches, &mut settings).expect("right");
        (matches, settings)
    }

    /// `want`: the file, the data folder, and `data_dir` as the file says it.
    #[track_caller]
    fn check(args: &[&str], want: [&str; 3]) {
        let (matches, settings) = matches_of(args);
        let layout = Layout::of_init(&matches, settings, Path::new("/w")).expect("right");
        let got = [
            layout.config_file.to_str().expect("UTF-8"),
            layout.data_dir.to_str().expect("UTF-8"),
            &layout.settings.data_dir,
        ];
        assert_eq!(got.map(|path| path.trim_end_matches('/')), want, "{args:?}");
    }

    #[test]
    fn the_file_is_in_the_data_folder_or_where_it_is_said() {
        check(&["--init"], ["/w/jdserver.toml", "/w", ""]);
        check(&["--init", "-d", "x"], ["/w/x/jdserver.toml", "/w/x", "."]);
        check(
            &["--init", "-d", "x", "-c", "x/jdserver.toml"],
            ["/w/x/jdserver.toml", "/w/x", "."],
        );
        check(&["--init", "-c", "/etc/j.toml"], ["/etc/j.toml", "/w", ""]);
        check(
            &["--init", "-c", "/etc/j.toml", "-d", "x"],
            ["/etc/j.toml", "/w/x", "/w/x"],
        );
        check(
            &["--init", "-c", "j.toml", "-d", "/var/lib/j"],
            ["/w/j.toml", "/var/lib/j", "/var/lib/j"],
        );
    }

    #[test]
    fn paths_become_absolute_and_other_values_stay() {
        let (_, settings) = matches_of(&[
            "--init",
            "-l",
            "own.log",
            "--unix",
            "a.sock",
            "--listen",
            "unix:b.sock",
            "-p",
            "9",
        ]);
        let (matches, _) = matches_of(&["--init"]);
        let layout = Layout::of_init(&matches, settings, Path::new("/w")).expect("right");
        let settings = layout.settings;
        assert_eq!(
            (settings.log_file.as_str(), settings.unix.as_str()),
            ("/w/own.log", "/w/a.sock")
        );
        assert_eq!(settings.listen, [Listen::Unix("/w/b.sock".to_owned())]);
        assert_eq!(settings.port, 9);
    }

    #[test]
    fn a_service_has_a_user_that_its_file_does_not_name() {
        for (args, user, may_be_new) in [
            (&["--install-service"][..], "jdserver", true),
            (
                &["--install-service", "--user", "www:web"],
                "www:web",
                false,
            ),
        ] {
            let (_, settings) = matches_of(args);
            let service = Service::new(settings, Path::new("."), Path::new("/r")).expect("right");
            assert_eq!(
                (service.user.as_str(), service.user_may_be_new),
                (user, may_be_new)
            );
            let text = service.layout.settings.template();
            assert!(
                text.contains("\ndata_dir = \"/var/lib/jdserver\"\n"),
                "{text}"
            );
            assert!(text.contains("\n#user = "), "{text}");
            assert_eq!(
                service.layout.config_file,
                Path::new("/r/etc/jdserver/jdserver.toml")
            );
            assert_eq!(service.layout.data_dir, Path::new("/r/var/lib/jdserver"));
        }
    }
}
