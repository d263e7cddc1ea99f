//! Typed parameters: `id`, `name/i`, `/n`, `/b`, `/dt`, `/tm`, `/s`, `/i+`, `/js`, `i:n?:s` (contract 1).
