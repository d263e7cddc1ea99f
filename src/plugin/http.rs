//! Calls of URLs that coroutines wait for: queued by host, handed to workers as slots become free, gathered where one
//! coroutine asked for several. Knows requests and who waits, never Lua.

use std::collections::HashMap;

use slab::Slab;

use crate::limits::{PLUGIN_HTTP_BYTES_MAX, PLUGIN_HTTP_QUEUE_MAX};
use crate::message::CallbackRequest;
use crate::message::plugin::{TaskId, TaskJob, TaskWork};
use crate::state::dispatch::{Dispatch, Ended, HostKey};

/// Status and body, or why there is none.
pub type HttpOutcome = Result<(u16, Box<[u8]>), Box<str>>;

/// One call.
#[derive(Debug)]
pub struct HttpCall {
    /// Names the job.
    pub id: TaskId,
    /// What to send and where.
    pub request: CallbackRequest,
    /// Its time, once it is out.
    pub timeout_ms: u64,
    /// When nobody waits for it any more, monotonic ms.
    pub until_ms: Option<u64>,
}

/// What waits for a slot, what is out, and who waits for it.
#[derive(Debug)]
pub struct HttpQueue {
    dispatch: Dispatch,
    queued: Slab<Queued>,
    out: HashMap<TaskId, Out>,
    groups: HashMap<TaskId, Group>,
    /// Bodies that are queued or out.
    body_bytes: usize,
    /// Answers that wait for their companions.
    answer_bytes: usize,
}

#[derive(Debug)]
struct Queued {
    place: Place,
    call: HttpCall,
}

/// Where an outcome belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: TaskId,
    at: usize,
}

#[derive(Debug)]
struct Out {
    host: HostKey,
    place: Place,
    body_bytes: usize,
}

/// Calls that one coroutine waits for together.
#[derive(Debug)]
struct Group {
    outcomes: Vec<Option<HttpOutcome>>,
    left: usize,
    answer_bytes: usize,
}

impl Default for HttpQueue {
    fn default() -> Self {
        HttpQueue {
            dispatch: Dispatch::new(PLUGIN_HTTP_QUEUE_MAX),
            queued: Slab::new(),
            out: HashMap::new(),
            groups: HashMap::new(),
            body_bytes: 0,
            answer_bytes: 0,
        }
    }
}

impl HttpQueue {
    /// Queues calls for `task`. What finds no room has failed already; the outcomes, where all have.
    pub fn queue(&mut self, task: TaskId, calls: Vec<HttpCall>) -> Option<Vec<HttpOutcome>> {
        if calls.is_empty() {
            return Some(Vec::new());
        }
        let left = calls.len();
        let outcomes = vec![None; left];
        let group = Group {
            outcomes,
            left,
            answer_bytes: 0,
        };
        self.groups.insert(task, group);
        let mut over = None;
        for (at, call) in calls.into_iter().enumerate() {
            let place = Place { group: task, at };
            let token = self.queued.vacant_key() as u32;
            let body_bytes = self.body_bytes + body_bytes(&call.request);
            let queued = match body_bytes > PLUGIN_HTTP_BYTES_MAX {
                true => Err("too many bytes wait to be sent".into()),
                false => self
                    .dispatch
                    .queue(&call.request.host, token)
                    .map_err(|full| full.to_string().into()),
            };
            match queued {
                Ok(_) => {
                    self.body_bytes = body_bytes;
                    self.queued.insert(Queued { place, call });
                }
                Err(why) => over = self.put(place, Err(why)),
            }
        }
        over.map(Group::outcomes)
    }

    /// The next call to hand to a worker, where at most `slots` may be out. It keeps the worker no longer than somebody
    /// waits for it.
    pub fn poll_job(&mut self, slots: usize, now_ms: u64) -> Option<TaskJob> {
        while self.dispatch.is_ready(slots) {
            let (host, token) = self.dispatch.take(slots)?;
            let Some(queued) = self.queued.try_remove(token as usize) else {
                self.dispatch.end(host, Ended::Otherwise);
                continue;
            };
            let Queued { place, call } = queued;
            let body_bytes = body_bytes(&call.request);
            if !self.groups.contains_key(&place.group) {
                // Nobody waits any more.
                self.body_bytes -= body_bytes;
                self.dispatch.end(host, Ended::Otherwise);
                continue;
            }
            let out = Out {
                host,
                place,
                body_bytes,
            };
            self.out.insert(call.id, out);
            let left_ms = call
                .until_ms
                .map(|until_ms| until_ms.saturating_sub(now_ms));
            return Some(TaskJob {
                task: call.id,
                work: TaskWork::Http {
                    request: call.request,
                    timeout_ms: left_ms.unwrap_or(u64::MAX).min(call.timeout_ms),
                },
            });
        }
        None
    }

    /// A call ended. Who waited for it and its companions, and their outcomes, where it was the last of them; `Err`: the
    /// name is none of these calls'.
    pub fn end(
        &mut self,
        id: TaskId,
        outcome: HttpOutcome,
        timed_out: bool,
    ) -> Result<Option<(TaskId, Vec<HttpOutcome>)>, HttpOutcome> {
        let Some(out) = self.out.remove(&id) else {
            return Err(outcome);
        };
        let Out { host, place, .. } = out;
        self.body_bytes -= out.body_bytes;
        let ended = match &outcome {
            _ if timed_out => Ended::TimedOut,
            Ok(_) => Ended::Answered,
            Err(_) => Ended::Otherwise,
        };
        self.dispatch.end(host, ended);
        let over = self.put(place, outcome);
        Ok(over.map(|group| (place.group, group.outcomes())))
    }

    /// A coroutine does not wait any more.
    pub fn forget(&mut self, task: TaskId) {
        if let Some(group) = self.groups.remove(&task) {
            self.answer_bytes -= group.answer_bytes;
        }
    }

    /// Keeps an outcome; the group, once it has all.
    fn put(&mut self, place: Place, outcome: HttpOutcome) -> Option<Group> {
        let group = self.groups.get_mut(&place.group)?;
        let slot = group.outcomes.get_mut(place.at)?;
        let bytes = outcome.as_ref().map_or(0, |(_, body)| body.len());
        let mut outcome = outcome;
        if group.left > 1 && self.answer_bytes + bytes > PLUGIN_HTTP_BYTES_MAX {
            outcome = Err("too many bytes of answers wait for others".into());
        } else {
            self.answer_bytes += bytes;
            group.answer_bytes += bytes;
        }
        if slot.replace(outcome).is_none() {
            group.left -= 1;
        }
        if group.left > 0 {
            return None;
        }
        let group = self.groups.remove(&place.group)?;
        self.answer_bytes -= group.answer_bytes;
        Some(group)
    }
}

impl Group {
    fn outcomes(self) -> Vec<HttpOutcome> {
        self.outcomes.into_iter().flatten().collect()
    }
}

fn body_bytes(request: &CallbackRequest) -> usize {
    request.body.as_ref().map_or(0, |body| body.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HOST_CALLBACKS_MAX, SLOW_HOST_CALLBACKS_MAX};

    fn call(id: u64, host: &str) -> HttpCall {
        HttpCall {
            id: TaskId(id),
            request: request(host),
            timeout_ms: 5,
            until_ms: None,
        }
    }

    fn request(host: &str) -> CallbackRequest {
        CallbackRequest {
            method: "GET".into(),
            url: format!("http://{host}/").into(),
            host: host.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    fn jobs(queue: &mut HttpQueue, slots: usize) -> Vec<TaskId> {
        std::iter::from_fn(|| queue.poll_job(slots, 0))
            .map(|job| job.task)
            .collect()
    }

    fn ok() -> HttpOutcome {
        Ok((200, (*b"x").into()))
    }

    #[test]
    fn several_are_gathered_in_their_order() {
        let mut queue = HttpQueue::default();
        assert_eq!(queue.queue(TaskId(1), Vec::new()), Some(Vec::new()));
        let calls = [10, 11, 12].map(|id| call(id, "a:80"));
        assert_eq!(queue.queue(TaskId(1), calls.into()), None);
        assert_eq!(jobs(&mut queue, 32), [10, 11, 12].map(TaskId));
        assert_eq!(queue.end(TaskId(12), Err("no".into()), false), Ok(None));
        assert_eq!(queue.end(TaskId(10), ok(), false), Ok(None));
        assert_eq!(
            queue.end(TaskId(11), ok(), false),
            Ok(Some((TaskId(1), vec![ok(), ok(), Err("no".into())])))
        );
        assert_eq!(queue.end(TaskId(11), ok(), false), Err(ok()));
    }

    #[test]
    fn a_dead_host_holds_few_slots_and_no_one_else_up() {
        let mut queue = HttpQueue::default();
        for id in 0..100 {
            queue.queue(TaskId(id), vec![call(1_000 + id, "dead:80")]);
        }
        assert_eq!(jobs(&mut queue, 64).len(), HOST_CALLBACKS_MAX);
        for id in 0..HOST_CALLBACKS_MAX as u64 {
            assert!(
                queue
                    .end(TaskId(1_000 + id), Err("late".into()), true)
                    .is_ok()
            );
        }
        assert_eq!(jobs(&mut queue, 64).len(), SLOW_HOST_CALLBACKS_MAX);
        queue.queue(TaskId(500), vec![call(5, "live:80")]);
        assert_eq!(jobs(&mut queue, 64), [TaskId(5)]);
    }

    #[test]
    fn who_gave_up_is_not_called_for() {
        let mut queue = HttpQueue::default();
        queue.queue(TaskId(1), vec![call(10, "a:80")]);
        queue.queue(TaskId(2), vec![call(20, "a:80")]);
        queue.forget(TaskId(1));
        assert_eq!(jobs(&mut queue, 32), [TaskId(20)]);
        queue.forget(TaskId(2));
        assert_eq!(queue.end(TaskId(20), ok(), false), Ok(None));
    }

    #[test]
    fn a_call_keeps_its_worker_no_longer_than_somebody_waits() {
        for (until_ms, timeout_ms) in [(None, 5), (Some(103), 3), (Some(999), 5), (Some(90), 0)] {
            let mut queue = HttpQueue::default();
            let call = HttpCall {
                until_ms,
                ..call(10, "a:80")
            };
            queue.queue(TaskId(1), vec![call]);
            match queue.poll_job(1, 100).map(|job| job.work) {
                Some(TaskWork::Http { timeout_ms: ms, .. }) => assert_eq!(ms, timeout_ms),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn bodies_and_answers_that_wait_are_bounded_together() {
        const PIECE: usize = PLUGIN_HTTP_BYTES_MAX / 4;
        let mut queue = HttpQueue::default();
        let with_body = |id| {
            let mut call = call(id, "a:80");
            call.request.body = Some(vec![0; PIECE].into());
            call
        };
        for id in 1..=4 {
            assert_eq!(queue.queue(TaskId(id), vec![with_body(10 + id)]), None);
        }
        let refused = queue.queue(TaskId(5), vec![with_body(15)]);
        assert!(matches!(refused.as_deref(), Some([Err(_)])));
        // One nobody waits for, and one that ended, make room.
        queue.forget(TaskId(1));
        assert_eq!(jobs(&mut queue, 1), [TaskId(12)]);
        assert!(queue.end(TaskId(12), ok(), false).is_ok());
        assert_eq!(queue.queue(TaskId(6), vec![with_body(16)]), None);
        assert_eq!(queue.queue(TaskId(7), vec![with_body(17)]), None);
        assert_eq!(jobs(&mut queue, 32), [13, 14, 16, 17].map(TaskId));
        for id in [13, 14, 16, 17] {
            assert!(queue.end(TaskId(id), ok(), false).is_ok());
        }
        assert_eq!((queue.body_bytes, queue.answer_bytes), (0, 0));

        let long = || Ok((200, vec![0; PIECE].into()));
        let calls = (20..26).map(|id| call(id, "a:80")).collect();
        assert_eq!(queue.queue(TaskId(9), calls), None);
        assert_eq!(jobs(&mut queue, 32).len(), 6);
        for id in 20..25 {
            assert_eq!(queue.end(TaskId(id), long(), false), Ok(None));
        }
        let outcomes = match queue.end(TaskId(25), ok(), false) {
            Ok(Some((TaskId(9), outcomes))) => outcomes,
            other => panic!("{other:?}"),
        };
        let whole = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!((whole, queue.answer_bytes), (4 + 1, 0));
    }
}
