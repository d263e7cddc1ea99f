//! `timer.json` and its journals while the daemon runs: records are appended and synced, the file is
//! written anew from time to time. What is where, and what happens after a stop, is told in [`super::timers`].
//! Has no thread and no clock of its own; [`super::keeper`] has both.

use std::io;

use crate::disk::files::{Files, Identity, OpenFile};
use crate::disk::image::{Image, record_of};
use crate::limits::{JOURNAL_BUFFER_BYTES_MAX, MERGE_JOURNAL_BYTES_MIN, MERGE_SLICE_BYTES};
use crate::message::TimerChange;
use crate::proto::journal::{Chain, HEADER_BYTES, Header, encode_header};

/// The file.
pub(super) const FILE: &str = "timer.json";
/// Where it is written before it gets its name.
pub(super) const TEMPORARY: &str = "timer.json.tmp";
/// The journal that extends the file.
pub(super) const JOURNAL: &str = "timer.json.journal";
/// The journal that extends the file which is being written.
pub(super) const NEXT_JOURNAL: &str = "timer.json.journal.next";

/// What is stored, and the files it is stored in.
#[derive(Debug)]
pub(super) struct Store<F: Files> {
    files: F,
    held: Held,
    base: Option<Base>,
    log: Log<F::File>,
    /// The greatest epoch ever given.
    epoch_last: u64,
    /// What is broken and could not be set aside; nothing is written until it could.
    in_the_way: Vec<InTheWay>,
    buffer: Vec<u8>,
}

/// A file's name, and what it is to be called.
pub(super) type InTheWay = (&'static str, String);

/// Where the image is.
#[derive(Debug)]
enum Held {
    Here(Image),
    /// With a [`Merge`]; what was acknowledged since.
    Away(Vec<TimerChange>),
}

/// The `timer.json` on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) epoch: u64,
    pub(super) identity: Identity,
    pub(super) bytes: u64,
}

/// The journal at hand.
#[derive(Debug)]
pub(super) struct Journal<O> {
    pub(super) file: O,
    pub(super) name: &'static str,
    pub(super) identity: Identity,
    pub(super) epoch: u64,
    /// Its length as far as it was acknowledged; what is behind was cut or never was.
    pub(super) good: u64,
    /// How much of it the last merge took along, when that was not the first try.
    pub(super) merged: u64,
    pub(super) chain: Chain,
}

/// What records are appended to.
#[derive(Debug)]
pub(super) enum Log<O> {
    Open(Journal<O>),
    /// None is needed yet: the base is complete.
    None,
    /// What is on disk cannot be extended: it must be written anew first.
    Lost,
}

/// Writes `timer.json` anew; may be run by another thread, while records go to the next journal.
#[derive(Debug)]
pub(super) struct Merge<F> {
    files: F,
    image: Image,
    epoch: u64,
    /// How much of the journal at hand is in the image.
    journal_bytes: u64,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Merged {
    image: Image,
    journal_bytes: u64,
    outcome: io::Result<Base>,
}

impl<F: Files> Store<F> {
    /// What [`super::timers::load`] found.
    pub(super) fn new(
        files: F,
        image: Image,
        base: Option<Base>,
        log: Log<F::File>,
        in_the_way: Vec<InTheWay>,
    ) -> Self {
        let epoch_last = match &log {
            Log::Open(journal) => journal.epoch,
            _ => base.map_or(0, |base| base.epoch),
        };
        Store {
            files,
            held: Held::Here(image),
            base,
            log,
            epoch_last,
            in_the_way,
            buffer: Vec::new(),
        }
    }

    /// Has the changes last, all or none. `now_ms`: Unix. Errors: they are not on disk and what is there
    /// is as before; the reason in one line.
    pub(super) fn commit(&mut self, changes: Vec<TimerChange>, now_ms: u64) -> Result<(), String> {
        self.make_ready(now_ms)?;
        let Log::Open(journal) = &mut self.log else {
            return Err("no journal".to_owned());
        };
        self.buffer.clear();
        let mut chain = journal.chain;
        for change in &changes {
            chain
                .encode(&mut self.buffer, record_of(change))
                .map_err(|_| "a timer is too long to be stored".to_owned())?;
        }
        let written = journal
            .file
            .write_all_at(&self.buffer, journal.good)
            .and_then(|()| journal.file.sync());
        if let Err(error) = written {
            let cut = journal
                .file
                .set_len(journal.good)
                .and_then(|()| journal.file.sync());
            let reason = format!("cannot write {}: {error}", journal.name);
            if cut.is_err() {
                self.log = Log::Lost;
            }
            return Err(reason);
        }
        // Removed between the first look and the sync: what was synced has no name to be found by.
        if let Err(reason) = self.look() {
            self.log = Log::Lost;
            return Err(reason);
        }
        if let Log::Open(journal) = &mut self.log {
            journal.good += self.buffer.len() as u64;
            journal.chain = chain;
        }
        self.buffer.shrink_to(JOURNAL_BUFFER_BYTES_MAX);
        match &mut self.held {
            Held::Here(image) => changes.into_iter().for_each(|change| image.apply(change)),
            Held::Away(later) => later.extend(changes),
        }
        Ok(())
    }

    /// Whether `timer.json` lacks something that a journal holds.
    pub(super) fn is_behind(&self) -> bool {
        match &self.log {
            Log::Open(journal) => self.is_rotated() || journal.good > journal.merged,
            Log::None => false,
            Log::Lost => true,
        }
    }

    /// Whether the journal is long enough to be merged at once.
    pub(super) fn is_long(&self) -> bool {
        let (Log::Open(journal), Some(base)) = (&self.log, self.base) else {
            return false;
        };
        journal.good - journal.merged > (base.bytes / 2).max(MERGE_JOURNAL_BYTES_MIN)
    }

    /// Begins to write `timer.json` anew; `None`: there is nothing to do, or it was done at once. From here
    /// to [`Store::end_merge`] the image is away. Errors: as [`Store::commit`].
    pub(super) fn begin_merge(&mut self, now_ms: u64) -> Result<Option<Merge<F>>, String> {
        if matches!(self.held, Held::Away(_)) || !self.is_behind() {
            return Ok(None);
        }
        self.make_ready(now_ms)?;
        if !self.is_behind() {
            return Ok(None);
        }
        if !self.is_rotated() {
            self.rotate(now_ms)
                .map_err(|error| format!("cannot begin {NEXT_JOURNAL}: {error}"))?;
        }
        let Log::Open(journal) = &self.log else {
            return Ok(None);
        };
        match std::mem::replace(&mut self.held, Held::Away(Vec::new())) {
            Held::Here(image) => Ok(Some(Merge {
                files: self.files.clone(),
                image,
                epoch: journal.epoch,
                journal_bytes: journal.good,
            })),
            away @ Held::Away(_) => {
                self.held = away;
                Ok(None)
            }
        }
    }

    /// Takes the image back. Errors: `timer.json` is the old one, or the new one that may not last; the
    /// journals complete either.
    pub(super) fn end_merge(&mut self, merged: Merged) -> Result<(), String> {
        let mut image = merged.image;
        if let Held::Away(later) = &mut self.held {
            later.drain(..).for_each(|change| image.apply(change));
        }
        self.held = Held::Here(image);
        match merged.outcome {
            Ok(base) => {
                self.base = Some(base);
                if let Log::Open(journal) = &mut self.log {
                    journal.merged = merged.journal_bytes;
                }
                self.settle();
                Ok(())
            }
            Err(error) => {
                if let (Some(base), Ok(identity)) = (&mut self.base, self.files.identity(FILE)) {
                    base.identity = identity;
                }
                Err(format!("cannot write {FILE}: {error}"))
            }
        }
    }

    /// At the end: leaves nothing but a complete `timer.json`. Errors: the journals complete it.
    pub(super) fn finish(&mut self, now_ms: u64) -> Result<(), String> {
        // One that was edited meanwhile is left alone: unless something changes, it is read at the next start.
        let is_gone = matches!(self.files.identity(FILE), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if is_gone && self.base.is_some() {
            self.log = Log::Lost;
        }
        if let Some(merge) = self.begin_merge(now_ms)? {
            let merged = merge.run();
            self.end_merge(merged)?;
        }
        if let Log::Open(journal) = &self.log
            && !self.is_behind()
        {
            // Without records it is nothing that could be missed.
            let _ = self.files.remove(journal.name);
            self.log = Log::None;
        }
        Ok(())
    }

    /// Writes `timer.json` at once, whatever is there, and begins a journal.
    pub(super) fn write_anew(&mut self, now_ms: u64) -> Result<(), String> {
        let Held::Here(image) = &self.held else {
            return Err(format!("{FILE} is being written"));
        };
        while let Some((name, new_name)) = self.in_the_way.last() {
            match self.files.rename(name, new_name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("cannot set {name} aside: {error}"));
                }
                _ => self.in_the_way.pop(),
            };
        }
        let epoch = now_ms.max(self.epoch_last.saturating_add(1));
        self.epoch_last = epoch;
        self.log = Log::Lost;
        let base = write_base(&self.files, image, epoch)
            .map_err(|error| format!("cannot write {FILE}: {error}"))?;
        self.base = Some(base);
        self.log = Log::None;
        // Journals that stay are of older epochs, so nobody reads them.
        let _ = self.files.remove(NEXT_JOURNAL);
        let _ = self.files.remove(JOURNAL);
        Ok(())
    }

    /// Has a journal at hand that records can be appended to.
    fn make_ready(&mut self, now_ms: u64) -> Result<(), String> {
        let folder = self.files.path().display();
        self.files
            .may_change()
            .map_err(|error| format!("cannot write to {folder}: {error}"))?;
        if self.look().is_err() {
            self.log = Log::Lost;
        }
        if matches!(self.log, Log::Lost) {
            self.write_anew(now_ms)?;
        }
        if let (Log::None, Some(base)) = (&self.log, self.base) {
            let header = Header {
                epoch: base.epoch,
                follows: 0,
            };
            let journal = create_journal(&self.files, JOURNAL, header)
                .map_err(|error| format!("cannot begin {JOURNAL}: {error}"))?;
            self.log = Log::Open(journal);
        }
        Ok(())
    }

    /// Whether the files at hand are still those that their names lead to.
    fn look(&self) -> Result<(), String> {
        let check = |name: &str, expected: Identity| match self.files.identity(name) {
            Ok(identity) if identity == expected => Ok(()),
            Ok(_) => Err(format!("{name} was replaced")),
            Err(error) => Err(format!("{name}: {error}")),
        };
        if let Log::Open(journal) = &self.log {
            check(journal.name, journal.identity)?;
        }
        match (&self.held, self.base) {
            // It is being replaced, by us.
            (Held::Away(_), _) => Ok(()),
            (Held::Here(_), Some(base)) => check(FILE, base.identity),
            (Held::Here(_), None) => Err(format!("no {FILE}")),
        }
    }

    /// Whether the journal at hand extends a `timer.json` that is not written yet.
    fn is_rotated(&self) -> bool {
        matches!((&self.log, self.base), (Log::Open(journal), Some(base)) if journal.epoch != base.epoch)
    }

    /// Records go to a journal of the next epoch from here on.
    fn rotate(&mut self, now_ms: u64) -> io::Result<()> {
        self.settle();
        let Log::Open(journal) = &self.log else {
            return Ok(());
        };
        if journal.name == NEXT_JOURNAL {
            return Err(io::Error::other("the one before could not be renamed"));
        }
        let header = Header {
            epoch: now_ms.max(self.epoch_last.saturating_add(1)),
            follows: journal.epoch,
        };
        let next = create_journal(&self.files, NEXT_JOURNAL, header)?;
        self.epoch_last = header.epoch;
        self.log = Log::Open(next);
        Ok(())
    }

    /// The journal takes the place of the one that was merged. If it cannot, another time does as well.
    fn settle(&mut self) {
        if let Log::Open(journal) = &mut self.log
            && journal.name == NEXT_JOURNAL
            && self.files.rename(NEXT_JOURNAL, JOURNAL).is_ok()
        {
            journal.name = JOURNAL;
        }
    }
}

impl<F: Files> Merge<F> {
    /// Writes it.
    pub(super) fn run(self) -> Merged {
        let outcome = write_base(&self.files, &self.image, self.epoch);
        Merged {
            image: self.image,
            journal_bytes: self.journal_bytes,
            outcome,
        }
    }
}

/// Replaces `timer.json`: whole, and so that it lasts.
fn write_base<F: Files>(files: &F, image: &Image, epoch: u64) -> io::Result<Base> {
    let outcome = write_temporary(files, image, epoch);
    if outcome.is_err() {
        // What room there is should not go to half a file.
        let _ = files.remove(TEMPORARY);
    }
    let base = outcome?;
    files.rename(TEMPORARY, FILE)?;
    files.sync_names()?;
    Ok(base)
}

fn write_temporary<F: Files>(files: &F, image: &Image, epoch: u64) -> io::Result<Base> {
    let file = files.create(TEMPORARY)?;
    let mut bytes = 0;
    image.write(epoch, MERGE_SLICE_BYTES, |slice| {
        file.write_all_at(slice, bytes)?;
        bytes += slice.len() as u64;
        // Synced piece by piece: a commit of the journal waits for all that the disk was given before.
        file.sync()
    })?;
    Ok(Base {
        epoch,
        identity: file.identity()?,
        bytes,
    })
}

/// A new journal, without records, that lasts.
fn create_journal<F: Files>(
    files: &F,
    name: &'static str,
    header: Header,
) -> io::Result<Journal<F::File>> {
    let mut bytes = Vec::new();
    let chain = encode_header(&mut bytes, header);
    let file = files.create(name)?;
    let written = file
        .write_all_at(&bytes, 0)
        .and_then(|()| file.sync())
        .and_then(|()| files.sync_names());
    if let Err(error) = written {
        let _ = files.remove(name);
        return Err(error);
    }
    Ok(Journal {
        identity: file.identity()?,
        file,
        name,
        epoch: header.epoch,
        good: HEADER_BYTES as u64,
        merged: HEADER_BYTES as u64,
        chain,
    })
}
