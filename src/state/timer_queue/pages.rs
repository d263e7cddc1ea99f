//! A vector in pages: it grows and shrinks a page at a time and never moves what it holds, so that no
//! push stops for a copy of everything. Knows nothing of timers.

/// Entries per page; 16 KiB of them in the timer queue, below what the allocator maps one by one.
const PAGE_LEN: usize = 1024;

/// A stack of `T` with access by index.
#[derive(Debug)]
pub(super) struct Pages<T> {
    /// All full but the last one or two; at most one is empty, kept for the next push.
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> Pages<T> {
    pub const fn new() -> Self {
        Pages {
            pages: Vec::new(),
            len: 0,
        }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, index: usize) -> Option<T> {
        self.pages
            .get(index / PAGE_LEN)?
            .get(index % PAGE_LEN)
            .copied()
    }

    /// Replaces the entry at `index`; nothing happens beyond the end.
    pub fn set(&mut self, index: usize, value: T) {
        let page = self.pages.get_mut(index / PAGE_LEN);
        if let Some(entry) = page.and_then(|page| page.get_mut(index % PAGE_LEN)) {
            *entry = value;
        }
    }

    pub fn push(&mut self, value: T) {
        match self.pages.get_mut(self.len / PAGE_LEN) {
            Some(page) => page.push(value),
            None => {
                let mut page = Vec::with_capacity(PAGE_LEN);
                page.push(value);
                self.pages.push(page);
            }
        }
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let page = last / PAGE_LEN;
        let value = self.pages.get_mut(page)?.pop()?;
        self.len = last;
        // The page that is left empty stays as the spare one, the spare one behind it goes.
        if last % PAGE_LEN == 0 {
            self.pages.truncate(page + 1);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_stack_over_several_pages() {
        let mut pages = Pages::new();
        for round in 0..3 {
            for value in 0..3 * PAGE_LEN + round {
                pages.push(value);
            }
            pages.set(PAGE_LEN, 7);
            pages.set(usize::MAX, 7);
            assert_eq!(
                (pages.get(PAGE_LEN), pages.get(PAGE_LEN + 1)),
                (Some(7), Some(PAGE_LEN + 1))
            );
            assert_eq!(
                (pages.len(), pages.get(pages.len())),
                (3 * PAGE_LEN + round, None)
            );
            for value in (0..3 * PAGE_LEN + round).rev() {
                assert_eq!(pages.pop(), Some(if value == PAGE_LEN { 7 } else { value }));
                assert!(pages.pages.len() <= pages.len() / PAGE_LEN + 2);
            }
            assert_eq!((pages.pop(), pages.len()), (None, 0));
            assert_eq!(pages.pages.len(), 1);
        }
    }

    #[test]
    fn a_page_boundary_does_not_thrash() {
        let mut pages = Pages::new();
        (0..=PAGE_LEN).for_each(|value| pages.push(value));
        let second = pages.pages[1].as_ptr();
        for _ in 0..5 {
            pages.pop();
            pages.push(0);
            assert_eq!(pages.pages[1].as_ptr(), second);
        }
    }
}
