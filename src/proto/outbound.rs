//! A connection's queue of bytes to send: one chunk inline, more in a deque beside it that is
//! lent by a pool. Never writes; the reactor takes its bytes from here.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::limits::{CHUNK_COST_BYTES, SPARE_DEQUE_CHUNKS_MAX, SPARE_DEQUES_MAX};

/// Deques that drained queues gave back, so that bursts allocate nothing.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "what is kept are the boxes")]
pub struct Spares(Vec<Box<VecDeque<Bytes>>>);

/// Chunks to send, in order. 48 bytes and no heap while at most one chunk waits.
#[derive(Debug, Default)]
pub struct Outbound {
    /// The chunk being written; empty when nothing waits.
    head: Bytes,
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 32 in every idle connection"
    )]
    rest: Option<Box<VecDeque<Bytes>>>,
    bytes: u32,
    chunks: u32,
}

impl Outbound {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chunks == 0
    }

    /// Bytes not yet written.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// What the queue costs: bytes not yet written plus a share per chunk for its bookkeeping.
    pub fn cost(&self) -> usize {
        self.bytes as usize + self.chunks as usize * CHUNK_COST_BYTES
    }

    /// Adds a chunk at the end; an empty one is nothing.
    pub fn push(&mut self, chunk: Bytes, spares: &mut Spares) {
        let Ok(len) = u32::try_from(chunk.len()) else {
            debug_assert!(
                false,
                "a chunk is bounded by the limits of messages and answers"
            );
            return;
        };
        if len == 0 {
            return;
        }
        self.bytes = self.bytes.saturating_add(len);
        self.chunks += 1;
        if self.chunks == 1 {
            self.head = chunk;
        } else {
            self.rest
                .get_or_insert_with(|| spares.0.pop().unwrap_or_default())
                .push_back(chunk);
        }
    }

    /// Copies waiting bytes into `buffer`, in order, as far as it has room; says how many. For
    /// many small chunks that is cheaper than to have the kernel walk them.
    pub fn gather(&self, buffer: &mut [u8]) -> usize {
        let rest = self.rest.iter().flat_map(|deque| deque.iter());
        let mut filled = 0;
        for chunk in std::iter::once(&self.head).chain(rest) {
            let len = chunk.len().min(buffer.len() - filled);
            buffer[filled..filled + len].copy_from_slice(&chunk[..len]);
            filled += len;
            if filled == buffer.len() {
                break;
            }
        }
        filled
    }

    /// The first waiting chunk; empty when nothing waits.
    pub fn first(&self) -> &[u8] {
        &self.head
    }

    /// Whether more than one chunk waits.
    pub fn is_many(&self) -> bool {
        self.chunks > 1
    }

    /// Removes `written` bytes from the front.
    pub fn advance(&mut self, written: usize, spares: &mut Spares) {
        let mut left = written.min(self.bytes as usize);
        self.bytes -= left as u32;
        while self.chunks > 0 && left >= self.head.len() {
            left -= self.head.len();
            self.chunks -= 1;
            self.head = match self.rest.as_mut().and_then(|deque| deque.pop_front()) {
                Some(next) => next,
                None => Bytes::new(),
            };
        }
        self.head.advance(left);
        if self.chunks <= 1 {
            self.return_deque(spares);
        }
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self, spares: &mut Spares) {
        if let Some(deque) = &mut self.rest {
            deque.clear();
        }
        self.return_deque(spares);
        *self = Outbound::default();
    }

    fn return_deque(&mut self, spares: &mut Spares) {
        if let Some(deque) = self.rest.take()
            && spares.0.len() < SPARE_DEQUES_MAX
            && deque.capacity() <= SPARE_DEQUE_CHUNKS_MAX
        {
            spares.0.push(deque);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(queue: &Outbound) -> Vec<u8> {
        let mut buffer = [0; 64];
        let filled = queue.gather(&mut buffer);
        let mut small = [0; 3];
        assert_eq!(buffer[..queue.gather(&mut small)], small[..filled.min(3)]);
        buffer[..filled].to_vec()
    }

    #[test]
    fn every_cut_keeps_order_and_cost() {
        let parts: [&[u8]; 4] = [b"one", b"", b"twotwo", b"3"];
        let whole: Vec<u8> = parts.concat();
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let (mut queue, mut spares) = (Outbound::default(), Spares::default());
                for part in parts {
                    queue.push(Bytes::copy_from_slice(part), &mut spares);
                }
                assert_eq!(queue.cost(), whole.len() + 3 * CHUNK_COST_BYTES);
                queue.advance(first, &mut spares);
                assert_eq!(all(&queue), &whole[first..]);
                queue.advance(second, &mut spares);
                assert_eq!(all(&queue), &whole[first + second..]);
                assert_eq!(queue.is_empty(), first + second == whole.len());
                assert_eq!(queue.is_empty(), queue.cost() == 0);
            }
        }
    }

    #[test]
    fn a_drained_queue_gives_its_deque_back() {
        let (mut queue, mut spares) = (Outbound::default(), Spares::default());
        for _ in 0..5 {
            queue.push(Bytes::from_static(b"xy"), &mut spares);
        }
        queue.advance(8, &mut spares);
        assert_eq!(all(&queue), b"xy");
        assert!(queue.rest.is_none());
        assert_eq!(spares.0.len(), 1);
        queue.push(Bytes::from_static(b"z"), &mut spares);
        assert!(spares.0.is_empty());
        queue.clear(&mut spares);
        assert!(queue.is_empty() && spares.0.len() == 1);
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<Outbound>() <= 48);
    }
}
