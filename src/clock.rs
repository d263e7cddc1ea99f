//! The daemon's only clock: one per process, read once per turn by each thread that decides
//! something. Never handed below floor 3, where time comes in as [`Now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ids::Now;

/// A clock that started with the daemon; all its copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    /// The present.
    pub fn now(self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_ms: self.mono_ms(),
            unix_ms: unix.as_millis() as u64,
        }
    }

    /// [`Now::mono_ms`] alone, at half the price.
    pub fn mono_ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// The instant at which [`Now::mono_ms`] becomes `mono_ms`; `None` beyond what the system can tell.
    pub fn instant(self, mono_ms: u64) -> Option<Instant> {
        self.0.checked_add(Duration::from_millis(mono_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let clock = Clock::start();
        let due_ms = clock.now().mono_ms + 3;
        let until = clock.instant(due_ms).expect("soon");
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        assert!(clock.now().mono_ms >= due_ms);
    }
}
