//! What one-shots are to call, as text, by id. Knows no timer and reads no text.
//!
//! A million blocks of 100 bytes would cost 16 bytes each in the allocator, and freeing them stops it for 100 ms
//! one day (glibc merges small blocks all at once). So 32 neighbours share one block, as in
//! [`crate::state::timer_queue::id_pages`]: about 8 bytes each beside the text.

use std::collections::BTreeMap;

use crate::limits::ONE_SHOT_SHARED_BYTES_MAX;

/// Ids per page.
const PAGE_IDS: i64 = 32;

/// A block is packed again once this much of it is dead, and more than is alive.
const DEAD_BYTES_MAX: usize = 1 << 10;

/// Id to text.
#[derive(Debug, Default)]
pub struct Texts {
    pages: BTreeMap<i64, Box<Page>>,
    /// The page put into last; a page before it has little more to come, so it is shrunk.
    open: i64,
    /// Texts too large to share a block.
    large: BTreeMap<i64, Box<str>>,
    len: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Page {
    block: Vec<u8>,
    live_bytes: u32,
    /// Bit per slot in use.
    used: u32,
    /// Start in the block and length.
    spans: [(u32, u16); PAGE_IDS as usize],
}

impl Texts {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all texts together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts `text` under `id` in place of what was there.
    pub fn insert(&mut self, id: i64, text: &str) {
        self.remove(id);
        self.len += 1;
        self.bytes += text.len();
        if text.len() > ONE_SHOT_SHARED_BYTES_MAX {
            self.large.insert(id, text.into());
            return;
        }
        let (number, slot) = place(id);
        if number != self.open {
            if let Some(page) = self.pages.get_mut(&self.open) {
                page.block.shrink_to_fit();
            }
            self.open = number;
        }
        self.pages.entry(number).or_default().put(slot, text);
    }

    /// What is under `id`.
    pub fn get(&self, id: i64) -> Option<&str> {
        let (number, slot) = place(id);
        self.pages
            .get(&number)
            .and_then(|page| page.text(slot))
            .or_else(|| self.large.get(&id).map(AsRef::as_ref))
    }

    /// Takes out what is under `id`; `false` if there was nothing.
    pub fn remove(&mut self, id: i64) -> bool {
        let Some(bytes) = self.get(id).map(str::len) else {
            return false;
        };
        self.len -= 1;
        self.bytes -= bytes;
        let (number, slot) = place(id);
        if self.large.remove(&id).is_none()
            && let Some(page) = self.pages.get_mut(&number)
        {
            page.take(slot);
            if page.used == 0 {
                self.pages.remove(&number);
            }
        }
        true
    }
}

impl Page {
    fn text(&self, slot: usize) -> Option<&str> {
        if self.used & 1 << slot == 0 {
            return None;
        }
        let (start, len) = self.spans[slot];
        let bytes = self
            .block
            .get(start as usize..start as usize + usize::from(len))?;
        std::str::from_utf8(bytes).ok()
    }

    fn put(&mut self, slot: usize, text: &str) {
        let start = self.block.len();
        self.block.extend_from_slice(text.as_bytes());
        // 32 texts of 4 KiB and as much again that is dead are far below what fits.
        self.spans[slot] = (start as u32, text.len() as u16);
        self.used |= 1 << slot;
        self.live_bytes += text.len() as u32;
    }

    fn take(&mut self, slot: usize) {
        self.used &= !(1 << slot);
        self.live_bytes -= u32::from(self.spans[slot].1);
        let live = self.live_bytes as usize;
        let dead = self.block.len() - live;
        if dead > DEAD_BYTES_MAX && dead > live {
            self.pack(live);
        }
    }

    fn pack(&mut self, live: usize) {
        let mut block = Vec::with_capacity(live);
        for slot in 0..PAGE_IDS as usize {
            if self.used & 1 << slot != 0 {
                let (start, len) = self.spans[slot];
                let start = start as usize;
                self.spans[slot].0 = block.len() as u32;
                block.extend_from_slice(&self.block[start..start + usize::from(len)]);
            }
        }
        self.block = block;
    }
}

/// Page and slot; negative ids have pages of their own.
fn place(id: i64) -> (i64, usize) {
    (id.div_euclid(PAGE_IDS), id.rem_euclid(PAGE_IDS) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_tree() {
        let (mut texts, mut model) = (Texts::default(), BTreeMap::new());
        let mut dice = 7_u64;
        for step in 0..40_000_u64 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step | 1);
            let id = -((dice >> 40) as i64 % 200);
            let length = match dice >> 20 & 15 {
                0 => 0,
                1 => ONE_SHOT_SHARED_BYTES_MAX,
                2 => ONE_SHOT_SHARED_BYTES_MAX + 1,
                n => (n * 11) as usize,
            };
            if dice >> 33 & 1 == 0 {
                assert_eq!(texts.remove(id), model.remove(&id).is_some());
            } else {
                let text = ["é", "x"][(dice >> 34 & 1) as usize].repeat(length / 2);
                texts.insert(id, &text);
                model.insert(id, text);
            }
            assert_eq!(texts.get(id), model.get(&id).map(String::as_str));
            assert_eq!(texts.len(), model.len());
            assert_eq!(
                texts.bytes(),
                model.values().map(String::len).sum::<usize>()
            );
            let some_id = -((dice >> 10) as i64 % 200);
            assert_eq!(texts.get(some_id), model.get(&some_id).map(String::as_str));
        }
        for id in model.keys() {
            assert!(texts.remove(*id) && !texts.remove(*id));
        }
        assert!(texts.is_empty() && texts.pages.is_empty() && texts.large.is_empty());
    }

    #[test]
    fn a_page_in_use_for_ever_stays_small() {
        let mut texts = Texts::default();
        texts.insert(0, "stays");
        for _ in 0..10_000 {
            texts.insert(1, &"x".repeat(1_000));
        }
        assert!(texts.pages[&0].block.capacity() < 8_000);
        assert_eq!(texts.get(0), Some("stays"));
    }
}
