use super::*;
use crate::settings::Settings;
use crate::test_dir::TestDir;
use nix::unistd::{Uid, getegid, geteuid};
use std::cell::{Cell, RefCell};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::rc::Rc;

/// A machine in a folder, with the binary where packages do not put it.
struct Machine {
    dir: TestDir,
    host: Host,
    /// What was run.
    ran: Rc<RefCell<Vec<String>>>,
}

/// Somebody to whom anyone may give files: this user, or where that is root, another one.
fn somebody(name: &str) -> Account {
    let uid = geteuid();
    Account {
        name: name.to_owned(),
        uid: if uid.is_root() {
            Uid::from_raw(65_534)
        } else {
            uid
        },
        gid: getegid(),
    }
}

impl Machine {
    /// Its user `www` is there; `jdserver` once it was made.
    fn new(name: &str) -> Self {
        let dir = TestDir::new(name);
        let ran = Rc::new(RefCell::new(Vec::new()));
        let is_made = Rc::new(Cell::new(false));
        let (runs, makes) = (Rc::clone(&ran), Rc::clone(&is_made));
        let host = Host {
            root: dir.0.clone(),
            is_root: true,
            binary: Ok(PathBuf::from("/usr/local/bin/jdserver")),
            run: Box::new(move |program, args| {
                runs.borrow_mut()
                    .push(format!("{program} {}", args.join(" ")));
                makes.set(makes.get() || program == "useradd");
                Ok(())
            }),
            account: Box::new(move |user| {
                let is_there = match user {
                    "jdserver" => is_made.get(),
                    "www" | "www:web" => true,
                    _ => false,
                };
                let name = user.split(':').next().unwrap_or_default();
                Ok(is_there.then(|| somebody(name)))
            }),
        };
        let machine = Machine { dir, host, ran };
        fs::create_dir_all(machine.path("/etc/systemd/system")).expect("made");
        machine.binary("/usr/local/bin/jdserver", 0o755);
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.host.path(path)
    }

    fn boots(&self) {
        fs::create_dir_all(self.path("/run/systemd/system")).expect("made");
    }

    fn binary(&self, path: &str, mode: u32) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    }

    fn unit(&self) -> String {
        fs::read_to_string(self.path(UNIT)).expect("a unit")
    }

    fn install(&self, user: &str) -> Result<String, String> {
        let mut settings = Settings::default();
        settings.user = user.to_owned();
        let service = Service::new(settings, Path::new("/"), &self.dir.0).expect("right");
        install(&self.host, &service)
    }

    fn ran(&self) -> Vec<String> {
        self.ran.take()
    }
}

#[test]
fn a_service_comes_with_its_user_and_settings_and_goes_without() {
    let machine = Machine::new("service");
    let text = machine.install("").expect("installed");
    let ran = machine.ran();
    assert_eq!(ran.len(), 1, "no systemd runs: {ran:?}");
    assert!(
        ran[0].starts_with("useradd --system ") && ran[0].ends_with(" jdserver"),
        "{ran:?}"
    );
    assert!(text.starts_with("made the user jdserver\n"), "{text}");
    assert!(text.contains("systemctl enable --now jdserver\n"), "{text}");
    let unit = machine.unit();
    assert!(unit.contains("\nExecStart=/usr/local/bin/jdserver -c /etc/jdserver/jdserver.toml\n"));
    assert!(unit.contains("\nUser=jdserver\n"));
    let settings = fs::read_to_string(machine.path(SERVICE_FILE)).expect("written");
    assert!(settings.contains("\ndata_dir = \"/var/lib/jdserver\"\n"));
    // Again: the settings are the administrator's by now, the unit is ours.
    fs::write(machine.path(SERVICE_FILE), "port = 1\n").expect("written");
    machine.boots();
    let text = machine.install("www:web").expect("installed anew");
    assert_eq!(machine.ran(), ["systemctl daemon-reload"]);
    assert!(
        text.contains("systemctl restart jdserver\n") && text.contains("left "),
        "{text}"
    );
    assert!(machine.unit().contains("\nUser=www\nGroup=web\n"));
    let settings = fs::read_to_string(machine.path(SERVICE_FILE)).expect("there");
    assert_eq!(settings, "port = 1\n");
    // Away.
    let text = remove(&machine.host).expect("removed");
    assert_eq!(
        machine.ran(),
        [
            "systemctl disable --now jdserver.service",
            "systemctl daemon-reload"
        ]
    );
    assert!(!machine.path(UNIT).exists());
    assert!(machine.path(SERVICE_FILE).exists() && machine.path(SERVICE_DATA).exists());
    for words in [
        "stopped the service",
        "left /etc/jdserver\n",
        "left /var/lib/jdserver\n",
        "left the user jdserver\n",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(remove(&machine.host).is_err_and(|text| text.starts_with("there is no ")));
}

#[test]
fn without_systemd_running_it_is_no_longer_enabled_either() {
    let machine = Machine::new("service-enabled");
    machine.install("www").expect("installed");
    let enabled = machine.path(ENABLED);
    fs::create_dir_all(enabled.parent().expect("a folder")).expect("made");
    symlink(UNIT, &enabled).expect("linked");
    let text = remove(&machine.host).expect("removed");
    assert!(!enabled.is_symlink() && !text.contains("stopped"), "{text}");
    assert_eq!(machine.ran(), [""; 0]);
}

#[test]
fn what_is_not_ours_stays() {
    let machine = Machine::new("service-other");
    fs::write(machine.path(UNIT), "[Unit]\n").expect("written");
    let error = machine.install("www").expect_err("somebody else's");
    assert!(error.contains("not ours"), "{error}");
    assert!(remove(&machine.host).is_err_and(|text| text.contains("not ours")));
    assert_eq!(machine.unit(), "[Unit]\n");
    // Masked: a link to nothing.
    fs::remove_file(machine.path(UNIT)).expect("removed");
    symlink("/dev/null", machine.path(UNIT)).expect("linked");
    assert!(
        machine
            .install("www")
            .is_err_and(|text| text.contains("not ours"))
    );
    fs::remove_file(machine.path(UNIT)).expect("removed");
    let packaged = machine.path(PACKAGED[1]);
    fs::create_dir_all(packaged.parent().expect("a folder")).expect("made");
    fs::write(packaged, "").expect("written");
    assert!(
        machine
            .install("www")
            .is_err_and(|text| text.contains("a package"))
    );
    assert!(!machine.path(SERVICE_FILE).exists() && machine.ran().is_empty());
}

#[track_caller]
fn check_refused(machine: &Machine, user: &str, words: [&str; 2]) {
    let error = machine.install(user).expect_err("refused");
    assert!(words.iter().all(|words| error.contains(words)), "{error}");
    assert!(!machine.path(UNIT).exists());
}

#[test]
fn what_cannot_be_a_service() {
    let mut machine = Machine::new("service-refused");
    check_refused(
        &machine,
        "nobody-here",
        ["there is no nobody-here", "useradd --system"],
    );
    for (path, words) in [
        (
            "/home/u/jdserver",
            ["does not see /home", "install jdserver"],
        ),
        ("/tmp/jdserver", ["does not see /tmp", "install jdserver"]),
        (
            "/opt/gone",
            ["not every user may use /opt/gone", "expected the binary"],
        ),
        ("/opt/a$b", ["cannot hold that path", "simpler"]),
    ] {
        if !path.ends_with("gone") {
            machine.binary(path, 0o755);
        }
        machine.host.binary = Ok(PathBuf::from(path));
        check_refused(&machine, "www", words);
    }
    machine.binary("/opt/own", 0o700);
    machine.host.binary = Ok(PathBuf::from("/opt/own"));
    check_refused(&machine, "www", ["not every user", "expected the binary"]);
    machine.host.binary = Err("gone".to_owned());
    check_refused(&machine, "www", ["gone", ""]);
    machine.host.is_root = false;
    check_refused(
        &machine,
        "www",
        ["only root may", "sudo jdserver --install-service"],
    );
    assert!(remove(&machine.host).is_err_and(|text| text.contains("sudo")));
}

#[test]
fn root_is_no_user_for_a_service_and_a_machine_without_systemd_no_place() {
    let mut machine = Machine::new("service-root");
    machine.host.account = Box::new(|_| {
        Ok(Some(Account {
            uid: Uid::from_raw(0),
            ..somebody("root")
        }))
    });
    check_refused(&machine, "root", ["may do less than root", ""]);
    fs::remove_dir_all(machine.path("/etc/systemd")).expect("removed");
    check_refused(&machine, "www", ["expected a machine with systemd", ""]);
}
