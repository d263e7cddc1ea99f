//! What the running task may still compute, and the hook that looks at it every few instructions. Never ends a
//! task: its coroutines yield for good, and [`super::task`] drops it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::debug::HookTriggers;
use mlua::{Lua, VmState};
use rustix::time::{ClockId, clock_gettime};

use crate::limits::{
    PLUGIN_CPU_READ_US, PLUGIN_HOOK_INSTRUCTIONS, PLUGIN_IDLE_HOOKS_MAX, PLUGIN_OVER_HOOKS_MAX,
    PLUGIN_UNINTERRUPTED_MS_MAX, PLUGIN_WALL_US_MAX,
};

/// The error of code of a task that has used all it may.
pub const OVER: &str = "too much computing";

/// The meter of one Lua state. Time counts while a task runs, never while it waits.
pub struct Meter {
    state: Cell<State>,
    /// When the running task began to run.
    started: Cell<Instant>,
    /// What it may compute in this run before it lets others run.
    slice: Cell<Duration>,
    /// Before that it cannot have computed as much.
    slice_end: Cell<Instant>,
    /// What it may compute in this run.
    left: Cell<Duration>,
    /// Before that it cannot have computed as much.
    compute_end: Cell<Instant>,
    /// What the thread had computed, and when that was looked at: a system call each time.
    computed: Cell<(Instant, Duration)>,
    /// The running task, or the last one.
    task: Cell<u64>,
    /// The running task got hold of its own coroutine.
    escaped: Cell<bool>,
    /// Hooks left for what runs outside of tasks: little Lua of ours does.
    idle_hooks: Cell<u32>,
    /// Hooks since the task is over.
    over_hooks: Cell<u32>,
    /// Where the task that is over was.
    place: RefCell<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No task runs.
    Idle,
    /// One does, within its limits.
    Running,
    /// One does, and has used all it may: nothing of it goes on.
    Over,
}

/// How a run of a task was.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// What it computed.
    pub used: Duration,
    /// Where it was when it had used all it may, if it had: `FILE:LINE`, or nothing.
    pub over: Option<String>,
    /// A plugin knows the task's coroutine from now on.
    pub escaped: bool,
}

impl Meter {
    /// A meter of a state without tasks.
    pub fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Meter {
            state: Cell::new(State::Idle),
            started: Cell::new(now),
            slice: Cell::default(),
            slice_end: Cell::new(now),
            left: Cell::default(),
            compute_end: Cell::new(now),
            computed: Cell::new((now, thread_computed())),
            task: Cell::new(0),
            escaped: Cell::new(false),
            idle_hooks: Cell::new(PLUGIN_IDLE_HOOKS_MAX),
            over_hooks: Cell::new(0),
            place: RefCell::default(),
        })
    }

    /// Hooks all coroutines that will be made.
    pub fn install(self: &Rc<Self>, lua: &Lua) -> mlua::Result<()> {
        let meter = Rc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(PLUGIN_HOOK_INSTRUCTIONS);
        lua.set_global_hook(triggers, move |lua, _| meter.handle_hook(lua))
    }

    /// A task runs from now on, for at most `slice` at a time and `left` in all.
    pub fn start(&self, task: u64, slice: Duration, left: Duration) {
        let now = Instant::now();
        if now.duration_since(self.computed.get().0) > Duration::from_micros(PLUGIN_CPU_READ_US) {
            self.computed.set((now, thread_computed()));
        }
        self.state.set(State::Running);
        self.task.set(task);
        self.started.set(now);
        self.slice.set(slice);
        self.slice_end.set(now + slice);
        self.left.set(left);
        self.compute_end.set(now + left);
    }

    /// It stopped running.
    pub fn stop(&self) -> Run {
        self.idle_hooks.set(PLUGIN_IDLE_HOOKS_MAX);
        let now = Instant::now();
        let mut used = now.duration_since(self.started.get());
        if used > Duration::from_micros(PLUGIN_WALL_US_MAX) {
            used = used.min(self.used_at_most());
            self.computed.set((now, thread_computed()));
        }
        let over = match self.state.replace(State::Idle) {
            State::Over => Some(self.place.take()),
            State::Idle | State::Running => None,
        };
        Run {
            used,
            over,
            escaped: self.escaped.take(),
        }
    }

    /// Whether the running task has used all it may. What catches errors must let it go on failing.
    pub fn is_over(&self) -> bool {
        self.state.get() == State::Over
    }

    /// Looks at the clock after something long that no hook could interrupt. Errors: the task has used all it may.
    pub fn check(&self, lua: &Lua) -> Result<(), String> {
        if self.state.get() == State::Running {
            self.look(lua, Instant::now());
        }
        if self.is_over() {
            Err(OVER.to_owned())
        } else {
            Ok(())
        }
    }

    /// Whether the running task is to let others run.
    pub fn is_due(&self, lua: &Lua) -> bool {
        if self.state.get() == State::Running {
            let now = Instant::now();
            self.look(lua, now);
            return self.is_over() || self.is_slice_over(now);
        }
        self.is_over()
    }

    /// The running task got hold of its own coroutine.
    pub fn note_escape(&self) {
        self.escaped.set(true);
    }

    /// Which task runs, or did last.
    pub fn task(&self) -> u64 {
        self.task.get()
    }

    /// What the running task computed, or the last one and what was done for it since, and what the thread did shortly
    /// before.
    pub fn used_at_most(&self) -> Duration {
        thread_computed().saturating_sub(self.computed.get().1)
    }

    /// A short task is never interrupted just because the system let others run in the midst of it: plugins would
    /// have to reckon with that anywhere.
    fn is_slice_over(&self, now: Instant) -> bool {
        if now < self.slice_end.get() {
            return false;
        }
        let used = self.used_at_most();
        if used < self.slice.get() {
            self.slice_end.set(now + (self.slice.get() - used));
            return false;
        }
        true
    }

    /// Ends the task if it has used all it may.
    fn look(&self, lua: &Lua, now: Instant) {
        if now < self.compute_end.get() {
            return;
        }
        let used = self.used_at_most();
        if used < self.left.get() {
            self.compute_end.set(now + (self.left.get() - used));
            return;
        }
        self.state.set(State::Over);
        self.over_hooks.set(0);
        self.place.replace(place(lua));
    }

    fn handle_hook(&self, lua: &Lua) -> mlua::Result<VmState> {
        match self.state.get() {
            State::Running => {
                let now = Instant::now();
                if !self.is_slice_over(now) {
                    return Ok(VmState::Continue);
                }
                self.look(lua, now);
                Ok(VmState::Yield)
            }
            State::Over => {
                self.over_hooks.set(self.over_hooks.get() + 1);
                if self.over_hooks.get() <= PLUGIN_OVER_HOOKS_MAX {
                    return Ok(VmState::Yield);
                }
                // It cannot yield: something that is not in Lua called a function of a plugin, as none of our functions
                // does. An error is the second best, for mlua closes variables within the hook, where nothing can be interrupted.
                Err(mlua::Error::runtime(OVER))
            }
            State::Idle => match self.idle_hooks.get().checked_sub(1) {
                Some(left) => {
                    self.idle_hooks.set(left);
                    Ok(VmState::Continue)
                }
                None => Err(mlua::Error::runtime("too much computing outside of a task")),
            },
        }
    }
}

/// Ends what computes for long where no hook looks at the clock.
pub struct Patience {
    since: Instant,
    /// What the thread had computed then.
    computed: Option<Duration>,
}

impl Patience {
    /// Some tens of ms from now on.
    pub fn start() -> Self {
        Patience {
            since: Instant::now(),
            computed: None,
        }
    }

    /// Whether it is over. Costs a look at the clock.
    pub fn is_over(&mut self) -> bool {
        let limit = Duration::from_millis(PLUGIN_UNINTERRUPTED_MS_MAX);
        if self.since.elapsed() < limit {
            return false;
        }
        // The system may have let others run meanwhile: from now on, what the thread computes is what counts.
        let computed = thread_computed();
        match self.computed {
            Some(before) => computed.saturating_sub(before) >= limit,
            None => {
                self.computed = Some(computed);
                self.since = Instant::now();
                false
            }
        }
    }
}

/// What this thread has computed.
fn thread_computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// The innermost line of a plugin that runs, `FILE:LINE`; empty if none does.
pub fn place(lua: &Lua) -> String {
    for level in 0..PLACE_LEVELS_MAX {
        let line = lua.inspect_stack(level, |debug| {
            let source = debug.source().short_src?.into_owned();
            let line = debug.current_line()?;
            (!source.starts_with('[')).then(|| format!("{source}:{line}"))
        });
        match line {
            Some(Some(line)) => return line,
            Some(None) => {}
            None => break,
        }
    }
    String::new()
}

/// Our own functions are never nested deeper.
const PLACE_LEVELS_MAX: usize = 16;
