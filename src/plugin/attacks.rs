//! Attacks of plugins on the sandbox.
