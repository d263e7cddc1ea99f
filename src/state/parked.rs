//! Calls that wait, and how they and the input behind them go on.

use crate::call::answer::{self, Answer};
use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::state::calls::{Caller, Progress, Wait, Work};
use crate::state::connection::{HttpReply, InputState, Meta, Parked, ReplyAs};
use crate::state::server::{Output, Server, live};

impl<S> Server<S> {
    /// Keeps a call that waits; its connection is not read meanwhile.
    pub(super) fn park(&mut self, id: ConnId, work: Work, wait: Wait, reply: ReplyAs) {
        let parked = Parked {
            work,
            reply,
            wide: self.wide,
            delivered: std::mem::take(&mut self.lists.delivered),
        };
        match id.ticket() {
            Some(ticket) => self.plugins.park(ticket, parked),
            None => match live(&mut self.conns, id) {
                Some(conn) => conn.parked = Some(Box::new(parked)),
                None => return,
            },
        }
        match wait {
            Wait::Turn => self.resume.push_back(id),
            Wait::Bulk => self.lists.waiting.push_back(id),
            Wait::Job => {}
        }
    }

    /// Goes on with what a connection waited for, then with its input.
    pub(super) fn resume(&mut self, id: ConnId) {
        self.resume_with(id, None);
    }

    /// The same with the outcome of its job.
    pub(super) fn resume_with(&mut self, id: ConnId, done: Option<Answer>) {
        self.begin_share();
        let tick = self.tick();
        let parked = match (id.ticket(), live(&mut self.conns, id)) {
            (Some(ticket), _) => self.plugins.take_parked(ticket),
            (None, None) => return,
            (None, Some(conn)) => {
                if conn.input == InputState::Paused {
                    conn.input = InputState::Open;
                }
                let parked = conn.parked.take();
                if parked.is_some() {
                    // It was not read meanwhile: its silence is ours.
                    conn.heard = tick;
                }
                parked
            }
        };
        if let Some(parked) = parked
            && !self.continue_parked(id, *parked, done)
        {
            return;
        }
        self.process_carry(id);
        self.account_held(id);
        self.settle_end(id);
        if self.conn(id).is_some_and(|conn| conn.wants_bytes()) {
            self.output(Output::Resume(id));
        }
    }

    /// Goes on with a call and answers it where it is done; whether it is.
    fn continue_parked(&mut self, id: ConnId, parked: Parked, done: Option<Answer>) -> bool {
        let Parked {
            work,
            reply,
            wide,
            delivered,
        } = parked;
        (self.wide, self.lists.delivered) = (wide, delivered);
        let (forwarded_for, request) = match &reply {
            ReplyAs::Http(reply) => (reply.meta.forwarded_for.clone(), reply.meta.request.clone()),
            _ => (None, None),
        };
        let caller = Caller {
            conn: id,
            forwarded_for: forwarded_for.as_deref(),
            request: request.as_ref(),
        };
        let answer = match self.continue_call(&caller, work, done) {
            Progress::Wait(work, wait) => {
                self.park(id, work, wait, reply);
                return false;
            }
            Progress::Done(answer) => answer,
        };
        match reply {
            ReplyAs::Http(reply) => {
                let HttpReply {
                    meta,
                    shape,
                    action,
                } = *reply;
                self.finish_call(id, meta, shape, &action, answer);
            }
            ReplyAs::WebSocket(heard) => self.finish_message(id, answer, heard),
            ReplyAs::Plugin { task, on_behalf } => self.answer_plugin(task, on_behalf, answer),
            ReplyAs::Nothing => {}
        }
        self.conn(id).is_none_or(|conn| conn.parked.is_none())
    }

    /// Logs a failure and answers, or has a plugin write the answer first.
    pub(super) fn finish_call(
        &mut self,
        id: ConnId,
        mut meta: Meta,
        mut shape: Shape,
        action: &str,
        answer: Answer,
    ) {
        self.fill_record(&mut meta, action, &answer);
        if let Err(error) = &answer {
            let caller = Caller {
                conn: id,
                forwarded_for: meta.forwarded_for.as_deref(),
                request: None,
            };
            self.log_failure(&caller, action, error);
        }
        if let Some(name) = self.take_plugin_shape(&mut shape, &answer) {
            let answer = answer::to_value(answer);
            let action = action.into();
            let request = meta.request.clone();
            let reply = HttpReply {
                meta,
                shape,
                action,
            };
            return self.start_shape(id, name, answer, request, reply);
        }
        self.log_slow(id, &meta, action);
        self.respond_call(id, &meta, 200, &shape, answer);
    }
}
