//! A real MariaDB in a folder of its own, on a free port of 127.0.0.1; it ends with its test. Never its service, nor
//! its files in `/etc` or `/var`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::program::program;
use crate::common::server::Folder;
use crate::common::wait_for;

/// Who may do anything in database `jdtest`; with a colon in the password.
pub const CREDENTIALS: &str = "demo:demo:123";

/// A running server.
pub struct MariaDb {
    binary: PathBuf,
    folder: Folder,
    port: u16,
    child: Option<Child>,
}

/// Small, and without a thought for a power cut.
const OPTIONS: [&str; 7] = [
    "--no-defaults",
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=8M",
    "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--aria-log-file-size=8M",
];

impl MariaDb {
    /// A new one. `None`: there is no MariaDB here, which was said.
    #[track_caller]
    pub fn start() -> Option<Self> {
        let binary = program("mariadbd")?;
        let installer = program("mariadb-install-db")?;
        let folder = Folder::new();
        let installed = Command::new(installer)
            .args(OPTIONS)
            .arg(format!("--datadir={}", folder.0.join("data").display()))
            .args(["--skip-test-db", "--auth-root-authentication-method=normal"])
            .args(as_root())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&installed.stdout);
        assert!(installed.status.success(), "{said}");
        fs::write(
            folder.0.join("init.sql"),
            "CREATE DATABASE IF NOT EXISTS jdtest CHARACTER SET utf8mb4;\n\
             CREATE USER IF NOT EXISTS demo@'%' IDENTIFIED BY 'demo:123';\n\
             GRANT ALL ON jdtest.* TO demo@'%';\n",
        )
        .expect("file");
        let mut server = MariaDb {
            binary,
            folder,
            port: 0,
            child: None,
        };
        server.run();
        Some(server)
    }

    /// As `P_DB` names its database.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}/jdtest", self.port)
    }

    /// Ends it and starts it anew, at the same port.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    #[track_caller]
    fn run(&mut self) {
        // Someone else may take the port between its choice and its use.
        for _ in 0..5 {
            if self.port == 0 {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                self.port = listener.local_addr().expect("an address").port();
            }
            let dir = self.folder.0.display();
            let child = Command::new(&self.binary)
                .args(OPTIONS)
                .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
                .args(as_root())
                .arg(format!("--port={}", self.port))
                .arg(format!("--datadir={dir}/data"))
                .arg(format!("--socket={dir}/s"))
                .arg(format!("--pid-file={dir}/pid"))
                .arg(format!("--init-file={dir}/init.sql"))
                .arg(format!("--log-error={dir}/error.log"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            let child = self.child.insert(child);
            let port = self.port;
            let serves = wait_for("MariaDB to serve or to end", || {
                match child.try_wait().expect("own child") {
                    Some(_) => Some(false),
                    None => TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                        .ok()
                        .map(|_| true),
                }
            });
            if serves {
                return;
            }
            self.port = 0;
        }
        let said = fs::read_to_string(self.folder.0.join("error.log")).unwrap_or_default();
        panic!("it ended at start: {said}");
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.stop();
    }
}

/// It will not run as root unless told.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}
