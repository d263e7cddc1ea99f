//! Who is online: app → user → connections. Knows slab keys and names only, never bytes or
//! sockets. Delivery continues in [`super::delivery`].
//!
//! A name is stored once per connection. Members of one name form a ring through the slab keys;
//! one of them stands for the name in the app's hash table (look-up) and name index (prefixes).
//! Arrival order, which `getUsers` and `*` follow, is a tree by a stamp given at the first init.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use crate::limits::{GLOB_BYTES_MAX, GLOBS_MAX, PATTERN_BYTES_MAX};
use crate::proto::pattern::Pattern;
use crate::state::names::NameIndex;
use crate::state::spec::Spec;

/// How far a selection has come; a new one begins with the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Where the next pattern begins.
    at: usize,
    /// Within a pattern that is walked: its start, and the last name looked at.
    within: Option<(usize, Box<str>)>,
    /// Patterns so far that are no plain names.
    globs: u32,
}

/// What is wrong with a specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// A pattern longer than [`GLOB_BYTES_MAX`], or a name longer than [`PATTERN_BYTES_MAX`].
    TooLong,
    /// More than [`GLOBS_MAX`] patterns that are no plain names.
    TooMany,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::TooLong => {
                write!(
                    f,
                    "bad param `user`: a pattern is longer than {GLOB_BYTES_MAX} bytes"
                )
            }
            SpecError::TooMany => {
                write!(
                    f,
                    "bad param `user`: more than {GLOBS_MAX} patterns; plain names may be more"
                )
            }
        }
    }
}

#[derive(Debug)]
struct Member {
    user: Box<str>,
    stamp: u64,
    app: u32,
    /// Ring of the members of one name.
    next: u32,
    previous: u32,
    /// Serial of the last push of several patterns that selected it.
    mark: u32,
    joined: u32,
    numeric: bool,
}

#[derive(Debug)]
struct App {
    name: Box<str>,
    /// One key per name.
    by_name: HashTable<u32>,
    names: NameIndex,
    arrivals: BTreeMap<u64, u32>,
}

/// All members of all apps. A member is the slab key of a connection.
#[derive(Debug, Default)]
pub struct Hub {
    members: Vec<Option<Member>>,
    apps: Slab<App>,
    app_by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
    stamps: u64,
    joins: u32,
    serial: u32,
    len: usize,
}

impl Hub {
    /// Puts `key` under `app` as `user`; again moves it, and it keeps its place among arrivals.
    /// `numeric` remembers that the name came as a JSON number.
    pub fn join(&mut self, key: u32, app: &str, user: &str, numeric: bool) {
        let stamp = match self.remove(key) {
            Some(stamp) => stamp,
            None => {
                self.stamps += 1;
                self.stamps
            }
        };
        self.joins = self.joins.wrapping_add(1);
        let joined = self.joins;
        let app = self.app_key(app);
        let index = key as usize;
        if self.members.len() <= index {
            self.members.resize_with(index + 1, || None);
        }
        self.members[index] = Some(Member {
            user: user.into(),
            stamp,
            app,
            next: key,
            previous: key,
            mark: 0,
            joined,
            numeric,
        });
        let Hub {
            members,
            apps,
            hasher,
            ..
        } = self;
        let app = &mut apps[app as usize];
        app.arrivals.insert(stamp, key);
        self.len += 1;
        let hash = hasher.hash_one(user);
        match app.by_name.find(hash, |&k| name_of(members, k) == user) {
            Some(&first) => link_before(members, first, key),
            None => {
                app.by_name
                    .insert_unique(hash, key, |&k| hasher.hash_one(name_of(members, k)));
                app.names.insert(key, user, |k| name_of(members, k));
            }
        }
    }

    /// Takes `key` out; nothing when it is not a member.
    pub fn leave(&mut self, key: u32) {
        self.remove(key);
    }

    /// The app and user of a member.
    pub fn member(&self, key: u32) -> Option<(&str, &str)> {
        let member = self.members.get(key as usize)?.as_ref()?;
        Some((&self.apps[member.app as usize].name, &member.user))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many apps have members.
    pub fn apps_len(&self) -> usize {
        self.apps.len()
    }

    /// Apps in no order but that of their keys, from the key `from` on: key, name and how many members.
    pub fn apps(&self, from: usize) -> impl Iterator<Item = (usize, &str, usize)> {
        (from..self.apps.capacity()).filter_map(|key| {
            let app = self.apps.get(key)?;
            Some((key, &*app.name, app.arrivals.len()))
        })
    }

    /// The members of an app in order of arrival.
    pub fn members_of(&self, app: &str) -> impl Iterator<Item = u32> {
        self.find_app(app)
            .into_iter()
            .flat_map(|app| self.apps[app as usize].arrivals.values().copied())
    }

    /// How many members an app has.
    pub fn count(&self, app: &str) -> usize {
        self.find_app(app)
            .map_or(0, |app| self.apps[app as usize].arrivals.len())
    }

    /// The users of an app in order of arrival, one entry per connection: stamp, name and whether
    /// it came as a number. Begins behind the stamp `after` (0: at the first).
    pub fn users(&self, app: &str, after: u64) -> impl Iterator<Item = (u64, &str, bool)> {
        self.find_app(app)
            .map(|app| &self.apps[app as usize].arrivals)
            .into_iter()
            .flat_map(move |arrivals| arrivals.range((Bound::Excluded(after), Bound::Unbounded)))
            .filter_map(|(&stamp, &key)| {
                let member = self.members[key as usize].as_ref()?;
                Some((stamp, &*member.user, member.numeric))
            })
    }

    /// Appends to `out` the members of `app` that `spec` selects, each once per call. Every
    /// look-up and every name tried takes from `budget`; `Ok(false)` says that it ran out before the
    /// end and that `cursor` remembers where to go on.
    pub fn select(
        &mut self,
        app: &str,
        spec: &Spec<'_>,
        cursor: &mut Cursor,
        budget: &mut u32,
        out: &mut Vec<u32>,
    ) -> Result<bool, SpecError> {
        let Some(app) = self.find_app(app) else {
            return Ok(true);
        };
        let mark = if spec.is_single() {
            None
        } else {
            Some(self.next_serial())
        };
        loop {
            if *budget == 0 {
                return Ok(false);
            }
            *budget -= 1;
            let start = cursor.at;
            let Some(pattern) = spec.next_pattern(&mut cursor.at) else {
                return Ok(true);
            };
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(SpecError::TooLong);
            }
            let after = match cursor.within.take() {
                Some((begun, name)) if begun == start => Some(name),
                _ => None,
            };
            let kind = Pattern::new(pattern);
            if pattern.len() > GLOB_BYTES_MAX && matches!(kind, Pattern::Glob { .. }) {
                return Err(SpecError::TooLong);
            }
            if after.is_none() && !matches!(kind, Pattern::Literal(_)) {
                cursor.globs += 1;
                if cursor.globs > GLOBS_MAX {
                    return Err(SpecError::TooMany);
                }
            }
            if let Some(last) =
                self.select_one(app, pattern, &kind, after.as_deref(), mark, budget, out)
            {
                cursor.at = start;
                cursor.within = Some((start, last));
                return Ok(false);
            }
            if kind == Pattern::Any {
                // Nobody is left for the patterns behind it.
                return Ok(true);
            }
        }
    }

    /// Selects by one pattern, names behind `after` only; gives the last name tried where the
    /// budget ran out.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `select`, with its state"
    )]
    fn select_one(
        &mut self,
        app: u32,
        pattern: &str,
        kind: &Pattern<'_>,
        after: Option<&str>,
        mark: Option<u32>,
        budget: &mut u32,
        out: &mut Vec<u32>,
    ) -> Option<Box<str>> {
        let Hub {
            members,
            apps,
            hasher,
            ..
        } = self;
        let app = &apps[app as usize];
        let begin = out.len();
        let mut stopped = None;
        match kind {
            Pattern::Literal(name) => {
                let hash = hasher.hash_one(name.as_ref());
                let is_it = |&k: &u32| name_of(members, k) == name.as_ref();
                if let Some(&first) = app.by_name.find(hash, is_it) {
                    push_ring(members, first, out);
                }
            }
            Pattern::Any => out.extend(app.arrivals.values().copied()),
            glob => {
                let prefix = match &glob {
                    Pattern::Glob { prefix, .. } => prefix.as_ref(),
                    _ => "",
                };
                let from = after.unwrap_or(prefix);
                for first in app
                    .names
                    .range_from(from, after.is_some(), |k| name_of(members, k))
                {
                    let name = name_of(members, first);
                    if !name.starts_with(prefix) {
                        break;
                    }
                    if glob.matches(name) {
                        push_ring(members, first, out);
                    }
                    *budget = budget.saturating_sub(match_cost(pattern, name));
                    if *budget == 0 {
                        stopped = Some(name.into());
                        break;
                    }
                }
            }
        }
        // A walk costs too, however little per member: `*,*,*` must not be free.
        *budget = budget.saturating_sub(((out.len() - begin) / 16) as u32);
        if let Some(mark) = mark {
            let mut kept = begin;
            for i in begin..out.len() {
                let key = out[i];
                if let Some(member) = &mut members[key as usize]
                    && member.mark != mark
                {
                    member.mark = mark;
                    out[kept] = key;
                    kept += 1;
                }
            }
            out.truncate(kept);
        }
        stopped
    }

    /// A number that changes whenever `key` joins; `None` when it is no member. Who selected it
    /// earlier knows by that whether it is still where it was.
    pub fn joined(&self, key: u32) -> Option<u32> {
        let member = self.members.get(key as usize)?.as_ref()?;
        Some(member.joined)
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        if self.serial == 0 {
            for member in self.members.iter_mut().flatten() {
                member.mark = 0;
            }
            self.serial = 1;
        }
        self.serial
    }

    fn find_app(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.app_by_name
            .find(hash, |&app| *self.apps[app as usize].name == *name)
            .copied()
    }

    fn app_key(&mut self, name: &str) -> u32 {
        if let Some(app) = self.find_app(name) {
            return app;
        }
        let app = self.apps.insert(App {
            name: name.into(),
            by_name: HashTable::new(),
            names: NameIndex::default(),
            arrivals: BTreeMap::new(),
        }) as u32;
        let Hub {
            apps,
            app_by_name,
            hasher,
            ..
        } = self;
        app_by_name.insert_unique(hasher.hash_one(name), app, |&k| {
            hasher.hash_one(&*apps[k as usize].name)
        });
        app
    }

    /// Unlinks a member everywhere and gives its stamp.
    fn remove(&mut self, key: u32) -> Option<u64> {
        let Hub {
            members,
            apps,
            app_by_name,
            hasher,
            ..
        } = self;
        let member = members.get(key as usize)?.as_ref()?;
        let (app_key, stamp, next, previous) =
            (member.app, member.stamp, member.next, member.previous);
        let app = &mut apps[app_key as usize];
        app.arrivals.remove(&stamp);
        let name = name_of(members, key);
        let entry = app
            .by_name
            .find_entry(hasher.hash_one(name), |&k| name_of(members, k) == name);
        if let Ok(mut entry) = entry
            && *entry.get() == key
        {
            if next == key {
                entry.remove();
                app.names.remove(name, |k| name_of(members, k));
            } else {
                *entry.get_mut() = next;
                app.names.replace(next, name, |k| name_of(members, k));
            }
        }
        if let Some(previous) = &mut members[previous as usize] {
            previous.next = next;
        }
        if let Some(next) = &mut members[next as usize] {
            next.previous = previous;
        }
        members[key as usize] = None;
        self.len -= 1;
        if app.arrivals.is_empty() {
            let hash = hasher.hash_one(&*app.name);
            if let Ok(entry) = app_by_name.find_entry(hash, |&k| k == app_key) {
                entry.remove();
            }
            apps.remove(app_key as usize);
        }
        Some(stamp)
    }

    /// How many members there are; for simulations.
    #[cfg(any(test, fuzzing))]
    pub fn members_count(&self) -> usize {
        self.members.iter().flatten().count()
    }

    /// Checks that table, index, tree and rings tell the same story; for simulations.
    #[cfg(any(test, fuzzing))]
    pub fn check(&self) {
        let mut seen = 0;
        for (app_key, app) in &self.apps {
            assert!(!app.arrivals.is_empty(), "an empty app stayed");
            let names: Vec<u32> = app
                .names
                .range_from("", false, |k| name_of(&self.members, k))
                .collect();
            assert_eq!(names.len(), app.by_name.len());
            let mut ringed = 0;
            for first in names {
                let name = name_of(&self.members, first);
                let hash = self.hasher.hash_one(name);
                let found = app
                    .by_name
                    .find(hash, |&k| name_of(&self.members, k) == name);
                assert_eq!(
                    found,
                    Some(&first),
                    "table and index disagree about {name:?}"
                );
                let mut ring = Vec::new();
                push_ring(&self.members, first, &mut ring);
                for key in ring {
                    let member = self.members[key as usize]
                        .as_ref()
                        .expect("ringed members exist");
                    assert_eq!((member.app, &*member.user), (app_key as u32, name));
                    assert_eq!(app.arrivals.get(&member.stamp), Some(&key));
                    ringed += 1;
                }
            }
            assert_eq!(ringed, app.arrivals.len());
            seen += ringed;
        }
        assert_eq!(seen, self.members.iter().flatten().count());
        assert_eq!(seen, self.len);
        assert_eq!(self.apps.len(), self.app_by_name.len());
    }
}

/// The work of trying one name, in units of about a look-up.
pub(super) fn match_cost(pattern: &str, name: &str) -> u32 {
    // Each try of a bracket reads it to its end.
    let per_unit = if pattern.contains('[') { 16 } else { 256 };
    1 + (pattern.len() * name.len() / per_unit) as u32
}

fn name_of(members: &[Option<Member>], key: u32) -> &str {
    match members.get(key as usize) {
        Some(Some(member)) => &member.user,
        _ => "",
    }
}

/// Links `key` into the ring of `first`, as its last.
fn link_before(members: &mut [Option<Member>], first: u32, key: u32) {
    let Some(last) = members[first as usize]
        .as_mut()
        .map(|m| std::mem::replace(&mut m.previous, key))
    else {
        return;
    };
    if let Some(member) = &mut members[last as usize] {
        member.next = key;
    }
    if let Some(member) = &mut members[key as usize] {
        (member.next, member.previous) = (first, last);
    }
}

fn push_ring(members: &[Option<Member>], first: u32, out: &mut Vec<u32>) {
    let mut key = first;
    while let Some(Some(member)) = members.get(key as usize) {
        out.push(key);
        key = member.next;
        if key == first {
            break;
        }
    }
}

#[cfg(test)]
mod tests;
