//! The machine's time zone. Never lists the zones there are, as jiff does to find one by its name: that is a thousand
//! system calls and 0.2 MB at every start.

use std::path::Path;
use std::{env, fs};

use jiff::tz::TimeZone;

/// Where the machine says which zone it is in: a link to a file of that zone.
const LOCALTIME: &str = "/etc/localtime";

/// The zone that `TZ` names, else the machine's, else UTC under a name of its own. The machine's is what its link leads
/// to, as for libc.
pub fn local() -> TimeZone {
    if env::var_os("TZ").is_some() || env::var_os("TZDIR").is_some() {
        return TimeZone::system();
    }
    linked(Path::new(LOCALTIME)).unwrap_or_else(TimeZone::system)
}

/// The zone of a link into a folder of zone files; `None` where it is none, and so tells no name.
fn linked(link: &Path) -> Option<TimeZone> {
    let target = fs::read_link(link).ok()?;
    let (_, name) = target.to_str()?.rsplit_once("zoneinfo/")?;
    // Folders of other reckonings, whose names are no zones' names.
    if ["posix/", "right/"]
        .iter()
        .any(|folder| name.starts_with(folder))
        || name.contains("..")
    {
        return None;
    }
    TimeZone::tzif(name, &fs::read(link).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::test_dir::TestDir;

    /// A file of a zone without transitions, two hours east of Greenwich: version 1 of RFC 8536.
    const EAST: &[u8] =
        b"TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\
        \0\0\x1c\x20\0\0EAS\0";

    #[track_caller]
    fn check(link: &str, content: &[u8], expect: Option<(&str, i32)>) {
        let dir = TestDir::new("zone");
        let file = dir.0.join(link);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, content).expect("written");
        symlink(&file, dir.0.join("localtime")).expect("linked");
        let zone = linked(&dir.0.join("localtime"));
        let found = zone.as_ref().map(|zone| {
            let offset = zone.to_offset(jiff::Timestamp::UNIX_EPOCH);
            (zone.iana_name().expect("a name"), offset.seconds())
        });
        assert_eq!(found, expect, "{link}");
    }

    #[test]
    fn a_link_tells_the_name_and_the_file_the_rest() {
        check("zoneinfo/Asia/East", EAST, Some(("Asia/East", 7_200)));
        check("zoneinfo/posix/East", EAST, None);
        check("elsewhere/East", EAST, None);
        check("zoneinfo/Cut", &EAST[..20], None);
        assert_eq!(linked(Path::new("/dev/null")), None);
    }

    // The short way must not tell another zone than the long one.
    #[test]
    fn it_is_the_zone_that_jiff_finds() {
        let (ours, theirs) = (local(), TimeZone::system());
        assert_eq!(ours.iana_name(), theirs.iana_name());
        for second in (0..4_000_000_000).step_by(10_000_000) {
            let at = jiff::Timestamp::from_second(second).expect("in range");
            assert_eq!(ours.to_offset(at), theirs.to_offset(at), "{at}");
        }
    }
}
