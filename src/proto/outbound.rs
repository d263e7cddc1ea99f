//! A connection's queue of bytes to send: one chunk inline, more beside it.
