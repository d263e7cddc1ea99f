//! Which callback goes out next: a queue per host, slots per host and slots for all. Knows hosts and
//! tokens, never a URL, a timer or a worker.
//!
//! A host has [`HOST_CALLBACKS_MAX`] slots, and [`SLOW_HOST_CALLBACKS_MAX`] from a timeout until a success, so a
//! dead host holds few workers. Hosts that have something to send take turns. All queues together are bounded,
//! and a host's queue takes no more than what is still free, so one host never fills more than half.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use slab::Slab;

use crate::limits::{HOST_CALLBACKS_MAX, SLOW_HOST_CALLBACKS_MAX, SLOW_HOSTS_MAX};

/// A host that has callbacks queued or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostKey(usize);

/// How a callback ended, as far as its host is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The host answered.
    Answered,
    /// Its time ran out.
    TimedOut,
    /// Neither: refused, cancelled, never sent.
    Otherwise,
}

/// No room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchFull;

impl fmt::Display for DispatchFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many callbacks wait for a slot")
    }
}

impl std::error::Error for DispatchFull {}

/// Callbacks that wait, by host, and how many are out.
#[derive(Debug)]
pub struct Dispatch {
    hosts: Slab<Host>,
    names: BTreeMap<Box<str>, usize>,
    /// Hosts with something queued and a free slot, in the order of their turns; each at most once.
    turns: VecDeque<usize>,
    queued_max: usize,
    queued: usize,
    out: usize,
    /// Hosts that are remembered for being slow alone.
    idle_slow: usize,
}

#[derive(Debug)]
struct Host {
    name: Box<str>,
    queue: VecDeque<u32>,
    out: usize,
    slow: bool,
    has_turn: bool,
}

impl Host {
    fn slots(&self) -> usize {
        if self.slow {
            SLOW_HOST_CALLBACKS_MAX
        } else {
            HOST_CALLBACKS_MAX
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.out == 0
    }
}

impl Dispatch {
    /// Nothing queued; at most `queued_max` at once, e.g. [`crate::limits::DISPATCH_QUEUE_MAX`].
    pub fn new(queued_max: usize) -> Self {
        Dispatch {
            hosts: Slab::new(),
            names: BTreeMap::new(),
            turns: VecDeque::new(),
            queued_max,
            queued: 0,
            out: 0,
            idle_slow: 0,
        }
    }

    /// How many wait for a slot.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// How many are out.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Queues `token` for `host`. Errors: the queue is full, or this host's share of it.
    pub fn queue(&mut self, host: &str, token: u32) -> Result<HostKey, DispatchFull> {
        let free = self.queued_max - self.queued;
        let known = self.names.get(host).copied();
        let waiting = known
            .and_then(|key| self.hosts.get(key))
            .map_or(0, |host| host.queue.len());
        if free == 0 || waiting > free {
            return Err(DispatchFull);
        }
        let key = known.unwrap_or_else(|| self.enter(host));
        if let Some(host) = self.hosts.get_mut(key) {
            if host.is_idle() && host.slow {
                self.idle_slow -= 1;
            }
            host.queue.push_back(token);
            self.queued += 1;
        }
        self.give_turn(key);
        Ok(HostKey(key))
    }

    /// Queues `token` before all others of its host: it was taken out but found no worker. Never refused.
    pub fn put_back(&mut self, key: HostKey, token: u32) {
        if let Some(host) = self.hosts.get_mut(key.0) {
            host.out -= 1;
            host.queue.push_front(token);
            self.out -= 1;
            self.queued += 1;
        }
        self.give_turn(key.0);
    }

    /// Whether [`Dispatch::take`] would give something.
    pub fn is_ready(&self, slots: usize) -> bool {
        self.out < slots && !self.turns.is_empty()
    }

    /// The next one to send, with fewer than `slots` out: it holds a slot until [`Dispatch::end`] or
    /// [`Dispatch::put_back`].
    pub fn take(&mut self, slots: usize) -> Option<(HostKey, u32)> {
        if self.out >= slots {
            return None;
        }
        while let Some(key) = self.turns.pop_front() {
            let Some(host) = self.hosts.get_mut(key) else {
                continue;
            };
            host.has_turn = false;
            // A timeout may have taken its slots since it was given its turn.
            if host.out >= host.slots() {
                continue;
            }
            let Some(token) = host.queue.pop_front() else {
                continue;
            };
            host.out += 1;
            self.queued -= 1;
            self.out += 1;
            self.give_turn(key);
            return Some((HostKey(key), token));
        }
        None
    }

    /// Gives the slot of one that was taken back.
    pub fn end(&mut self, key: HostKey, ended: Ended) {
        let Some(host) = self.hosts.get_mut(key.0) else {
            return;
        };
        host.out -= 1;
        self.out -= 1;
        match ended {
            Ended::Answered => host.slow = false,
            Ended::TimedOut => host.slow = true,
            Ended::Otherwise => {}
        }
        if !host.is_idle() {
            return self.give_turn(key.0);
        }
        if host.slow && self.idle_slow < SLOW_HOSTS_MAX {
            self.idle_slow += 1;
        } else {
            let host = self.hosts.remove(key.0);
            self.names.remove(&host.name);
        }
    }

    fn enter(&mut self, name: &str) -> usize {
        let key = self.hosts.insert(Host {
            name: name.into(),
            queue: VecDeque::new(),
            out: 0,
            slow: false,
            has_turn: false,
        });
        self.names.insert(name.into(), key);
        key
    }

    fn give_turn(&mut self, key: usize) {
        if let Some(host) = self.hosts.get_mut(key)
            && !host.has_turn
            && !host.queue.is_empty()
            && host.out < host.slots()
        {
            host.has_turn = true;
            self.turns.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(dispatch: &mut Dispatch, slots: usize) -> Vec<u32> {
        std::iter::from_fn(|| dispatch.take(slots).map(|(_, token)| token)).collect()
    }

    #[test]
    fn hosts_take_turns() {
        let mut dispatch = Dispatch::new(100);
        for token in 0..4 {
            dispatch.queue("a:80", token).expect("room");
        }
        dispatch.queue("b:80", 10).expect("room");
        dispatch.queue("c:80", 20).expect("room");
        dispatch.queue("c:80", 21).expect("room");
        assert_eq!(tokens(&mut dispatch, 100), [0, 10, 20, 1, 21, 2, 3]);
        assert_eq!((dispatch.queued(), dispatch.out()), (0, 7));
    }

    #[test]
    fn slots_of_all_and_of_a_host() {
        let mut dispatch = Dispatch::new(1_000);
        for token in 0..100 {
            dispatch.queue("a:80", token).expect("room");
        }
        assert_eq!(tokens(&mut dispatch, 10).len(), 10);
        assert!(!dispatch.is_ready(10) && dispatch.is_ready(11));
        assert_eq!(tokens(&mut dispatch, 1_000).len(), HOST_CALLBACKS_MAX - 10);
        assert!(!dispatch.is_ready(1_000));
        let other = dispatch.queue("b:80", 200).expect("room");
        assert_eq!(dispatch.take(1_000), Some((other, 200)));
    }

    #[test]
    fn a_timeout_takes_slots_until_a_success() {
        let mut dispatch = Dispatch::new(1_000);
        let mut host = HostKey(0);
        for token in 0..100 {
            host = dispatch.queue("a:80", token).expect("room");
        }
        assert_eq!(tokens(&mut dispatch, 1_000).len(), HOST_CALLBACKS_MAX);
        dispatch.end(host, Ended::TimedOut);
        for _ in 0..HOST_CALLBACKS_MAX - SLOW_HOST_CALLBACKS_MAX - 1 {
            assert_eq!(dispatch.take(1_000), None);
            dispatch.end(host, Ended::Otherwise);
        }
        assert_eq!(dispatch.take(1_000), None);
        dispatch.end(host, Ended::Otherwise);
        assert_eq!(tokens(&mut dispatch, 1_000).len(), 1);
        dispatch.end(host, Ended::Answered);
        assert_eq!(
            tokens(&mut dispatch, 1_000).len(),
            HOST_CALLBACKS_MAX - SLOW_HOST_CALLBACKS_MAX + 1
        );
    }

    #[test]
    fn one_host_fills_half() {
        let mut dispatch = Dispatch::new(1_000);
        let taken = (0..)
            .take_while(|&token| dispatch.queue("a:80", token).is_ok())
            .count();
        assert_eq!(taken, 501);
        assert_eq!(dispatch.queue("a:80", 0), Err(DispatchFull));
        dispatch.queue("b:80", 0).expect("room for others");
        let hosts = (0..)
            .take_while(|n| dispatch.queue(&format!("h{n}"), 0).is_ok())
            .count();
        assert_eq!(dispatch.queued(), 1_000);
        assert_eq!(hosts, 498);
    }

    #[test]
    fn what_found_no_worker_stays_first() {
        let mut dispatch = Dispatch::new(100);
        dispatch.queue("a:80", 1).expect("room");
        dispatch.queue("a:80", 2).expect("room");
        let (host, token) = dispatch.take(9).expect("one");
        dispatch.put_back(host, token);
        assert_eq!((dispatch.queued(), dispatch.out()), (2, 0));
        assert_eq!(tokens(&mut dispatch, 9), [1, 2]);
    }

    #[test]
    fn idle_hosts_are_forgotten_but_for_slow_ones() {
        let mut dispatch = Dispatch::new(100);
        for n in 0..SLOW_HOSTS_MAX + 10 {
            for ended in [Ended::Answered, Ended::TimedOut] {
                let host = dispatch.queue(&format!("h{n}"), 1).expect("room");
                assert_eq!(dispatch.take(1), Some((host, 1)));
                dispatch.end(host, ended);
            }
        }
        assert_eq!(dispatch.hosts.len(), SLOW_HOSTS_MAX);
        for n in 0..SLOW_HOSTS_MAX {
            let host = dispatch.queue(&format!("h{n}"), 1).expect("room");
            assert_eq!(dispatch.take(1), Some((host, 1)));
            dispatch.end(host, Ended::Answered);
        }
        assert!(dispatch.hosts.is_empty() && dispatch.names.is_empty());
        assert_eq!(dispatch.idle_slow, 0);
    }
}
