//! What the kernel knows of this process, for `/metrics`. Reads `/proc`, where there is one.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::message::ProcessInfo;

/// The kernel tells processor time in ticks of this length on every platform there is (`USER_HZ`).
const TICK_MS: u64 = 10;

/// Whatever can be had.
pub fn read() -> ProcessInfo {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
    ProcessInfo {
        resident_bytes: read("status").and_then(|text| resident_bytes(&text)),
        // One of them is the folder itself, being read.
        open_files: fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as u64).saturating_sub(1)),
        open_files_max: getrlimit(Resource::Nofile).current,
        cpu_ms: read("stat").and_then(|text| cpu_ms(&text)),
    }
}

/// `VmRSS:   4321 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib << 10)
}

/// Behind the name in brackets, which may hold anything, utime and stime are the 12th and 13th.
fn cpu_ms(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(
            resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    4321 kB\n"),
            Some(4_321 << 10)
        );
        assert_eq!(resident_bytes("VmRSS: x kB"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4 100 0 0 0 12 34 0 0 20 0 5 0 99";
        assert_eq!(cpu_ms(stat), Some(460));
        assert_eq!(cpu_ms("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_open_files() {
        let info = read();
        assert!(
            info.resident_bytes > Some(1 << 20) && info.open_files >= Some(3),
            "{info:?}"
        );
        assert!(info.cpu_ms.is_some());
    }
}
