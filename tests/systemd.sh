#!/usr/bin/env bash
# The service under a real systemd: installed, started, reloaded, watched, started by a socket, stopped, removed.
#
#     tests/systemd.sh [BINARY [ROOT]]      default: target/debug/jdserver and /
#
# systemd-nspawn boots the system in ROOT under an overlay that is thrown away, so nothing in ROOT changes. ROOT needs
# systemd, curl and what BINARY is linked to; `/` has that. Another release, with a binary that needs nothing beside it:
#
#     debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl bullseye /tmp/bullseye
#     tests/systemd.sh jdserver-static /tmp/bullseye
#
# Ends with the first thing that is not as it should be. Takes about 20 s. Where there is no systemd-nspawn, or it cannot
# boot for want of rights, it says `skipped: …` and exits 0, but fails when the environment variable CI is set.
set -euo pipefail

fail() {
    printf 'tests/systemd.sh: %s\n' "$*" >&2
    exit 1
}

skip() {
    [ -z "${CI:-}" ] || fail "$*"
    printf 'skipped: %s\n' "$*"
    exit 0
}

# Boots ROOT in a container of its own, which runs this file again, and passes its words and its outcome on.
outside() {
    local binary=$1 root=$2
    # Everything below is in a mount namespace of this process: it goes with it.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/layers" "$work/try"
    mount -t tmpfs jdserver-test "$work/layers"
    mkdir "$work/layers/upper" "$work/layers/work" "$work/layers/root"
    mount -t overlay -o "lowerdir=$root,upperdir=$work/layers/upper,workdir=$work/layers/work" \
        jdserver-test "$work/layers/root"
    # Not where it was: a container should know neither this machine's service nor its files.
    rm -rf "$work"/layers/root/etc/{systemd/system/jdserver.*,jdserver} "$work/layers/root/var/lib/jdserver"
    install "$binary" "$work/layers/root/usr/local/bin/jdserver"
    install "$0" "$work/try/systemd.sh"
    cat >"$work/layers/root/etc/systemd/system/jdserver-try.service" <<'UNIT'
[Unit]
Wants=dbus.socket
After=dbus.socket
SuccessAction=exit
FailureAction=exit
SuccessActionExitStatus=0
FailureActionExitStatus=1
[Service]
Type=oneshot
ExecStart=/bin/bash /try/systemd.sh --inside
StandardOutput=append:/try/said
StandardError=append:/try/said
TimeoutStartSec=120
UNIT
    local status=0
    timeout 150 systemd-nspawn --quiet --directory="$work/layers/root" --register=no --keep-unit --private-network \
        --link-journal=no --console=pipe --bind="$work/try:/try" \
        --boot -- systemd.unit=jdserver-try.service systemd.show_status=no \
        </dev/null >"$work/console" 2>&1 || status=$?
    umount -R "$work/layers"
    if [ ! -s "$work/try/said" ]; then
        cat "$work/console"
        skip "systemd-nspawn cannot boot here"
    fi
    cat "$work/try/said"
    [ "$status" = 0 ] || fail "failed"
}

# A line of what is tried.
step() {
    printf '== %s (%d s)\n' "$*" "$SECONDS"
}

# until WHAT COMMAND...: the command succeeds, at once or soon.
until_true() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    systemctl --no-pager --lines=30 status jdserver || true
    fail "waited in vain: $what"
}

# equal WHAT EXPECTED GOT
equal() {
    [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}

# holds WHAT PATTERN TEXT
holds() {
    case $3 in
    *"$2"*) ;;
    *) fail "$1: expected $2 in: $3" ;;
    esac
}

show() {
    systemctl show --value --property="$1" jdserver
}

pid() {
    show MainPID
}

# What the journal has of the unit, its own words and systemd's.
journal() {
    journalctl --sync 2>/dev/null || true
    journalctl --no-pager --output=cat --unit=jdserver
}

logged() {
    journal | grep -q -e "$1"
}

jd() {
    curl -sS --max-time 10 "$@"
}

answers() {
    [ "$(jd "${1:-http://127.0.0.1:8081}/healthz")" = ok ]
}

active() {
    [ "$(show ActiveState)/$(show SubState)" = active/running ]
}

another_pid() {
    [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && active
}

status_of() {
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"
}

setting() {
    jd 'http://127.0.0.1:8081/getSettings?_raw=1' | tr '{' '\n' | sed -n "s/^\"name\":\"$1\",\"value\":\"\\([^\"]*\\)\".*/\\1/p"
}

installed() {
    local said
    step install
    # ROOT may have been somebody's.
    userdel jdserver 2>/dev/null || true
    said=$(jdserver --install-service)
    holds "what it says" "made the user jdserver" "$said"
    holds "what it says" "systemctl enable --now jdserver" "$said"
    holds "who may read the settings" "640 root jdserver" "$(stat -c '%a %U %G' /etc/jdserver/jdserver.toml)"
    jdserver -t -c /etc/jdserver/jdserver.toml >/dev/null || fail "the settings are wrong"
    said=$(systemd-analyze verify /etc/systemd/system/jdserver.service 2>&1 | grep jdserver || true)
    equal "what systemd thinks of the unit" "" "$said"
    systemd-analyze --no-pager security jdserver.service 2>/dev/null | tail -1 || true
    # Signs of life at a pace that a test can wait for.
    mkdir -p /etc/systemd/system/jdserver.service.d
    printf '[Service]\nWatchdogSec=2\nRestartSec=100ms\n' >/etc/systemd/system/jdserver.service.d/test.conf
    systemctl daemon-reload
}

started() {
    local soft hard
    step start
    systemctl enable --quiet --now jdserver
    # Type=notify: it is ready when the command comes back.
    active || fail "it does not run"
    answers || fail "it does not answer"
    holds "the status" "serving on http://127.0.0.1:8081/" "$(show StatusText)"
    equal "its user" jdserver "$(stat -c %U "/proc/$(pid)")"
    equal "its capabilities" 0000000000000400 "$(status_of CapEff)"
    equal "no new privileges" 1 "$(status_of NoNewPrivs)"
    equal "system calls are filtered" 2 "$(status_of Seccomp)"
    # A container without CAP_SYS_RESOURCE has no more than it was given.
    read -r soft hard < <(sed -n 's/^Max open files *\([0-9]* *[0-9]*\) .*/\1/p' "/proc/$(pid)/limits")
    equal "open files" "$hard" "$soft"
    equal "its state" "jdserver jdserver" "$(stat -c '%U %G' /var/lib/jdserver)"
}

# Whatever the daemon does must get through the filters: plugins, databases, files, calls of URLs and timers.
works() {
    step plugins, a database, timers
    getent hosts localhost >/dev/null || echo '127.0.0.1 localhost' >>/etc/hosts
    mv /var/lib/jdserver/jdserver.d/10-example.lua.disabled /var/lib/jdserver/jdserver.d/10-example.lua
    cat >/var/lib/jdserver/jdserver.d/20-test.lua <<'LUA'
function api_rows(env)
  execOne("CREATE TABLE IF NOT EXISTS T (id INTEGER PRIMARY KEY, name TEXT)")
  dbInsert("T", { name = "a" })
  return { #queryAll("SELECT * FROM T"), (httpCall("http://localhost:8081/healthz")) }
end
LUA
    equal "reload" '[0,true]' "$(jd 'http://127.0.0.1:8081/reload')"
    equal "a call" '[0,"hello Ann "]' "$(jd 'http://127.0.0.1:8081/greet?name=Ann')"
    equal "an object" '[0,1]' "$(jd 'http://127.0.0.1:8081/Note' -d text=x)"
    equal "a database and a URL" '[0,[1,"ok\n"]]' "$(jd 'http://127.0.0.1:8081/rows')"
    holds "a timer" '[0,' "$(jd http://127.0.0.1:8081/setTimeout -d url=http://localhost:8081/healthz -d wait=60000 -d cron=1)"
    until_true "its run" grep -q 'ret: ok' /var/lib/jdserver/trace.log
}

reloaded() {
    local before
    step reload
    before=$(pid)
    echo 'max_rate = 7' >>/etc/jdserver/jdserver.toml
    systemctl reload jdserver
    until_true "the new value" test "$(setting max_rate)" = 7
    equal "it is the same process" "$before" "$(pid)"
    active || fail "it is not running after a reload"
    until_true "systemd's word of it" logged '^Reloaded jdserver'
    echo 'max_rate = "x"' >/etc/jdserver/jdserver.toml
    systemctl reload jdserver
    until_true "why it failed" logged 'max_rate'
    until_true "it runs on" active
    equal "the old value" 7 "$(setting max_rate)"
    printf 'data_dir = "/var/lib/jdserver"\n' >/etc/jdserver/jdserver.toml
}

watched() {
    local before
    step watchdog
    before=$(pid)
    # Longer than the watchdog waits.
    sleep 3
    equal "a loop that turns is left alone" "$before" "$(pid)"
    kill -STOP "$before"
    until_true "another one in its place" another_pid "$before"
    logged 'Watchdog timeout' || fail "it was not the watchdog"
    answers || fail "it does not answer"
    step restart after a crash
    before=$(pid)
    kill -KILL "$before"
    until_true "another one in its place" another_pid "$before"
    until_true "an answer" answers
    equal "the timer is still there" 1 "$(jd 'http://127.0.0.1:8081/Timer.query?_raw=1' | grep -c healthz)"
}

elsewhere() {
    step a low port, logs, a pid file
    cat >/etc/jdserver/jdserver.toml <<'TOML'
data_dir = "/var/lib/jdserver"
port = 80
log_file = "/var/log/jdserver/jdserver.log"
pid_file = "/run/jdserver/jdserver.pid"
TOML
    systemctl restart jdserver
    answers http://127.0.0.1 || fail "port 80 does not answer"
    equal "the pid file" "$(pid)" "$(cat /run/jdserver/jdserver.pid)"
    [ -s /var/log/jdserver/jdserver.log ] || [ -e /var/log/jdserver/jdserver.log ] || fail "no log"
    step 'settings that do not let it start'
    echo 'log_file = "/srv/jdserver.log"' >/etc/jdserver/jdserver.toml
    systemctl restart jdserver 2>/dev/null && fail "it may write in /srv"
    until_true "why" logged 'Read-only file system'
    systemctl stop jdserver
    printf 'data_dir = "/var/lib/jdserver"\n' >/etc/jdserver/jdserver.toml
}

activated() {
    local before
    step sockets
    cat >/etc/systemd/system/jdserver.socket <<'UNIT'
[Socket]
ListenStream=127.0.0.1:8082
ListenStream=/run/jdserver.sock
[Install]
WantedBy=sockets.target
UNIT
    systemctl daemon-reload
    systemctl start jdserver.socket
    equal "nobody has asked yet" inactive "$(show ActiveState)"
    answers http://127.0.0.1:8082 || fail "the socket does not answer"
    active || fail "it was not started"
    equal "the other socket" ok "$(jd --unix-socket /run/jdserver.sock http://localhost/healthz)"
    answers 2>/dev/null && fail "it listens on its own port too"
    holds "the status" "unix:/run/jdserver.sock" "$(show StatusText)"
    step a restart behind a socket
    before=$(pid)
    systemctl restart jdserver &
    # Nobody is refused meanwhile.
    while ! another_pid "$before"; do
        answers http://127.0.0.1:8082 || fail "a request during a restart"
    done
    wait $!
    systemctl stop jdserver.socket jdserver
    rm /etc/systemd/system/jdserver.socket
    systemctl daemon-reload
}

stopped() {
    step stop
    systemctl start jdserver
    systemctl stop jdserver
    equal "how it ended" success/inactive "$(show Result)/$(show ActiveState)"
    equal "its last word" 0 "$(show ExecMainStatus)"
    systemctl start jdserver
}

removed() {
    local said before
    step remove
    before=$(pid)
    said=$(jdserver --remove-service)
    holds "what it says" "stopped the service and removed" "$said"
    holds "what it says" "left /var/lib/jdserver" "$said"
    [ ! -e "/proc/$before" ] || fail "it still runs"
    equal "systemd knows nothing of it" not-found "$(show LoadState)"
    [ ! -e /etc/systemd/system/multi-user.target.wants/jdserver.service ] || fail "it is still enabled"
    [ -s /var/lib/jdserver/timer.json ] || fail "the timers are gone"
}

if [ "${1:-}" = --inside ]; then
    systemctl --version | head -1
    installed
    started
    works
    reloaded
    watched
    elsewhere
    activated
    stopped
    removed
    step all is well
elif [ "${1:-}" = --outside ]; then
    outside "$2" "$3"
else
    binary=${1:-$(dirname "$0")/../target/debug/jdserver}
    [ -x "$binary" ] || fail "$binary: no such binary"
    [ "$(id -u)" = 0 ] || skip "only root may boot a container"
    command -v systemd-nspawn >/dev/null || skip "no systemd-nspawn here; tests/install.sh installs it"
    exec unshare --mount bash "$0" --outside "$binary" "${2:-/}"
fi
