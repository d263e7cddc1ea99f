//! `timer.json` as text: `{"nextId":N,"list":[{…,"id":1},…]}`, the original's format (contract 5), and
//! what is ours in one member behind it. Never opens a file, never judges what a timer calls.
//!
//! ```text
//! {"nextId":3,"list":[{"url":…,"id":1},{"url":…,"id":2}],                     as the original reads and writes it
//!  …unknown members, as they were found…,
//!  "jdserver":{"epoch":1790000000000,"nextOneShotId":-5,…unknown…,"oneShots":[{…,"id":-4}],"failed":[]}}
//! ```
//! Entries are kept as text, compact, members and numbers as they stand; only an unusable id is replaced.
//! The epoch changes with every version of the file: it tells whether a journal extends this one.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limits::{JSON_DEPTH_MAX, TIMER_ID_MAX};
use crate::proto::json;

/// The name of our member.
const OURS: &str = "jdserver";

/// Epochs are Unix ms or little more; what is beyond was not given by us.
const EPOCH_END: u64 = 1 << 53;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub struct TimerFile {
    /// `nextId`; 1 where it is missing or none.
    pub next_id: i64,
    /// Periodic timers in their order.
    pub list: Vec<Entry>,
    /// Items of `list` that no reader could take for a timer: no objects, or nested too deep.
    pub strays: Vec<Box<str>>,
    /// Unknown members.
    pub extra: Vec<Member>,
    /// Which version of the file this is; `None`: another program wrote it.
    pub epoch: Option<u64>,
    /// The next id of a persistent one-shot, negative; -1 where it is missing or none.
    pub next_one_shot_id: i64,
    /// Persistent one-shots that wait.
    pub one_shots: Vec<Entry>,
    /// Persistent one-shots that used up their retries.
    pub failed: Vec<Entry>,
    /// Unknown members of ours.
    pub our_extra: Vec<Member>,
}

impl Default for TimerFile {
    /// No timers, none ever given an id.
    fn default() -> Self {
        TimerFile {
            next_id: 1,
            list: Vec::new(),
            strays: Vec::new(),
            extra: Vec::new(),
            epoch: None,
            next_one_shot_id: -1,
            one_shots: Vec::new(),
            failed: Vec::new(),
            our_extra: Vec::new(),
        }
    }
}

/// A name and its value's JSON.
pub type Member = (Box<str>, Box<str>);

/// One timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id, positive in `list`, negative elsewhere; `None`: it has none that could be used.
    pub id: Option<i64>,
    /// A compact JSON object; its last `id` is `id` where there is one.
    pub json: Box<str>,
}

/// Which ids an entry may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// Reads a file. `[]` is an empty one (PHP's text of an empty array), and `list` may be an object (PHP's
/// text of a list with gaps). Errors: one line, why this is not a file of timers.
pub fn parse(bytes: &[u8]) -> Result<TimerFile, String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut file = TimerFile::default();
    for (name, value) in members(text)? {
        match &*name {
            "nextId" => file.next_id = id_of(value, Sign::Positive).unwrap_or(1),
            "list" => (file.list, file.strays) = entries(value, Sign::Positive)?,
            OURS => parse_ours(&mut file, value)?,
            _ => put_member(&mut file.extra, name, value)?,
        }
    }
    keep_last(&mut file.extra);
    keep_last(&mut file.our_extra);
    Ok(file)
}

fn parse_ours(file: &mut TimerFile, value: &str) -> Result<(), String> {
    for (name, value) in members(value)? {
        let (list, (entries, strays)) = match &*name {
            "epoch" => {
                file.epoch = value.parse().ok().filter(|epoch| *epoch < EPOCH_END);
                continue;
            }
            "nextOneShotId" => {
                file.next_one_shot_id = id_of(value, Sign::Negative).unwrap_or(-1);
                continue;
            }
            "oneShots" => (&mut file.one_shots, entries(value, Sign::Negative)?),
            "failed" => (&mut file.failed, entries(value, Sign::Negative)?),
            _ => {
                put_member(&mut file.our_extra, name, value)?;
                continue;
            }
        };
        *list = entries;
        if !strays.is_empty() {
            return Err("an item that is no timer among the one-shots".to_owned());
        }
    }
    Ok(())
}

/// Keeps an unknown member.
fn put_member(members: &mut Vec<Member>, name: String, value: &str) -> Result<(), String> {
    let Compact::Sound(json) = compact(value) else {
        return Err(format!("{name:?} holds what no reader takes"));
    };
    members.push((name.into(), json));
    Ok(())
}

/// Of members with one name the last stays, as for every reader.
fn keep_last(members: &mut Vec<Member>) {
    let mut seen = HashSet::new();
    let is_last: Vec<bool> = members
        .iter()
        .rev()
        .map(|(name, _)| seen.insert(name.clone()))
        .collect();
    let mut is_last = is_last.into_iter().rev();
    members.retain(|_| is_last.next().unwrap_or(true));
}

/// The timers of a list, and what else is in it.
fn entries(value: &str, sign: Sign) -> Result<(Vec<Entry>, Vec<Box<str>>), String> {
    let items: Vec<&RawValue> = match value.as_bytes().first() {
        Some(b'[') => serde_json::from_str(value).map_err(|error| error.to_string())?,
        Some(b'{') => members_raw(value)?.into_iter().map(|item| item.1).collect(),
        _ if value == "null" => Vec::new(),
        _ => return Err("a list was expected".to_owned()),
    };
    let (mut entries, mut strays) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let (text, is_sound) = match compact(item.get()) {
            Compact::Sound(text) => (text, true),
            Compact::Unsound(text) => (text, false),
        };
        match is_sound.then(|| find_id(&text)).flatten() {
            None => strays.push(text),
            Some(found) => entries.push(entry(text, found, sign)),
        }
    }
    Ok((entries, strays))
}

fn entry(json: Box<str>, found: FoundId, sign: Sign) -> Entry {
    let FoundId::Id(raw) = found else {
        return Entry { id: None, json };
    };
    let id = id_of(&raw, sign);
    let json = match id {
        // `"5"` is read as 5 by the original; readers of ours shall find a number.
        Some(id) if raw.starts_with('"') => with_id(&json, id),
        _ => json,
    };
    Entry { id, json }
}

/// An id as a number or in quotes, of that sign and within the bounds.
fn id_of(value: &str, sign: Sign) -> Option<i64> {
    let id: i64 = value.trim_matches('"').parse().ok()?;
    let fits = match sign {
        Sign::Positive => (1..=TIMER_ID_MAX).contains(&id),
        Sign::Negative => (-TIMER_ID_MAX..=-1).contains(&id),
    };
    fits.then_some(id)
}

/// Whether `json` is an entry of that id that [`parse`] would take as it is: what may be stored.
pub fn is_entry(json: &str, id: i64) -> bool {
    let sign = if id > 0 {
        Sign::Positive
    } else {
        Sign::Negative
    };
    matches!(compact(json), Compact::Sound(_))
        && matches!(find_id(json), Some(FoundId::Id(raw)) if !raw.starts_with('"') && id_of(&raw, sign) == Some(id))
}

/// `json`, an object, with that id as its last member and no other.
pub fn with_id(json: &str, id: i64) -> Box<str> {
    let mut out = b"{".to_vec();
    for (name, value) in members(json).unwrap_or_default() {
        if name != "id" {
            json::write_str(&mut out, &name);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
            out.push(b',');
        }
    }
    out.extend_from_slice(format!("\"id\":{id}}}").as_bytes());
    text(out)
}

/// Bytes that were put together from whole texts.
fn text(bytes: Vec<u8>) -> Box<str> {
    String::from_utf8(bytes).unwrap_or_default().into()
}

enum Compact {
    /// Without the white space between tokens.
    Sound(Box<str>),
    /// Likewise, but nested deeper than a reader goes, or with half of a surrogate pair.
    Unsound(Box<str>),
}

/// Removes white space between tokens of valid JSON.
fn compact(json: &str) -> Compact {
    let bytes = json.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut depth, mut depth_max, mut has_surrogates) = (0, 0_usize, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' => {
                let end = at + string_length(&bytes[at..], &mut has_surrogates);
                out.extend_from_slice(&bytes[at..end]);
                at = end;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                depth_max = depth_max.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.push(*byte);
        at += 1;
    }
    let out = text(out);
    let is_doubtful = has_surrogates || depth_max + 2 >= JSON_DEPTH_MAX;
    if is_doubtful && serde_json::from_str::<Value>(&out).is_err() {
        return Compact::Unsound(out);
    }
    Compact::Sound(out)
}

/// Length of the string that `bytes` begin with, quotes included.
fn string_length(bytes: &[u8], has_surrogates: &mut bool) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        if let [_, b'u', b'd' | b'D', ..] = bytes[at..] {
            *has_surrogates = true;
        }
        at += 2;
    }
    bytes.len()
}

/// Members of an object in their order; of an empty list, none.
fn members(text: &str) -> Result<Vec<(String, &str)>, String> {
    if text.trim_ascii_start().starts_with('[')
        && serde_json::from_str::<[IgnoredAny; 0]>(text).is_ok()
    {
        return Ok(Vec::new());
    }
    let members = members_raw(text)?;
    Ok(members
        .into_iter()
        .map(|(name, value)| (name, value.get()))
        .collect())
}

fn members_raw(text: &str) -> Result<Vec<(String, &RawValue)>, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader
        .deserialize_map(Members)
        .map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(members)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[derive(Debug, PartialEq)]
enum FoundId {
    /// No `id`.
    None,
    /// The JSON of the last one.
    Id(Box<str>),
}

/// The id of an object; `None`: it is no object.
fn find_id(json: &str) -> Option<FoundId> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(IdOf).ok()?;
    reader.end().ok()?;
    Some(found)
}

struct IdOf;

impl<'de> Visitor<'de> for IdOf {
    type Value = FoundId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FoundId, A::Error> {
        let mut id: Option<&RawValue> = None;
        while let Some(is_id) = map.next_key_seed(IsId)? {
            if is_id {
                id = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id.map_or(FoundId::None, |id| FoundId::Id(id.get().into())))
    }
}

/// Whether a name is `id`, without a copy of it.
struct IsId;

impl<'de> DeserializeSeed<'de> for IsId {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for IsId {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == "id")
    }
}

/// Writes a file piece by piece: items of `list`, [`Writer::end_list`], one-shots,
/// [`Writer::end_one_shots`], failed ones, [`Writer::end`]. What is in [`Writer::out`] may be taken at any time.
#[derive(Debug)]
pub struct Writer {
    /// What was written since it was last taken.
    pub out: Vec<u8>,
    is_first: bool,
}

impl Writer {
    /// Begins a file.
    pub fn new(next_id: i64) -> Self {
        Writer {
            out: format!("{{\"nextId\":{next_id},\"list\":[").into_bytes(),
            is_first: true,
        }
    }

    /// One item of the list at hand.
    pub fn item(&mut self, json: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Ends `list`; one-shots come next.
    pub fn end_list(
        &mut self,
        extra: &[Member],
        epoch: u64,
        next_one_shot_id: i64,
        our_extra: &[Member],
    ) {
        self.out.extend_from_slice(b"],");
        self.members(extra);
        let ours = format!("\"{OURS}\":{{\"epoch\":{epoch},\"nextOneShotId\":{next_one_shot_id},");
        self.out.extend_from_slice(ours.as_bytes());
        self.members(our_extra);
        self.out.extend_from_slice(b"\"oneShots\":[");
        self.is_first = true;
    }

    /// Ends the one-shots; failed ones come next.
    pub fn end_one_shots(&mut self) {
        self.out.extend_from_slice(b"],\"failed\":[");
        self.is_first = true;
    }

    /// Ends the file.
    pub fn end(&mut self) {
        self.out.extend_from_slice(b"]}}\n");
    }

    fn members(&mut self, members: &[Member]) {
        for (name, value) in members {
            json::write_str(&mut self.out, name);
            self.out.push(b':');
            self.out.extend_from_slice(value.as_bytes());
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests;
