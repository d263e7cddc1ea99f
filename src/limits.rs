//! Every bound, with its unit in its name and the reason beside it.

/// Headers in one request head. Beyond: 431.
pub const HEADERS_MAX: usize = 100;
/// A request head, request line included. Beyond: 431.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// A request target. Beyond: 414.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// Chunk extensions of one chunk. Beyond: 400.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1 << 10;
/// Trailer section of a chunked body. Beyond: 431.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// A body or a WebSocket message, by default (`max_body`): a push is a notice, not a file. Beyond: 413 or 1009.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Pairs in one form, as PHP's `max_input_vars` but larger; further ones are dropped.
pub const FORM_PAIRS_MAX: usize = 10_000;
/// Brackets in one form key, as PHP's `max_input_nesting_level`; a deeper key is dropped.
pub const FORM_DEPTH_MAX: usize = 64;
/// Calls in one batch. Beyond: error 1.
pub const BATCH_CALLS_MAX: usize = 1_000;
/// Messages shorter than this are never compressed.
pub const DEFLATE_BYTES_MIN: usize = 256;
/// Timers pending at once, one-shots and periodic ones: 3 GB at 150 bytes each. Beyond: error 4.
pub const TIMERS_PENDING_MAX: u32 = 20_000_000;
/// How far ahead a crontab line looks for its next time: nine years, which hold a 29 February even around 2100.
pub const CRON_HORIZON_S_MAX: i64 = 9 * 366 * 86_400;
/// Characters of a refused crontab line that its error repeats.
pub const CRON_ERROR_CHARS_MAX: usize = 40;
