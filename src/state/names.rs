//! An ordered index of names that holds slab keys only: the names themselves stay with their
//! owner, who lends them for each operation. Serves prefixes (`group1/*`). Never stores a name.

use crate::limits::NAME_LEAF_MAX;

/// Keys ordered by the names they stand for; names are distinct. Leaves of at most
/// [`NAME_LEAF_MAX`] keys, so that an insertion moves at most that many.
#[derive(Debug, Default)]
pub struct NameIndex {
    leaves: Vec<Vec<u32>>,
}

impl NameIndex {
    /// Adds `key`, whose name is `name` and not yet here.
    pub fn insert<'n>(&mut self, key: u32, name: &str, name_of: impl Fn(u32) -> &'n str) {
        if self.leaves.is_empty() {
            self.leaves.push(vec![key]);
            return;
        }
        let leaf = self.leaf_for(name, &name_of);
        let keys = &mut self.leaves[leaf];
        let at = keys.partition_point(|&k| name_of(k) < name);
        keys.insert(at, key);
        if keys.len() > NAME_LEAF_MAX {
            // An ascending run of names, the usual load, should leave full leaves behind it.
            let middle = if at + 1 == keys.len() {
                NAME_LEAF_MAX
            } else {
                NAME_LEAF_MAX / 2
            };
            let mut tail = keys.split_off(middle);
            tail.shrink_to_fit();
            self.leaves.insert(leaf + 1, tail);
        }
    }

    /// Puts `new` in the place of the key that stands for `name`.
    pub fn replace<'n>(&mut self, new: u32, name: &str, name_of: impl Fn(u32) -> &'n str) {
        if let Some((leaf, at)) = self.find(name, &name_of) {
            self.leaves[leaf][at] = new;
        }
    }

    /// Removes the key that stands for `name`.
    pub fn remove<'n>(&mut self, name: &str, name_of: impl Fn(u32) -> &'n str) {
        let Some((leaf, at)) = self.find(name, &name_of) else {
            return;
        };
        self.leaves[leaf].remove(at);
        if self.leaves[leaf].is_empty() {
            self.leaves.remove(leaf);
        } else if self.leaves[leaf].len() < NAME_LEAF_MAX / 4 {
            self.merge(leaf);
        }
    }

    /// Keys in order of their names, from the first name that is not less than `from` (or, with
    /// `exclusive`, greater than it).
    pub fn range_from<'n, 's>(
        &'s self,
        from: &str,
        exclusive: bool,
        name_of: impl Fn(u32) -> &'n str,
    ) -> impl Iterator<Item = u32> + 's {
        let before = |k: u32| {
            if exclusive {
                name_of(k) <= from
            } else {
                name_of(k) < from
            }
        };
        let leaf = self
            .leaves
            .partition_point(|keys| keys.last().is_some_and(|&k| before(k)));
        let at = self
            .leaves
            .get(leaf)
            .map_or(0, |keys| keys.partition_point(|&k| before(k)));
        let first = self.leaves.get(leaf).map_or(&[][..], |keys| &keys[at..]);
        let later = self.leaves.get(leaf + 1..).unwrap_or_default();
        first
            .iter()
            .copied()
            .chain(later.iter().flat_map(|keys| keys.iter().copied()))
    }

    /// The last leaf whose first name is not greater than `name`, or the first leaf.
    fn leaf_for<'n>(&self, name: &str, name_of: &impl Fn(u32) -> &'n str) -> usize {
        self.leaves
            .partition_point(|keys| keys.first().is_some_and(|&k| name_of(k) <= name))
            .saturating_sub(1)
    }

    fn find<'n>(&self, name: &str, name_of: &impl Fn(u32) -> &'n str) -> Option<(usize, usize)> {
        let leaf = self.leaf_for(name, name_of);
        let keys = self.leaves.get(leaf)?;
        let at = keys.partition_point(|&k| name_of(k) < name);
        (keys.get(at).is_some_and(|&k| name_of(k) == name)).then_some((leaf, at))
    }

    fn merge(&mut self, leaf: usize) {
        let left = if leaf + 1 < self.leaves.len() {
            leaf
        } else {
            leaf.saturating_sub(1)
        };
        let right = left + 1;
        if right < self.leaves.len()
            && self.leaves[left].len() + self.leaves[right].len() <= NAME_LEAF_MAX
        {
            let tail = self.leaves.remove(right);
            self.leaves[left].extend(tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_agrees_with_a_btree_map() {
        let names: Vec<String> = (0..3000u32)
            .map(|i| format!("g{}/{}", i % 7, i.wrapping_mul(2654435761) % 3000))
            .collect();
        let (mut index, mut model) = (NameIndex::default(), BTreeMap::new());
        let mut seed = 1u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize
        };
        for _ in 0..20_000 {
            let key = next() % names.len();
            let name = names[key].as_str();
            match model.get(name).copied() {
                None => {
                    index.insert(key as u32, name, |k| names[k as usize].as_str());
                    model.insert(name, key as u32);
                }
                Some(old) if next() % 4 == 0 => {
                    index.replace(old, name, |k| names[k as usize].as_str());
                }
                Some(_) => {
                    index.remove(name, |k| names[k as usize].as_str());
                    model.remove(name);
                }
            }
        }
        for from in ["", "g3/", "g3/1", "g6/999", "h"] {
            let got: Vec<u32> = index
                .range_from(from, false, |k| names[k as usize].as_str())
                .collect();
            let want: Vec<u32> = model.range(from..).map(|(_, &k)| k).collect();
            assert_eq!(got, want, "from {from:?}");
        }
        let some = *model
            .keys()
            .nth(model.len() / 2)
            .expect("the model is not empty");
        let got = index
            .range_from(some, true, |k| names[k as usize].as_str())
            .count();
        assert_eq!(got, model.range(some..).count() - 1);
    }

    #[test]
    fn ascending_names_leave_full_leaves() {
        let names: Vec<String> = (0..10_000).map(|i| format!("u{i:05}")).collect();
        let mut index = NameIndex::default();
        for (key, name) in names.iter().enumerate() {
            index.insert(key as u32, name, |k| names[k as usize].as_str());
        }
        assert!(index.leaves.len() <= names.len() / NAME_LEAF_MAX + 1);
    }
}
