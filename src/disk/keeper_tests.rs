//! The conversation between timer thread and storage, and the whole thread on real files.

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use jiff::tz::TimeZone;

use super::fake_files::{ALL, CUTS, FakeFiles, SYNCS, WRITES};
use super::files::Files;
use super::keeper::Keeper;
use super::store::{FILE, JOURNAL};
use super::thread::{Disk, Timers, spawn};
use super::timers::{load, load_from};
use crate::limits::{MERGE_QUIET_MS, MERGE_RETRY_MS};
use crate::message::{StoredTimers, TimerChange, TimerMsg, TimerRecord};
use crate::proto::timer_file;
use crate::test_dir::TestDir;

const LONG: Duration = Duration::from_secs(60);

fn put(id: i64) -> TimerChange {
    TimerChange::Put {
        id,
        json: format!("{{\"id\":{id}}}").into(),
    }
}

/// A replay of the timer thread's part.
struct Rig {
    files: FakeFiles,
    keeper: Keeper<FakeFiles>,
    replies: Receiver<TimerMsg>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let files = FakeFiles::default();
        let (sender, replies) = unbounded();
        let store = load_from(files.clone(), 1_000, &|| "T".to_owned())
            .expect("readable")
            .2;
        let now = Instant::now();
        let reply = Box::new(move |message| {
            let _ = sender.send(message);
        });
        let keeper = Keeper::new(store, reply, now);
        Rig {
            files,
            keeper,
            replies,
            now,
        }
    }

    fn record(&mut self, seq: u64, generation: u32, change: TimerChange) {
        self.keeper.handle_record(TimerRecord {
            seq,
            generation,
            change,
        });
    }

    fn commit(&mut self) -> Option<String> {
        self.keeper.commit(self.now, 1_000)
    }

    #[track_caller]
    fn check_replies(&self, expected: &[&str]) {
        let replies: Vec<String> = self.replies.try_iter().map(|reply| text(&reply)).collect();
        assert_eq!(replies, expected);
    }

    fn ids(&self) -> Vec<i64> {
        let stored = load_from(self.files.clone(), 1_000, &|| "T".to_owned())
            .expect("readable")
            .0;
        ids(&stored)
    }

    /// Lets time pass, and a merge that began end.
    fn pass(&mut self, ms: u64) -> Option<String> {
        self.now += Duration::from_millis(ms);
        let line = self.keeper.handle_time(self.now, 1_000);
        // What never brings anything has no room for it.
        if self.keeper.merged().capacity() == Some(1)
            && let Ok(merged) = self.keeper.merged().recv_timeout(LONG)
        {
            return self.keeper.handle_merged(Some(merged), self.now);
        }
        line
    }
}

fn text(reply: &TimerMsg) -> String {
    match reply {
        TimerMsg::Committed { seq } => format!("committed {seq}"),
        TimerMsg::Refused { seq, reason } => {
            assert!(!reason.is_empty());
            format!("refused {seq}")
        }
        _ => "?".to_owned(),
    }
}

fn ids(stored: &StoredTimers) -> Vec<i64> {
    stored.timers.iter().map(|(id, _)| *id).collect()
}

#[test]
fn a_batch_has_one_answer() {
    let mut rig = Rig::new();
    for seq in 1..=5 {
        rig.record(seq, 0, put(seq as i64));
    }
    assert_eq!(rig.commit(), None);
    rig.check_replies(&["committed 5"]);
    assert_eq!(rig.commit(), None);
    rig.check_replies(&[]);
    assert_eq!(rig.ids(), [1, 2, 3, 4, 5]);
}

#[test]
fn what_was_sent_before_a_refusal_was_seen_is_dropped() {
    let mut rig = Rig::new();
    rig.record(1, 0, put(1));
    rig.commit();
    rig.files.refuse_after(0, WRITES);
    rig.record(2, 0, put(2));
    rig.record(3, 0, put(3));
    assert!(rig.commit().is_some(), "said in the log");
    rig.check_replies(&["committed 1", "refused 2"]);
    rig.files.heal();
    // Sent before the sender took the refusal, which undoes it.
    rig.record(4, 0, put(4));
    assert_eq!(rig.commit(), None);
    rig.check_replies(&[]);
    rig.record(5, 0, put(5));
    rig.record(6, 1, put(6));
    assert!(rig.commit().is_some(), "and that it is over");
    rig.check_replies(&["committed 6"]);
    assert_eq!(rig.ids(), [1, 6]);
}

#[test]
fn a_refused_record_that_could_not_be_cut_off_is_gone_soon_after() {
    let mut rig = Rig::new();
    rig.record(1, 0, put(1));
    rig.commit();
    assert_eq!(rig.pass(MERGE_QUIET_MS), None);
    rig.files.refuse_after(0, SYNCS | CUTS);
    rig.record(2, 0, put(2));
    rig.commit();
    rig.check_replies(&["committed 1", "refused 2"]);
    rig.files.heal();
    assert_eq!(rig.pass(MERGE_QUIET_MS), None);
    assert_eq!(rig.ids(), [1]);
}

#[test]
fn each_refusal_is_answered_and_only_the_first_is_logged() {
    let mut rig = Rig::new();
    rig.files.refuse_after(0, ALL);
    for generation in 0..3 {
        rig.record(u64::from(generation), generation, put(1));
        assert_eq!(rig.commit().is_some(), generation == 0);
    }
    rig.check_replies(&["refused 0", "refused 1", "refused 2"]);
}

#[test]
fn what_would_spoil_the_file_ends_the_batch() {
    let mut rig = Rig::new();
    for (seq, id, json) in [(1, 1, r#"{"id":1}"#), (2, 2, "{"), (3, 3, r#"{"id":3}"#)] {
        let json = json.into();
        rig.record(seq, 0, TimerChange::Put { id, json });
    }
    rig.commit();
    rig.check_replies(&["committed 1", "refused 2"]);
    rig.record(4, 1, put(4));
    rig.commit();
    rig.check_replies(&["committed 4"]);
    assert_eq!(rig.ids(), [1, 4]);
}

#[test]
fn a_merge_comes_after_a_quiet_while_and_again_after_a_failure() {
    let mut rig = Rig::new();
    assert_eq!(rig.keeper.poll_timeout(), None);
    rig.record(1, 0, put(1));
    rig.commit();
    rig.now += Duration::from_millis(MERGE_QUIET_MS - 1);
    rig.record(2, 0, put(2));
    rig.commit();
    assert_eq!(rig.pass(MERGE_QUIET_MS - 1), None);
    let in_file = |rig: &Rig| {
        let bytes = rig.files.read(FILE).expect("there");
        timer_file::parse(&bytes).expect("sound").list.len()
    };
    assert_eq!(in_file(&rig), 0, "not yet");
    rig.files.refuse_after(3, ALL);
    assert!(rig.pass(1).is_some(), "said in the log");
    assert_eq!(rig.pass(MERGE_RETRY_MS - 1), None);
    rig.files.heal();
    assert_eq!(rig.pass(1), None);
    assert_eq!(in_file(&rig), 2);
    assert_eq!(rig.keeper.poll_timeout(), None, "nothing is left to do");
}

fn start(dir: &Path) -> (StoredTimers, Vec<String>, Disk, Receiver<TimerMsg>) {
    let (stored, warnings, store) = load(dir, &TimeZone::UTC).expect("readable");
    let (sender, replies) = unbounded();
    let reply = Box::new(move |message| {
        let _ = sender.send(message);
    });
    let log = dir.join("own.log");
    let timers = Some(Timers { store, reply });
    let disk = spawn(dir, Some(&log), TimeZone::UTC, timers).expect("started");
    (stored, warnings, disk, replies)
}

#[track_caller]
fn send(disk: &Disk, seq: u64, change: TimerChange) {
    let record = Box::new(TimerRecord {
        seq,
        generation: 0,
        change,
    });
    disk.timers.try_send(record).expect("room");
}

#[track_caller]
fn wait_for(replies: &Receiver<TimerMsg>, last: u64) {
    loop {
        match replies.recv_timeout(LONG).expect("a reply") {
            TimerMsg::Committed { seq } if seq == last => return,
            TimerMsg::Committed { .. } => {}
            other => panic!("{}", text(&other)),
        }
    }
}

#[test]
fn an_acknowledged_timer_outlives_a_kill_and_a_stop() {
    let dir = TestDir::new("timers-kill");
    let (stored, warnings, disk, replies) = start(&dir.0);
    assert!(stored.timers.is_empty() && warnings.is_empty());
    assert_eq!((stored.next_id, stored.next_one_shot_id), (1, -1));
    for seq in 1..=300 {
        send(&disk, seq, put(seq as i64));
    }
    wait_for(&replies, 300);
    // Without `Stop` it ends as it is: what was synced is all there is.
    drop((disk.sender, disk.timers));
    disk.thread.join().expect("no panic");
    assert!(dir.0.join(JOURNAL).exists());

    let (stored, warnings, disk, replies) = start(&dir.0);
    assert_eq!(ids(&stored), (1..=300).collect::<Vec<_>>());
    assert!(warnings.is_empty(), "{warnings:?}");
    send(&disk, 1, TimerChange::Del { id: 7 });
    wait_for(&replies, 1);
    assert!(disk.sender.stop(LONG));
    disk.thread.join().expect("no panic");
    let names: Vec<_> = std::fs::read_dir(&dir.0)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name())
        .filter(|name| name.to_string_lossy().starts_with(FILE))
        .collect();
    assert_eq!(names, [FILE], "complete after a clean exit");
    let file = timer_file::parse(&std::fs::read(dir.0.join(FILE)).expect("readable"));
    let file = file.expect("sound");
    assert_eq!((file.list.len(), file.next_id), (299, 301));
}

#[test]
fn a_torn_tail_is_cut_and_the_file_completed_after_a_quiet_second() {
    let dir = TestDir::new("timers-torn");
    let (_, _, disk, replies) = start(&dir.0);
    send(&disk, 1, put(1));
    wait_for(&replies, 1);
    drop((disk.sender, disk.timers));
    disk.thread.join().expect("no panic");
    let journal = dir.0.join(JOURNAL);
    let mut bytes = std::fs::read(&journal).expect("readable");
    bytes.extend_from_slice(&[20, 0, 0, 0, 1, 2]);
    std::fs::write(&journal, &bytes).expect("written");

    let (stored, warnings, disk, _replies) = start(&dir.0);
    assert_eq!((ids(&stored), warnings.len()), (vec![1], 1));
    let deadline = Instant::now() + LONG;
    let merged = || {
        let bytes = std::fs::read(dir.0.join(FILE)).expect("always there");
        timer_file::parse(&bytes).expect("always whole").list.len()
    };
    while merged() == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(disk.sender.stop(LONG));
    disk.thread.join().expect("no panic");
}

#[test]
fn a_folder_removed_meanwhile_refuses_until_it_is_back() {
    let dir = TestDir::new("timers-removed");
    let (_, _, disk, replies) = start(&dir.0);
    send(&disk, 1, put(1));
    wait_for(&replies, 1);
    std::fs::remove_dir_all(&dir.0).expect("removed");
    send(&disk, 2, put(2));
    assert_eq!(
        text(&replies.recv_timeout(LONG).expect("a reply")),
        "refused 2"
    );
    std::fs::create_dir(&dir.0).expect("made");
    let record = TimerRecord {
        seq: 3,
        generation: 1,
        change: put(3),
    };
    disk.timers.try_send(Box::new(record)).expect("room");
    wait_for(&replies, 3);
    drop((disk.sender, disk.timers));
    disk.thread.join().expect("no panic");
    assert_eq!(
        ids(&load(&dir.0, &TimeZone::UTC).expect("readable").0),
        [1, 3]
    );
}

#[test]
fn a_broken_real_file_is_renamed() {
    let dir = TestDir::new("timers-broken");
    std::fs::write(dir.0.join(FILE), "{\"nextId\":").expect("written");
    let (stored, warnings, _) = load(&dir.0, &TimeZone::UTC).expect("the daemon starts");
    assert!(stored.timers.is_empty());
    assert!(
        warnings.len() == 1 && warnings[0].contains("timer.json.bad-2"),
        "{warnings:?}"
    );
    assert!(!dir.0.join(FILE).exists());
    std::fs::create_dir(dir.0.join(FILE)).expect("made");
    assert!(
        load(&dir.0, &TimeZone::UTC).is_err(),
        "a folder of that name"
    );
}
