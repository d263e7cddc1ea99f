//! The way to the disk thread, for any thread. Never waits: what does not fit is dropped and
//! counted, and the disk thread says so in one line.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::limits::{LOG_LINES_MAX, LOG_QUEUE_BYTES_MAX, TIMER_RECORDS_MAX};
use crate::mailbox::Mailbox;
use crate::message::{DiskMsg, LogFile, LogLine, LogLines, LogQuery, ReactorMsg, TimerRecord};

/// Slots for messages that are neither lines nor records.
const CONTROL_MAX: usize = 1;

/// What both ends share besides the channel.
#[derive(Debug, Default)]
struct Shared {
    queued_lines: AtomicUsize,
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
    reopen: AtomicBool,
    /// How long a log file may grow; 0: without end.
    file_bytes_max: AtomicU64,
    /// Who asks for lines; it is made after the disk thread.
    reactor: OnceLock<Mailbox<ReactorMsg>>,
}

/// Sends lines to the disk thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogSender {
    channel: Sender<DiskMsg>,
    shared: Arc<Shared>,
}

impl LogSender {
    /// Hands a line (without its end) to the disk thread; `false`: dropped and counted.
    pub fn try_send(&self, file: LogFile, text: String) -> bool {
        let bytes = text.len();
        let is_sent = self.try_message(bytes, DiskMsg::Log(LogLine { file, text }));
        if !is_sent {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_sent
    }

    /// Where answers to [`LogSender::try_tail`] go; to be told once, before the first.
    pub fn set_reactor(&self, reactor: Mailbox<ReactorMsg>) {
        let _ = self.shared.reactor.set(reactor);
    }

    /// Asks for the last lines; `false`: no room, there will be no answer.
    pub fn try_tail(&self, query: Box<LogQuery>) -> bool {
        self.try_message(0, DiskMsg::Tail(query))
    }

    /// Takes one of the slots that are for lines.
    fn try_message(&self, bytes: usize, message: DiskMsg) -> bool {
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let lines_before = self.shared.queued_lines.fetch_add(1, Ordering::Relaxed);
        let fits = before + bytes <= LOG_QUEUE_BYTES_MAX && lines_before < LOG_LINES_MAX;
        if fits && self.channel.try_send(message).is_ok() {
            return true;
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.queued_lines.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Has every log file opened anew; lines that are queued now may go to the old or the new one.
    pub fn reopen(&self) {
        // A full queue is being worked off, and the flag is seen behind it.
        self.shared.reopen.store(true, Ordering::Release);
        let _ = self.channel.try_send(DiskMsg::Reopen);
    }

    /// How long a log file may grow before it is rotated; 0: without end, as before the first call.
    pub fn set_file_bytes_max(&self, bytes: u64) {
        self.shared.file_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Has the thread write what is queued and end. `false`: it is gone, or its queue
    /// stayed full for all of `limit`.
    pub fn stop(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.channel.send_deadline(DiskMsg::Stop, deadline).is_ok()
    }
}

/// Sends records about timers to the disk thread; for the timer thread alone, as their order counts.
#[derive(Debug)]
pub struct TimerSender {
    channel: Sender<DiskMsg>,
}

impl TimerSender {
    /// Hands a record over. Errors: it comes back. Log lines never take its place, so as many records
    /// as there is room for ([`TIMER_RECORDS_MAX`]) are under way, and a `Committed` or `Refused` is sure to come
    /// after which to try again; or the disk thread is gone, and with it the daemon.
    pub fn try_send(&self, record: Box<TimerRecord>) -> Result<(), Box<TimerRecord>> {
        match self.channel.try_send(DiskMsg::Timer(record)) {
            Err(TrySendError::Full(DiskMsg::Timer(record)))
            | Err(TrySendError::Disconnected(DiskMsg::Timer(record))) => Err(record),
            _ => Ok(()),
        }
    }
}

/// The disk thread's end.
#[derive(Debug)]
pub(super) struct LogReceiver {
    pub(super) channel: Receiver<DiskMsg>,
    shared: Arc<Shared>,
}

impl LogReceiver {
    /// To be told of every line or query taken out.
    pub(super) fn handle_taken(&self, bytes: usize) {
        self.shared.queued_lines.fetch_sub(1, Ordering::Relaxed);
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Answers a query. It may wait, for the reactor waits for nobody.
    pub(super) fn answer(&self, lines: LogLines) {
        if let Some(reactor) = self.shared.reactor.get() {
            reactor.send(ReactorMsg::LogLines(Box::new(lines)));
        }
    }

    /// Lines dropped since it was asked last.
    pub(super) fn poll_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }

    /// What [`LogSender::set_file_bytes_max`] said last.
    pub(super) fn file_bytes_max(&self) -> u64 {
        self.shared.file_bytes_max.load(Ordering::Relaxed)
    }

    /// Whether the files shall be opened anew; asked once per request.
    pub(super) fn poll_reopen(&self) -> bool {
        self.shared.reopen.swap(false, Ordering::Acquire)
    }
}

/// All ends of a new channel.
pub(super) fn channel() -> (LogSender, TimerSender, LogReceiver) {
    let (sender, receiver) = bounded(LOG_LINES_MAX + TIMER_RECORDS_MAX + CONTROL_MAX);
    let shared = Arc::new(Shared::default());
    (
        LogSender {
            channel: sender.clone(),
            shared: Arc::clone(&shared),
        },
        TimerSender { channel: sender },
        LogReceiver {
            channel: receiver,
            shared,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TimerChange;

    fn record(seq: u64) -> Box<TimerRecord> {
        Box::new(TimerRecord {
            seq,
            generation: 0,
            change: TimerChange::Clear,
        })
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (sender, timers, receiver) = channel();
        for _ in 0..LOG_LINES_MAX {
            assert!(sender.try_send(LogFile::Server, "x".to_owned()));
        }
        assert!(!sender.try_send(LogFile::Server, "y".to_owned()));
        for seq in 0..(TIMER_RECORDS_MAX + CONTROL_MAX) as u64 {
            assert_eq!(timers.try_send(record(seq)), Ok(()), "lines leave room");
        }
        assert_eq!(timers.try_send(record(7)), Err(record(7)));
        assert!(!sender.stop(Duration::ZERO));
        sender.reopen();
        assert_eq!((receiver.poll_dropped(), receiver.poll_dropped()), (1, 0));
        assert!(receiver.poll_reopen() && !receiver.poll_reopen());
        receiver.channel.try_recv().expect("a line");
        receiver.handle_taken(1);
        assert!(sender.try_send(LogFile::Server, "x".to_owned()));
    }

    #[test]
    fn queued_bytes_are_bounded_and_freed() {
        let (sender, _, receiver) = channel();
        let big = "x".repeat(LOG_QUEUE_BYTES_MAX);
        assert!(sender.try_send(LogFile::Trace, big.clone()));
        assert!(!sender.try_send(LogFile::Trace, "y".to_owned()));
        assert!(!sender.try_send(LogFile::Trace, big.clone()));
        receiver.handle_taken(LOG_QUEUE_BYTES_MAX);
        assert!(sender.try_send(LogFile::Trace, "y".to_owned()));
        assert_eq!(receiver.poll_dropped(), 2);
    }

    #[test]
    fn a_thread_that_is_gone_is_noticed() {
        let (sender, timers, receiver) = channel();
        drop(receiver);
        assert!(timers.try_send(record(1)).is_err());
        assert!(!sender.try_send(LogFile::Server, "x".to_owned()));
        assert!(!sender.stop(Duration::from_secs(60)));
    }
}
