//! Calls of URLs that coroutines wait for: queued by host, handed to workers as slots become free, gathered where one
//! coroutine asked for several. Knows requests and who waits, never Lua.

use std::collections::HashMap;

use slab::Slab;

use crate::limits::PLUGIN_HTTP_QUEUE_MAX;
use crate::message::CallbackRequest;
use crate::message::plugin::{TaskId, TaskJob, TaskWork};
use crate::state::dispatch::{Dispatch, Ended, HostKey};

/// Status and body, or why there is none.
pub type HttpOutcome = Result<(u16, Box<[u8]>), Box<str>>;

/// What waits for a slot, what is out, and who waits for it.
#[derive(Debug)]
pub struct HttpQueue {
    dispatch: Dispatch,
    queued: Slab<Queued>,
    out: HashMap<TaskId, Out>,
    groups: HashMap<TaskId, Group>,
}

#[derive(Debug)]
struct Queued {
    /// Names the job.
    id: TaskId,
    place: Place,
    request: CallbackRequest,
    timeout_ms: u64,
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
}

/// Calls that one coroutine waits for together.
#[derive(Debug)]
struct Group {
    outcomes: Vec<Option<HttpOutcome>>,
    left: usize,
}

impl Default for HttpQueue {
    fn default() -> Self {
        HttpQueue {
            dispatch: Dispatch::new(PLUGIN_HTTP_QUEUE_MAX),
            queued: Slab::new(),
            out: HashMap::new(),
            groups: HashMap::new(),
        }
    }
}

impl HttpQueue {
    /// Queues calls for `task`, each with a name of its own and its time in ms. What finds no room has failed
    /// already; the outcomes, where all have.
    pub fn queue(
        &mut self,
        task: TaskId,
        requests: Vec<(TaskId, CallbackRequest, u64)>,
    ) -> Option<Vec<HttpOutcome>> {
        if requests.is_empty() {
            return Some(Vec::new());
        }
        let left = requests.len();
        let outcomes = vec![None; left];
        self.groups.insert(task, Group { outcomes, left });
        let mut over = None;
        for (at, (id, request, timeout_ms)) in requests.into_iter().enumerate() {
            let place = Place { group: task, at };
            let token = self.queued.vacant_key() as u32;
            match self.dispatch.queue(&request.host, token) {
                Ok(_) => {
                    self.queued.insert(Queued {
                        id,
                        place,
                        request,
                        timeout_ms,
                    });
                }
                Err(full) => over = self.put(place, Err(full.to_string().into())),
            }
        }
        over.map(Group::outcomes)
    }

    /// The next call to hand to a worker, where at most `slots` may be out.
    pub fn poll_job(&mut self, slots: usize) -> Option<TaskJob> {
        while self.dispatch.is_ready(slots) {
            let (host, token) = self.dispatch.take(slots)?;
            let Some(queued) = self.queued.try_remove(token as usize) else {
                self.dispatch.end(host, Ended::Otherwise);
                continue;
            };
            if !self.groups.contains_key(&queued.place.group) {
                // Nobody waits any more.
                self.dispatch.end(host, Ended::Otherwise);
                continue;
            }
            let place = queued.place;
            self.out.insert(queued.id, Out { host, place });
            return Some(TaskJob {
                task: queued.id,
                work: TaskWork::Http {
                    request: queued.request,
                    timeout_ms: queued.timeout_ms,
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
        let Some(Out { host, place }) = self.out.remove(&id) else {
            return Err(outcome);
        };
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
        self.groups.remove(&task);
    }

    /// Keeps an outcome; the group, once it has all.
    fn put(&mut self, place: Place, outcome: HttpOutcome) -> Option<Group> {
        let group = self.groups.get_mut(&place.group)?;
        let slot = group.outcomes.get_mut(place.at)?;
        if slot.replace(outcome).is_none() {
            group.left -= 1;
        }
        if group.left > 0 {
            return None;
        }
        self.groups.remove(&place.group)
    }
}

impl Group {
    fn outcomes(self) -> Vec<HttpOutcome> {
        self.outcomes.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HOST_CALLBACKS_MAX, SLOW_HOST_CALLBACKS_MAX};

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
        std::iter::from_fn(|| queue.poll_job(slots))
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
        let calls = [10, 11, 12].map(|id| (TaskId(id), request("a:80"), 5));
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
            let call = (TaskId(1_000 + id), request("dead:80"), 5);
            queue.queue(TaskId(id), vec![call]);
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
        queue.queue(TaskId(500), vec![(TaskId(5), request("live:80"), 5)]);
        assert_eq!(jobs(&mut queue, 64), [TaskId(5)]);
    }

    #[test]
    fn who_gave_up_is_not_called_for() {
        let mut queue = HttpQueue::default();
        queue.queue(TaskId(1), vec![(TaskId(10), request("a:80"), 5)]);
        queue.queue(TaskId(2), vec![(TaskId(20), request("a:80"), 5)]);
        queue.forget(TaskId(1));
        assert_eq!(jobs(&mut queue, 32), [TaskId(20)]);
        queue.forget(TaskId(2));
        assert_eq!(queue.end(TaskId(20), ok(), false), Ok(None));
    }
}
