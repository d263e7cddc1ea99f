//! Reads the certificate and its key, at start and for a reload. What they are good for is
//! [`crate::proto::tls`]'s business.

use std::path::{Path, PathBuf};

use crate::limits::TLS_FILE_BYTES_MAX;
use crate::proto::tls::{self, TlsConfig, TlsError};
use crate::settings::Settings;
use crate::worker::regular;

/// What the settings name, `None` where they name none; relative paths are beside the settings file, in `dir`.
/// Errors: one line that names the setting and the file, what was wrong and what would be right.
pub fn load(settings: &Settings, dir: &Path) -> Result<Option<TlsConfig>, String> {
    let (certificate, key) = (settings.tls_cert.as_str(), settings.tls_key.as_str());
    if certificate.is_empty() {
        return if key.is_empty() {
            Ok(None)
        } else {
            Err("tls_key: there is no certificate to it; expected tls_cert too".to_owned())
        };
    }
    // A build without TLS says so first, whatever the files hold.
    if !cfg!(feature = "tls") {
        return Err(format!("tls_cert: {}", TlsError::Absent));
    }
    let certificate = Named::read("tls_cert", dir.join(certificate))?;
    let key = match key {
        "" => Named {
            setting: "tls_key (in tls_cert)",
            ..certificate.clone()
        },
        key => Named::read("tls_key", dir.join(key))?,
    };
    tls::config(&certificate.content, &key.content)
        .map(Some)
        .map_err(|error| match error {
            TlsError::Certificate(_) => certificate.error(error),
            _ => key.error(error),
        })
}

/// A file and the setting that names it.
#[derive(Clone)]
struct Named {
    setting: &'static str,
    path: PathBuf,
    content: Vec<u8>,
}

impl Named {
    fn read(setting: &'static str, path: PathBuf) -> Result<Self, String> {
        let (content, _) = regular::read(&path, TLS_FILE_BYTES_MAX).map_err(|error| {
            format!(
                "{setting}: {}: {error}; expected a PEM file that the daemon's user may read",
                path.display()
            )
        })?;
        Ok(Named {
            setting,
            path,
            content,
        })
    }

    fn error(&self, error: TlsError) -> String {
        format!("{}: {}: {error}", self.setting, self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[track_caller]
    fn check(dir: &TestDir, certificate: &str, key: &str, want: &str) {
        let settings = Settings::of(&[("tls_cert", certificate), ("tls_key", key)]);
        let said = match load(&settings, &dir.0) {
            Ok(None) => "none".to_owned(),
            Ok(Some(_)) => "some".to_owned(),
            Err(text) => text.replace(&dir.0.display().to_string(), "DIR"),
        };
        assert!(
            said.contains(want) && said.lines().count() == 1,
            "{certificate:?}, {key:?}: {said}"
        );
    }

    #[test]
    fn without_a_certificate_there_is_none() {
        let dir = TestDir::new("tls-none");
        check(&dir, "", "", "none");
        check(&dir, "", "key.pem", "expected tls_cert too");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_build_without_tls_says_so() {
        let dir = TestDir::new("tls-absent");
        check(&dir, "a.pem", "", "this build speaks no TLS");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn errors_name_setting_and_file() {
        let dir = TestDir::new("tls-files");
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let both = cert.pem() + &signing_key.serialize_pem();
        for (name, text) in [
            ("cert.pem", cert.pem()),
            ("key.pem", signing_key.serialize_pem()),
            ("both.pem", both),
            ("empty.pem", String::new()),
        ] {
            std::fs::write(dir.0.join(name), text).expect("written");
        }
        check(&dir, "cert.pem", "key.pem", "some");
        check(&dir, "both.pem", "", "some");
        check(
            &dir,
            "no.pem",
            "key.pem",
            "tls_cert: DIR/no.pem: No such file",
        );
        check(&dir, "cert.pem", ".", "tls_key: DIR/.: not a regular file");
        check(
            &dir,
            "empty.pem",
            "key.pem",
            "tls_cert: DIR/empty.pem: found no",
        );
        check(
            &dir,
            "cert.pem",
            "empty.pem",
            "tls_key: DIR/empty.pem: found no",
        );
        check(
            &dir,
            "cert.pem",
            "",
            "tls_key (in tls_cert): DIR/cert.pem: found no",
        );
    }
}
