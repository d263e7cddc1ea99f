//! Reloads, bounds and ends, with a reactor and workers that a test plays.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use jiff::tz::TimeZone;
use mio::{Events, Poll};
use serde_json::Value;

use super::*;
use crate::call::answer::{Answer, Data};
use crate::limits::{PLUGIN_HANDED_BYTES_MAX, PLUGIN_JSON_BYTES_MAX, PLUGIN_OLD_STATES_MAX};
use crate::message::plugin::{
    PluginCallEvent, PluginEventKind, PluginSources, PluginTable, TaskDone, TaskOutcome, TaskWork,
};
use crate::message::{Job, ReactorMsg};

struct Bench {
    scheduler: Scheduler,
    settings: Settings,
    clock: Clock,
    poll: Poll,
    said: Receiver<ReactorMsg>,
    jobs: Receiver<Job>,
    lines: Receiver<LogLine>,
}

impl Bench {
    fn new(set: impl FnOnce(&mut Settings)) -> Self {
        let (to_reactor, said) = unbounded();
        let (to_workers, jobs) = unbounded();
        let (to_log, lines) = unbounded();
        let mut settings = Settings::default();
        set(&mut settings);
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a clone");
        let clock = Clock::start();
        let ports = Ports {
            tell_reactor: Box::new(move |message| to_reactor.send(message).expect("kept")),
            submit: Box::new(move |job| {
                to_workers.send(job).expect("kept");
                Ok(())
            }),
            log: Arc::new(move |line| to_log.send(line).is_ok()),
        };
        let setup = PluginSetup {
            ports,
            settings: settings.clone(),
            zone: TimeZone::UTC,
            clock,
            sockets_max: 64,
            first: None,
        };
        Bench {
            scheduler: Scheduler::new(setup, Sockets::new(registry, 64)),
            settings,
            clock,
            poll,
            said,
            jobs,
            lines,
        }
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        self.poll
            .poll(&mut events, Some(Duration::ZERO))
            .expect("polled");
        self.scheduler.begin_turn(self.clock.now());
        for event in &events {
            self.scheduler.sockets.handle_event(event);
        }
        self.scheduler.run_turn(self.clock);
    }

    /// Turns until `probe` gives something.
    #[track_caller]
    fn until<T>(&mut self, mut probe: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            self.turn();
            if let Some(found) = probe(self) {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "in vain");
        }
    }

    fn begin_load(&mut self, source: &str) {
        let load = PluginLoad {
            reply_to: None,
            sources: PluginSources {
                plugins: vec![("api.lua".into(), source.as_bytes().into())],
                modules: Vec::new(),
            },
            settings: Box::new(self.settings.clone()),
        };
        self.scheduler.handle(PluginMsg::Load(Box::new(load)));
    }

    #[track_caller]
    fn loaded(&mut self) -> Result<PluginTable, String> {
        self.until(|bench| match bench.said.try_recv() {
            Ok(ReactorMsg::PluginsLoaded(loaded)) => Some(loaded.outcome),
            _ => None,
        })
    }

    #[track_caller]
    fn load(&mut self, source: &str) {
        self.begin_load(source);
        self.loaded().expect("it loads");
    }

    fn begin_call(&mut self, action: &str) {
        let call = PluginCallEvent {
            action: action.into(),
            get: Value::Null,
            post: Value::Null,
            request: None,
            escape: false,
            transaction: None,
        };
        let event = PluginEvent {
            ticket: Some(ConnId::internal(1)),
            kind: PluginEventKind::Call(Box::new(call)),
        };
        self.scheduler.handle(PluginMsg::Event(Box::new(event)));
    }

    #[track_caller]
    fn call(&mut self, action: &str) -> Answer {
        self.begin_call(action);
        self.until(|bench| match bench.said.try_recv() {
            Ok(ReactorMsg::EventDone(done)) => Some(done.answer),
            _ => None,
        })
    }

    /// Waits until a line of the log holds this.
    #[track_caller]
    fn line(&mut self, text: &str) {
        self.until(|bench| {
            let mut lines = bench.lines.try_iter();
            lines.find(|line| line.text.contains(text)).map(drop)
        });
    }

    /// Answers the look-up of a name.
    #[track_caller]
    fn resolve(&mut self, address: SocketAddr) {
        let task = self.until(|bench| match bench.jobs.try_recv() {
            Ok(Job::Task(job)) if matches!(job.work, TaskWork::Resolve { .. }) => Some(job.task),
            _ => None,
        });
        let outcome = TaskOutcome::Resolved(Ok(address));
        let done = Box::new(TaskDone { task, outcome });
        self.scheduler.handle(PluginMsg::TaskDone(done));
    }

    fn program(&self) -> &Rc<Program> {
        self.scheduler.program.as_ref().expect("loaded")
    }
}

#[test]
fn what_was_replaced_ends_and_its_state_is_freed() {
    let mut bench = Bench::new(|settings| settings.plugin_timeout_ms = 50);
    bench.load(
        "safeGo(function() while true do sleep(1) end end)
        setIntervalLocal(10, function() end)
        listenUdp('127.0.0.1:0', print)
        function api_slow()
            sleep(20)
            setIntervalLocal(10, function() end)
            setTimeoutLocal(1, function() logit('never') end)
            safeGo(function() logit('still mine') while true do sleep(1) end end)
            return 'ended'
        end",
    );
    let old = Rc::downgrade(bench.program());
    bench.begin_call("slow");
    bench.turn();
    bench.load("function api_new() return 1 end");
    let ended = bench.until(|bench| match bench.said.try_recv() {
        Ok(ReactorMsg::EventDone(done)) => Some(done.answer),
        _ => None,
    });
    assert_eq!(ended, Ok(Data::Json("ended".into())));
    let mut lines = String::new();
    bench.until(|bench| {
        lines.extend(bench.lines.try_iter().map(|line| line.text));
        (old.strong_count() == 0).then_some(())
    });
    assert!(
        lines.contains("still mine") && !lines.contains("never"),
        "{lines}"
    );
    assert!(lines.contains(REPLACED), "{lines}");
    assert!(bench.scheduler.tasks.is_empty());
    assert_eq!(bench.scheduler.free, 0);
    assert_eq!(bench.scheduler.poll_timeout(), None);
    assert_eq!(bench.scheduler.sockets.count(), 0);
    assert_eq!(bench.call("new"), Ok(Data::Json(1.into())));
}

#[test]
fn old_states_are_few_however_long_their_handlers_may_take() {
    let mut bench = Bench::new(|settings| settings.plugin_timeout_ms = 3_600_000);
    for _ in 0..PLUGIN_OLD_STATES_MAX + 3 {
        bench.load("function api_long() sleep(1e9) end safeGo(function() sleep(1e9) end)");
        bench.begin_call("long");
        bench.until(|bench| (bench.scheduler.tasks.len() % 2 == 0).then_some(()));
    }
    assert_eq!(bench.scheduler.tasks.len(), 2 * (PLUGIN_OLD_STATES_MAX + 1));
}

#[test]
fn loads_go_one_after_the_other() {
    let mut bench = Bench::new(|_| {});
    bench.begin_load("for i = 1, 1e5 do end function api_first() end");
    bench.begin_load("nosuch()");
    bench.begin_load("function api_last() end");
    let calls = |outcome: Result<PluginTable, String>| outcome.map(|table| table.calls);
    assert_eq!(calls(bench.loaded()), Ok(vec!["first".into()]));
    let error = bench.loaded().expect_err("it does not load");
    assert!(error.starts_with("api.lua:1: "), "{error}");
    assert_eq!(calls(bench.loaded()), Ok(vec!["last".into()]));
}

#[test]
fn sleepers_leave_room_for_calls() {
    let mut bench = Bench::new(|_| {});
    bench.load(
        "local rounds = 0
        local function more()
            for i = 1, 2500 do safeGo(function() sleep(1e9) end) end
            rounds = rounds + 1
            if rounds < 9 then setTimeoutLocal(1, more) end
        end
        setTimeoutLocal(0, more)
        function api_x() return 1 end",
    );
    bench.line("no coroutine for a timer: more than 10000 coroutines");
    assert_eq!(bench.scheduler.free, PLUGIN_FREE_COROUTINES_MAX);
    assert_eq!(bench.call("x"), Ok(Data::Json(1.into())));
}

#[test]
fn what_other_threads_have_is_bounded_and_counted_back() {
    const PIECE: usize = PLUGIN_HANDED_BYTES_MAX / 5;
    let mut bench = Bench::new(|_| {});
    bench.load(&format!(
        "local s = ('x'):rep({PIECE})
        function api_big() return pushMsg('a', 'b', s) end"
    ));
    for _ in 0..4 {
        bench.begin_call("big");
    }
    let mut tasks = Vec::new();
    bench.until(|bench| {
        let said = bench.said.try_iter();
        tasks.extend(said.filter_map(|message| match message {
            ReactorMsg::PluginCall(call) => Some(call.task),
            _ => None,
        }));
        (tasks.len() == 4).then_some(())
    });
    let detail = bench.call("big").expect_err("too much").detail;
    assert!(detail.contains("too busy"), "{detail}");
    let answer = Box::new(Ok(Data::Count(1)));
    let task = tasks[0];
    bench.scheduler.handle(PluginMsg::CallDone { task, answer });
    assert_eq!(bench.scheduler.handed.len(), 3);
    assert!(bench.scheduler.handed_bytes < 4 * PIECE);
}

#[test]
fn one_text_may_not_be_bound_without_end() {
    let mut bench = Bench::new(|_| {});
    bench.load(
        "local s, list = ('x'):rep(1 << 20), {}
        for i = 1, 30000 do list[i] = s end
        function api_query() return queryAll('SELECT 1', list) end",
    );
    let detail = bench.call("query").expect_err("too much").detail;
    let bound = format!("more than {PLUGIN_JSON_BYTES_MAX} bytes of values");
    assert!(detail.contains(&bound), "{detail}");
    assert!(bench.jobs.is_empty());
}

#[test]
fn a_connection_closes_when_it_is_not_made_and_when_nobody_holds_it() {
    let mut bench = Bench::new(|_| {});
    bench.load(
        "function api_connect()
            local conn, why = connectTcp('name:1', 20)
            return conn and 'connected' or why
        end",
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let address = listener.local_addr().expect("an address");
    let connect = |bench: &mut Bench, wanted: &str| {
        bench.begin_call("connect");
        bench.resolve(address);
        let answer = bench.until(|bench| match bench.said.try_recv() {
            Ok(ReactorMsg::EventDone(done)) => Some(done.answer),
            _ => None,
        });
        let text = answer.expect("an answer").into_value().to_string();
        assert!(text.contains(wanted), "{text}");
        let lua = bench.program().sandbox().lua().clone();
        lua.gc_collect().expect("collected");
        bench.until(|bench| (bench.scheduler.sockets.count() == 0).then_some(()));
    };
    connect(&mut bench, "connected");
    drop(listener);
    connect(&mut bench, "refused");
}
