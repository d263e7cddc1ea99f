//! What is stored about timers: its files, and what a start makes of those it finds. What happens while
//! the daemon runs is in [`super::store`].
//!
//! | file | what |
//! |---|---|
//! | `timer.json` | all timers as of some moment, with an epoch of its own ([`crate::proto::timer_file`]) |
//! | `timer.json.journal` | the changes since then ([`crate::proto::journal`]); its header names the epoch it extends |
//! | `timer.json.journal.next` | while `timer.json` is written anew: the changes since that began; extends the coming epoch and names the one before |
//! | `timer.json.tmp` | the coming `timer.json`, not whole; removed at start |
//! | `….bad-TIME` | what could not be read, set aside and never touched again |
//!
//! **A change** is appended to the journal at hand and synced; only then it is acknowledged. If that fails,
//! the journal is cut back to its last good length; if that fails too, or the files are no longer those that their
//! names lead to, the next change first writes `timer.json` anew, from memory and with an epoch that ends all journals.
//!
//! **A merge** begins `timer.json.journal.next` and has a second thread write `timer.json.tmp`, sync it, rename it and sync
//! the folder; then the next journal takes the name of the journal. The disk thread hands the image in memory over and keeps
//! what is acknowledged meanwhile in a list, so that no commit waits and nothing is copied. A merge that failed
//! is tried again into the same next journal: to read records again whose outcome the file holds already changes nothing.
//!
//! **A start** reads `timer.json`, then the journal of its epoch, then the one that follows that. So after a stop at
//! any moment: before the rename, old file and both journals; after it, new file and the next one. A journal of a lower epoch
//! is contained in the file and removed; any other that holds records is set aside with a warning, for its file was
//! replaced. A tail that is no whole record was never acknowledged and is cut. A file without an epoch was written by
//! the original: it gets one at once.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::disk::files::{Files, OpenFile, RealFiles};
use crate::disk::image::{Image, change_of, id_list};
use crate::disk::store::{
    Base, FILE, InTheWay, JOURNAL, Journal, Log, NEXT_JOURNAL, Store, TEMPORARY,
};
use crate::disk::thread::unix_ms;
use crate::message::StoredTimers;
use crate::proto::journal::{Chain, HEADER_BYTES, Header, Step, decode_header};
use crate::proto::logtext::LogTime;
use crate::proto::timer_file::{self, TimerFile};

/// The storage of timers, ready for the disk thread ([`super::Timers`]).
#[derive(Debug)]
pub struct TimerStore(pub(super) Store<RealFiles>);

/// Reads what is stored in `data_dir`, mends it where a stop left it half done, and sets aside what is broken.
/// What is set aside bears the time of `zone` in its name. Gives the timers, warnings for the log, and the storage.
/// Errors: `timer.json` is there but cannot be read (permissions, a folder of that name), so that to go on would lose
/// it.
pub fn load(
    data_dir: &Path,
    zone: &TimeZone,
) -> Result<(StoredTimers, Vec<String>, TimerStore), String> {
    let now_ms = unix_ms();
    let stamp = || LogTime::new(zone.clone()).stamp(now_ms);
    let (stored, warnings, store) = load_from(RealFiles::new(data_dir), now_ms, &stamp)?;
    Ok((stored, warnings, TimerStore(store)))
}

/// [`load`] of any files; `now_ms`: Unix, `stamp`: tells the TIME in names of what is set aside.
pub(super) fn load_from<F: Files>(
    files: F,
    now_ms: u64,
    stamp: &dyn Fn() -> String,
) -> Result<(StoredTimers, Vec<String>, Store<F>), String> {
    let mut start = Start {
        files,
        stamp,
        warnings: Vec::new(),
        in_the_way: Vec::new(),
    };
    let _ = start.files.remove(TEMPORARY);
    let bytes = start
        .read(FILE)
        .map_err(|error| start.unreadable(FILE, &error))?;
    let journals = [start.journal(JOURNAL)?, start.journal(NEXT_JOURNAL)?];
    let file = bytes.as_deref().map(timer_file::parse);
    let (file, is_there) = match file {
        None => (TimerFile::default(), false),
        Some(Ok(file)) => (file, true),
        Some(Err(error)) => {
            start.set_broken_aside(&error);
            (TimerFile::default(), false)
        }
    };
    let epoch = file.epoch;
    let (mut image, unnumbered) = Image::new(file);
    let log = match epoch {
        Some(epoch) => start.replay(&mut image, epoch, journals),
        None => {
            start.leave(None, journals.into_iter().flatten());
            Log::None
        }
    };
    let is_numbered = unnumbered.is_empty();
    let given = image.number(unnumbered);
    if !is_numbered {
        start.warnings.push(format!(
            "{FILE}: entries without an id of their own are timers {} now",
            id_list(&given)
        ));
    }
    if image.strays() > 0 {
        start.warnings.push(format!(
            "{FILE}: {} items of the list are no timers; they are kept and not run",
            image.strays()
        ));
    }
    let log = match start.in_the_way.is_empty() {
        true => log,
        false => Log::Lost,
    };
    let base = epoch.and_then(|epoch| {
        Some(Base {
            epoch,
            identity: start.files.identity(FILE).ok()?,
            bytes: bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
        })
    });
    let stored = image.stored();
    let mut warnings = start.warnings;
    let mut store = Store::new(start.files, image, base, log, start.in_the_way);
    if is_there
        && (epoch.is_none() || !is_numbered)
        && let Err(reason) = store.write_anew(now_ms)
    {
        warnings.push(format!("no timer can be changed: {reason}"));
    }
    Ok((stored, warnings, store))
}

/// A journal as it was found: its name, content and header. `None` for the latter: it has none.
struct Found {
    name: &'static str,
    bytes: Vec<u8>,
    header: Option<(Header, Chain)>,
}

impl Found {
    fn epoch(&self) -> Option<u64> {
        self.header.map(|(header, _)| header.epoch)
    }

    fn follows(&self) -> Option<u64> {
        self.header.map(|(header, _)| header.follows)
    }
}

struct Start<'a, F> {
    files: F,
    stamp: &'a dyn Fn() -> String,
    warnings: Vec<String>,
    in_the_way: Vec<InTheWay>,
}

impl<F: Files> Start<'_, F> {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.files.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> String {
        let path = self.files.path().join(name);
        format!(
            "cannot read {}: {error}; make it readable or move it away",
            path.display()
        )
    }

    fn journal(&self, name: &'static str) -> Result<Option<Found>, String> {
        let bytes = self
            .read(name)
            .map_err(|error| self.unreadable(name, &error))?;
        Ok(bytes.map(|bytes| Found {
            name,
            header: decode_header(&bytes),
            bytes,
        }))
    }

    /// A name for what is set aside that nothing has yet.
    fn free_name(&self, name: &str) -> String {
        let plain = format!("{name}.bad-{}", (self.stamp)());
        let mut free = plain.clone();
        let mut n = 1;
        while self.files.identity(&free).is_ok() {
            n += 1;
            free = format!("{plain}-{n}");
        }
        free
    }

    fn set_broken_aside(&mut self, reason: &str) {
        let new_name = self.free_name(FILE);
        let path = self.files.path().join(FILE);
        match self.files.rename(FILE, &new_name) {
            Ok(()) => self.warnings.push(format!(
                "{} is broken ({reason}) and now called {new_name}; there are no timers until it is mended and moved back",
                path.display()
            )),
            Err(error) => {
                self.warnings.push(format!(
                    "{} is broken ({reason}) and cannot be renamed ({error}); there are no timers, and none can be set",
                    path.display()
                ));
                self.in_the_way.push((FILE, new_name));
            }
        }
    }

    /// Applies the journals that extend `epoch`; what records are appended to from here on.
    fn replay(
        &mut self,
        image: &mut Image,
        epoch: u64,
        journals: [Option<Found>; 2],
    ) -> Log<F::File> {
        let mut rest: Vec<Found> = journals.into_iter().flatten().collect();
        let mut log = Log::None;
        let mut take = |matches: &dyn Fn(&Found) -> bool| {
            let at = rest.iter().position(matches)?;
            Some(rest.remove(at))
        };
        let first = take(&|found| found.epoch() == Some(epoch));
        if let Some(first) = first {
            log = self.apply(image, first);
            if let Some(next) = take(&|found| found.follows() == Some(epoch)) {
                log = self.apply(image, next);
            }
        }
        self.leave(Some(epoch), rest.into_iter());
        log
    }

    /// Applies one journal's records, cuts what is behind them, and opens it to go on.
    fn apply(&mut self, image: &mut Image, found: Found) -> Log<F::File> {
        let Some((header, mut chain)) = found.header else {
            return Log::Lost;
        };
        let mut at = HEADER_BYTES;
        while let Step::Complete(record, length) = chain.decode(&found.bytes[at..]) {
            image.apply(change_of(record));
            at += length;
        }
        let torn = found.bytes.len() - at;
        let opened = self.files.open(found.name).and_then(|file| {
            if torn > 0 {
                file.set_len(at as u64)?;
            }
            Ok((file.identity()?, file))
        });
        if torn > 0 {
            self.warnings.push(format!(
                "{}: the last {torn} bytes are no whole record, as after a sudden stop, and cut off",
                found.name
            ));
        }
        match opened {
            Ok((identity, file)) => Log::Open(Journal {
                file,
                name: found.name,
                identity,
                epoch: header.epoch,
                good: at as u64,
                merged: HEADER_BYTES as u64,
                chain,
            }),
            Err(error) => {
                self.warnings
                    .push(format!("cannot write {}: {error}", found.name));
                Log::Lost
            }
        }
    }

    /// Removes journals that `timer.json` of that epoch contains, and sets the others aside if they hold anything.
    fn leave(&mut self, epoch: Option<u64>, journals: impl Iterator<Item = Found>) {
        for found in journals {
            let is_contained = match (found.epoch(), epoch) {
                (Some(of_journal), Some(of_file)) => of_journal < of_file,
                _ => false,
            };
            if is_contained || found.bytes.len() <= HEADER_BYTES {
                // If it stays it is ignored the next time as well.
                let _ = self.files.remove(found.name);
                continue;
            }
            let new_name = self.free_name(found.name);
            let outcome = match self.files.rename(found.name, &new_name) {
                Ok(()) => format!("is now called {new_name}"),
                Err(error) => {
                    self.in_the_way.push((found.name, new_name));
                    format!("cannot be renamed ({error})")
                }
            };
            self.warnings.push(format!(
                "{} does not belong to {FILE}, is not applied and {outcome}",
                found.name
            ));
        }
    }
}
