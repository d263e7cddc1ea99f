//! The journal of the timers, as bytes: a header, then records one behind the other. Never opens a
//! file and never decides what a record means; [`crate::disk::timers`] does both.
//!
//! ```text
//! header  "jdtimer1"  epoch u64  follows u64  crc u32 of the 24 bytes before
//! record  length u32  crc u32    payload (length bytes): kind u8, then by kind
//!         1 Put, 4 Fail: id i64, JSON    2 Del: id i64    3 Clear: nothing    5 Next: id i64, one-shot id i64
//! ```
//! All little-endian. A record's crc covers the crc before it (the first: the header's), so what an
//! earlier write left behind a record never passes for its successor.

use crate::limits::JOURNAL_RECORD_BYTES_MAX;

/// Length of the header.
pub const HEADER_BYTES: usize = 28;

const MAGIC: [u8; 8] = *b"jdtimer1";
const FRAME_BYTES: usize = 8;

/// What a journal extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the `timer.json` it extends.
    pub epoch: u64,
    /// Of the journal before it, whose records come first where `timer.json` is still that old; or 0.
    pub follows: u64,
}

/// One change, borrowed from where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A timer is new or has new fields.
    Put {
        /// Its id.
        id: i64,
        /// Its fields.
        json: &'a str,
    },
    /// A timer is gone.
    Del {
        /// Its id.
        id: i64,
    },
    /// All periodic timers are gone.
    Clear,
    /// A one-shot moves to the failed list.
    Fail {
        /// Its id.
        id: i64,
        /// Its fields.
        json: &'a str,
    },
    /// The next ids to give.
    Next {
        /// Of periodic timers.
        id: i64,
        /// Of one-shots.
        one_shot_id: i64,
    },
}

/// What stands at some place of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole record of so many bytes.
    Complete(Record<'a>, usize),
    /// Its beginning, or nothing: at the end of the file, where the journal ends.
    Partial,
    /// No record of this journal at this place, whatever follows.
    Torn,
}

/// A record longer than [`JOURNAL_RECORD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTooLong;

/// The crc of what came before: where in which journal a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(u32);

/// Appends the header; records are chained to what this returns.
pub fn encode_header(out: &mut Vec<u8>, header: Header) -> Chain {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&header.epoch.to_le_bytes());
    out.extend_from_slice(&header.follows.to_le_bytes());
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    Chain(crc)
}

/// Reads the header; `None`: these bytes do not begin with a whole one.
pub fn decode_header(bytes: &[u8]) -> Option<(Header, Chain)> {
    let mut rest = bytes;
    let magic: [u8; 8] = take(&mut rest)?;
    let epoch = u64::from_le_bytes(take(&mut rest)?);
    let follows = u64::from_le_bytes(take(&mut rest)?);
    let crc = u32::from_le_bytes(take(&mut rest)?);
    let sums_up = crc32fast::hash(&bytes[..HEADER_BYTES - 4]) == crc;
    (magic == MAGIC && sums_up).then_some((Header { epoch, follows }, Chain(crc)))
}

impl Chain {
    /// Appends a record. Errors: it is too long; nothing was appended.
    pub fn encode(&mut self, out: &mut Vec<u8>, record: Record<'_>) -> Result<(), RecordTooLong> {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_BYTES]);
        encode_payload(out, record);
        let length = out.len() - start - FRAME_BYTES;
        if length > JOURNAL_RECORD_BYTES_MAX {
            out.truncate(start);
            return Err(RecordTooLong);
        }
        let crc = self.crc(&out[start + FRAME_BYTES..]);
        out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        *self = Chain(crc);
        Ok(())
    }

    /// Reads the record at the start of `bytes`; after `Complete`, this stands behind it.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let mut rest = bytes;
        let Some(length) = take(&mut rest).map(u32::from_le_bytes) else {
            return Step::Partial;
        };
        let length = length as usize;
        if length == 0 || length > JOURNAL_RECORD_BYTES_MAX {
            return Step::Torn;
        }
        let Some(crc) = take(&mut rest).map(u32::from_le_bytes) else {
            return Step::Partial;
        };
        let Some(payload) = rest.get(..length) else {
            return Step::Partial;
        };
        if self.crc(payload) != crc {
            return Step::Torn;
        }
        let Some(record) = decode_payload(payload) else {
            return Step::Torn;
        };
        *self = Chain(crc);
        Step::Complete(record, FRAME_BYTES + length)
    }

    fn crc(self, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(payload);
        hasher.finalize()
    }
}

fn encode_payload(out: &mut Vec<u8>, record: Record<'_>) {
    let (kind, id, json) = match record {
        Record::Put { id, json } => (1, id, json),
        Record::Fail { id, json } => (4, id, json),
        Record::Del { id } => (2, id, ""),
        Record::Clear => return out.push(3),
        Record::Next { id, one_shot_id } => {
            out.push(5);
            out.extend_from_slice(&id.to_le_bytes());
            return out.extend_from_slice(&one_shot_id.to_le_bytes());
        }
    };
    out.push(kind);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(json.as_bytes());
}

fn decode_payload(payload: &[u8]) -> Option<Record<'_>> {
    let mut rest = payload;
    let [kind] = take(&mut rest)?;
    if kind == 3 {
        return rest.is_empty().then_some(Record::Clear);
    }
    let id = i64::from_le_bytes(take(&mut rest)?);
    match kind {
        1 | 4 => {
            let json = std::str::from_utf8(rest).ok()?;
            Some(match kind {
                1 => Record::Put { id, json },
                _ => Record::Fail { id, json },
            })
        }
        2 => rest.is_empty().then_some(Record::Del { id }),
        5 => {
            let one_shot_id = i64::from_le_bytes(take(&mut rest)?);
            rest.is_empty().then_some(Record::Next { id, one_shot_id })
        }
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDS: [Record<'static>; 6] = [
        Record::Put {
            id: 7,
            json: r#"{"url":"http://a/é","id":7}"#,
        },
        Record::Del { id: -3 },
        Record::Clear,
        Record::Fail {
            id: i64::MIN,
            json: "{}",
        },
        Record::Next {
            id: 8,
            one_shot_id: -9,
        },
        Record::Put { id: 7, json: "" },
    ];

    fn journal(header: Header, records: &[Record<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut chain = encode_header(&mut out, header);
        for record in records {
            chain.encode(&mut out, *record).unwrap();
        }
        out
    }

    /// All whole records, and the length they fill.
    fn read(bytes: &[u8]) -> Option<(Header, Vec<Record<'_>>, usize)> {
        let (header, mut chain) = decode_header(bytes)?;
        let (mut records, mut at) = (Vec::new(), HEADER_BYTES);
        while let Step::Complete(record, length) = chain.decode(&bytes[at..]) {
            records.push(record);
            at += length;
        }
        Some((header, records, at))
    }

    const HEADER: Header = Header {
        epoch: 5,
        follows: 4,
    };

    #[test]
    fn what_was_written_is_read() {
        let bytes = journal(HEADER, &RECORDS);
        assert_eq!(read(&bytes), Some((HEADER, RECORDS.to_vec(), bytes.len())));
    }

    #[test]
    fn a_cut_anywhere_leaves_the_whole_records_before_it() {
        let whole = journal(HEADER, &RECORDS);
        let ends: Vec<usize> = (0..=RECORDS.len())
            .map(|n| journal(HEADER, &RECORDS[..n]).len())
            .collect();
        for cut in 0..=whole.len() {
            let read = read(&whole[..cut]);
            let Some(n) = ends.iter().rposition(|end| *end <= cut) else {
                assert_eq!(read, None, "cut at {cut}");
                continue;
            };
            assert_eq!(read, Some((HEADER, RECORDS[..n].to_vec(), ends[n])));
            let mut chain = decode_header(&whole).unwrap().1;
            let mut at = HEADER_BYTES;
            while let Step::Complete(_, length) = chain.decode(&whole[at..cut]) {
                at += length;
            }
            assert_eq!(chain.decode(&whole[at..cut]), Step::Partial, "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_ends_the_journal_before_it() {
        let whole = journal(HEADER, &RECORDS);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            match read(&bytes) {
                None => assert!(at < HEADER_BYTES),
                Some((header, records, end)) => {
                    assert!(header == HEADER && end <= at, "byte {at}");
                    assert_eq!(records, RECORDS[..records.len()]);
                }
            }
        }
    }

    #[test]
    fn what_an_earlier_write_left_is_no_successor() {
        // Two records of equal length each, the first overwritten: the second was whole and in its place.
        let old = journal(HEADER, &[Record::Del { id: 1 }, Record::Del { id: 2 }]);
        let mut bytes = journal(HEADER, &[Record::Del { id: 3 }]);
        let end = bytes.len();
        bytes.extend_from_slice(&old[end..]);
        assert_eq!(
            read(&bytes),
            Some((HEADER, vec![Record::Del { id: 3 }], end))
        );
        let other = Header {
            epoch: 6,
            follows: 4,
        };
        let mut bytes = journal(other, &[]);
        bytes.extend_from_slice(&old[HEADER_BYTES..]);
        assert_eq!(read(&bytes), Some((other, vec![], HEADER_BYTES)));
    }

    #[test]
    fn zeros_and_huge_lengths_are_torn_at_once() {
        let mut chain = Chain(0);
        assert_eq!(chain.decode(&[0; 64]), Step::Torn);
        assert_eq!(chain.decode(&[0xff; 4]), Step::Torn);
        assert_eq!(chain.decode(&[]), Step::Partial);
    }

    #[test]
    fn a_sound_crc_over_nonsense_is_torn() {
        for payload in [
            &b"\x03x"[..],
            b"\x02",
            b"\x09aaaaaaaa",
            b"\x01aaaaaaaa\xff",
            b"\x05aaaaaaaa",
        ] {
            let mut chain = Chain(1);
            let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
            bytes.extend_from_slice(&chain.crc(payload).to_le_bytes());
            bytes.extend_from_slice(payload);
            assert_eq!(chain.decode(&bytes), Step::Torn, "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let mut with_header = journal(HEADER, &[]);
            with_header.extend_from_slice(&bytes);
            let (header, _, end) = read(&with_header).unwrap();
            prop_assert!(header == HEADER && end <= with_header.len());
        }
    }
}
