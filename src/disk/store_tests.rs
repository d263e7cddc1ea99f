//! The storage of timers under failures and stops at every operation and byte.

use proptest::prelude::*;

use super::fake_files::{ALL, CUTS, FakeFiles, Lasts, NAMES, SYNCS, WRITES};
use super::files::Files;
use super::image::Image;
use super::store::{FILE, JOURNAL, Merge, Merged, NEXT_JOURNAL, Store};
use super::timers::load_from;
use crate::message::{StoredTimers, TimerChange};
use crate::proto::timer_file::{self, TimerFile};

type Stored = (i64, i64, Vec<(i64, Box<str>)>, Vec<(i64, Box<str>)>);

fn plain(stored: StoredTimers) -> Stored {
    (
        stored.next_id,
        stored.next_one_shot_id,
        stored.timers,
        stored.failed,
    )
}

/// What is stored once all of these happened.
fn after<'a>(changes: impl IntoIterator<Item = &'a TimerChange>) -> Stored {
    let mut image = Image::new(TimerFile::default()).0;
    for change in changes {
        image.apply(change.clone());
    }
    plain(image.stored())
}

fn put(id: i64, text: &str) -> TimerChange {
    TimerChange::Put {
        id,
        json: format!("{{\"u\":\"{text}\",\"id\":{id}}}").into(),
    }
}

fn fail(id: i64) -> TimerChange {
    TimerChange::Fail {
        id,
        json: format!("{{\"id\":{id}}}").into(),
    }
}

/// What a test does with a store.
#[derive(Clone, Debug)]
enum Act {
    Commit(Vec<TimerChange>),
    Begin,
    Run,
    End,
    Finish,
}

/// A store with what is known about it.
struct Rig {
    files: FakeFiles,
    store: Store<FakeFiles>,
    merge: Option<Merge<FakeFiles>>,
    merged: Option<Merged>,
    acknowledged: Vec<TimerChange>,
    /// Batches that were refused since the last one that was not.
    doubtful: Vec<Vec<TimerChange>>,
    now_ms: u64,
}

impl Rig {
    fn new(files: FakeFiles, now_ms: u64) -> (Self, Stored, Vec<String>) {
        let (stored, warnings, store) =
            load_from(files.clone(), now_ms, &|| "T".to_owned()).expect("it can be read");
        let rig = Rig {
            files,
            store,
            merge: None,
            merged: None,
            acknowledged: Vec::new(),
            doubtful: Vec::new(),
            now_ms,
        };
        (rig, plain(stored), warnings)
    }

    /// Whether it worked.
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::Commit(changes) => {
                let is_stored = self.store.commit(changes.clone(), self.now_ms).is_ok();
                if is_stored {
                    self.acknowledged.extend(changes.iter().cloned());
                    self.doubtful.clear();
                } else {
                    self.doubtful.push(changes.clone());
                }
                is_stored
            }
            Act::Begin if self.merge.is_none() && self.merged.is_none() => {
                match self.store.begin_merge(self.now_ms) {
                    Ok(merge) => {
                        self.merge = merge;
                        true
                    }
                    Err(_) => false,
                }
            }
            Act::Run => {
                self.merged = self.merge.take().map(Merge::run).or(self.merged.take());
                true
            }
            Act::End => match self.merged.take() {
                Some(merged) => self.store.end_merge(merged).is_ok(),
                None => true,
            },
            Act::Finish => {
                self.act(&Act::Run);
                self.act(&Act::End);
                self.store.finish(self.now_ms).is_ok()
            }
            Act::Begin => true,
        }
    }

    /// Whether `stored` is what was acknowledged, with some or none of one batch in doubt.
    fn allows(&self, stored: &Stored) -> bool {
        after(&self.acknowledged) == *stored
            || self.doubtful.iter().any(|batch| {
                (1..=batch.len())
                    .any(|n| after(self.acknowledged.iter().chain(&batch[..n])) == *stored)
            })
    }
}

/// Everything that happens to a store in a day.
fn script() -> Vec<Act> {
    vec![
        Act::Commit(vec![put(1, "a"), put(2, "bé")]),
        Act::Commit(vec![put(-1, "x")]),
        Act::Begin,
        Act::Commit(vec![put(3, "c"), TimerChange::Del { id: 1 }]),
        Act::Run,
        Act::Commit(vec![fail(-1), put(2, "b2")]),
        Act::End,
        Act::Commit(vec![TimerChange::Next {
            id: 9,
            one_shot_id: -7,
        }]),
        Act::Begin,
        Act::Run,
        Act::End,
        Act::Begin,
        Act::Commit(vec![put(-1, "again"), put(10, "d"), TimerChange::Clear]),
        Act::Commit(vec![put(11, "e"), put(12, "f")]),
        Act::Begin,
        Act::Run,
        Act::End,
        Act::Commit(vec![put(12, "g")]),
        Act::Finish,
    ]
}

const STOPS: [Lasts; 4] = [
    Lasts {
        content: true,
        names: true,
    },
    Lasts {
        content: false,
        names: true,
    },
    Lasts {
        content: true,
        names: false,
    },
    Lasts {
        content: false,
        names: false,
    },
];

#[test]
fn a_stop_anywhere_loses_nothing_acknowledged() {
    let (mut rig, ..) = Rig::new(FakeFiles::default(), 1_000);
    for act in script() {
        assert!(rig.act(&act), "{act:?}");
    }
    assert_eq!(rig.files.names(), [FILE], "after a clean exit");
    for budget in 0..=rig.files.spent() {
        let files = FakeFiles::default();
        let (mut rig, ..) = Rig::new(files.clone(), 1_000);
        files.refuse_after(budget, ALL);
        for act in script() {
            rig.now_ms += 7;
            let is_done = rig.act(&act);
            if !is_done && matches!(act, Act::Commit(_)) {
                break;
            }
        }
        for lasts in STOPS {
            check_restart(&rig, lasts, &format!("budget {budget}, {lasts:?}"));
        }
    }
}

/// A start after a stop, and one more after the next.
#[track_caller]
fn check_restart(rig: &Rig, lasts: Lasts, what: &str) {
    let files = rig.files.after_stop(lasts);
    if let Ok(bytes) = files.read(FILE) {
        assert!(timer_file::parse(&bytes).is_ok(), "{what}: half a file");
    }
    let (mut next, stored, _) = Rig::new(files.clone(), rig.now_ms);
    assert!(
        rig.allows(&stored),
        "{what}\n{stored:?}\nacknowledged {:?}\ndoubtful {:?}",
        rig.acknowledged,
        rig.doubtful
    );
    let more = Act::Commit(vec![put(50, "more")]);
    assert!(next.act(&more), "{what}");
    let (_, again, _) = Rig::new(files.after_stop(STOPS[3]), rig.now_ms);
    let expected = |stored: &Stored| {
        let mut timers = stored.2.clone();
        timers.retain(|(id, _)| *id != 50);
        (timers, stored.3.clone())
    };
    assert_eq!(expected(&again), expected(&stored), "{what}, second start");
    assert!(again.2.iter().any(|(id, _)| *id == 50), "{what}");
    assert!(next.act(&Act::Finish));
    assert_eq!(files.names(), [FILE], "{what}");
    let (_, last, warnings) = Rig::new(files, rig.now_ms);
    assert_eq!((last, warnings), (again, vec![]), "{what}, clean exit");
}

#[test]
fn a_disk_that_fails_for_a_while_leaves_memory_and_file_alike() {
    let (mut rig, ..) = Rig::new(FakeFiles::default(), 1_000);
    script().iter().for_each(|act| assert!(rig.act(act)));
    for refused in [ALL, WRITES, SYNCS, NAMES, CUTS | SYNCS, WRITES | CUTS] {
        for budget in 0..=rig.files.spent() {
            let files = FakeFiles::default();
            let (mut rig, ..) = Rig::new(files.clone(), 1_000);
            files.refuse_after(budget, refused);
            let mut acts_left = 3;
            for act in script() {
                rig.now_ms += 7;
                let is_done = rig.act(&act);
                if !is_done || acts_left < 3 {
                    acts_left -= 1;
                }
                if acts_left == 0 {
                    files.heal();
                }
            }
            files.heal();
            let what = format!("kinds {refused}, budget {budget}");
            assert!(rig.act(&Act::Commit(vec![put(40, "z")])), "{what}");
            let (_, stored, _) = Rig::new(files.after_stop(STOPS[3]), rig.now_ms);
            assert_eq!(stored, after(&rig.acknowledged), "{what}");
            assert!(rig.act(&Act::Finish), "{what}");
            assert_eq!(files.names(), [FILE], "{what}");
            let (_, stored, _) = Rig::new(files, rig.now_ms);
            assert_eq!(stored, after(&rig.acknowledged), "{what}");
        }
    }
}

#[test]
fn a_folder_that_was_removed_is_written_anew() {
    let (mut rig, ..) = Rig::new(FakeFiles::default(), 1_000);
    rig.act(&Act::Commit(vec![put(1, "a")]));
    rig.files.clear();
    assert!(rig.act(&Act::Commit(vec![put(2, "b")])));
    let (_, stored, _) = Rig::new(rig.files.after_stop(STOPS[3]), 1_000);
    assert_eq!(stored, after(&rig.acknowledged));
    rig.files.clear();
    assert!(rig.act(&Act::Finish));
    let (_, stored, _) = Rig::new(rig.files.clone(), 1_000);
    assert_eq!(stored, after(&rig.acknowledged));
    rig.act(&Act::Commit(vec![put(3, "c")]));
    rig.act(&Act::Begin);
    rig.files.clear();
    assert!(
        !rig.act(&Act::Commit(vec![put(4, "d")])),
        "while it is being written"
    );
    rig.act(&Act::Run);
    rig.act(&Act::End);
    assert!(rig.act(&Act::Commit(vec![put(4, "d")])));
    let (_, stored, _) = Rig::new(rig.files.after_stop(STOPS[3]), 1_000);
    assert_eq!(stored, after(&rig.acknowledged));
}

#[test]
fn a_broken_file_is_set_aside_with_its_journal() {
    let (mut rig, ..) = Rig::new(FakeFiles::default(), 1_000);
    rig.act(&Act::Commit(vec![put(1, "a")]));
    rig.files.put(FILE, b"{\"nextId\":2,\"li");
    rig.files.put("timer.json.bad-T", b"an earlier one");
    let (mut rig, stored, warnings) = Rig::new(rig.files, 1_000);
    assert_eq!(stored, after(&[]));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let set_aside = [
        "timer.json.bad-T",
        "timer.json.bad-T-2",
        "timer.json.journal.bad-T",
    ];
    assert_eq!(rig.files.names(), set_aside);
    assert_eq!(
        rig.files.read("timer.json.bad-T-2").expect("there"),
        b"{\"nextId\":2,\"li"
    );
    assert!(rig.act(&Act::Commit(vec![put(1, "b")])));
    assert!(rig.act(&Act::Finish));
    assert_eq!(rig.files.names().len(), 4);
}

#[test]
fn what_cannot_be_set_aside_is_not_overwritten() {
    let files = FakeFiles::default();
    files.put(FILE, b"broken");
    files.put(JOURNAL, b"some journal that is longer than a header");
    files.refuse_after(0, NAMES);
    let (mut rig, _, warnings) = Rig::new(files.clone(), 1_000);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(!rig.act(&Act::Commit(vec![put(1, "a")])));
    assert!(!rig.act(&Act::Finish));
    assert_eq!(files.names(), [FILE, JOURNAL]);
    files.heal();
    assert!(rig.act(&Act::Commit(vec![put(1, "a")])));
    assert_eq!(
        files.names(),
        [
            FILE,
            "timer.json.bad-T",
            JOURNAL,
            "timer.json.journal.bad-T"
        ]
    );
}

#[test]
fn journals_of_other_files() {
    let (mut rig, ..) = Rig::new(FakeFiles::default(), 1_000);
    rig.act(&Act::Commit(vec![put(1, "a")]));
    let journal = rig.files.read(JOURNAL).expect("there");
    for (file, name, is_kept) in [
        (&b"{}"[..], JOURNAL, true),
        (br#"{"jdserver":{"epoch":999}}"#, JOURNAL, true),
        (br#"{"jdserver":{"epoch":1001}}"#, JOURNAL, false),
        (br#"{"jdserver":{"epoch":1001}}"#, NEXT_JOURNAL, false),
        (br#"{"jdserver":{"epoch":1001}}"#, "timer.json.tmp", false),
    ] {
        let files = FakeFiles::default();
        files.put(FILE, file);
        files.put(name, &journal);
        let (_, stored, warnings) = Rig::new(files.clone(), 2_000);
        assert_eq!(stored, after(&[]));
        assert_eq!(warnings.len(), usize::from(is_kept));
        let kept = files.read(&format!("{name}.bad-T"));
        assert_eq!(kept.ok(), is_kept.then(|| journal.clone()));
        assert!(!files.names().contains(&name.to_owned()));
    }
}

#[test]
fn a_file_of_the_original_gets_ids_and_an_epoch_at_once() {
    let files = FakeFiles::default();
    files.put(
        FILE,
        br#"{"nextId":3,"list":[{"u":"a","id":2},{"u":"b"},{"u":"c","id":2}],"x":1}"#,
    );
    let (mut rig, stored, warnings) = Rig::new(files.clone(), 1_000);
    let timers: Vec<(i64, Box<str>)> = vec![
        (2, r#"{"u":"a","id":2}"#.into()),
        (3, r#"{"u":"b","id":3}"#.into()),
        (4, r#"{"u":"c","id":4}"#.into()),
    ];
    assert_eq!(stored, (5, -1, timers, vec![]));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        String::from_utf8(files.read(FILE).expect("there")).expect("text"),
        concat!(
            r#"{"nextId":5,"list":[{"u":"a","id":2},{"u":"b","id":3},{"u":"c","id":4}],"x":1,"#,
            r#""jdserver":{"epoch":1000,"nextOneShotId":-1,"oneShots":[],"failed":[]}}"#,
            "\n"
        )
    );
    rig.act(&Act::Commit(vec![put(3, "new")]));
    let (_, again, warnings) = Rig::new(files.after_stop(STOPS[3]), 1_000);
    assert_eq!(
        again.2.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert!(again.2[1].1.contains("new") && warnings.is_empty());
}

fn changes() -> impl Strategy<Value = Vec<TimerChange>> {
    let change = prop_oneof![
        (1..9_i64, "[a-z]{0,6}").prop_map(|(id, text)| put(id, &text)),
        (-4..0_i64, "[a-z]{0,6}").prop_map(|(id, text)| put(id, &text)),
        (-4..0_i64).prop_map(fail),
        (-4..0_i64).prop_map(|id| TimerChange::Del { id }),
        (1..20_i64).prop_map(|id| TimerChange::Next {
            id,
            one_shot_id: -id
        }),
    ];
    proptest::collection::vec(change, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_days_with_faults_and_stops(
        days in proptest::collection::vec(
            (
                proptest::collection::vec(prop_oneof![
                    4 => changes().prop_map(Act::Commit),
                    1 => Just(Act::Begin),
                    1 => Just(Act::Run),
                    1 => Just(Act::End),
                ], 1..25),
                0..1_500_usize, 0..=ALL, 0..4_usize, 0..10_usize,
            ),
            1..4,
        )
    ) {
        let mut files = FakeFiles::default();
        let (mut now_ms, mut before) = (1_000, Vec::new());
        for (acts, budget, refused, stop, heal_after) in days {
            let (mut rig, stored, _) = Rig::new(files.clone(), now_ms);
            // What the last day left in doubt is settled by what is there.
            if let Some(candidates) = Some(&before).filter(|list: &&Vec<Vec<TimerChange>>| !list.is_empty()) {
                let found = candidates.iter().find(|changes| after(*changes) == stored);
                prop_assert!(found.is_some(), "{stored:?} is none of {candidates:?}");
                rig.acknowledged = found.cloned().unwrap_or_default();
            }
            files.refuse_after(budget, refused);
            let mut failures = 0;
            for act in &acts {
                now_ms += 3;
                rig.now_ms = now_ms;
                failures += usize::from(!rig.act(act));
                if failures > heal_after {
                    files.heal();
                }
            }
            before = vec![rig.acknowledged.clone()];
            for batch in &rig.doubtful {
                for n in 1..=batch.len() {
                    before.push(rig.acknowledged.iter().chain(&batch[..n]).cloned().collect());
                }
            }
            files = files.after_stop(STOPS[stop]);
        }
    }
}
