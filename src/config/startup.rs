//! From arguments and file to what the daemon starts with. Reads the settings file and looks at
//! the folders named; changes nothing.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use getopts::Matches;

use crate::config::layout::{Layout, SERVICE_FILE, Service};
use crate::config::{FILE_NAME, completions, man, options};
#[cfg(feature = "lua")]
use crate::plugin;
use crate::proto::tls::TlsConfig;
use crate::settings::{Listen, Origin, Settings};
use crate::worker;
#[cfg(feature = "lua")]
use crate::zone;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Run(Box<Startup>),
    /// The settings are right; the text says what they are.
    Check(String),
    /// Show the help, the manual page or what a shell completes by.
    Help(String),
    /// Show the version.
    Version,
    /// Write what a start needs.
    Init(Box<Layout>),
    /// Make it a service of this machine.
    InstallService(Box<Service>),
    /// Undo that.
    RemoveService,
}

/// All that a start needs, valid as far as can be known without opening a socket.
#[derive(Debug)]
pub struct Startup {
    /// All values; paths here are as they were written, below they are resolved.
    pub settings: Settings,
    /// Where to listen, at least one; the paths of Unix sockets are resolved.
    pub listeners: Vec<Listen>,
    /// An existing folder.
    pub data_dir: PathBuf,
    /// The server's own log; `None` is standard error.
    pub log_file: Option<PathBuf>,
    /// An existing folder, whose files go before the pages in the binary.
    pub static_dir: Option<PathBuf>,
    /// Who to become once the listeners are open; empty for nobody else.
    pub user: String,
    /// Where the process's number is to be found.
    pub pid_file: Option<PathBuf>,
    /// The file that was read.
    pub config_file: Option<PathBuf>,
    /// The certificate that the settings name, and its key.
    pub tls: Option<TlsConfig>,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

/// Where files are looked for.
struct Places<'a> {
    working_dir: &'a Path,
    etc_dir: &'a Path,
}

/// Reads the arguments (without the program's name) and the settings file. Errors: one line for
/// standard error, what was wrong and what would be right, `jdserver: ` before it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let places = Places {
        working_dir: Path::new("."),
        etc_dir: Path::new("/etc/jdserver"),
    };
    parse_in(args, &places).map_err(|text| format!("jdserver: {text}"))
}

fn parse_in(
    args: impl IntoIterator<Item = OsString>,
    places: &Places<'_>,
) -> Result<Command, String> {
    let args = args
        .into_iter()
        .map(OsString::into_string)
        .collect::<Result<Vec<_>, _>>();
    let args =
        args.map_err(|arg| format!("{}: expected UTF-8", options::shown(&arg.to_string_lossy())))?;
    let matches = options::split(&args)?;
    if matches.opt_present("help") {
        return Ok(Command::Help(options::help()));
    }
    if matches.opt_present("version") {
        return Ok(Command::Version);
    }
    if matches.opt_present("man") {
        return Ok(Command::Help(man::page()));
    }
    if let Some(shell) = matches.opt_str("completions") {
        return completions::script(&shell).map(Command::Help);
    }
    let mut settings = Settings::default();
    // First, so that its mistakes are told even if the file has some too.
    options::apply(&matches, &mut settings)?;
    if let Some(command) = installs(&matches, &settings, places.working_dir)? {
        return Ok(command);
    }
    let config_file = match matches.opt_str("config") {
        Some(path) => Some(places.working_dir.join(path)),
        None => find_file(places),
    };
    let values = worker::settings::load(config_file.as_deref())?;
    let mut settings = Settings::default();
    values.apply(&mut settings);
    options::apply(&matches, &mut settings)?;
    let startup = resolve(settings, config_file, places)?;
    if matches.opt_present("test") {
        check_plugins(&startup)?;
        return Ok(Command::Check(report(&startup)));
    }
    Ok(Command::Run(Box::new(startup)))
}

/// What is done instead of serving and leaves something behind.
fn installs(
    matches: &Matches,
    settings: &Settings,
    working_dir: &Path,
) -> Result<Option<Command>, String> {
    let names = ["init", "install-service", "remove-service"];
    let mut asked = names.into_iter().filter(|name| matches.opt_present(name));
    let Some(name) = asked.next() else {
        return Ok(None);
    };
    if let Some(other) = asked.next() {
        return Err(format!("--{name}: expected no --{other} beside it"));
    }
    if name != "init" && matches.opts_present(&["config".to_owned(), "data".to_owned()]) {
        return Err(format!(
            "--{name}: expected neither -c nor -d beside it: the service's settings are in {SERVICE_FILE}"
        ));
    }
    let settings = settings.clone();
    Ok(Some(match name {
        "init" => Command::Init(Box::new(Layout::of_init(matches, settings, working_dir)?)),
        "install-service" => {
            let service = Service::new(settings, working_dir, Path::new("/"))?;
            Command::InstallService(Box::new(service))
        }
        _ => Command::RemoveService,
    }))
}

/// Plugins that do not load are an error of the check, as they are at a start.
#[cfg(feature = "lua")]
fn check_plugins(startup: &Startup) -> Result<(), String> {
    let sources = worker::plugin_files::read(&startup.data_dir)?;
    if !sources.plugins.is_empty() {
        plugin::check(&startup.settings, &sources, &zone::local())?;
    }
    Ok(())
}

/// There are none in this build.
#[cfg(not(feature = "lua"))]
fn check_plugins(_: &Startup) -> Result<(), String> {
    Ok(())
}

/// The settings file where none is named. One that cannot be read is found too: it is an error then.
fn find_file(places: &Places<'_>) -> Option<PathBuf> {
    let candidates = [
        places.working_dir.join(FILE_NAME),
        places.etc_dir.join(FILE_NAME),
    ];
    candidates
        .into_iter()
        .find(|path| match path.symlink_metadata() {
            Ok(_) => true,
            // Any other error hides what may be there: it is told when the file is read.
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        })
}

fn resolve(
    settings: Settings,
    config_file: Option<PathBuf>,
    places: &Places<'_>,
) -> Result<Startup, String> {
    let config_dir = config_file
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(places.working_dir);
    let base = |name: &str| {
        if settings.origin(name) == Origin::CommandLine {
            places.working_dir
        } else {
            config_dir
        }
    };
    let data_dir = match settings.data_dir.as_str() {
        "" => places.working_dir.to_owned(),
        path => base("data_dir").join(path),
    };
    check_folder(&data_dir, "data_dir")?;
    let log_file = match settings.log_file.as_str() {
        "" => None,
        path => Some(base("log_file").join(path)),
    };
    if let Some(folder) = log_file.as_deref().and_then(Path::parent) {
        check_folder(folder, "log_file")?;
    }
    let pid_file = match settings.pid_file.as_str() {
        "" => None,
        path => Some(base("pid_file").join(path)),
    };
    let static_dir = match settings.static_dir.as_str() {
        "" => Some(config_dir.join("static")).filter(|path| path.is_dir()),
        path => {
            let path = base("static_dir").join(path);
            check_folder(&path, "static_dir")?;
            Some(path)
        }
    };
    let listeners = listeners(&settings, base("unix"), base("listen"));
    let tls = worker::tls::load(&settings, config_dir)?;
    if tls.is_none()
        && let Some(listen) = listeners
            .iter()
            .find(|listen| matches!(listen, Listen::Tls(_)))
    {
        return Err(format!(
            "listen: {listen} needs a certificate; expected tls_cert and tls_key in {FILE_NAME}"
        ));
    }
    let warnings = warning(&settings, &listeners).into_iter().collect();
    Ok(Startup {
        listeners,
        data_dir,
        log_file,
        static_dir,
        user: settings.user.clone(),
        pid_file,
        config_file,
        tls,
        warnings,
        settings,
    })
}

fn check_folder(path: &Path, name: &str) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    Err(format!(
        "{name}: {} is no folder; expected one that exists, e.g. after: mkdir -p {0}",
        path.display()
    ))
}

/// `listen` goes before `port` and `all`, but a port on the command line before `listen` in the file.
fn listeners(settings: &Settings, unix_base: &Path, listen_base: &Path) -> Vec<Listen> {
    let is_given = |name| settings.origin(name) == Origin::CommandLine;
    let port_is_given = is_given("port") || is_given("all");
    let mut listeners = Vec::new();
    if settings.listen.is_empty() || port_is_given {
        let address = if settings.all {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        listeners.push(Listen::Tcp(SocketAddr::new(
            IpAddr::V4(address),
            settings.port,
        )));
    }
    let within =
        |base: &Path, path: &str| Listen::Unix(base.join(path).to_string_lossy().into_owned());
    if is_given("listen") || !port_is_given {
        listeners.extend(settings.listen.iter().map(|listen| match listen {
            Listen::Unix(path) => within(listen_base, path),
            listen => listen.clone(),
        }));
    }
    if !settings.unix.is_empty() {
        listeners.push(within(unix_base, &settings.unix));
    }
    listeners
}

/// Open to other machines without a token: contract 6 lets it be, and says so.
fn warning(settings: &Settings, listeners: &[Listen]) -> Option<String> {
    let open = listeners.iter().find(|listen| !listen.is_local())?;
    settings.token.is_empty().then(|| {
        format!("listening on {open} without a token: whoever reaches it may push and change settings; set token in {FILE_NAME}, or listen on 127.0.0.1")
    })
}

fn report(startup: &Startup) -> String {
    let or = |path: &Option<PathBuf>, none: &str| {
        path.as_ref()
            .map_or(none.to_owned(), |path| path.display().to_string())
    };
    let listeners: Vec<_> = startup.listeners.iter().map(Listen::to_string).collect();
    let mut text = format!(
        "settings: {}\nlisten: {}\ndata: {}\nlog: {}\nstatic files: {}\n",
        or(&startup.config_file, "no file, defaults"),
        listeners.join(", "),
        startup.data_dir.display(),
        or(&startup.log_file, "standard error"),
        or(&startup.static_dir, "pages in the binary"),
    );
    for (name, _, value) in Settings::default().diff(&startup.settings) {
        text.push_str(&format!("{name} = {value}\n"));
    }
    for warning in &startup.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str("all settings are right\n");
    text
}

#[cfg(test)]
mod tests;
