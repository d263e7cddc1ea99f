//! Which database the settings name, or the environment. Opens nothing.

use std::path::Path;
use std::time::Duration;

use crate::settings::{DatabaseAt, Settings, database};
use crate::worker::database::connection::{Server, Target};

/// In the data folder, where nothing names another one.
pub(super) const DEFAULT_FILE: &str = "jdserver.db";

/// What the environment says where the settings say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `P_DB`
    pub database: Option<String>,
    /// `P_DBCRED`
    pub credentials: Option<String>,
}

/// The settings that databases depend on.
#[derive(Clone, PartialEq)]
pub struct DatabaseSettings {
    pub(super) target: Target,
    pub(super) timeout: Duration,
    /// Whoever asks is told all.
    pub(super) test_mode: bool,
}

impl DatabaseSettings {
    /// What the settings say, or else the environment, or else a file in the data folder.
    pub fn new(settings: &Settings, environment: &Environment, data_dir: &Path) -> Self {
        DatabaseSettings {
            target: target(settings, environment, data_dir).unwrap_or_else(Target::None),
            timeout: Duration::from_millis(settings.database_timeout_ms),
            test_mode: settings.test_mode,
        }
    }
}

fn target(
    settings: &Settings,
    environment: &Environment,
    data_dir: &Path,
) -> Result<Target, Box<str>> {
    let at = match (&settings.database, &environment.database) {
        (DatabaseAt::Unset, Some(text)) => text
            .parse()
            .map_err(|_| "the environment's P_DB: expected FILE.db, HOST:PORT/NAME or null")?,
        (at, _) => at.clone(),
    };
    Ok(match at {
        DatabaseAt::Nowhere => return Err("no database: P_DB is null".into()),
        DatabaseAt::Unset => Target::File(data_dir.join(DEFAULT_FILE)),
        DatabaseAt::File(path) => Target::File(data_dir.join(path)),
        DatabaseAt::Server { host, port, name } => {
            let given = settings.database_credentials.reveal();
            let given = match given.is_empty() {
                true => environment.credentials.as_deref().unwrap_or_default(),
                false => given,
            };
            let (user, password) = database::credentials(given)
                .map_err(|_| "P_DBCRED: expected USER:PASSWORD, or that in base64")?;
            Target::Server(Server {
                host,
                port,
                name,
                user,
                password,
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_then_the_environment_then_the_default() {
        let dir = Path::new("/data");
        let named = |rows: &[(&str, &str)], database: Option<&str>, credentials: Option<&str>| {
            let environment = Environment {
                database: database.map(str::to_owned),
                credentials: credentials.map(str::to_owned),
            };
            DatabaseSettings::new(&Settings::of(rows), &environment, dir).target
        };
        let file = |path: &str| Target::File(path.into());
        let null = Target::None("no database: P_DB is null".into());
        assert!(named(&[], None, None) == file("/data/jdserver.db"));
        assert!(named(&[], Some("x.db"), None) == file("/data/x.db"));
        assert!(named(&[("P_DB", "/y.db")], Some("x.db"), None) == file("/y.db"));
        assert!(named(&[("P_DB", "null")], Some("x.db"), None) == null);
        assert!(named(&[], Some("null"), None) == null);
        assert!(matches!(
            named(&[], Some("nonsense"), None),
            Target::None(_)
        ));
        assert!(matches!(
            named(&[("P_DB", "h/x")], None, None),
            Target::None(_)
        ));
        let server = |user: &str| {
            Target::Server(Server {
                host: "h".to_owned(),
                port: 3306,
                name: "x".to_owned(),
                user: user.to_owned(),
                password: "p".to_owned(),
            })
        };
        assert!(named(&[("P_DB", "h/x")], None, Some("env:p")) == server("env"));
        let both = [("P_DB", "h/x"), ("P_DBCRED", "file:p")];
        assert!(named(&both, None, Some("env:p")) == server("file"));
        assert_eq!(server("u").to_string(), "h:3306");
    }
}
