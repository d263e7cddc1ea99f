//! The timers' journal: any bytes are read to their first nonsense, what is read is what would be
//! written, and a cut leaves the records before it. The input is also taken as a header's two
//! numbers and payloads, each behind a byte with its length, which get their sums here.
#![no_main]

use jdserver::proto::journal::{HEADER_BYTES, Header, Record, Step, decode_header, encode_header};
use libfuzzer_sys::fuzz_target;

const FRAME_BYTES: usize = 8;

/// A file's header, its whole records and the length they fill.
fn read(bytes: &[u8]) -> Option<(Header, Vec<Record<'_>>, usize)> {
    let (header, mut chain) = decode_header(bytes)?;
    let (mut records, mut at) = (Vec::new(), HEADER_BYTES);
    while let Step::Complete(record, length) = chain.decode(&bytes[at..]) {
        assert!(length > FRAME_BYTES);
        records.push(record);
        at += length;
    }
    Some((header, records, at))
}

fn write(header: Header, records: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chain = encode_header(&mut out, header);
    for record in records {
        chain.encode(&mut out, *record).expect("it is short");
    }
    out
}

/// Whatever is read was written so.
fn check_bytes(bytes: &[u8]) {
    if let Some((header, records, end)) = read(bytes) {
        assert_eq!(write(header, &records), &bytes[..end]);
    }
}

/// `payload` as a record with a sound sum, behind one whose sum is `before`; its own sum.
fn frame(out: &mut Vec<u8>, before: u32, payload: &[u8]) -> u32 {
    let sum = crc32fast::hash(&[&before.to_le_bytes(), payload].concat());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
    sum
}

/// A journal of all payloads that are records. One that is none ends a journal.
fn journal(header: Header, mut data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chain = encode_header(&mut bytes, header);
    let mut sum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    while let Some((length, behind)) = data.split_first() {
        let (payload, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        data = behind;
        let start = bytes.len();
        let sum_here = frame(&mut bytes, sum, payload);
        match chain.decode(&bytes[start..]) {
            Step::Complete(_, length) => {
                assert_eq!(length, FRAME_BYTES + payload.len());
                sum = sum_here;
            }
            step => {
                assert_eq!(step, Step::Torn, "{payload:?}");
                bytes.truncate(start);
            }
        }
    }
    bytes
}

/// Cut anywhere, a journal is the records before the cut; changed, it ends before the change.
fn check_damage(whole: &[u8], header: Header) {
    for cut in 0..HEADER_BYTES {
        assert_eq!(decode_header(&whole[..cut]), None);
    }
    let (mut chain, mut at) = (encode_header(&mut Vec::new(), header), HEADER_BYTES);
    assert_eq!(decode_header(whole), Some((header, chain)));
    let mut damaged = whole.to_vec();
    while at < whole.len() {
        let before = chain;
        let Step::Complete(_, length) = chain.decode(&whole[at..]) else {
            panic!("no record at {at}");
        };
        for cut in at..at + length {
            let mut chain = before;
            assert_eq!(chain.decode(&whole[at..cut]), Step::Partial, "cut at {cut}");
            assert_eq!(chain, before);
        }
        for changed in (at + 4..at + length).step_by(1 + length / 8) {
            damaged[changed] ^= 1 << (changed % 8);
            let mut chain = before;
            assert_eq!(chain.decode(&damaged[at..]), Step::Torn, "at {changed}");
            assert_eq!(chain, before);
            damaged[changed] = whole[changed];
        }
        at += length;
    }
    assert_eq!(chain.decode(&[]), Step::Partial);
}

fuzz_target!(|data: &[u8]| {
    check_bytes(data);
    let (numbers, payloads) = data.split_at(data.len().min(16));
    let number = |at: usize| {
        let bytes = numbers.iter().skip(at).take(8);
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let header = Header {
        epoch: number(0),
        follows: number(8),
    };
    let mut bytes = journal(header, payloads);
    let (found, records, end) = read(&bytes).expect("it has a header");
    assert_eq!((found, end), (header, bytes.len()));
    assert_eq!(write(header, &records), bytes);
    check_damage(&bytes, header);
    bytes.extend_from_slice(data);
    check_bytes(&bytes);
});
