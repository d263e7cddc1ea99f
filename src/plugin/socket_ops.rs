//! What coroutines do with sockets: the functions of `sockets.lua`, and the coroutines that listeners begin.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, MultiValue};

use crate::limits::PLUGIN_SOCKET_READ_BYTES_MAX;
use crate::message::plugin::{TaskId, TaskWork};
use crate::plugin::execute::{Begun, take, values};
use crate::plugin::program::Program;
use crate::plugin::purpose::{Purpose, Resume, Task, Waits};
use crate::plugin::scheduler::Scheduler;
use crate::plugin::sockets::{Outcome, SocketEvent, SocketId, Want};
use crate::plugin::tasks::TaskKey;

/// Listeners and UDP sockets, and what runs for what comes to them.
#[derive(Default)]
pub(super) struct Services {
    by_socket: HashMap<SocketId, Service>,
}

struct Service {
    program: Rc<Program>,
    handler: Function,
    is_udp: bool,
    /// As it was asked for: over a reload the same is handed over.
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
                let id = self.listen(&program, &address, handler, is_udp)?;
                Ok(Begun::Now(values(lua, id.to_number())))
            }
            SocketOp::Resolve => {
                let address = take::<String>(arguments, lua)?.into();
                self.submit_task(key, TaskWork::Resolve { address })
            }
            SocketOp::Connect => {
                let (address, timeout) = take::<(String, Option<f64>)>(arguments, lua)?;
                let address: SocketAddr = address.parse().map_err(|_| {
                    format!("{address}: expected ADDRESS:PORT, e.g. 127.0.0.1:1883")
                })?;
                let id = self.tasks.name_wait(key);
                Ok(match self.sockets.connect(program.id(), address, id) {
                    Ok(socket) => self.wait_for_socket(id, socket, true, timeout),
                    Err(why) => Begun::Now(values(lua, (mlua::Nil, why))),
                })
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
                let socket = SocketId::from_number(socket);
                Ok(match self.sockets.read(socket, want, id) {
                    None => self.wait_for_socket(id, socket, false, timeout),
                    Some(outcome) => Begun::Now(answer(lua, None, outcome)),
                })
            }
            SocketOp::Write => {
                let (socket, data, timeout) =
                    take::<(u64, mlua::LuaString, Option<f64>)>(arguments, lua)?;
                let id = self.tasks.name_wait(key);
                let socket = SocketId::from_number(socket);
                Ok(match self.sockets.write(socket, &data.as_bytes(), id) {
                    None => self.wait_for_socket(id, socket, false, timeout),
                    Some(outcome) => Begun::Now(answer(lua, None, outcome)),
                })
            }
            SocketOp::Close => {
                let socket = SocketId::from_number(take::<u64>(arguments, lua)?);
                self.sockets.close(socket);
                self.services.by_socket.remove(&socket);
                Ok(Begun::Now(values(lua, ())))
            }
            SocketOp::SendTo => {
                let (socket, data, peer) = take::<(u64, mlua::LuaString, String)>(arguments, lua)?;
                let peer: SocketAddr = peer
                    .parse()
                    .map_err(|_| "send: expected ADDRESS:PORT".to_owned())?;
                let socket = SocketId::from_number(socket);
                Ok(Begun::Now(
                    match self.sockets.send_to(socket, &data.as_bytes(), peer) {
                        Ok(()) => values(lua, true),
                        Err(why) => values(lua, (mlua::Nil, why)),
                    },
                ))
            }
            SocketOp::Address => {
                let socket = SocketId::from_number(take::<u64>(arguments, lua)?);
                let address = self.sockets.local_address(socket);
                Ok(Begun::Now(values(
                    lua,
                    address.map(|address| address.to_string()),
                )))
            }
        }
    }

    fn wait_for_socket(
        &self,
        id: TaskId,
        socket: SocketId,
        connects: bool,
        timeout_s: Option<f64>,
    ) -> Begun {
        let until_ms = timeout_s.map(|seconds| {
            let ms = (seconds * 1_000.0).clamp(0.0, 86_400_000.0);
            self.now.mono_ms + ms as u64
        });
        let waits = match connects {
            true => Waits::Connect(id, socket),
            false => Waits::Socket(id, socket),
        };
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
    ) -> Result<SocketId, String> {
        let address: SocketAddr = address
            .parse()
            .map_err(|_| format!("{address}: expected ADDRESS:PORT, e.g. 127.0.0.1:1883"))?;
        let same = self.services.by_socket.iter_mut().find(|(_, service)| {
            service.address == address
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
            address,
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
            Waits::Connect(_, socket) => Some(socket),
            _ => None,
        };
        task.waits = Waits::Plainly;
        let resume = answer(task.program.sandbox().lua(), connected, outcome);
        self.tasks.wake(id, resume);
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
                self.log(&format!("plugins: a socket's coroutine: {text}"));
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
    Resolve,
    Connect,
    Read,
    Write,
    Close,
    SendTo,
    Address,
}

/// The names of what `sockets.lua` is given, in its order.
pub(super) const SOCKET_OPS: [(&str, SocketOp); 9] = [
    ("listenTcp", SocketOp::ListenTcp),
    ("listenUdp", SocketOp::ListenUdp),
    ("resolve", SocketOp::Resolve),
    ("connectTcp", SocketOp::Connect),
    ("socketRead", SocketOp::Read),
    ("socketWrite", SocketOp::Write),
    ("socketClose", SocketOp::Close),
    ("socketSendTo", SocketOp::SendTo),
    ("socketAddress", SocketOp::Address),
];

/// An outcome as Lua sees it: the data, true, the connection's number; or nil and why.
fn answer(lua: &mlua::Lua, connected: Option<SocketId>, outcome: Outcome) -> Resume {
    match (outcome, connected) {
        (Outcome::Data(data), _) => match lua.create_string(&data) {
            Ok(data) => values(lua, data),
            Err(error) => Err(error.to_string()),
        },
        (Outcome::End, _) => values(lua, (mlua::Nil, "closed")),
        (Outcome::Done, Some(socket)) => values(lua, socket.to_number()),
        (Outcome::Done, None) => values(lua, true),
        (Outcome::Failed(why), _) => values(lua, (mlua::Nil, why)),
    }
}
