#!/usr/bin/env bash
# Installs what the tests need beyond Rust, on Debian and its kin: curl and python3 for calls, shellcheck
# for scripts, a C++ compiler for libFuzzer, Apache and nginx to stand in front, Node
# and PHP for the clients, MariaDB's server without its service, mosquitto's clients, promtool and Chromium for what looks at the daemon,
# systemd and its containers to try the service, mandoc, groff, zsh and fish for what it tells of itself. Does nothing
# where all of it is there.
set -euo pipefail

missing=()
for pair in curl:curl shellcheck:shellcheck python3:python3 c++:g++ apache2:apache2 nginx:nginx-light node:nodejs php:php-cli promtool:prometheus \
    chromium:chromium chromedriver:chromium-driver mariadbd:mariadb-server-core systemd-analyze:systemd systemd-nspawn:systemd-container \
    mandoc:mandoc groff:groff-base zsh:zsh fish:fish mosquitto_sub:mosquitto-clients; do
    PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
get() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}
# The lists of a fresh image are empty or old, and a name in them may be gone: then update and try again.
get install -y --no-install-recommends "${missing[@]}" 2>/dev/null || {
    get update
    get install -y --no-install-recommends "${missing[@]}"
}
