//! Where crates' messages (`log::warn!` and worse) go: into the server's own log. Never waits.

use jiff::tz::TimeZone;
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

use crate::disk::sender::LogSender;
use crate::disk::thread::unix_ms;
use crate::limits::LOG_CRATE_BYTES_MAX;
use crate::message::LogFile;
use crate::proto::logtext::{LogTime, log_text};

struct Sink {
    sender: LogSender,
    zone: TimeZone,
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What it has to say is about peers, and any stranger could have it said a thousand times.
        let is_about_peers = metadata.target().starts_with("rustls::");
        metadata.level() <= LevelFilter::Warn && !is_about_peers
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let text = format!(
            "{}: {}",
            record.level().as_str().to_ascii_lowercase(),
            log_text(&text, LOG_CRATE_BYTES_MAX)
        );
        // Warnings are rare: a formatter each costs less than one that threads share.
        self.sender.try_send(
            LogFile::Server,
            LogTime::new(self.zone.clone()).server_line(unix_ms(), &text),
        );
    }

    fn flush(&self) {}
}

/// Makes the server's own log the process's logger, for warnings and errors. Once per process.
/// Errors: there is one already.
pub fn install(sender: LogSender, zone: TimeZone) -> Result<(), SetLoggerError> {
    log::set_boxed_logger(Box::new(Sink { sender, zone }))?;
    log::set_max_level(LevelFilter::Warn);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sender::channel;
    use crate::message::DiskMsg;
    use log::Level;

    #[test]
    fn warnings_become_lines_and_less_does_not() {
        let (sender, _, receiver) = channel();
        let sink = Sink {
            sender,
            zone: TimeZone::UTC,
        };
        for (level, target) in [
            (Level::Info, "a_crate"),
            (Level::Error, "rustls::common_state"),
        ] {
            sink.log(
                &Record::builder()
                    .level(level)
                    .target(target)
                    .args(format_args!("quiet"))
                    .build(),
            );
            assert!(receiver.channel.try_recv().is_err(), "{target}");
        }
        sink.log(
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("a\nb"))
                .build(),
        );
        let Ok(DiskMsg::Log(line)) = receiver.channel.try_recv() else {
            panic!("no line");
        };
        assert_eq!(line.file, LogFile::Server);
        assert!(
            line.text.starts_with("=== REQ at [") && line.text.ends_with("] warn: a\\nb"),
            "{}",
            line.text
        );
    }
}
