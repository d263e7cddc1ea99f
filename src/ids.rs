//! Names of things that outlive a borrow, and the time as it is handed down. Never a clock.

/// A connection: its slab key and its number among all that were accepted, for keys are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Key in the slab.
    pub key: u32,
    /// Counts all connections accepted, modulo 2³²; `#N` in logs.
    pub generation: u32,
}

impl ConnId {
    /// No key of the slab: it stops far below.
    const INTERNAL: u32 = u32::MAX;

    /// The name of a call that no connection makes: a plugin does. No connection ever has it.
    pub fn internal(ticket: u32) -> Self {
        ConnId {
            key: Self::INTERNAL,
            generation: ticket,
        }
    }

    /// The ticket of [`ConnId::internal`]; `None` for a connection.
    pub fn ticket(self) -> Option<u32> {
        (self.key == Self::INTERNAL).then_some(self.generation)
    }

    /// One number for it, as plugins see connections.
    pub fn to_fd(self) -> u64 {
        (u64::from(self.generation) << 24) | u64::from(self.key & 0xff_ffff)
    }

    /// The connection that [`ConnId::to_fd`] gave this number.
    pub fn from_fd(fd: u64) -> Self {
        ConnId {
            key: (fd & 0xff_ffff) as u32,
            generation: (fd >> 24) as u32,
        }
    }
}

/// The present, read once per turn by whoever owns a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, ms since the daemon started.
    pub mono_ms: u64,
    /// Wall clock, Unix ms.
    pub unix_ms: u64,
}
