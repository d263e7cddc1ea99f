//! The way to the disk thread, for any thread. Never waits: what does not fit is dropped and
//! counted, and the disk thread says so in one line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{LOG_LINES_MAX, LOG_QUEUE_BYTES_MAX};
use crate::message::{DiskMsg, LogFile, LogLine};

/// What both ends share besides the channel.
#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
    reopen: AtomicBool,
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
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= LOG_QUEUE_BYTES_MAX;
        if fits
            && self
                .channel
                .try_send(DiskMsg::Log(LogLine { file, text }))
                .is_ok()
        {
            return true;
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Hands a record over, without waiting; gives it back when there is no room.
    pub fn try_record(
        &self,
        record: crate::message::TimerRecord,
    ) -> Result<(), crate::message::TimerRecord> {
        match self.channel.try_send(DiskMsg::Timer(Box::new(record))) {
            Ok(()) => Ok(()),
            Err(refused) => match refused.into_inner() {
                DiskMsg::Timer(record) => Err(*record),
                _ => Ok(()),
            },
        }
    }

    /// Has every log file opened anew; lines that are queued now may go to the old or the new one.
    pub fn reopen(&self) {
        // A full queue is being worked off, and the flag is seen behind it.
        self.shared.reopen.store(true, Ordering::Release);
        let _ = self.channel.try_send(DiskMsg::Reopen);
    }

    /// Has the thread write what is queued and end. `false`: it is gone, or its queue
    /// stayed full for all of `limit`.
    pub fn stop(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.channel.send_deadline(DiskMsg::Stop, deadline).is_ok()
    }
}

/// The disk thread's end.
#[derive(Debug)]
pub(super) struct LogReceiver {
    pub(super) channel: Receiver<DiskMsg>,
    shared: Arc<Shared>,
}

impl LogReceiver {
    /// To be told of every line taken out.
    pub(super) fn handle_taken(&self, bytes: usize) {
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Lines dropped since it was asked last.
    pub(super) fn poll_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether the files shall be opened anew; asked once per request.
    pub(super) fn poll_reopen(&self) -> bool {
        self.shared.reopen.swap(false, Ordering::Acquire)
    }
}

/// Both ends of a new channel.
pub(super) fn channel() -> (LogSender, LogReceiver) {
    let (sender, receiver) = bounded(LOG_LINES_MAX);
    let shared = Arc::new(Shared::default());
    (
        LogSender {
            channel: sender,
            shared: Arc::clone(&shared),
        },
        LogReceiver {
            channel: receiver,
            shared,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (sender, receiver) = channel();
        for _ in 0..LOG_LINES_MAX {
            assert!(sender.try_send(LogFile::Server, "x".to_owned()));
        }
        assert!(!sender.try_send(LogFile::Server, "y".to_owned()));
        assert!(!sender.stop(Duration::ZERO));
        sender.reopen();
        assert_eq!((receiver.poll_dropped(), receiver.poll_dropped()), (1, 0));
        assert!(receiver.poll_reopen() && !receiver.poll_reopen());
        assert_eq!(receiver.channel.len(), LOG_LINES_MAX);
    }

    #[test]
    fn queued_bytes_are_bounded_and_freed() {
        let (sender, receiver) = channel();
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
        let (sender, receiver) = channel();
        drop(receiver);
        assert!(!sender.try_send(LogFile::Server, "x".to_owned()));
        assert!(!sender.stop(Duration::from_secs(60)));
    }
}
