#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds, from its seeds and what earlier runs kept.
#
#     fuzz/run.sh [SECONDS [TARGET...]]     default: 600, all targets
#
# Ends with the first finding; its input is in fuzz/artifacts/TARGET/. Needs a nightly compiler and
# cargo-fuzz: rustup toolchain install nightly; cargo install --locked cargo-fuzz
set -euo pipefail

cd "$(dirname "$0")/.."
seconds=${1:-600}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(request body form websocket pattern lua_pattern cron timer_file journal server)

# CI holds fuzz/Cargo.lock to its word; cargo-fuzz knows no --locked.
cargo +nightly metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    # What one target wrote is no reason to let another wait: each has its own folder.
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -dict="fuzz/$target.dict" -max_total_time="$seconds" -timeout=30 -print_final_stats=0 -verbosity=0
    echo "fuzz $target: $seconds s without a finding"
done
