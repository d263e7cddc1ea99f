//! sd_notify(3), with a socket of our own in the manager's place.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::common::WAIT;
use crate::common::server::Folder;
use crate::{Started, jdserver};

struct Manager(UnixDatagram);

impl Manager {
    /// The next message; `None` if none comes within `wait`.
    fn next(&self, wait: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(wait)).expect("timeout");
        let mut buffer = [0; 512];
        let n = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..n]).into_owned())
    }

    /// The next message that is not the watchdog's.
    #[track_caller]
    fn state(&self) -> String {
        loop {
            let message = self.next(WAIT).expect("a message");
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

fn start(folder: &Folder, watchdog_us: Option<&str>) -> (Manager, Started) {
    let path = folder.0.join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("bound"));
    std::fs::write(folder.0.join("jdserver.toml"), "").expect("written");
    let mut command = jdserver(&folder.0);
    command.env("NOTIFY_SOCKET", path);
    if let Some(us) = watchdog_us {
        command.env("WATCHDOG_USEC", us);
    }
    let (started, _) = Started::wait(&mut command);
    (manager, started)
}

#[test]
fn ready_reloading_stopping() {
    let folder = Folder::new();
    let (manager, mut started) = start(&folder, None);
    let ready = manager.state();
    assert!(
        ready.starts_with("READY=1\nSTATUS=serving on http://127.0.0.1:"),
        "{ready}"
    );
    // Well or not: the manager waits for either.
    for settings in ["", "max_rate = 'x'\n"] {
        std::fs::write(folder.0.join("jdserver.toml"), settings).expect("written");
        started.signal("HUP");
        let reloading = manager.state();
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(manager.state(), "READY=1");
    }
    started.signal("TERM");
    assert_eq!(manager.state(), "STOPPING=1\nSTATUS=stopping");
    assert!(started.0.wait().expect("own child").success());
}

#[test]
fn the_watchdog_hears_of_a_loop_that_turns_and_of_no_other() {
    let folder = Folder::new();
    let (manager, started) = start(&folder, Some("200000"));
    for _ in 0..3 {
        while manager.next(WAIT).expect("a sign of life") != "WATCHDOG=1" {}
    }
    started.signal("STOP");
    while manager.next(Duration::from_millis(500)).is_some() {}
    started.signal("CONT");
    assert_eq!(manager.next(WAIT).as_deref(), Some("WATCHDOG=1"));
}
