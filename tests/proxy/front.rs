//! A real proxy in a folder of its own, on a free port; it ends with its test. Never its service, nor its files in `/etc`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::common::http::{Answer, Conn, ask_port};
use crate::common::program::program;
use crate::common::server::Folder;
use crate::common::wait_for;
use crate::common::websocket::Ws;

/// A running proxy.
pub struct Front {
    child: Child,
    port: u16,
    folder: Folder,
}

/// A port that nobody has at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl Front {
    /// Apache with what its users load for jdserver, and `lines` in its one virtual host, whose pages, in `FOLDER`,
    /// have this `.htaccess`. `None`: there is no Apache.
    #[track_caller]
    pub fn apache(lines: &str, htaccess: &str) -> Option<Self> {
        const MODULES: [&str; 6] = [
            "mpm_event",
            "authz_core",
            "rewrite",
            "proxy",
            "proxy_http",
            "proxy_wstunnel",
        ];
        let binary = program("apache2")?;
        let start = |folder: &Folder, port: u16| {
            let dir = folder.0.display();
            let www = folder.0.join("www");
            fs::create_dir_all(&www).expect("folder");
            fs::write(www.join(".htaccess"), htaccess).expect("file");
            let modules: String = MODULES
                .iter()
                .map(|name| {
                    format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
                })
                .collect();
            let lines = lines.replace("FOLDER", &format!("{dir}/www"));
            let config = format!(
                "{modules}ServerRoot {dir}\nPidFile {dir}/pid\nDefaultRuntimeDir {dir}\nErrorLog {dir}/error.log\n\
                 User nobody\nGroup nogroup\nServerName localhost\nListen 127.0.0.1:{port}\n\
                 <VirtualHost *:{port}>\nDocumentRoot {dir}/www\n<Directory {dir}/www>\nAllowOverride All\n\
                 Options FollowSymLinks\nRequire all granted\n</Directory>\n{lines}\n</VirtualHost>\n"
            );
            let file = folder.0.join("apache.conf");
            fs::write(&file, config).expect("file");
            // One process: nothing stays behind where a test is killed.
            let mut command = Command::new(&binary);
            command.arg("-X").arg("-f").arg(file);
            command
        };
        Some(Self::start(start))
    }

    /// nginx with `lines` in its `http` section; `PORT` there is where to listen. `None`: there is no nginx.
    #[track_caller]
    pub fn nginx(lines: &str) -> Option<Self> {
        let binary = program("nginx")?;
        let start = |folder: &Folder, port: u16| {
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|kind| format!("{kind}_temp_path {kind};\n"))
                .collect();
            let lines = lines.replace("PORT", &port.to_string());
            let config = format!(
                "daemon off;\nmaster_process off;\npid pid;\nerror_log error.log;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}{lines}\n}}\n"
            );
            let file = folder.0.join("nginx.conf");
            fs::write(&file, config).expect("file");
            let mut command = Command::new(&binary);
            command
                .arg("-p")
                .arg(&folder.0)
                .arg("-e")
                .arg(folder.0.join("error.log"))
                .arg("-c")
                .arg(file);
            command
        };
        Some(Self::start(start))
    }

    #[track_caller]
    fn start(command: impl Fn(&Folder, u16) -> Command) -> Self {
        let mut said = String::new();
        // Someone else may take the port between its choice and its use.
        for _ in 0..5 {
            let folder = Folder::new();
            let port = free_port();
            let mut command = command(&folder, port);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = command.spawn().expect("the proxy starts");
            let mut front = Self {
                child,
                port,
                folder,
            };
            let serves = wait_for("the proxy to serve or to end", || {
                if front.child.try_wait().expect("own child").is_some() {
                    return Some(false);
                }
                TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                    .ok()
                    .map(|_| true)
            });
            if serves {
                return front;
            }
            said = fs::read_to_string(front.folder.0.join("error.log")).unwrap_or_default();
        }
        panic!("the proxy ended at start: {said}");
    }

    /// Asks once through it.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        ask_port(self.port, method, target, headers, body)
    }

    /// The body of the answer to a GET, which must be a 200.
    #[track_caller]
    pub fn get(&self, target: &str) -> String {
        let answer = self.ask("GET", target, "", "");
        assert_eq!(answer.status, 200, "GET {target}: {answer:?}");
        answer.text()
    }

    /// The body of the answer to a POST of a form, which must be a 200.
    #[track_caller]
    pub fn post(&self, target: &str, form: &str) -> String {
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = self.ask("POST", target, kind, form);
        assert_eq!(answer.status, 200, "POST {target}: {answer:?}");
        answer.text()
    }

    /// A connection to it.
    pub fn connect(&self) -> Conn {
        Conn::open_port(self.port)
    }

    /// A WebSocket through it.
    #[track_caller]
    pub fn websocket(&self, path: &str, headers: &str) -> Ws {
        Ws::upgrade(self.connect(), path, headers)
            .unwrap_or_else(|answer| panic!("refused: {answer:?}"))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.0.join("error.log"));
            eprintln!("the proxy said: {}", log.unwrap_or_default());
        }
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
