//! A map from ids that are handed out in sequence: pages of 32 neighbours in a B-tree. Unlike a hash
//! table it never doubles, so no insert pauses; a page goes with its last entry, so ids may run on for ever.
//! Measured with a 4-byte `T`, that included: 6 bytes an id in full pages, 180 for the lone survivor of a page.

use std::collections::BTreeMap;

/// Ids per page: few, for lone survivors; but enough that a page is over 128 bytes, for smaller blocks
/// that were freed are merged by glibc all at once (a million took it 100 ms).
const PAGE_IDS: i64 = 32;

/// Id to `T`. Best where `Option<T>` is no larger than `T`.
#[derive(Debug)]
pub struct IdPages<T> {
    pages: BTreeMap<i64, Box<[Option<T>; PAGE_IDS as usize]>>,
}

impl<T> Default for IdPages<T> {
    fn default() -> Self {
        IdPages {
            pages: BTreeMap::new(),
        }
    }
}

impl<T> IdPages<T> {
    /// Puts `value` under `id` and gives back what was there.
    pub fn insert(&mut self, id: i64, value: T) -> Option<T> {
        let (page, slot) = place(id);
        let page = self
            .pages
            .entry(page)
            .or_insert_with(|| Box::new([const { None }; PAGE_IDS as usize]));
        page[slot].replace(value)
    }

    /// What is under `id`.
    pub fn get(&self, id: i64) -> Option<&T> {
        let (page, slot) = place(id);
        self.pages.get(&page)?[slot].as_ref()
    }

    /// What is under `id`, to be changed.
    pub fn get_mut(&mut self, id: i64) -> Option<&mut T> {
        let (page, slot) = place(id);
        self.pages.get_mut(&page)?[slot].as_mut()
    }

    /// Takes out what is under `id`.
    pub fn remove(&mut self, id: i64) -> Option<T> {
        let (number, slot) = place(id);
        let page = self.pages.get_mut(&number)?;
        let value = page[slot].take()?;
        if page.iter().all(Option::is_none) {
            self.pages.remove(&number);
        }
        Some(value)
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
    fn keeps_ids_apart_and_gives_pages_back() {
        let ids = [0, -1, 1, 15, 16, -16, -17, i64::MIN, i64::MAX, 1 << 40];
        let mut map = IdPages::default();
        for id in ids {
            assert_eq!(map.get(id), None, "{id}");
            assert_eq!(map.remove(id), None, "{id}");
            assert_eq!(map.insert(id, id), None, "{id}");
        }
        assert_eq!(map.pages.len(), 5);
        for id in ids {
            assert_eq!(map.get(id), Some(&id));
            *map.get_mut(id).expect("just seen") ^= 1;
            assert_eq!(map.insert(id, id), Some(id ^ 1));
        }
        for id in ids {
            assert_eq!(map.remove(id), Some(id));
            assert_eq!(map.remove(id), None);
            assert_eq!(map.get_mut(id), None);
        }
        assert!(map.pages.is_empty());
    }
}
