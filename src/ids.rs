//! Names of things that outlive a borrow, and the time as it is handed down. Never a clock.

/// A connection: its slab key and its number among all that were accepted, for keys are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Key in the slab.
    pub key: u32,
    /// Counts all connections accepted, modulo 2³²; `#N` in logs.
    pub generation: u32,
}

/// The present, read once per turn by whoever owns a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, ms since the daemon started.
    pub mono_ms: u64,
    /// Wall clock, Unix ms.
    pub unix_ms: u64,
}
