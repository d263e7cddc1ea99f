//! Every bound, with its unit in its name and the reason beside it.

/// Headers in one request head. Beyond: 431.
pub const HEADERS_MAX: usize = 100;
/// A request head, request line included. Beyond: 431.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// A request target. Beyond: 414.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// A request line: a target of full length with a method and a version around it. One that has
/// not ended by then is answered 414 at once, whole head or not.
pub const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;
/// Chunk extensions of one chunk. Beyond: 400.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1 << 10;
/// Chunk extensions of one body together, or tiny chunks would carry them a thousandfold. Beyond: 400.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 32 << 10;
/// Trailer section of a chunked body. Beyond: 431.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// A body or a WebSocket message, by default (`max_body`): a push is a notice, not a file. Beyond: 413 or 1009.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Pairs in one form, as PHP's `max_input_vars` but larger; further ones are dropped.
pub const FORM_PAIRS_MAX: usize = 10_000;
/// Brackets in one form key, as PHP's `max_input_nesting_level`; a deeper key is dropped.
pub const FORM_DEPTH_MAX: usize = 64;
/// Lists and objects that the brackets of one form make: two per pair, far below depth times pairs, whose
/// memory a small body could ask for. A pair that needs more is dropped.
pub const FORM_TABLES_MAX: usize = 2 * FORM_PAIRS_MAX;
/// A multipart boundary (RFC 2046 section 5.1.1).
pub const BOUNDARY_BYTES_MAX: usize = 70;
/// The header of one part of a multipart body: three short lines in practice. Beyond: malformed.
pub const PART_HEAD_BYTES_MAX: usize = 8 << 10;
/// Values in one JSON body or message that is built whole; each costs about 100 bytes and 0.1 µs.
/// Beyond: a bad body. The items of a list of calls count one by one.
pub const JSON_VALUES_MAX: usize = 50_000;
/// Calls in one batch. Beyond: error 1.
pub const BATCH_CALLS_MAX: usize = 1_000;
/// Messages longer than this are never compressed: it would hold everyone up.
pub const DEFLATE_BYTES_MAX: usize = 256 << 10;
/// Messages shorter than this are never compressed.
pub const DEFLATE_BYTES_MIN: usize = 256;
/// A WebSocket frame's header: 2 bytes, 8 of extended length, 4 of mask (RFC 6455, 5.2).
pub const FRAME_HEADER_BYTES_MAX: usize = 14;
/// A control frame's payload (RFC 6455, 5.5). Beyond: 1002; in a frame of ours, it is cut.
pub const CONTROL_BYTES_MAX: usize = 125;
/// Final blocks in one compressed message: legal (RFC 7692, 7.2.3.4), but each costs a cleared window. Beyond: 1007.
pub const DEFLATE_FINAL_BLOCKS_MAX: usize = 8;
/// An answer as XML: names and indentation may be far longer than what they hold. Beyond: error 4.
pub const XML_BYTES_MAX: usize = 64 << 20;
/// Levels of a JSON value: what serde_json reads, so that whatever walks a value may recurse.
pub const JSON_DEPTH_MAX: usize = 128;
/// What the references of one batch may fill in, 32 bytes for each value included. Beyond: error 1.
pub const BATCH_REFERENCE_BYTES_MAX: usize = 16 << 20;
/// One reference, braces aside: a path or a small sum. Beyond: null.
pub const EXPRESSION_BYTES_MAX: usize = 1 << 10;
/// Brackets and signs within each other in one reference. Beyond: null.
pub const EXPRESSION_DEPTH_MAX: usize = 32;
/// A static file; it is read whole into memory. Larger ones are not served: 404 and a warning.
pub const STATIC_FILE_BYTES_MAX: u64 = 16 << 20;
/// The settings file. Beyond: refused, it cannot be one.
pub const SETTINGS_FILE_BYTES_MAX: u64 = 1 << 20;
/// A certificate's or a key's file: a chain has a few KB. Beyond: refused.
pub const TLS_FILE_BYTES_MAX: u64 = 1 << 20;
/// What is encrypted at once, the most that one record holds (RFC 8446, 5.1).
pub const TLS_RECORD_BYTES: usize = 16 << 10;
/// Pieces of at most 4 KiB that are read from a TLS connection before what they hold is looked at, or others have
/// their turn: empty records are free to send.
pub const TLS_READS_MAX: usize = 16;
/// What a peer may send until it is greeted: 1 to 3 KB in practice. Beyond: the connection is closed.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 32 << 10;
/// Steps of TLS handshakes in one turn, each with a signature of 0.05 to 1 ms at most: the rest wait for the next.
pub const TLS_HANDSHAKES_PER_TURN: usize = 8;
/// Items in a setting that is a list.
pub const SETTING_ITEMS_MAX: usize = 256;
/// A wrong value as an error message shows it; the rest is cut.
pub const SETTING_SHOWN_BYTES_MAX: usize = 80;
/// `conf_*` names besides the known ones, for plugins. Beyond: error 1.
pub const CONF_OTHER_MAX: usize = 256;
/// Such a name. Beyond: error 1.
pub const CONF_OTHER_NAME_BYTES_MAX: usize = 64;
/// Such a value. Beyond: error 1.
pub const CONF_OTHER_VALUE_BYTES_MAX: usize = 4 << 10;
/// Lines on their way to the disk thread (slots are allocated with the channel). Beyond: a counted drop.
pub const LOG_LINES_MAX: usize = 1_024;
/// Bytes of those lines together. Beyond: a counted drop.
pub const LOG_QUEUE_BYTES_MAX: usize = 4 << 20;
/// Bytes the disk thread collects before it writes.
pub const LOG_BATCH_BYTES_MAX: usize = 256 << 10;
/// A log file that could not be opened or written is not tried again before that.
pub const LOG_RETRY_MS: u64 = 5_000;
/// A line that a crate logs through `log`; the rest is cut.
pub const LOG_CRATE_BYTES_MAX: usize = 1 << 10;
/// Lines of one log that are kept in memory for `logTail`.
pub const LOG_TAIL_LINES_MAX: usize = 1_000;
/// Bytes of those lines together.
pub const LOG_TAIL_BYTES_MAX: usize = 128 << 10;
/// One of those lines; the rest is cut.
pub const LOG_TAIL_LINE_BYTES_MAX: usize = 2 << 10;
/// Lines that `logTail` answers unless told.
pub const LOG_TAIL_LINES_DEFAULT: usize = 200;
/// Time that one row of `statHistory` tells.
pub const HISTORY_MS: u64 = 10_000;
/// Rows of `statHistory`: an hour. 104 bytes each.
pub const HISTORY_ROWS_MAX: usize = 360;
/// Consoles at once: each event is queued for all of them. Beyond: an error.
pub const CONSOLES_MAX: usize = 32;
/// Queued bytes beyond which a console misses events.
pub const CONSOLE_QUEUE_BYTES_MAX: usize = 256 << 10;
/// The consoles are told the counters this often.
pub const CONSOLE_STAT_MS: u64 = 2_000;
/// The consoles are told new log lines this often.
pub const CONSOLE_LOG_MS: u64 = 500;
/// New log lines that they are told at a time; older ones are counted.
pub const CONSOLE_LINES_MAX: usize = 100;
/// Users who came or went that they are told at a time; further ones are counted.
pub const CONSOLE_MOVES_MAX: usize = 50;
/// A name as they are told who came and went; the rest is cut.
pub const CONSOLE_NAME_BYTES_MAX: usize = 128;
/// Names of the apps that they are told.
pub const CONSOLE_APPS_BYTES_MAX: usize = 8 << 10;
/// Jobs that wait for a worker (slots are allocated with the channel). Beyond: 503.
pub const JOBS_MAX: usize = 1_024;
/// A worker without a job ends after that.
pub const WORKER_IDLE_MS: u64 = 10_000;
/// Memory of all plugins together (issue 4).
pub const PLUGIN_MEMORY_BYTES_MAX: usize = 64 << 20;
/// How long a coroutine computes before others may.
pub const PLUGIN_SLICE_MS: u64 = 1;
/// A line that a plugin logs; the rest is cut.
pub const PLUGIN_LOG_BYTES_MAX: usize = 4 << 10;
/// Coroutines of timers and sockets of plugins at once: 20 MB at 2 KB for a waiting one. Beyond: none begins, which is
/// logged. Those of calls and handlers are bounded by `plugin_queue`.
pub const PLUGIN_FREE_COROUTINES_MAX: usize = 10_000;
/// That no coroutine could begin for a timer or a socket is told at most this often.
pub const PLUGIN_REFUSED_TOLD_MS: u64 = 10_000;
/// States of plugins that were replaced and still have something running. Beyond: the oldest's is ended.
pub const PLUGIN_OLD_STATES_MAX: usize = 4;
/// Names that are looked up for plugins at once: a name server that is silent holds a worker for long.
pub const PLUGIN_LOOKUPS_MAX: usize = 4;
/// What one waiting coroutine hands to others, in bytes, that is not worth counting.
pub const PLUGIN_SMALL_BYTES: usize = 4 << 10;
/// What waiting coroutines have handed to others, bodies of URLs aside. Beyond: an error.
pub const PLUGIN_HANDED_BYTES_MAX: usize = 64 << 20;
/// Bodies of the URLs that plugins call; also answers that wait for others. Beyond: an error.
pub const PLUGIN_HTTP_BYTES_MAX: usize = 64 << 20;
/// How long one value may take to become JSON, where nothing can interrupt it. Beyond twice that: an error.
pub const PLUGIN_UNINTERRUPTED_MS_MAX: u64 = 250;
/// How long coroutines run before messages are taken again.
pub const PLUGIN_RUN_MS_PER_TURN: u64 = 5;
/// Timers of plugins in memory. Beyond: an error.
pub const PLUGIN_TIMERS_MAX: usize = 10_000;
/// Least time between runs of an interval of plugins; a shorter one is taken for this.
pub const PLUGIN_INTERVAL_MS_MIN: u64 = 10;
/// Longest sleep or wait of a plugin; a longer one is taken for this.
pub const PLUGIN_SLEEP_MS_MAX: u64 = 366 * 86_400_000;
/// Calls of URLs by plugins that wait for a slot. Beyond: an error.
pub const PLUGIN_HTTP_QUEUE_MAX: usize = 20_000;
/// Values bound to one statement of a plugin: what SQLite takes. Beyond: an error.
pub const SQL_VALUES_MAX: usize = 32_766;
/// An answer to `httpCall`. Beyond: an error.
pub const PLUGIN_ANSWER_BYTES_MAX: usize = 4 << 20;
/// What a session may hold, as JSON. Beyond: an error.
pub const SESSION_BYTES_MAX: usize = 1 << 20;
/// Locks of session files: more sessions share them.
pub const SESSION_LOCKS: usize = 32;
/// A table's or column's name in `dbInsert` and `dbUpdate`. Beyond: an error.
pub const SQL_NAME_BYTES_MAX: usize = 128;
/// Messages the plugin thread takes before its coroutines run.
pub const PLUGIN_MESSAGES_PER_TURN: usize = 256;
/// Sockets of plugins, all together. Beyond: an error, and what comes to a listener is closed.
pub const PLUGIN_SOCKETS_MAX: usize = 1_024;
/// Where few files may be open, one in so many of them may be a socket of plugins.
pub const PLUGIN_SOCKETS_SHARE: u64 = 8;
/// What is read at once from a socket of a plugin.
pub const PLUGIN_SOCKET_BUFFER_BYTES: usize = 16 << 10;
/// The longest line that a plugin reads, and the most that one read may ask for. Beyond: an error.
pub const PLUGIN_SOCKET_READ_BYTES_MAX: usize = 256 << 10;
/// One write of a plugin. Beyond: an error.
pub const PLUGIN_SOCKET_WRITE_BYTES_MAX: usize = 4 << 20;
/// What all sockets of plugins keep of what came and is to be written. Beyond: the one that would keep more fails.
pub const PLUGIN_SOCKETS_HELD_BYTES_MAX: usize = 64 << 20;
/// Reads of what nobody wants any more from a socket of a plugin that is being closed.
pub const PLUGIN_SOCKET_SETTLE_READS_MAX: usize = 16;
/// A datagram that a plugin receives; the rest of a longer one is lost.
pub const PLUGIN_DATAGRAM_BYTES_MAX: usize = 8 << 10;
/// Connections accepted, or datagrams received, from one socket of a plugin before others have their turn.
pub const PLUGIN_SOCKET_EVENTS_PER_TURN: usize = 64;
/// One file of a plugin. Beyond: an error that names it.
pub const PLUGIN_FILE_BYTES_MAX: u64 = 1 << 20;
/// Files of all plugins, modules too. Beyond: an error.
pub const PLUGIN_FILES_MAX: usize = 256;
/// All of them together. Beyond: an error.
pub const PLUGIN_SOURCE_BYTES_MAX: usize = 8 << 20;
/// Folders of modules in each other. Beyond: an error.
pub const PLUGIN_FOLDER_DEPTH_MAX: usize = 4;
/// Connections to the database of plugins; of SQLite's, one may change something.
pub const DATABASE_CONNECTIONS_MAX: usize = 16;
/// Statements that wait for a connection, or for another call's transaction. Beyond: error 3.
pub const DATABASE_WAITING_MAX: usize = 1_024;
/// A transaction without a statement for that long is rolled back: its owner forgot it.
pub const DATABASE_TRANSACTION_MS_MAX: u64 = 60_000;
/// Transactions that were rolled back so, or got lost, and whose owners do not know yet.
pub const DATABASE_LOST_MAX: usize = 1_024;
/// Rows of one result. Beyond: error 3.
pub const DATABASE_ROWS_MAX: usize = 50_000;
/// One result, and one value of SQLite: a quarter of what plugins have. Beyond: error 3.
pub const DATABASE_RESULT_BYTES_MAX: usize = 16 << 20;
/// Time to connect to a database's server, unless a statement has less.
pub const DATABASE_CONNECT_MS_MAX: u64 = 5_000;
/// Between two lines of the own log about a database that cannot be reached.
pub const DATABASE_UNREACHABLE_TOLD_MS: u64 = 10_000;
/// How long a database's server may take beyond the limit that it was told, until its connection counts as lost.
pub const DATABASE_SERVER_GRACE_MS: u64 = 1_000;
/// Depth of one expression of SQLite, which walks them recursively on a worker's stack. Beyond: error 3.
pub const SQLITE_EXPRESSION_DEPTH_MAX: i32 = 200;
/// Characters that SQLite's trim is to take away. Beyond: error 3.
pub const SQLITE_TRIM_BYTES_MAX: usize = 64 << 10;
/// Memory of SQLite, all connections together: one row may have 2,000 values of 16 MiB. Beyond: error 3.
pub const SQLITE_HEAP_BYTES_MAX: i64 = 128 << 20;
/// A pattern of LIKE or GLOB, each of whose wildcards SQLite may recurse for. Beyond: error 3.
pub const SQLITE_PATTERN_BYTES_MAX: i32 = 1_000;
/// A call's parameters as ApiLog keeps them, as the original cuts them.
pub const API_LOG_REQUEST_BYTES_MAX: usize = 2_000;
/// A call's answer there.
pub const API_LOG_ANSWER_BYTES_MAX: usize = 200;
/// A failed call's answer there.
pub const API_LOG_ERROR_BYTES_MAX: usize = 2_000;
/// Any other text there: names, addresses, browsers.
pub const API_LOG_NAME_BYTES_MAX: usize = 200;
/// Calls of one batch there, together. Beyond: they are left out.
pub const API_LOG_BATCH_BYTES_MAX: usize = 256 << 10;
/// Calls that wait to be written there. Beyond: a counted drop.
pub const API_LOG_WAITING_MAX: usize = 10_000;
/// Bytes of those. Beyond: a counted drop.
pub const API_LOG_WAITING_BYTES_MAX: usize = 16 << 20;
/// Calls written in one transaction.
pub const API_LOG_RECORDS_PER_JOB: usize = 200;
/// A failure to write them is told at most this often.
pub const API_LOG_WARNING_MS: u64 = 60_000;
/// What a queued chunk costs beside its bytes: its reference and its share of a deque.
pub const CHUNK_COST_BYTES: usize = 64;
/// Deques kept for the next burst, all connections together.
pub const SPARE_DEQUES_MAX: usize = 1_024;
/// A deque that grew beyond this is freed instead of kept.
pub const SPARE_DEQUE_CHUNKS_MAX: usize = 64;
/// An application's or user's name. Beyond: an error, for each is kept as long as its connection.
pub const NAME_BYTES_MAX: usize = 1 << 10;
/// One pattern of a push that has to be tried on names, which costs its length times theirs. Beyond: error 1.
pub const GLOB_BYTES_MAX: usize = 512;
/// One plain name in a push. Beyond: error 1.
pub const PATTERN_BYTES_MAX: usize = 4 << 10;
/// Names in one leaf of the hub's name index.
pub const NAME_LEAF_MAX: usize = 256;
/// A push to at most this many is flushed in the turn that made it.
pub const EXPRESS_RECEIVERS_MAX: usize = 64;
/// Deliveries of wide pushes that may wait to be flushed; the next wide push waits for them.
pub const BULK_BACKLOG_MAX: usize = 20_000;
/// Connections flushed from the bulk list per turn: about 0.3 ms of system calls.
pub const BULK_PER_TURN: usize = 64;
/// Work of one turn in units of about 0.1 µs (a look-up); what goes beyond is parked.
pub const WORK_PER_TURN: u32 = 20_000;
/// What one connection may use of it before it waits for the next turn.
pub const WORK_PER_SHARE: u32 = 5_000;
/// Work of one request beside what its call does.
pub const REQUEST_WORK: u32 = 20;
/// What a connection that comes with something new may use though the turn is spent.
pub const WORK_PER_SHARE_MIN: u32 = 200;
/// Work of flushing one connection: a system call.
pub const FLUSH_WORK: u32 = 30;
/// Bytes compressed or inflated that are one unit of work.
pub const DEFLATE_BYTES_PER_WORK: usize = 8;
/// Patterns of one push that have to be tried on names. Beyond: error 1.
pub const GLOBS_MAX: u32 = 1_000;
/// Work of an init: the hub's tables, and a log line.
pub const INIT_WORK: u32 = 50;
/// Work of one WebSocket message beside what its call does.
pub const MESSAGE_WORK: u32 = 5;
/// Bytes of a body or message that are one more unit of work to read.
pub const BYTES_PER_WORK: usize = 64;
/// Rows of a long answer made per turn.
pub const ROWS_PER_TURN: usize = 1_000;
/// Rows of `Timer.query` made per turn of the timer thread, each about 10 µs: what is due waits for them.
pub const TIMER_ROWS_PER_TURN: usize = 100;
/// Queued replies beyond which a connection that does not read them is not read either.
pub const UNREAD_REPLY_BYTES_MAX: usize = 256 << 10;
/// After an error answer: bytes read and discarded before the connection is cut.
pub const LINGER_BYTES_MAX: u32 = 256 << 10;
/// After an error answer: how long bytes are read and discarded.
pub const LINGER_MS_MAX: u64 = 1_000;
/// A tick: the resolution of deadlines kept per connection.
pub const TICK_MS: u64 = 100;
/// A body's least speed once its deadline has passed: it gains a second per this many bytes.
pub const BODY_BYTES_PER_S_MIN: u64 = 16 << 10;
/// Input of all connections together that is unfinished or waits behind a call. Beyond: whoever holds
/// most gets 503 or close 1013.
pub const HELD_BYTES_MAX: usize = 64 << 20;
/// An answer up to this size is sent even where the queues of all are full.
pub const SMALL_ANSWER_BYTES_MAX: usize = 4 << 10;
/// What a batch's answers may take in memory. Beyond: error 1 for the calls that follow.
pub const BATCH_ANSWER_BYTES_MAX: usize = 32 << 20;
/// A peer's text in a log line.
pub const LOG_TEXT_BYTES_MAX: usize = 1 << 10;
/// Connections beyond the cap that are taken only to be told so.
pub const REFUSALS_MAX: usize = 64;
/// What the buffer that answers are composed in keeps between calls.
pub const SCRATCH_BYTES_MAX: usize = 64 << 10;
/// The sweep looks at one of this many parts of all connections each time.
pub const SWEEP_PARTS: usize = 4;
/// Time between parts of the sweep: a deadline is noticed within four of these.
pub const SWEEP_MS: u64 = 250;
/// Connections that wait to be accepted, per listener.
pub const BACKLOG: i32 = 4_096;
/// Silence after which the kernel probes a connection's peer, in seconds; three probes, a quarter of it apart.
pub const KEEPALIVE_S: u64 = 60;
/// Messages on their way to the reactor (slots are allocated with the channel).
pub const MAILBOX_MAX: usize = 1_024;
/// Events taken from one poll.
pub const EVENTS_PER_POLL: usize = 1_024;
/// The reactor's one read buffer.
pub const READ_BYTES: usize = 64 << 10;
/// Reads from one connection before others have their turn.
pub const READS_PER_TURN: usize = 4;
/// Bytes written to one connection before others have their turn.
pub const WRITE_BYTES_PER_TURN: usize = 512 << 10;
/// Connections accepted in one turn per listener.
pub const ACCEPTS_PER_TURN: usize = 256;
/// When descriptors ran out, or another thread's queue did not take changed settings: how long until the
/// reactor tries again though nothing happened.
pub const RETRY_MS: u64 = 500;
/// Input kept behind a long poll; then its connection is not read until the poll is over.
pub const POLL_INPUT_BYTES_MAX: usize = 4 << 10;
/// Descriptors that are not for connections: logs, files being read, calls of URLs, the poll itself.
pub const RESERVED_FILES: u64 = 128;
/// How long the service manager may take to take a word.
pub const NOTIFY_WAIT_MS: u64 = 100;
/// At the end: how long the log's last lines and the workers' last jobs may take.
pub const LOG_STOP_MS: u64 = 2_000;
/// At start: how long another daemon that still has the data folder may take to end.
pub const DATA_LOCK_WAIT_MS: u64 = 5_000;
/// Timers pending at once, one-shots and periodic ones: 3 GB at 150 bytes each. Beyond: error 4.
pub const TIMERS_PENDING_MAX: u32 = 20_000_000;
/// How far ahead a crontab line looks for its next time: nine years, which hold a 29 February even around 2100.
pub const CRON_HORIZON_S_MAX: i64 = 9 * 366 * 86_400;
/// Characters of a refused crontab line that its error repeats.
pub const CRON_ERROR_CHARS_MAX: usize = 40;
/// Occurrences that `Timer.preview` computes at once, each about 1 µs on the timer thread.
pub const PREVIEW_TIMES_MAX: usize = 1_000;
/// Occurrences that `Timer.preview` shows unless told.
pub const PREVIEW_TIMES_DEFAULT: usize = 5;
/// Messages on their way to the timer thread (slots are allocated with the channel). Beyond: error 4.
pub const TIMER_MESSAGES_MAX: usize = 1_024;
/// Messages the timer thread takes before it looks at what is due.
pub const TIMER_MESSAGES_PER_TURN: usize = 256;
/// The timer thread tells its counters at most this often, unless the number of timers changed.
pub const TIMER_COUNTERS_MS: u64 = 1_000;
/// At the end: how long callbacks that are out may take.
pub const TIMER_STOP_MS: u64 = 6_000;
/// A rendered answer that is taken apart again for a shape that needs its parts: about 10 ms of the
/// reactor. Beyond: error 4.
pub const RENDERED_BYTES_PARSED_MAX: usize = 1 << 20;
/// A rendered answer beyond this is queued as it is, not copied behind its head.
pub const RENDERED_BYTES_COPIED_MAX: usize = 64 << 10;
/// Records about timers on their way to the disk thread, in slots that log lines cannot take.
pub const TIMER_RECORDS_MAX: usize = 1_024;
/// One record of the timers' journal; a longer one is refused, a length beyond this is a torn record.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 256 << 20;
/// Ids of stored timers: exact in JavaScript too. An entry beyond gets another id.
pub const TIMER_ID_MAX: i64 = 1 << 53;
/// `timer.json` is written anew when nothing changed for this long.
pub const MERGE_QUIET_MS: u64 = 1_000;
/// A journal up to this size is not merged for its size, however small `timer.json` is.
pub const MERGE_JOURNAL_BYTES_MIN: u64 = 1 << 20;
/// When `timer.json` could not be written: how long until that is tried again.
pub const MERGE_RETRY_MS: u64 = 5_000;
/// `timer.json` is written and synced in pieces of this size, so that a commit waits for one of them at most.
pub const MERGE_SLICE_BYTES: usize = 1 << 20;
/// What is kept of the buffer that records are composed in.
pub const JOURNAL_BUFFER_BYTES_MAX: usize = 1 << 20;
/// Ids that one warning about a file of timers names.
pub const WARNED_IDS_MAX: usize = 10;
/// A one-shot's fields; larger ones have a block of their own, smaller ones share one with their neighbours.
pub const ONE_SHOT_SHARED_BYTES_MAX: usize = 4 << 10;
/// The fields of all one-shots together. Beyond: error 4.
pub const ONE_SHOTS_BYTES_MAX: usize = 4 << 30;
/// Periodic timers and persistent one-shots, each with its plan and its last runs. Beyond: error 4.
pub const KEPT_TIMERS_MAX: usize = 1_000_000;
/// Timers that a turn of the timer thread lets come due, by each clock: a few ms of work; calls come in between.
pub const DUE_PER_TURN: usize = 250;
/// Timers that were cleared whose memory a turn of the timer thread frees, each about 0.3 µs.
pub const FREED_PER_TURN: usize = 2_000;
/// The wall clock is looked at this often while crontab lines wait for it.
pub const CLOCK_CHECK_MS: u64 = 30_000;
/// A larger step of the wall clock is taken as the new time: nothing is made up for or held back.
pub const CLOCK_STEP_MS_MAX: u64 = 3 * 3_600_000;
/// A smaller step is the clocks' drift and what a turn takes, not a step.
pub const CLOCK_STEP_MS_MIN: u64 = 2_000;
/// Least time between runs of an interval (contract 5: "min wait time>100ms").
pub const INTERVAL_MS_MIN: u64 = 100;
/// Callbacks to one host at once.
pub const HOST_CALLBACKS_MAX: usize = 24;
/// The same once a call to it timed out, until one succeeds.
pub const SLOW_HOST_CALLBACKS_MAX: usize = 4;
/// Callbacks that wait for a slot: the start of 100,000 intervals at one host must fit, and one host gets at most half.
pub const DISPATCH_QUEUE_MAX: usize = 262_144;
/// Waiting callbacks whose request is kept; the others' are made again when their turn comes.
pub const DISPATCH_BUILT_MAX: usize = 4_096;
/// Idle hosts that are remembered as slow.
pub const SLOW_HOSTS_MAX: usize = 1_024;
/// A one-shot that found the dispatch queue full comes due again after that.
pub const DISPATCH_RETRY_MS: u64 = 5_000;
/// A callback without an end this long after its time ran out is lost: its worker died.
pub const CALLBACK_LOST_MS: u64 = 60_000;
/// A record of ours that the disk refused is tried again after that.
pub const FINISH_RETRY_MS: u64 = 5_000;
/// Time for one callback that a timer may ask for.
pub const TIMER_TIMEOUT_MS_MAX: u64 = 3_600_000;
/// Retries that a timer may ask for.
pub const RETRIES_MAX: u64 = 1_000;
/// Longest wait before a retry (issue 3: at most an hour).
pub const RETRY_WAIT_MS_MAX: u64 = 3_600_000;
/// Wait before the first retry, where the timer names none.
pub const RETRY_WAIT_MS: u64 = 1_000;
/// How far a timer's runs may be spread.
pub const SPLAY_MS_MAX: u64 = 86_400_000;
/// A wait beyond ten years is taken for ten years.
pub const WAIT_MS_MAX: u64 = 3_650 * 86_400_000;
/// Runs that `Timer.log` shows.
pub const TIMER_LOG_RUNS_MAX: usize = 10;
/// An answer's first bytes as `Timer.log` shows them.
pub const TIMER_LOG_TEXT_BYTES_MAX: usize = 100;
/// An answer's first bytes as `trace.log` shows them.
pub const CALLBACK_LOG_BYTES_MAX: usize = 200;
/// Persistent one-shots that failed; beyond, the oldest is forgotten.
pub const FAILED_TIMERS_MAX: usize = 10_000;
/// After the workers' queue was full, callbacks are handed out again after that.
pub const WORKERS_FULL_RETRY_MS: u64 = 10;
/// Timers of the file that do not run are named in the log up to here, then counted.
pub const BROKEN_TIMERS_LOGGED_MAX: usize = 20;
/// A URL to be called, its path and query as they are sent. Beyond: error 1.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// A host's name (RFC 1035, 2.3.4, as text). Beyond: error 1.
pub const HOST_BYTES_MAX: usize = 253;
/// A method. Beyond: error 1.
pub const METHOD_BYTES_MAX: usize = 32;
/// Headers given with a URL. Beyond: error 1.
pub const CALLBACK_HEADERS_MAX: usize = 64;
/// One of those; it must fit the buffer it is written from. Beyond: error 1.
pub const CALLBACK_HEADER_BYTES_MAX: usize = 8 << 10;
/// All of those together. Beyond: error 1.
pub const CALLBACK_HEADERS_BYTES_MAX: usize = 32 << 10;
/// A body to be sent; as a form, data is several times as long. Beyond: error 1.
pub const CALLBACK_BODY_BYTES_MAX: usize = 16 << 20;
/// What a connection to a called host buffers, each way: twice as long as the longest line of a head.
pub const CALLBACK_BUFFER_BYTES: usize = 16 << 10;
/// An answer to a called URL; beyond, it counts as read and its connection is closed.
pub const CALLBACK_ANSWER_BYTES_MAX: usize = 64 << 10;
/// What is kept of that answer, for logs.
pub const CALLBACK_ANSWER_KEPT_BYTES_MAX: usize = 200;
/// Time for a call of a URL, whatever was asked.
pub const CALLBACK_TIMEOUT_MS_MAX: u64 = 86_400_000;
/// Redirects followed in one call. Beyond: it failed.
pub const CALLBACK_REDIRECTS_MAX: usize = 5;
/// Calls at once to one host; as many connections to it are kept.
pub const CALLBACKS_PER_HOST_MAX: usize = 24;
/// Idle connections kept, all hosts together: they count among [`RESERVED_FILES`].
pub const CALLBACK_IDLE_CONNECTIONS_MAX: usize = 64;
/// How long an idle connection is used again: below the 5 s after which many servers close theirs, for a POST
/// on one that is just being closed is lost.
pub const CALLBACK_IDLE_MS_MAX: u64 = 4_000;
/// Names of hosts whose addresses are known.
pub const RESOLVED_NAMES_MAX: usize = 1_024;
/// How long the addresses of a name are taken for right.
pub const RESOLVED_MS_MAX: u64 = 10_000;
/// How long a name that was not found is not asked for again.
pub const UNRESOLVED_MS_MAX: u64 = 1_000;
/// A worker's stack: a settings file nested as deep as its parser goes needs more than half of it in a build without
/// optimisation. Pages that are never touched cost nothing.
pub const WORKER_STACK_BYTES: usize = 512 << 10;
/// Instructions between two looks at the clock while Lua runs: a look costs about 0.1 µs, and one instruction on
/// strings of many MiB takes ms.
pub const PLUGIN_HOOK_INSTRUCTIONS: u32 = 100;
/// A run of a task that is shorter is taken at the clock on the wall, the others at what the thread computed: the
/// system may have let others run.
pub const PLUGIN_WALL_US_MAX: u64 = 50;
/// What the thread computed is known as of that long ago at most, when a task begins to run.
pub const PLUGIN_CPU_READ_US: u64 = 200;
/// Looks at the clock while Lua runs outside of a task, which only a few lines of ours do. Beyond: an error.
pub const PLUGIN_IDLE_HOOKS_MAX: u32 = 10_000;
/// Looks at the clock by a task that has used all it may: one in each of its coroutines within each other at most.
pub const PLUGIN_OVER_HOOKS_MAX: u32 = 256;
/// Coroutines kept for tasks to come: about 1 KiB each, and a third of what a short task costs.
pub const PLUGIN_SPARE_COROUTINES_MAX: usize = 256;
/// Arguments of a function in Rust, or of one that waits. Beyond: an error.
pub const PLUGIN_ARGUMENTS_MAX: usize = 100;
/// A text that a string function makes, or looks at byte by byte where nothing can interrupt it. Beyond: an error.
pub const PLUGIN_TEXT_BYTES_MAX: usize = 16 << 20;
/// A text that any string function is done with in some µs; after a longer one, the clock is looked at.
pub const PLUGIN_QUICK_BYTES_MAX: usize = 64 << 10;
/// Values that one search for many matches hands to Lua.
pub const PATTERN_VALUES_PER_CALL: usize = 24;
/// Texts in one value of a plugin that becomes JSON, all together: one text may be in it many times. Beyond: an error.
pub const PLUGIN_JSON_BYTES_MAX: usize = 16 << 20;
/// `randChr`. Beyond: an error.
pub const PLUGIN_RANDOM_CHARS_MAX: usize = 4 << 10;
/// A format of `date`, a text of `strtotime`. Beyond: an error, or no time.
pub const PLUGIN_DATE_BYTES_MAX: usize = 256;
/// URLs that one `httpCall` may call. Beyond: an error.
pub const PLUGIN_HTTP_CALLS_MAX: usize = 1_000;
/// Calls of plugins in each other by `callSvcInt`. Beyond: an error.
pub const PLUGIN_CALL_DEPTH_MAX: usize = 32;
/// A body that a plugin writes itself. Beyond: an error.
pub const PLUGIN_PAGE_BYTES_MAX: usize = 16 << 20;
/// Headers that a plugin adds to one response. Beyond: an error.
pub const PLUGIN_HEADERS_MAX: usize = 64;
/// All of them together. Beyond: an error.
pub const PLUGIN_HEADERS_BYTES_MAX: usize = 16 << 10;
/// Classes above a class of a plugin that are looked at.
pub const PLUGIN_CLASS_DEPTH_MAX: usize = 16;
/// Calls, methods, shapes and objects that plugins may offer, and handlers of events. Beyond: they do not load.
pub const PLUGIN_OFFERS_MAX: usize = 10_000;
/// Captures of one Lua pattern, as in Lua.
pub const PATTERN_CAPTURES_MAX: usize = 32;
/// Levels of matching one Lua pattern, as in Lua.
pub const PATTERN_DEPTH_MAX: usize = 200;
/// Steps, each some ns, of trying a Lua pattern at one position. Beyond: an error.
pub const PATTERN_STEPS_MAX: u64 = 5_000_000;
/// Steps after which a search for a Lua pattern may be interrupted.
pub const PATTERN_STEPS_PER_CALL: u64 = 50_000;
