//! `timer.json` from any hand: what is read is written so that it reads the same, and every entry
//! with an id may be stored as it is.
#![no_main]

use jdserver::proto::timer_file::{self, Entry, TimerFile, Writer, is_entry, with_id};
use libfuzzer_sys::fuzz_target;

/// The epoch of a file that had none.
const EPOCH: u64 = 9;

fn write(file: &TimerFile) -> Vec<u8> {
    let mut writer = Writer::new(file.next_id);
    for entry in &file.list {
        writer.item(&entry.json);
    }
    for stray in &file.strays {
        writer.item(stray);
    }
    writer.end_list(
        &file.extra,
        file.epoch.unwrap_or(EPOCH),
        file.next_one_shot_id,
        &file.our_extra,
    );
    for entry in &file.one_shots {
        writer.item(&entry.json);
    }
    writer.end_one_shots();
    for entry in &file.failed {
        writer.item(&entry.json);
    }
    writer.end();
    writer.out
}

fn check_entry(entry: &Entry, sign: i64) {
    if let Some(id) = entry.id {
        assert!(
            id.signum() == sign && is_entry(&entry.json, id),
            "{entry:?}"
        );
    }
    // As an entry without a usable id gets one, and as one moves to another list.
    let id = sign * 77;
    let again = with_id(&entry.json, id);
    assert!(is_entry(&again, id), "{again} of {entry:?}");
    assert_eq!(with_id(&again, id), again);
}

fn check(bytes: &[u8]) {
    let Ok(mut file) = timer_file::parse(bytes) else {
        return;
    };
    file.list.iter().for_each(|entry| check_entry(entry, 1));
    for entry in file.one_shots.iter().chain(&file.failed) {
        check_entry(entry, -1);
    }
    let written = write(&file);
    file.epoch.get_or_insert(EPOCH);
    let again = timer_file::parse(&written);
    assert_eq!(again.as_ref(), Ok(&file), "{}", written.escape_ascii());
    assert_eq!(write(&file), written);
}

fuzz_target!(|data: &[u8]| {
    check(data);
    for (before, behind) in [
        ("{\"nextId\":3,\"list\":[", "]}"),
        ("{\"list\":[{\"id\":5,\"a\":", "}]}"),
        (
            "{\"jdserver\":{\"failed\":[{\"id\":\"-3\"}],\"oneShots\":[",
            "]}}",
        ),
        ("{\"jdserver\":{\"epoch\":4,\"a\":", "}}"),
    ] {
        check(&[before.as_bytes(), data, behind.as_bytes()].concat());
    }
});
