//! What must hold: checked after each entry into the server, and whenever it has nothing to do.

use super::Run;
use super::peer::{Member, Msg, Op, Peer, Shape, Want};
use super::wire::Said;
use crate::limits::{
    HELD_BYTES_MAX, POLL_INPUT_BYTES_MAX, READ_BYTES, REFUSALS_MAX, UNREAD_REPLY_BYTES_MAX,
};
use crate::proto::pattern::Pattern;
use crate::state::connection::{InputState, Phase};

/// A reply, to be judged once all deliveries of its entry are known.
pub struct Reply {
    pub at: usize,
    pub begin: u64,
    pub op: Op,
    pub body: String,
}

/// A member that died: it may have taken what nobody saw.
#[derive(Debug)]
pub struct Death {
    pub entry: u64,
    pub member: Member,
}

pub fn selects(msg: &Msg, app: &str, user: &str) -> bool {
    msg.app == app
        && msg
            .spec
            .iter()
            .any(|pattern| Pattern::new(pattern).matches(user))
}

impl Run {
    /// Looks at everything that the server queued, closed or moved since the last time.
    pub fn observe(&mut self) {
        self.entry += 1;
        let mut replies = Vec::new();
        for at in 0..self.peers.len() {
            let Some(id) = self.peers[at].id else {
                continue;
            };
            if self.peers[at].dead && self.peers[at].cost == usize::MAX {
                continue;
            }
            match self.server.conn(id) {
                None => self.bury(at),
                Some(conn) if conn.outbound.cost() != self.peers[at].cost => {
                    if conn.outbound.is_empty() && conn.input == InputState::Lost {
                        self.peers[at].promised.clear();
                        self.peers[at].cost = 0;
                        continue;
                    }
                    let cost = conn.outbound.cost();
                    let known = self.peers[at].promised.len();
                    let mut new = vec![0; cost];
                    let filled = conn.outbound.gather(&mut new);
                    new.truncate(filled);
                    new.drain(..known);
                    self.peers[at].cost = cost;
                    self.hear(at, &new, &mut replies);
                    self.progress = true;
                }
                Some(_) => {}
            }
        }
        let moved = replies
            .iter()
            .any(|reply| matches!(reply.op.want, Want::Init(..) | Want::Poll(..)));
        if self.check_members() || moved {
            self.hub_changed = self.entry;
        }
        for reply in replies {
            self.judge(reply);
        }
        let settings = &self.server.settings;
        self.policy = (settings.max_queue, settings.full_queue);
        self.slow_closed = self.server.stats.slow_closed;
        self.check_sums();
    }

    /// After the socket took bytes, which queues nothing but may end the connection.
    pub fn after_advance(&mut self, at: usize) {
        let Some(id) = self.peers[at].id else { return };
        match self.server.conn(id) {
            Some(conn) => self.peers[at].cost = conn.outbound.cost(),
            None => self.bury(at),
        }
    }

    fn bury(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let left = peer
            .ops
            .iter()
            .find(|op| matches!(op.want, Want::Call(..)) && op.end <= peer.handed);
        let polls = peer.ops.iter().any(|op| matches!(op.want, Want::Poll(..)));
        let told = polls || peer.closing || self.server.is_stopping() || self.ending != Some(at);
        assert!(
            told || left.is_none(),
            "{at} ended and what it had asked is forgotten: {left:?}"
        );
        (peer.dead, peer.cost) = (true, usize::MAX);
        self.buried = self.entry;
        // It may have joined, and taken something, in this very entry.
        for op in &peer.ops {
            if let Want::Init(app, user) | Want::Poll(app, user) = &op.want {
                let (app, user, entry) = (app.clone(), user.clone(), self.entry);
                let (since, arrival) = (entry, entry);
                let member = Member {
                    app,
                    user,
                    since,
                    arrival,
                };
                self.deaths.push(Death { entry, member });
            }
        }
        if let Some(member) = peer.member.take() {
            self.hub_changed = self.entry;
            let entry = self.entry;
            self.deaths.push(Death { entry, member });
        }
    }

    fn hear(&mut self, at: usize, new: &[u8], replies: &mut Vec<Reply>) {
        let peer = &mut self.peers[at];
        peer.promised.extend(new);
        let mut rest = new;
        while !rest.is_empty() {
            let peer = &mut self.peers[at];
            while matches!(peer.ops.front(), Some(op) if matches!(op.want, Want::Silent) && op.end <= peer.handed)
            {
                peer.ops.pop_front();
            }
            let head_only = peer
                .ops
                .front()
                .is_some_and(|op| op.head && op.end <= peer.handed);
            let (said, len) = peer.reader.next(rest, head_only);
            let begin = peer.promised_end;
            peer.promised_end += len as u64;
            rest = &rest[len..];
            self.take_said(at, begin, said, replies);
        }
    }

    fn take_said(&mut self, at: usize, begin: u64, said: Said, replies: &mut Vec<Reply>) {
        let stopping = self.server.is_stopping();
        let peer = &mut self.peers[at];
        let front_is_whole = peer.ops.front().is_some_and(|op| op.end <= peer.handed);
        match said {
            Said::Continue => {
                let op = peer.ops.front_mut().expect("somebody waits for it");
                assert!(std::mem::take(&mut op.expects), "nobody asked to continue");
            }
            Said::Ping => peer.pings.push_back(peer.promised_end),
            Said::Text(text) if text.starts_with('m') => self.deliver(at, &text),
            Said::Close(code) => {
                peer.closing = true;
                peer.close_code = Some(code);
                let want = peer.ops.front().map(|op| &op.want);
                let fits = match want {
                    Some(Want::Fatal(None, wanted) | Want::CloseBack(wanted))
                        if code == *wanted =>
                    {
                        true
                    }
                    // 1008: too many messages, or one that came too slowly.
                    _ => {
                        code == 1001 && stopping
                            || code == 1008 && (self.max_rate > 0 || !front_is_whole)
                    }
                };
                assert!(fits, "close {code} where {want:?} was due");
                self.leave(at);
            }
            Said::Response { status: 408, .. } => {
                assert!(
                    !front_is_whole,
                    "408 for a whole request: {:?}",
                    peer.ops.front()
                );
                peer.closing = true;
            }
            Said::Response {
                status: 503,
                closes: true,
                ..
            } if self.refused.remove(&at) => {
                self.peers[at].closing = true;
            }
            // The queues of all had no room for it.
            Said::Response {
                status: 503,
                closes: true,
                body,
            } if body.starts_with("too many answers") => {
                peer.ops.pop_front();
                peer.closing = true;
            }
            Said::Response { status: 101, .. } => {
                let op = peer.ops.pop_front().expect("an upgrade was asked for");
                assert!(matches!(op.want, Want::Upgrade) && op.end <= peer.handed);
            }
            Said::Response {
                status,
                closes,
                body,
            } => {
                let op = peer.ops.pop_front().expect("an answer without a request");
                assert!(
                    op.end <= peer.handed || matches!(op.want, Want::Status(400 | 413)),
                    "answered before it came: {op:?}"
                );
                let crowded = self.server.settings.max_queue_total < 1 << 28;
                let busy = status == 503 && closes && (crowded || matches!(op.want, Want::File));
                assert!(
                    closes == op.closes || stopping || busy,
                    "closes: {closes} {op:?}"
                );
                peer.closing |= closes;
                let wanted = match &op.want {
                    _ if busy => true,
                    Want::Status(wanted) => status == *wanted,
                    Want::File => matches!(status, 200 | 304 | 404 | 503),
                    Want::Upgrade => stopping && status == 503,
                    Want::Users(_) | Want::Call(..) | Want::Poll(..) => status == 200,
                    _ => false,
                };
                assert!(wanted, "{status} for {op:?}: {body}");
                if busy {
                    return self.leave(at);
                }
                if let Want::Poll(app, user) = &op.want {
                    let since = self.entry;
                    let old = peer.member.take();
                    let arrival = 0;
                    let (app, user) = (app.clone(), user.clone());
                    if !body.is_empty() {
                        peer.member = Some(old.unwrap_or(Member {
                            app,
                            user,
                            since,
                            arrival,
                        }));
                        self.deliver(at, &body);
                        self.peers[at].member = None;
                    }
                }
                replies.push(Reply {
                    at,
                    begin,
                    op,
                    body,
                });
            }
            Said::Pong(payload) => {
                let op = peer.ops.pop_front().expect("a pong for a ping");
                assert!(
                    matches!(&op.want, Want::Pong(wanted) if *wanted == payload),
                    "pong for {op:?}"
                );
            }
            Said::Text(text) => {
                assert!(
                    front_is_whole,
                    "{text:?} before {:?} came",
                    peer.ops.front()
                );
                let op = peer.ops.front_mut().expect("checked above");
                if let Want::Fatal(wanted @ Some(_), _) = &mut op.want {
                    assert_eq!(*wanted, Some(text.as_str()));
                    *wanted = None;
                    return;
                }
                let op = peer.ops.pop_front().expect("checked above");
                match &op.want {
                    Want::Text(wanted) => assert_eq!(text, *wanted),
                    Want::Error => assert!(text.starts_with("*** error"), "{text:?}"),
                    Want::Init(app, user) => {
                        assert_eq!(text, "OK");
                        let (since, app, user) = (self.entry, app.clone(), user.clone());
                        let arrival = peer.member.as_ref().map_or(self.entry, |old| old.arrival);
                        peer.member = Some(Member {
                            app,
                            user,
                            since,
                            arrival,
                        });
                    }
                    Want::Call(Shape::WebSocket, _) => {}
                    other => panic!("{text:?} for {other:?}"),
                }
                replies.push(Reply {
                    at,
                    begin,
                    op,
                    body: text,
                });
            }
        }
        if self.peers[at].closing {
            self.leave(at);
        }
    }

    fn leave(&mut self, at: usize) {
        if let Some(member) = self.peers[at].member.take() {
            self.hub_changed = self.entry;
            let entry = self.entry;
            self.deaths.push(Death { entry, member });
        }
    }

    fn deliver(&mut self, at: usize, text: &str) {
        let number = text[1..].split(':').next().unwrap_or_default();
        let id: usize = number.parse().expect("a message's number");
        let msg = &mut self.msgs[id];
        let suffix = text
            .strip_prefix(&*msg.text)
            .expect("the text that was pushed");
        if msg.refers {
            let first = msg.suffix.get_or_insert_with(|| suffix.to_owned());
            assert_eq!(first, suffix, "one message, two texts");
        } else {
            assert_eq!(suffix, "");
        }
        assert!(
            !msg.forbidden,
            "m{id} was pushed behind the end of its call"
        );
        assert!(msg.done.is_none(), "m{id} came after its count");
        assert!(
            self.peers[msg.owner].handed >= msg.end,
            "m{id} came before its call"
        );
        let peer = &mut self.peers[at];
        let member = peer.member.as_ref().expect("a receiver is a member");
        assert!(
            selects(msg, &member.app, &member.user),
            "m{id} for {:?} came to {member:?}",
            msg.spec
        );
        assert!(msg.took.iter().all(|&(who, _)| who != at), "m{id} twice");
        msg.took.push((at, peer.promised_end));
        let last = peer.last_from.insert(msg.owner, id as u32);
        assert!(
            last.is_none_or(|last| last < id as u32),
            "m{id} behind {last:?}"
        );
    }

    /// Hub, phases and the model's members tell the same; true when a poll joined.
    fn check_members(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let Some(id) = peer.id.filter(|_| !peer.dead) else {
                continue;
            };
            let Some(conn) = self.server.conn(id) else {
                continue;
            };
            let found = self.server.hub.member(id.key);
            if conn.parked.is_some()
                && let Some(op) = peer
                    .ops
                    .iter_mut()
                    .find(|op| !matches!(op.want, Want::Silent))
                && op.start.is_none()
            {
                op.start = Some(self.entry);
            }
            match (&conn.phase, peer.ops.front()) {
                (
                    Phase::Poll(_),
                    Some(Op {
                        want: Want::Poll(app, user),
                        end,
                        ..
                    }),
                ) => {
                    assert!(*end <= peer.handed, "a poll before it was asked for");
                    if peer.member.is_none() {
                        moved = true;
                        let (app, user) = (app.clone(), user.clone());
                        peer.member = Some(Member {
                            app,
                            user,
                            since: self.entry,
                            arrival: self.entry,
                        });
                    }
                }
                (Phase::Poll(_), op) => panic!("{at} polls and asked {op:?}"),
                // A poll that was lost has no answer to be heard.
                (phase, _)
                    if conn.input == InputState::Lost
                        || matches!(phase, Phase::WebSocket(_) | Phase::Lingering { .. }) =>
                {
                    if matches!(conn.input, InputState::Lost | InputState::Ended)
                        && found.is_none()
                        && let Some(member) = peer.member.take()
                    {
                        moved = true;
                        self.deaths.push(Death {
                            entry: self.entry,
                            member,
                        });
                    }
                }
                _ => assert!(
                    peer.member.is_none(),
                    "{at} is a member in {:?}",
                    conn.phase
                ),
            }
            let model = peer
                .member
                .as_ref()
                .map(|m| (m.app.as_str(), m.user.as_str()));
            assert_eq!(found, model, "membership of {at}");
        }
        moved
    }

    fn check_sums(&mut self) {
        if self.entry.is_multiple_of(16) {
            self.server.check();
        }
        let server = &self.server;
        assert!(server.held_bytes <= HELD_BYTES_MAX);
        let queue_max = self.max_queue_ever.max(UNREAD_REPLY_BYTES_MAX) + self.answer_max;
        for (_, conn) in &server.conns {
            assert!(
                conn.outbound.cost() <= queue_max,
                "{} queued",
                conn.outbound.cost()
            );
            assert!(
                conn.carry.len() <= POLL_INPUT_BYTES_MAX + 2 * READ_BYTES,
                "{} carried",
                conn.carry.len()
            );
        }
    }

    pub fn check_refusal(&self) {
        assert!(self.server.len() >= REFUSALS_MAX, "refused without a word");
    }

    /// With nothing due, nothing may be left that could be done.
    pub fn check_quiet(&mut self) {
        self.server.check();
        self.server.hub.check();
        let wait_for_jobs = !self.jobs.is_empty() || !self.lost_jobs.is_empty();
        for (at, peer) in self.peers.iter().enumerate() {
            let Some(id) = peer.id.filter(|_| !peer.dead) else {
                continue;
            };
            let Some(conn) = self.server.conn(id) else {
                continue;
            };
            assert!(!conn.blocked || peer.full, "{at} is blocked by nobody");
            assert!(
                conn.outbound.is_empty() || conn.blocked,
                "{at} has bytes and room"
            );
            if conn.parked.is_some() {
                assert!(
                    wait_for_jobs,
                    "{at} is parked for nothing: {:?}",
                    conn.parked
                );
                continue;
            }
            assert!(!peer.reset, "{at} broke and is still there");
            if conn.input == InputState::Paused {
                assert!(conn.blocked, "{at} is paused for nothing");
                continue;
            }
            let waits = !peer.closing
                && match (&conn.phase, peer.ops.front()) {
                    (Phase::Poll(_) | Phase::Lingering { .. }, _) => false,
                    (_, Some(op)) => op.end <= peer.handed && !matches!(op.want, Want::Silent),
                    (_, None) => false,
                };
            assert!(
                !waits,
                "{at} has no answer to {:?} in {:?}",
                peer.ops.front(),
                conn.phase
            );
            let unread = !peer.arrived.is_empty() || (peer.fin && conn.input == InputState::Open);
            assert!(
                !unread || !conn.wants_bytes(),
                "{at} is not read: {} bytes, end {}",
                peer.arrived.len(),
                peer.fin
            );
        }
    }
}

impl Peer {
    /// Whether a WebSocket is open and everything it is sent arrives.
    pub fn is_open_websocket(&self) -> bool {
        self.is_alive()
            && self.reader.websocket
            && !self.closing
            && self.room == usize::MAX
            && !self.fin
            && !self.reset
    }
}
