//! Calls that wait, and how they and the input behind them go on.

use crate::call::answer::Answer;
use crate::call::shape::Shape;
use crate::ids::ConnId;
use crate::state::calls::{Caller, Progress, Wait, Work};
use crate::state::connection::{InputState, Meta, Parked, ReplyAs};
use crate::state::server::{Output, Server, live};

impl<S> Server<S> {
    /// Keeps a call that waits; its connection is not read meanwhile.
    pub(super) fn park(&mut self, id: ConnId, work: Work, wait: Wait, reply: ReplyAs) {
        let wide = self.wide;
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        let delivered = std::mem::take(&mut self.lists.delivered);
        conn.parked = Some(Box::new(Parked {
            work,
            reply,
            wide,
            delivered,
        }));
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
        let Some(conn) = live(&mut self.conns, id) else {
            return;
        };
        if conn.input == InputState::Paused {
            conn.input = InputState::Open;
        }
        if let Some(parked) = conn.parked.take() {
            // It was not read meanwhile: its silence is ours.
            conn.heard = tick;
            let Parked {
                work,
                reply,
                wide,
                delivered,
            } = *parked;
            (self.wide, self.lists.delivered) = (wide, delivered);
            let forwarded_for = match &reply {
                ReplyAs::Http { meta, .. } => meta.forwarded_for.clone(),
                ReplyAs::WebSocket | ReplyAs::Nothing => None,
            };
            let caller = Caller {
                conn: id,
                forwarded_for: forwarded_for.as_deref(),
            };
            match self.continue_call(&caller, work, done) {
                Progress::Wait(work, wait) => return self.park(id, work, wait, reply),
                Progress::Done(answer) => match reply {
                    ReplyAs::Http {
                        meta,
                        shape,
                        action,
                    } => {
                        self.finish_call(id, &meta, &shape, &action, answer, self.wide);
                    }
                    ReplyAs::WebSocket => self.answer_push(id, answer),
                    ReplyAs::Nothing => {}
                },
            }
        }
        self.process_carry(id);
        self.account_held(id);
        self.settle_end(id);
        if self.conn(id).is_some_and(|conn| conn.wants_bytes()) {
            self.output(Output::Resume(id));
        }
    }

    /// Logs a failure and answers.
    pub(super) fn finish_call(
        &mut self,
        id: ConnId,
        meta: &Meta,
        shape: &Shape,
        action: &str,
        answer: Answer,
        wide: bool,
    ) {
        self.wide = wide;
        if let Err(error) = &answer {
            let caller = Caller {
                conn: id,
                forwarded_for: meta.forwarded_for.as_deref(),
            };
            self.log_failure(&caller, action, error);
        }
        self.respond_call(id, meta, 200, shape, answer);
    }
}
