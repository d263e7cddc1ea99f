//! Judges replies: counts against deliveries, lists against members, and who leaves first.

use serde_json::Value;

use super::Run;
use super::model::{Reply, selects};
use super::peer::{Member, Shape, Want};
use crate::settings::FullQueue;
use crate::state::connection::InputState;

impl Run {
    pub fn judge(&mut self, reply: Reply) {
        let Reply {
            at,
            begin,
            op,
            body,
        } = reply;
        let start = op.start.unwrap_or(self.entry);
        match &op.want {
            Want::Call(shape, items) => {
                let mut counts: Vec<Option<u64>> = match shape {
                    Shape::WebSocket => vec![Some(body.parse().expect("a count"))],
                    _ => {
                        let answer: Value = serde_json::from_str(&body).expect("JSON");
                        let bad = matches!(shape, Shape::List { bad: true });
                        assert_eq!(answer[0], i32::from(bad), "{body} for {op:?}");
                        match (shape, &answer[1]) {
                            (Shape::One, count) => vec![Some(count.as_u64().expect("a count"))],
                            (Shape::List { bad: true }, _) => vec![None; items.len()],
                            (Shape::List { .. }, Value::Array(counts)) => {
                                counts.iter().map(Value::as_u64).collect()
                            }
                            (Shape::Batch, Value::Array(answers)) => {
                                answers.iter().map(|a| a[1].as_u64()).collect()
                            }
                            _ => panic!("{body} for {op:?}"),
                        }
                    }
                };
                assert_eq!(counts.len(), items.len(), "{body}");
                let mut behind = Vec::new();
                let first = counts.first().copied().flatten();
                for (item, count) in items.iter().zip(counts.drain(..)) {
                    let Some(id) = *item else { continue };
                    if !matches!(shape, Shape::List { bad: true }) {
                        assert!(count.is_some(), "no count for m{id}: {body}");
                    }
                    if let (Some(suffix), Some(first)) = (&self.msgs[id as usize].suffix, first) {
                        assert_eq!(*suffix, first.to_string(), "a reference's value");
                    }
                    self.check_count(at, id, count, start);
                    behind.extend_from_slice(&self.msgs[id as usize].took);
                }
                let entry = self.entry;
                behind.retain(|&(who, _)| who != at);
                if !behind.is_empty() {
                    self.peers[at].behind.push_back((begin, entry, behind));
                }
            }
            Want::Users(app) if self.hub_changed < start => {
                let mut members: Vec<&Member> = self
                    .peers
                    .iter()
                    .filter_map(|peer| peer.member.as_ref())
                    .filter(|member| member.app == *app)
                    .collect();
                members.sort_by_key(|member| member.arrival);
                let answer: (i32, Vec<String>) =
                    serde_json::from_str(&body).expect("a list of users");
                assert_eq!(answer.1.len(), members.len(), "getUsers: {body}");
                // Who came in one entry came in an order that nobody saw.
                let mut rest = answer.1.as_slice();
                for group in members.chunk_by(|a, b| a.arrival == b.arrival) {
                    let (mut want, (group, behind)) = (
                        group.iter().map(|m| &m.user).collect::<Vec<_>>(),
                        rest.split_at(group.len()),
                    );
                    let mut got: Vec<&String> = group.iter().collect();
                    want.sort();
                    got.sort();
                    assert_eq!(got, want, "getUsers");
                    rest = behind;
                }
            }
            _ => {}
        }
    }

    /// The count of a push against those that took it, and those that had to.
    fn check_count(&mut self, owner: usize, id: u32, count: Option<u64>, start: u64) {
        let stats_dropped = self.server.stats.dropped;
        let msg = &mut self.msgs[id as usize];
        msg.done = Some(self.entry);
        let msg = &self.msgs[id as usize];
        let unseen = self
            .deaths
            .iter()
            .filter(|death| {
                death.entry >= start && selects(msg, &death.member.app, &death.member.user)
            })
            .count() as u64;
        if let Some(count) = count {
            let took = msg.took.len() as u64;
            assert!(
                took <= count && count <= took + unseen,
                "m{id} of {owner}: {count} counted, {took} took it, {unseen} died"
            );
        }
        let settings = &self.server.settings;
        let policy = (settings.max_queue, settings.full_queue);
        let judged = start == self.entry && policy == self.policy;
        // Who was closed in it for being slow made room, though its own call may keep it for a while.
        let freed = self.buried == self.entry || self.server.stats.slow_closed > self.slow_closed;
        let crowded = settings.max_queue_total < 1 << 28;
        let mut missed = 0;
        for (at, peer) in self.peers.iter().enumerate() {
            let Some(member) = &peer.member else { continue };
            if member.since >= start
                || !selects(msg, &member.app, &member.user)
                || msg.took.iter().any(|&(who, _)| who == at)
            {
                continue;
            }
            missed += 1;
            let full = peer.cost > settings.max_queue
                || self.server.queued_bytes + msg.text.len() + 20 > settings.max_queue_total;
            assert!(
                full || !judged || crowded && freed,
                "m{id}: {at} has room ({} queued) and did not get it",
                peer.cost
            );
            assert!(
                settings.full_queue == FullQueue::Drop || crowded || !judged,
                "m{id}: {at} was full and not closed"
            );
        }
        assert!(
            missed <= stats_dropped,
            "m{id}: {missed} did not get it, {stats_dropped} dropped in all"
        );
    }

    /// Replies leave behind the receivers of what they answer.
    pub fn check_order(&mut self, at: usize) {
        let written = self.peers[at].written;
        while let Some((begin, entry, receivers)) = self.peers[at].behind.pop_front() {
            if begin >= written {
                self.peers[at].behind.push_front((begin, entry, receivers));
                return;
            }
            for (who, end) in receivers {
                let peer = &self.peers[who];
                let waits = peer.full || peer.held_up >= entry || self.is_lost(who);
                assert!(
                    waits || peer.written >= end,
                    "a reply to {at} left before its push to {who}"
                );
            }
        }
    }

    fn is_lost(&self, at: usize) -> bool {
        let peer = &self.peers[at];
        peer.dead
            || peer.reset
            || peer
                .id
                .and_then(|id| self.server.conn(id))
                .is_none_or(|conn| conn.input == InputState::Lost)
    }
}
