//! Bytes to facts and back, without I/O: HTTP/1.1, forms, WebSocket frames, patterns, queues.
//! Everything here is a pure function or a small state machine that a fuzzer can drive.

pub mod body;
pub mod deflate;
pub mod etag;
pub mod form;
pub mod frame;
pub mod handshake;
pub mod journal;
pub mod json;
pub mod json_list;
pub mod logtext;
#[cfg(any(feature = "lua", fuzzing))]
pub mod lua_pattern;
pub mod mask;
pub mod mime;
pub mod multipart;
pub mod outbound;
pub mod pattern;
pub mod query;
pub mod request;
pub mod response;
pub(crate) mod target;
pub mod timer_file;
pub mod tls;
pub(crate) mod token;
pub mod url;
pub mod utf8;
pub mod websocket;
