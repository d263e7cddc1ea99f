#!/usr/bin/env bash
# Makes the Debian package, target/debian/jdserver_VERSION-1_ARCH.deb, for this release of Debian and later ones.
#
#     src/package/deb.sh              builds the daemon first, into CARGO_TARGET_DIR or target
#     src/package/deb.sh --no-build   takes the one that is there
#
# What the package holds is in Cargo.toml. The unit is the one of --install-service; the manual page, completions and the
# settings file are what the binary writes.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo_deb=3.8.0
binary=${CARGO_TARGET_DIR:-target}/release/jdserver
texts=target/package

[ "${1:-}" = --no-build ] || cargo build --release --locked
[ "$(cargo deb --version 2>/dev/null)" = "$cargo_deb" ] || cargo install --quiet --locked "cargo-deb@$cargo_deb"

rm -rf "$texts"
mkdir -p "$texts"
"$binary" --man >"$texts/jdserver.1"
for shell in bash zsh fish; do
    "$binary" --completions "$shell" >"$texts/jdserver.$shell"
done

# Made in a folder of its own, in which the data is beside the settings.
"$binary" --init -d "$texts/init" >/dev/null
sed 's|^data_dir = "\."$|data_dir = "/var/lib/jdserver"|' "$texts/init/jdserver.toml" >"$texts/jdserver.toml"
grep -q '^data_dir = "/var/lib/jdserver"$' "$texts/jdserver.toml"
cp "$texts/init/jdserver.d/10-example.lua.disabled" "$texts/10-example.lua"

# Its first two lines are about --install-service.
sed -e '1,2d' -e 's|@BINARY@|/usr/bin/jdserver|; s|@ACCOUNT@|User=jdserver|' src/install/jdserver.service >"$texts/jdserver.service"
[ "$(head -1 "$texts/jdserver.service")" = '[Unit]' ]
if grep -q '@[A-Z]*@' "$texts/jdserver.service"; then exit 1; fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)
# The same commit gives the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
cat >"$texts/changelog" <<END
jdserver ($version-1) unstable; urgency=medium

  * Version $version.

 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
{
    printf 'jdserver is under the MIT License, as below. The binary holds these libraries, under their own licences:\n\n'
    cargo tree --locked --edges normal --no-dedupe --prefix none --format '  {p}: {l}' | sed -n 's/ ([^)]*)//; /jdserver v/!p' | sort -u
    printf '  Lua 5.4, by mlua-sys: MIT\n  SQLite, by libsqlite3-sys: public domain\n\n'
    printf 'The text of the Apache License is in /usr/share/common-licenses/Apache-2.0.\n\n'
    cat LICENSE
} >"$texts/copyright"

# Beside the binary's folder, where cargo-deb looks for what it has built.
cargo deb --locked --no-build --quiet --output target/debian/
