//! A folder in memory whose operations fail or end as told, and which tells what a sudden stop leaves. In tests only.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::files::{Files, Identity, OpenFile};

/// What a failing folder refuses; the rest works.
pub(super) const WRITES: u8 = 1;
pub(super) const SYNCS: u8 = 2;
pub(super) const NAMES: u8 = 4;
pub(super) const CUTS: u8 = 8;
pub(super) const ALL: u8 = WRITES | SYNCS | NAMES | CUTS;

/// What lasts through a stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasts {
    /// Content that was not synced; else only what was.
    pub(super) content: bool,
    /// Names that were not synced; else only what was.
    pub(super) names: bool,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, u64>,
    names_synced: BTreeMap<String, u64>,
    files: BTreeMap<u64, Content>,
    /// Operations and bytes until `refused` begins; `None`: never.
    budget: Option<usize>,
    refused: u8,
    spent: usize,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FakeFiles(Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct FakeFile {
    files: FakeFiles,
    inode: u64,
}

impl FakeFiles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }

    /// Refuses these kinds of operations after so many operations and bytes.
    pub(super) fn refuse_after(&self, budget: usize, refused: u8) {
        let mut state = self.state();
        (state.budget, state.refused) = (Some(budget), refused);
    }

    /// All works again.
    pub(super) fn heal(&self) {
        self.state().budget = None;
    }

    /// Operations and bytes since the beginning.
    pub(super) fn spent(&self) -> usize {
        self.state().spent
    }

    /// What is there after a stop. What is still open of the old folder cannot reach it.
    pub(super) fn after_stop(&self, lasts: Lasts) -> FakeFiles {
        let state = self.state();
        let names = match lasts.names {
            true => &state.names,
            false => &state.names_synced,
        };
        let files = state.files.iter().map(|(inode, content)| {
            let kept = match lasts.content {
                true => content.now.clone(),
                false => content.synced.clone(),
            };
            let content = Content {
                now: kept.clone(),
                synced: kept,
            };
            (*inode, content)
        });
        FakeFiles(Arc::new(Mutex::new(State {
            names: names.clone(),
            names_synced: names.clone(),
            files: files.collect(),
            ..State::default()
        })))
    }

    /// Puts a file there, as someone else would.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.files.len() as u64;
        let content = Content {
            now: bytes.to_vec(),
            synced: bytes.to_vec(),
        };
        state.files.insert(inode, content);
        state.names.insert(name.to_owned(), inode);
        state.names_synced = state.names.clone();
    }

    /// All names there are.
    pub(super) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Removes all, as someone else would.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.names.clear();
        state.names_synced.clear();
    }
}

impl State {
    /// Takes up to `wanted` from the budget; fewer: it is refused from there.
    fn spend(&mut self, kind: u8, wanted: usize) -> usize {
        self.spent += wanted;
        let Some(budget) = &mut self.budget else {
            return wanted;
        };
        let granted = wanted.min(*budget);
        *budget -= granted;
        match self.refused & kind {
            0 => wanted,
            _ => granted,
        }
    }

    fn act(&mut self, kind: u8) -> io::Result<()> {
        match self.spend(kind, 1) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn inode(&self, name: &str) -> io::Result<u64> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for FakeFiles {
    type File = FakeFile;

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        let inode = state.inode(name)?;
        Ok(state.files[&inode].now.clone())
    }

    fn create(&self, name: &str) -> io::Result<FakeFile> {
        let mut state = self.state();
        state.act(NAMES)?;
        let inode = state.files.len() as u64;
        state.files.insert(inode, Content::default());
        state.names.insert(name.to_owned(), inode);
        Ok(FakeFile {
            files: self.clone(),
            inode,
        })
    }

    fn open(&self, name: &str) -> io::Result<FakeFile> {
        let inode = self.state().inode(name)?;
        Ok(FakeFile {
            files: self.clone(),
            inode,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act(NAMES)?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.act(NAMES)?;
        state.inode(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.act(SYNCS)?;
        state.names_synced = state.names.clone();
        Ok(())
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        Ok((0, self.state().inode(name)?))
    }

    fn may_change(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("/fake")
    }
}

impl OpenFile for FakeFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.files.state();
        let granted = state.spend(WRITES, bytes.len());
        let content = state.files.get_mut(&self.inode).expect("never removed");
        let offset = offset as usize;
        let end = content.now.len().max(offset + granted);
        content.now.resize(end, 0);
        content.now[offset..offset + granted].copy_from_slice(&bytes[..granted]);
        match granted == bytes.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.files.state();
        state.act(CUTS)?;
        let content = state.files.get_mut(&self.inode).expect("never removed");
        content.now.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.files.state();
        state.act(SYNCS)?;
        let content = state.files.get_mut(&self.inode).expect("never removed");
        content.synced = content.now.clone();
        Ok(())
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok((0, self.inode))
    }
}
