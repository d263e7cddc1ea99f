//! A request's body: sized or chunked, read piece by piece with every size bounded. Never what
//! the bytes mean.

use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::proto::request::HttpError;
use crate::proto::token;

const TOO_LARGE: HttpError = HttpError {
    status: 413,
    text: "request body too large",
};
const CHUNK_SIZE: HttpError =
    HttpError::bad("malformed chunk size: expected 1 to 16 hex digits and CRLF");
const CHUNK_EXTENSION: HttpError =
    HttpError::bad("malformed or too long chunk extension: expected ;name=value before CRLF");
const CHUNK_END: HttpError = HttpError::bad("malformed chunk: expected CRLF behind its data");
const TRAILER: HttpError = HttpError::bad("malformed trailer: expected Name: value and CRLF");
const TRAILER_TOO_LARGE: HttpError = HttpError {
    status: 431,
    text: "trailer section too large",
};

/// Hex digits of a chunk size: what fits into 64 bits.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// The first reservation for a body that comes in small chunks.
const GROWTH_BYTES_MIN: usize = 256;

/// How a body is delimited (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length` bytes.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Data of a sized body; so many bytes are missing.
    Sized(usize),
    /// A digit of a chunk's size, or what ends the digits.
    Size { value: u64, digits: u8 },
    /// Behind a chunk's size, after so many bytes; `named` once the semicolon came, before it only
    /// blanks may stand.
    Extension {
        value: u64,
        bytes: usize,
        named: bool,
    },
    /// The LF of a chunk's size line.
    SizeLineFeed { value: u64 },
    /// Data of a chunk; so many bytes are missing.
    Data(usize),
    /// The CR behind a chunk's data.
    DataCarriageReturn,
    /// The LF behind a chunk's data.
    DataLineFeed,
    /// Inside the trailer section, of which so many bytes were read.
    Trailer { part: TrailerPart, bytes: usize },
    /// Nothing: the body is complete.
    Done,
    /// Nothing: the framing was wrong.
    Failed(HttpError),
}

impl State {
    const CHUNK_START: State = State::Size {
        value: 0,
        digits: 0,
    };
}

#[derive(Clone, Copy, Debug)]
enum TrailerPart {
    /// The first byte of a line.
    LineStart,
    Name,
    Value,
    /// The LF of a field line.
    LineFeed,
    /// The LF of the empty line that ends the body.
    LastLineFeed,
}

/// Reads one body out of a stream of pieces. After an error it stays failed: whatever follows
/// cannot be told from the next request.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Data bytes that chunks not yet announced may bring.
    allowance: usize,
    extension_bytes: usize,
}

impl BodyReader {
    /// A reader for `framing`. 413 at once when a sized body is larger than `body_bytes_max`.
    pub fn new(framing: Framing, body_bytes_max: usize) -> Result<Self, HttpError> {
        let state = match framing {
            Framing::None | Framing::Sized(0) => State::Done,
            Framing::Sized(len) => match usize::try_from(len) {
                Ok(len) if len <= body_bytes_max => State::Sized(len),
                _ => return Err(TOO_LARGE),
            },
            Framing::Chunked => State::CHUNK_START,
        };
        Ok(BodyReader {
            state,
            allowance: body_bytes_max,
            extension_bytes: 0,
        })
    }

    /// Takes body bytes from the front of `input`, appends their data to `out`, and says how many
    /// bytes of `input` were used and whether the body is complete (trailers dropped). Memory for
    /// `out` is reserved as data arrives, not as it is announced.
    /// Errors: 400 for broken chunks, 413 when chunks exceed the maximum, 431 for trailers beyond
    /// [`TRAILER_BYTES_MAX`] (RFC 9112, 7.1; contract 7.4).
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), HttpError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Done => return Ok((at, true)),
                State::Failed(error) => return Err(error),
                _ if rest.is_empty() => return Ok((at, false)),
                State::Sized(missing) => {
                    let taken = append(out, rest, missing, missing);
                    at += taken;
                    self.state = if taken == missing {
                        State::Done
                    } else {
                        State::Sized(missing - taken)
                    };
                }
                State::Data(missing) => {
                    let taken = append(out, rest, missing, missing + self.allowance);
                    at += taken;
                    self.state = if taken == missing {
                        State::DataCarriageReturn
                    } else {
                        State::Data(missing - taken)
                    };
                }
                state => {
                    at += 1;
                    self.state = self.after(state, rest[0]).unwrap_or_else(State::Failed);
                }
            }
        }
    }

    /// The state behind one byte of chunked framing.
    fn after(&mut self, state: State, byte: u8) -> Result<State, HttpError> {
        match (state, byte) {
            (State::Size { value, digits }, _) => after_size_byte(value, digits, byte),
            (
                State::Extension {
                    value,
                    bytes,
                    named: true,
                },
                b'\r',
            ) => {
                self.extension_bytes += bytes;
                if self.extension_bytes > CHUNK_EXTENSIONS_BYTES_MAX {
                    return Err(CHUNK_EXTENSION);
                }
                Ok(State::SizeLineFeed { value })
            }
            (
                State::Extension {
                    value,
                    bytes,
                    named,
                },
                _,
            ) => {
                let is_valid = if named {
                    token::is_field_char(byte)
                } else {
                    is_blank(byte) || byte == b';'
                };
                if !is_valid || bytes == CHUNK_EXTENSION_BYTES_MAX {
                    return Err(CHUNK_EXTENSION);
                }
                Ok(State::Extension {
                    value,
                    bytes: bytes + 1,
                    named: named || byte == b';',
                })
            }
            (State::SizeLineFeed { value: 0 }, b'\n') => Ok(State::Trailer {
                part: TrailerPart::LineStart,
                bytes: 0,
            }),
            (State::SizeLineFeed { value }, b'\n') => {
                let size = usize::try_from(value).map_err(|_| TOO_LARGE)?;
                self.allowance = self.allowance.checked_sub(size).ok_or(TOO_LARGE)?;
                Ok(State::Data(size))
            }
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::CHUNK_START),
            (State::Trailer { part, bytes }, _) => after_trailer_byte(part, bytes, byte),
            (State::SizeLineFeed { .. }, _) => Err(CHUNK_SIZE),
            (State::DataCarriageReturn | State::DataLineFeed, _) => Err(CHUNK_END),
            (State::Sized(_) | State::Data(_) | State::Done | State::Failed(_), _) => Ok(state),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn after_size_byte(value: u64, digits: u8, byte: u8) -> Result<State, HttpError> {
    if let Some(digit) = char::from(byte).to_digit(16) {
        if digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(CHUNK_SIZE);
        }
        return Ok(State::Size {
            value: value << 4 | u64::from(digit),
            digits: digits + 1,
        });
    }
    match byte {
        _ if digits == 0 => Err(CHUNK_SIZE),
        b'\r' => Ok(State::SizeLineFeed { value }),
        b';' | b' ' | b'\t' => Ok(State::Extension {
            value,
            bytes: 1,
            named: byte == b';',
        }),
        _ => Err(CHUNK_SIZE),
    }
}

fn after_trailer_byte(part: TrailerPart, bytes: usize, byte: u8) -> Result<State, HttpError> {
    if bytes == TRAILER_BYTES_MAX {
        return Err(TRAILER_TOO_LARGE);
    }
    let part = match (part, byte) {
        (TrailerPart::LineStart, b'\r') => TrailerPart::LastLineFeed,
        (TrailerPart::LineStart | TrailerPart::Name, _) if token::is_token_char(byte) => {
            TrailerPart::Name
        }
        (TrailerPart::Name, b':') => TrailerPart::Value,
        (TrailerPart::Value, b'\r') => TrailerPart::LineFeed,
        (TrailerPart::Value, _) if token::is_field_char(byte) => TrailerPart::Value,
        (TrailerPart::LineFeed, b'\n') => TrailerPart::LineStart,
        (TrailerPart::LastLineFeed, b'\n') => return Ok(State::Done),
        _ => return Err(TRAILER),
    };
    Ok(State::Trailer {
        part,
        bytes: bytes + 1,
    })
}

/// Appends at most `missing` bytes of `input` and says how many. `to_come` bounds what can be
/// appended from here on.
fn append(out: &mut Vec<u8>, input: &[u8], missing: usize, to_come: usize) -> usize {
    let taken = input.len().min(missing);
    if out.capacity() - out.len() < taken {
        // At least doubled, or many small pieces would copy quadratically; never past the body's end.
        out.reserve_exact(out.len().max(GROWTH_BYTES_MIN).min(to_come).max(taken));
    }
    out.extend_from_slice(&input[..taken]);
    taken
}

#[cfg(test)]
mod tests;
