//! What the running task may still compute, and the hook that looks at it every few instructions.
//! Never ends a task: it only says so, and makes all of its code fail until [`super::task`] drops it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::debug::{Debug, HookTriggers};
use mlua::{Lua, VmState};

use crate::limits::{PLUGIN_HOOK_INSTRUCTIONS, PLUGIN_IDLE_HOOKS_MAX};

/// The meter of one Lua state. Time counts while a task runs, never while it waits.
pub struct Meter {
    state: Cell<State>,
    /// Where the running task lets others run.
    slice_end: Cell<Instant>,
    /// Where it has used all it may.
    compute_end: Cell<Instant>,
    /// The running task, or the last one.
    task: Cell<u64>,
    /// Hooks left for what runs outside of tasks: little Lua of ours does.
    idle_hooks: Cell<u32>,
    /// The last hook of a task that is over asked for a yield.
    yielded: Cell<bool>,
    /// Hooks of some coroutines come with each instruction.
    every_instruction: Cell<bool>,
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

impl Meter {
    /// A meter of a state without tasks.
    pub fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Meter {
            state: Cell::new(State::Idle),
            slice_end: Cell::new(now),
            compute_end: Cell::new(now),
            task: Cell::new(0),
            idle_hooks: Cell::new(PLUGIN_IDLE_HOOKS_MAX),
            yielded: Cell::new(false),
            every_instruction: Cell::new(false),
            place: RefCell::default(),
        })
    }

    /// Hooks all coroutines that will be made.
    pub fn install(self: &Rc<Self>, lua: &Lua) -> mlua::Result<()> {
        self.hook_every(lua, PLUGIN_HOOK_INSTRUCTIONS)
    }

    fn hook_every(self: &Rc<Self>, lua: &Lua, instructions: u32) -> mlua::Result<()> {
        let meter = Rc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(instructions);
        lua.set_global_hook(triggers, move |lua, debug| meter.handle_hook(lua, debug))
    }

    /// A task runs from now on, for at most `slice` at a time and `compute` in all.
    pub fn start(
        self: &Rc<Self>,
        lua: &Lua,
        task: u64,
        now: Instant,
        slice: Duration,
        compute: Duration,
    ) {
        if self.every_instruction.replace(false) {
            // It only fails for want of memory, and then the next hook is as good.
            let _ = self.hook_every(lua, PLUGIN_HOOK_INSTRUCTIONS);
        }
        self.state.set(State::Running);
        self.slice_end.set(now + slice);
        self.compute_end.set(now + compute);
        self.task.set(task);
    }

    /// It stopped running. Where it was when it had used all it may, if it had.
    pub fn stop(&self) -> Option<String> {
        self.idle_hooks.set(PLUGIN_IDLE_HOOKS_MAX);
        self.yielded.set(false);
        match self.state.replace(State::Idle) {
            State::Over => Some(self.place.take()),
            State::Idle | State::Running => None,
        }
    }

    /// Whether the running task has used all it may. What catches errors must let it go on failing.
    pub fn is_over(&self) -> bool {
        self.state.get() == State::Over
    }

    /// Looks at the clock after something long that no hook could interrupt. Errors: the task has used all it may.
    pub fn check(&self, lua: &Lua) -> Result<(), String> {
        if self.state.get() == State::Running && Instant::now() >= self.compute_end.get() {
            self.end(lua);
        }
        if self.is_over() {
            Err(OVER.to_owned())
        } else {
            Ok(())
        }
    }

    /// Which task runs, or did last.
    pub fn task(&self) -> u64 {
        self.task.get()
    }

    fn end(&self, lua: &Lua) {
        self.state.set(State::Over);
        self.place.replace(place(lua));
    }

    fn handle_hook(self: &Rc<Self>, lua: &Lua, _: &Debug<'_>) -> mlua::Result<VmState> {
        match self.state.get() {
            State::Running => {
                let now = Instant::now();
                if now < self.slice_end.get() {
                    return Ok(VmState::Continue);
                }
                if now >= self.compute_end.get() {
                    self.end(lua);
                    self.yielded.set(true);
                }
                // Where it cannot yield it goes on, up to its limit.
                Ok(VmState::Yield)
            }
            State::Over if self.yielded.replace(true) => {
                self.yielded.set(false);
                // It did not yield, so only an error ends what runs. What is to be closed on the way could be
                // hundreds of thousands of functions: none of them gets any further than its first instruction.
                self.every_instruction.set(true);
                self.hook_every(lua, 1)?;
                Err(mlua::Error::runtime(OVER))
            }
            State::Over => Ok(VmState::Yield),
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

/// The error that all code of a task gets once it has used all it may.
pub const OVER: &str = "too much computing";

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
