//! Seeded runs of everything at once: calls, a disk that refuses and stops, workers that fail, die or have no room,
//! clocks that step, restarts. A model of what was acknowledged judges each callback. Seeds are printed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::call::answer::Data;
use crate::ids::{ConnId, Now};
use crate::message::{
    Callback, CallbackDone, StoredTimers, TimerCall, TimerKey, TimerRecord, TimerRequest,
};
use crate::state::timers::tests::{MIDNIGHT_MS, setup};
use crate::state::timers::{Timers, TimersInput, TimersOutput};

use disk::{Disk, Random};

mod disk;

/// Steps of one run.
const STEPS: usize = 200;

/// What a call asked for, until it is answered.
enum Asked {
    /// The serial number in the URL, and what it is.
    Set(u64, Kind),
    Del(i64),
    Change(i64),
    /// Periodic timers with a lower id.
    Clear(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Due, monotonic ms.
    Once {
        due_ms: u64,
    },
    Persistent {
        due_ms: u64,
    },
    Interval {
        wait_ms: u64,
    },
    Line {
        minutes: u64,
    },
}

/// An acknowledged timer: its serial number and kind.
#[derive(Clone, Copy, Debug)]
struct Known {
    serial: u64,
    kind: Kind,
    /// When it was acknowledged, or last begun by a start; monotonic ms.
    since_ms: u64,
    since_unix_ms: u64,
    /// Since then.
    ran: u64,
    calls: u32,
    /// A Del of it is under way.
    is_doubtful: bool,
}

struct World {
    seed: u64,
    random: Random,
    now: Now,
    timers: Timers,
    disk: Disk,
    /// Records on their way; the disk's generation.
    to_disk: VecDeque<TimerRecord>,
    generation: u32,
    is_full: bool,
    out: Vec<Callback>,
    asked: BTreeMap<u32, Asked>,
    calls: u32,
    serials: u64,
    /// Before when each serial that was ever asked for must not be called, monotonic and Unix ms, and its wait: a
    /// start knows the wall clock only.
    not_before: BTreeMap<u64, (u64, u64, u64)>,
    known: BTreeMap<i64, Known>,
    /// Serials whose one call was answered well, or lost for good with a restart.
    done: BTreeSet<u64>,
    /// The latest wall time since the start.
    unix_ms_max: u64,
    /// Whether a step was so large that minutes may come again.
    stepped_far: bool,
    fired: u64,
    is_settling: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let now = Now {
            mono_ms: 1_000,
            unix_ms: MIDNIGHT_MS,
        };
        World {
            seed,
            random: Random(seed),
            now,
            timers: Timers::new(setup(now, StoredTimers::default())),
            disk: Disk::default(),
            to_disk: VecDeque::new(),
            generation: 0,
            is_full: false,
            out: Vec::new(),
            asked: BTreeMap::new(),
            calls: 0,
            serials: 0,
            not_before: BTreeMap::new(),
            known: BTreeMap::new(),
            done: BTreeSet::new(),
            unix_ms_max: MIDNIGHT_MS,
            stepped_far: false,
            fired: 0,
            is_settling: false,
        }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=3 => self.set(),
            4 => self.delete(),
            18 => self.change(),
            17 if self.random.one_in(12) => self.clear(),
            5..=9 => self.work(),
            10..=13 => self.store(),
            14 if self.random.one_in(4) => self.step_clock(),
            15 if self.random.one_in(6) => self.is_full = !self.is_full,
            16 if self.random.one_in(8) => self.restart(),
            _ => {
                let ms = [1, 50, 400, 20_000, 61_000][self.random.below(5) as usize];
                self.advance(ms);
            }
        }
    }

    fn call(&mut self, request: TimerRequest, asked: Asked) {
        self.calls += 1;
        self.asked.insert(self.calls, asked);
        let reply_to = ConnId {
            key: self.calls,
            generation: 0,
        };
        self.handle(TimersInput::Call(Box::new(TimerCall { reply_to, request })));
    }

    fn set(&mut self) {
        self.serials += 1;
        let serial = self.serials;
        let wait_ms = [0, 100, 5_000, 100_000][self.random.below(4) as usize];
        let due_ms = self.now.mono_ms + wait_ms;
        let host = self.random.below(3);
        let url = format!("h{host}/{serial}");
        let overlap = ["allow", "skip", "queue"][self.random.below(3) as usize];
        let (fields, kind) = match self.random.below(4) {
            0 => (json!({"url": url, "wait": wait_ms}), Kind::Once { due_ms }),
            1 => (
                json!({"url": url, "wait": wait_ms, "persist": true, "retry": 3, "retryWait": 100}),
                Kind::Persistent { due_ms },
            ),
            2 => {
                let wait_ms = wait_ms.max(1_000);
                (
                    json!({"url": url, "cron": 1, "wait": wait_ms, "overlap": overlap}),
                    Kind::Interval { wait_ms },
                )
            }
            _ => {
                let minutes = 1 + self.random.below(3);
                (
                    json!({"url": url, "cron": format!("*/{minutes} * * * *")}),
                    Kind::Line { minutes },
                )
            }
        };
        let due_ms = match kind {
            Kind::Once { due_ms } | Kind::Persistent { due_ms } => due_ms,
            _ => self.now.mono_ms,
        };
        let due_unix_ms = self.now.unix_ms + due_ms - self.now.mono_ms;
        self.not_before
            .insert(serial, (due_ms, due_unix_ms, due_ms - self.now.mono_ms));
        let fields = fields.as_object().cloned().expect("an object");
        self.call(TimerRequest::Set(fields), Asked::Set(serial, kind));
    }

    fn delete(&mut self) {
        let count = self.known.len() as u64;
        if count == 0 {
            return;
        }
        let at = self.random.below(count) as usize;
        let Some((&id, known)) = self.known.iter_mut().nth(at) else {
            return;
        };
        known.is_doubtful = true;
        self.call(TimerRequest::Del(TimerKey::Id(id)), Asked::Del(id));
    }

    /// A change that begins a timer anew, or only touches it.
    fn change(&mut self) {
        let at = self.random.below(self.known.len() as u64 + 1) as usize;
        let Some(&id) = self.known.keys().nth(at) else {
            return;
        };
        let key = TimerKey::Id(id);
        let request = if self.random.one_in(2) {
            TimerRequest::Enable(key, true)
        } else {
            let fields = json!({"note": self.serials});
            TimerRequest::Change(key, fields.as_object().cloned().expect("an object"))
        };
        self.call(request, Asked::Change(id));
    }

    fn clear(&mut self) {
        for (&id, known) in &mut self.known {
            known.is_doubtful |= id > 0;
        }
        let below = self.timers.next_id;
        self.call(TimerRequest::Clear, Asked::Clear(below));
    }

    /// A worker ends some callbacks, or dies with them.
    fn work(&mut self) {
        for _ in 0..self.random.below(6) {
            if self.out.is_empty() {
                return;
            }
            let at = self.random.below(self.out.len() as u64) as usize;
            let callback = self.out.swap_remove(at);
            let outcome = match self.random.below(12) {
                // Died: nobody answers.
                0 => continue,
                1 => Err("refused".into()),
                2 => Err("timeout".into()),
                3 => Ok((500, "".into())),
                _ => Ok((200, "".into())),
            };
            self.handle(TimersInput::CallbackDone(Box::new(CallbackDone {
                timer: callback.timer,
                version: callback.version,
                host: callback.request.host.clone(),
                timed_out: outcome == Err("timeout".into()),
                outcome,
                took_ms: 1,
            })));
        }
    }

    /// The disk takes what came, or refuses it, all at once or a part.
    fn store(&mut self) {
        let count = self.random.below(self.to_disk.len() as u64 + 1);
        let mut last = None;
        for _ in 0..count {
            let Some(record) = self.to_disk.pop_front() else {
                break;
            };
            if record.generation != self.generation {
                continue;
            }
            if self.is_full {
                self.generation += 1;
                if let Some(seq) = last.take() {
                    self.handle(TimersInput::Committed { seq });
                }
                return self.handle(TimersInput::Refused {
                    seq: record.seq,
                    reason: "disk full".into(),
                });
            }
            self.disk.apply(record.change);
            last = Some(record.seq);
        }
        if let Some(seq) = last {
            self.handle(TimersInput::Committed { seq });
        }
    }

    fn step_clock(&mut self) {
        let seconds = [5, 600, 3_600, 20_000][self.random.below(4) as usize];
        self.stepped_far |= seconds > 10_800;
        // Back only as far as the present goes back at all.
        self.now.unix_ms = if self.random.one_in(2) {
            self.now.unix_ms + seconds * 1_000
        } else {
            self.now.unix_ms - seconds * 1_000
        };
        self.turn();
    }

    /// The daemon is killed and starts again with what the disk holds.
    fn restart(&mut self) {
        self.to_disk.clear();
        self.out.clear();
        self.asked.clear();
        self.generation = 0;
        self.now.mono_ms += 2_000;
        self.now.unix_ms += 2_000;
        self.timers = Timers::new(setup(self.now, self.disk.stored()));
        let now = self.now;
        self.unix_ms_max = now.unix_ms;
        for (due_ms, due_unix_ms, wait_ms) in self.not_before.values_mut() {
            *due_ms = now.mono_ms + due_unix_ms.saturating_sub(now.unix_ms).min(*wait_ms);
        }
        self.known
            .retain(|_, known| !matches!(known.kind, Kind::Once { .. }));
        for known in self.known.values_mut() {
            known.since_ms = now.mono_ms;
            known.since_unix_ms = now.unix_ms;
            known.ran = 0;
        }
        self.turn();
        self.check_known();
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        let mut turns = 0;
        loop {
            let at = self
                .timers
                .poll_timeout()
                .map_or(end, |at| at.clamp(self.now.mono_ms, end));
            self.now.unix_ms += at - self.now.mono_ms;
            self.now.mono_ms = at;
            self.turn();
            turns += 1;
            let next = self.timers.poll_timeout();
            if at == end && next.is_none_or(|next| next > at) {
                return;
            }
            assert!(turns < 20_000, "seed {}: it spins", self.seed);
        }
    }

    fn turn(&mut self) {
        self.unix_ms_max = self.unix_ms_max.max(self.now.unix_ms);
        self.timers.begin_turn(self.now);
        self.drain();
    }

    fn handle(&mut self, input: TimersInput) {
        self.timers.handle(input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.timers.poll_output() {
            match output {
                TimersOutput::Record(record) => self.to_disk.push_back(record),
                TimersOutput::Reply { to, answer } => self.answered(to.key, answer.ok()),
                TimersOutput::Callback(callback) => self.called(*callback),
                TimersOutput::Log(_) => {}
            }
        }
    }

    fn answered(&mut self, call: u32, data: Option<Data>) {
        match (self.asked.remove(&call), data) {
            (Some(Asked::Set(serial, kind)), Some(Data::Json(Value::Number(id)))) => {
                let id = id.as_i64().expect("an id");
                let known = Known {
                    serial,
                    kind,
                    since_ms: self.now.mono_ms,
                    since_unix_ms: self.now.unix_ms,
                    ran: 0,
                    calls: 0,
                    is_doubtful: false,
                };
                let before = self.known.insert(id, known);
                assert!(before.is_none(), "seed {}: id {id} given twice", self.seed);
            }
            (Some(Asked::Del(id)), Some(_)) => {
                self.known.remove(&id);
            }
            (Some(Asked::Change(id)), Some(_)) => {
                if let Some(known) = self.known.get_mut(&id) {
                    known.since_ms = self.now.mono_ms;
                    known.since_unix_ms = self.now.unix_ms;
                    known.ran = 0;
                }
            }
            (Some(Asked::Clear(below)), Some(_)) => {
                self.known.retain(|id, _| *id < 0 || *id >= below);
            }
            (Some(Asked::Clear(_)), None) => {
                for known in self.known.values_mut() {
                    known.is_doubtful = false;
                }
            }
            (Some(Asked::Del(id)), None) => {
                // Refused by the disk, or it was over already.
                if let Some(known) = self.known.get_mut(&id) {
                    known.is_doubtful = false;
                }
            }
            _ => {}
        }
    }

    fn called(&mut self, callback: Callback) {
        if !self.is_settling && self.random.one_in(15) {
            return self.handle(TimersInput::CallbackRefused(Box::new(callback)));
        }
        let seed = self.seed;
        let serial: u64 = callback
            .request
            .url
            .rsplit('/')
            .next()
            .and_then(|serial| serial.parse().ok())
            .expect("a serial number");
        let (due_ms, ..) = self.not_before[&serial];
        assert!(
            self.now.mono_ms >= due_ms,
            "seed {seed}: timer {serial} was early: {:?} at {:?}, {:?}",
            self.not_before[&serial],
            self.now,
            self.known.get(&callback.timer)
        );
        self.fired += 1;
        if let Some(known) = self.known.get_mut(&callback.timer) {
            assert_eq!(known.serial, serial, "seed {seed}");
            known.calls += 1;
            known.ran += 1;
            let most = match known.kind {
                Kind::Once { .. } => {
                    self.known.remove(&callback.timer);
                    assert!(self.done.insert(serial), "seed {seed}: {serial} twice");
                    return self.out.push(callback);
                }
                Kind::Persistent { .. } => u64::MAX,
                Kind::Interval { wait_ms } => (self.now.mono_ms - known.since_ms) / wait_ms + 1,
                Kind::Line { .. } if self.stepped_far => u64::MAX,
                Kind::Line { minutes } => {
                    (self.unix_ms_max - known.since_unix_ms) / (minutes * 60_000) + 1
                }
            };
            assert!(
                known.ran <= most,
                "seed {seed}: {serial} ran {} times, not {most}",
                known.ran
            );
        }
        self.out.push(callback);
    }

    /// What was acknowledged is on disk.
    fn check_known(&self) {
        for (id, known) in &self.known {
            if matches!(known.kind, Kind::Once { .. }) || known.is_doubtful {
                continue;
            }
            let is_there = self.disk.list.iter().any(|(other, _)| other == id)
                || self.disk.failed.contains_key(id)
                // It ran and was taken off.
                || matches!(known.kind, Kind::Persistent { .. }) && known.calls > 0;
            assert!(is_there, "seed {}: {known:?} is lost", self.seed);
        }
    }

    /// Everything works again: what is due is called, what is stored is what is shown.
    fn settle(&mut self) {
        self.is_full = false;
        self.is_settling = true;
        for _ in 0..60 {
            while !self.to_disk.is_empty() {
                self.store();
            }
            while let Some(callback) = self.out.pop() {
                self.handle(TimersInput::CallbackDone(Box::new(CallbackDone {
                    timer: callback.timer,
                    version: callback.version,
                    host: callback.request.host.clone(),
                    timed_out: false,
                    outcome: Ok((200, "".into())),
                    took_ms: 1,
                })));
            }
            self.advance(5_000);
        }
        self.check_known();
        for (id, known) in &self.known {
            assert!(
                !matches!(known.kind, Kind::Once { .. }),
                "seed {}: {id} {known:?} was never called",
                self.seed
            );
            assert!(
                known.calls > 0 || known.is_doubtful || matches!(known.kind, Kind::Line { .. }),
                "seed {}: {id} {known:?} was never called",
                self.seed
            );
        }
        let shown: Vec<i64> = self.timers.book.ids().collect();
        let mut stored: Vec<i64> = self.disk.list.iter().map(|(id, _)| *id).collect();
        stored.sort_unstable();
        assert_eq!(shown, stored, "seed {}", self.seed);
        assert!(self.timers.texts.is_empty(), "seed {}", self.seed);
    }
}

#[test]
fn two_hundred_seeds() {
    let mut fired = 0;
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        fired += world.fired;
    }
    assert!(fired > 10_000, "{fired} callbacks: it tested little");
}
