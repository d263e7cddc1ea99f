//! Names of things that outlive a borrow, and the time as it is handed down. Never a clock.

/// A connection: its slab key and the generation of that slot, for slots are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Key in the slab.
    pub key: u32,
    /// How often the slot had been taken before, modulo 2³².
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
