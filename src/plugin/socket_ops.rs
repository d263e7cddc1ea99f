//! What coroutines do with sockets: the functions of `sockets.lua`, and the coroutines that listeners begin.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, MultiValue};

use crate::limits::PLUGIN_SOCKET_READ_BYTES_MAX;
use crate::message::Job;
use crate::message::plugin::{TaskId, TaskJob, TaskWork};
use crate::plugin::execute::{Begun, TOO_BUSY};
use crate::plugin::program::Program;
use crate::plugin::purpose::{Purpose, Resume, Task, Waits};
use crate::plugin::results::{take, values};
use crate::plugin::scheduler::Scheduler;
use crate::plugin::sockets::{Outcome, SocketEvent, SocketId, Want};
use crate::plugin::tasks::TaskKey;

/// Listeners and UDP sockets, and what runs for what comes to them.
#[derive(Default)]
pub(super) struct Services {
    by_socket: HashMap<SocketId, Service>,
    /// Connections that no plugin holds any more.
    dropped: Rc<RefCell<Vec<SocketId>>>,
}

/// A connection that a plugin made, for as long as it holds it. Its coroutine may end without closing it.
struct Held {
    socket: SocketId,
    dropped: Rc<RefCell<Vec<SocketId>>>,
}

impl mlua::UserData for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut dropped) = self.dropped.try_borrow_mut() {
            dropped.push(self.socket);
        }
    }
}

struct Service {
    program: Rc<Program>,
    handler: Function,
    is_udp: bool,
    /// Where it is bound: over a reload the same is handed over.
    address: SocketAddr,
    /// Taken over by a program that is still being loaded.
    next: Option<(Rc<Program>, Function)>,
}

impl Scheduler {
    /// Begins `op` of a socket.
    pub(super) fn begin_socket(
        &mut self,
        key: TaskKey,
        task: &mut Task,
        op: SocketOp,
        arguments: MultiValue,
    ) -> Result<Begun, String> {
        let program = Rc::clone(&task.program);
        let lua = program.sandbox().lua();
        match op {
            SocketOp::ListenTcp | SocketOp::ListenUdp => {
                let (address, handler) = take::<(String, Function)>(arguments, lua)?;
                let is_udp = matches!(op, SocketOp::ListenUdp);
                let is_loading = matches!(task.purpose, Purpose::Load(_));
                let id = self.listen(&program, &address, handler, is_udp, is_loading)?;
                Ok(Begun::Now(values(lua, id.to_number())))
            }
            SocketOp::Connect => {
                let (address, timeout) = take::<(String, Option<f64>)>(arguments, lua)?;
                let id = self.tasks.name_wait(key);
                self.lookups.queue(id, address.into());
                Ok(self.wait_until(id, Waits::Address(id), timeout))
            }
            SocketOp::Read => {
                let (socket, want, count, timeout) =
                    take::<(u64, String, usize, Option<f64>)>(arguments, lua)?;
                if count > PLUGIN_SOCKET_READ_BYTES_MAX {
                    return Err(format!(
                        "read: expected at most {PLUGIN_SOCKET_READ_BYTES_MAX} bytes at once"
                    ));
                }
                let want = match want.as_str() {
                    "line" => Want::Line,
                    "exactly" => Want::Exactly(count),
                    _ => Want::Some,
                };
                let id = self.tasks.name_wait(key);
                let socket = self.own_socket(&program, socket);
                Ok(match self.sockets.read(socket, want, id) {
                    None => self.wait_until(id, Waits::Socket(id, socket), timeout),
                    Some(outcome) => Begun::Now(answer(lua, None, outcome)),
                })
            }
            SocketOp::Write => {
                let (socket, data, timeout) =
                    take::<(u64, mlua::LuaString, Option<f64>)>(arguments, lua)?;
                let id = self.tasks.name_wait(key);
                let socket = self.own_socket(&program, socket);
                Ok(match self.sockets.write(socket, &data.as_bytes(), id) {
                    None => self.wait_until(id, Waits::Socket(id, socket), timeout),
                    Some(outcome) => Begun::Now(answer(lua, None, outcome)),
                })
            }
            SocketOp::Close => {
                let socket = self.own_socket(&program, take::<u64>(arguments, lua)?);
                self.sockets.close(socket);
                self.services.by_socket.remove(&socket);
                Ok(Begun::Now(values(lua, ())))
            }
            SocketOp::SendTo => {
                let (socket, data, peer) = take::<(u64, mlua::LuaString, String)>(arguments, lua)?;
                let peer: SocketAddr = peer
                    .parse()
                    .map_err(|_| "send: expected ADDRESS:PORT".to_owned())?;
                let socket = self.own_socket(&program, socket);
                Ok(Begun::Now(
                    match self.sockets.send_to(socket, &data.as_bytes(), peer) {
                        Ok(()) => values(lua, true),
                        Err(why) => values(lua, (mlua::Nil, why)),
                    },
                ))
            }
            SocketOp::Address => {
                let socket = self.own_socket(&program, take::<u64>(arguments, lua)?);
                let address = self.sockets.local_address(socket);
                Ok(Begun::Now(values(
                    lua,
                    address.map(|address| address.to_string()),
                )))
            }
        }
    }

    /// The socket of a number that Lua holds; none, where it is another state's by now.
    fn own_socket(&self, program: &Program, number: u64) -> SocketId {
        let socket = SocketId::from_number(number);
        match self.sockets.is_of(socket, program.id()) {
            true => socket,
            false => SocketId::from_number(u64::MAX),
        }
    }

    fn wait_until(&self, id: TaskId, waits: Waits, timeout_s: Option<f64>) -> Begun {
        let until_ms = timeout_s.map(|seconds| {
            let ms = (seconds * 1_000.0).clamp(0.0, 86_400_000.0);
            self.now.mono_ms + ms as u64
        });
        Begun::Waits {
            id,
            until_ms,
            waits,
        }
    }

    fn listen(
        &mut self,
        program: &Rc<Program>,
        address: &str,
        handler: Function,
        is_udp: bool,
        is_loading: bool,
    ) -> Result<SocketId, String> {
        if program.retired_ms().is_some() {
            return Err("the plugins were loaded anew".to_owned());
        }
        let address: SocketAddr = address
            .parse()
            .map_err(|_| format!("{address}: expected ADDRESS:PORT, e.g. 127.0.0.1:1883"))?;
        let same = self.services.by_socket.iter_mut().find(|(_, service)| {
            is_loading
                && service.address == address
                && service.is_udp == is_udp
                && address.port() != 0
                && service.next.is_none()
                && !Rc::ptr_eq(&service.program, program)
        });
        if let Some((id, service)) = same {
            service.next = Some((Rc::clone(program), handler));
            return Ok(*id);
        }
        let id = match is_udp {
            true => self.sockets.listen_udp(program.id(), address)?,
            false => self.sockets.listen_tcp(program.id(), address)?,
        };
        let service = Service {
            program: Rc::clone(program),
            handler,
            is_udp,
            address: self.sockets.local_address(id).unwrap_or(address),
            next: None,
        };
        self.services.by_socket.insert(id, service);
        Ok(id)
    }

    /// A program is the one in force now: what it took over goes to it, the rest of the old one's sockets close.
    pub(super) fn switch_sockets(&mut self, old: Option<&Program>) {
        let sockets = &mut self.sockets;
        for (&id, service) in &mut self.services.by_socket {
            if let Some((program, handler)) = service.next.take() {
                sockets.give(id, program.id());
                (service.program, service.handler) = (program, handler);
            }
        }
        if let Some(old) = old {
            sockets.close_all(old.id());
            let services = &mut self.services.by_socket;
            services.retain(|_, service| service.program.id() != old.id());
        }
    }

    /// A program was not loaded: what it listens at is closed, what it was to take over stays.
    pub(super) fn drop_sockets(&mut self, program: &Program) {
        self.sockets.close_all(program.id());
        let services = &mut self.services.by_socket;
        services.retain(|_, service| service.program.id() != program.id());
        for service in services.values_mut() {
            service.next = None;
        }
    }

    /// Wakes who waited for sockets, and begins coroutines for what came to listeners.
    pub(super) fn handle_socket_events(&mut self) {
        while let Some(event) = self.sockets.poll_event() {
            match event {
                SocketEvent::Over(id, outcome) => self.socket_is_over(id, outcome),
                SocketEvent::Accepted {
                    listener,
                    socket,
                    peer,
                } => {
                    let begun = self.serve(listener, Purpose::Socket(socket), |lua| {
                        (socket.to_number(), peer.to_string()).into_lua_multi(lua)
                    });
                    if !begun {
                        self.sockets.close(socket);
                    }
                }
                SocketEvent::Datagram { socket, peer, data } => {
                    self.serve(socket, Purpose::Free, |lua| {
                        (lua.create_string(&data)?, peer.to_string()).into_lua_multi(lua)
                    });
                }
            }
        }
    }

    fn socket_is_over(&mut self, id: TaskId, outcome: Outcome) {
        let Some(key) = self.tasks.waiting(id) else {
            return;
        };
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        let connected = match task.waits {
            Waits::Connect(_, socket) => Some(Held {
                socket,
                dropped: Rc::clone(&self.services.dropped),
            }),
            _ => None,
        };
        task.waits = Waits::Plainly;
        // One that was not made is dropped here, and closed with those that nobody holds.
        let resume = answer(task.program.sandbox().lua(), connected, outcome);
        self.tasks.wake(id, resume);
    }

    /// Closes what no plugin holds any more.
    pub(super) fn close_dropped(&mut self) {
        let dropped = self.services.dropped.take();
        for socket in dropped {
            self.sockets.close(socket);
        }
    }

    /// The address that a coroutine wants to connect to is known.
    pub(super) fn connect(&mut self, id: TaskId, address: SocketAddr) {
        let Some(key) = self.tasks.waiting(id) else {
            return;
        };
        let Some(task) = self.tasks.get(key) else {
            return;
        };
        match self.sockets.connect(task.program.id(), address, id) {
            Ok(socket) => task.waits = Waits::Connect(id, socket),
            Err(why) => self.wake_with(id, |lua| values(lua, (mlua::Nil, why))),
        }
    }

    /// Hands names to workers that look them up, few at once.
    pub(super) fn submit_lookups(&mut self) {
        while let Some((id, address)) = self.lookups.poll() {
            let work = TaskWork::Resolve { address };
            let job = Job::Task(Box::new(TaskJob { task: id, work }));
            if (self.ports.submit)(job).is_err() {
                self.lookups.end(id);
                self.wake_with(id, |lua| values(lua, (mlua::Nil, TOO_BUSY)));
            }
        }
    }

    fn serve(
        &mut self,
        listener: SocketId,
        purpose: Purpose,
        arguments: impl FnOnce(&mlua::Lua) -> mlua::Result<MultiValue>,
    ) -> bool {
        let Some(service) = self.services.by_socket.get(&listener) else {
            return false;
        };
        let (program, handler) = (Rc::clone(&service.program), service.handler.clone());
        let begun = arguments(program.sandbox().lua())
            .map_err(|error| error.to_string())
            .and_then(|arguments| self.spawn(&program, &handler, arguments, purpose, None));
        match begun {
            Ok(_) => true,
            Err(text) => {
                self.refuse("a socket", &text);
                false
            }
        }
    }
}

/// What `sockets.lua` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketOp {
    ListenTcp,
    ListenUdp,
    Connect,
    Read,
    Write,
    Close,
    SendTo,
    Address,
}

/// The names of what `sockets.lua` is given, in its order.
pub(super) const SOCKET_OPS: [(&str, SocketOp); 8] = [
    ("listenTcp", SocketOp::ListenTcp),
    ("listenUdp", SocketOp::ListenUdp),
    ("connectTcp", SocketOp::Connect),
    ("socketRead", SocketOp::Read),
    ("socketWrite", SocketOp::Write),
    ("socketClose", SocketOp::Close),
    ("socketSendTo", SocketOp::SendTo),
    ("socketAddress", SocketOp::Address),
];

/// An outcome as Lua sees it: the data, true, the connection's number and what holds it; or nil and why.
fn answer(lua: &mlua::Lua, connected: Option<Held>, outcome: Outcome) -> Resume {
    match (outcome, connected) {
        (Outcome::Data(data), _) => match lua.create_string(&data) {
            Ok(data) => values(lua, data),
            Err(error) => Err(error.to_string()),
        },
        (Outcome::End, _) => values(lua, (mlua::Nil, "closed")),
        (Outcome::Done, Some(held)) => {
            let number = held.socket.to_number();
            match lua.create_userdata(held) {
                Ok(held) => values(lua, (number, held)),
                Err(error) => Err(error.to_string()),
            }
        }
        (Outcome::Done, None) => values(lua, true),
        (Outcome::Failed(why), _) => values(lua, (mlua::Nil, why)),
    }
}
