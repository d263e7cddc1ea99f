#!/usr/bin/env bash
# Makes what people get who do not build, and tries each one where nothing else of ours is: the static binary in an empty
# root folder and in other releases of Debian, the Debian package in the current one, with and without systemd, and the
# container image's files.
#
#     tests/packages.sh [static] [others] [deb] [booted] [container]      all by default
#
# As root, on Debian; debootstrap fetches from the mirror that apt uses. Everything runs in namespaces of its own (network,
# processes, mounts) that go with the script. A line per trial, and `N passed, M failed` at the end, which is its outcome.
#
#     CARGO_TARGET_DIR     where the release is built (target)
#     STATIC_TARGET_DIR    where the static one is built (the same)
#     PACKAGES_BUILD=no    takes the binaries that are there
#     PACKAGES_ROOTS       keeps the Debian systems there for the next time (a folder that is removed)
# shellcheck disable=SC2030,SC2031 # each trial is a shell of its own, on purpose
set -euo pipefail

# The oldest release that mirrors still have, and what is in both that changes how names are found.
old=bullseye
names=ca-certificates,libnss-mdns,libnss-myhostname,libnss-resolve,libnss-systemd
target=x86_64-unknown-linux-gnu

fail() {
    printf 'tests/packages.sh: %s\n' "$*" >&2
    exit 1
}

# Makes the binaries, the package and the systems, then runs this file again in namespaces of its own.
outside() {
    local parts=("$@") name missing=()
    [ "$(id -u)" = 0 ] || fail "only root may change its root folder"
    for name in curl debootstrap dpkg-deb ip lintian openssl python3 readelf systemd-nspawn unshare; do
        PATH=$PATH:/usr/sbin command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] || fail "these are missing: ${missing[*]}"
    [ ${#parts[@]} -gt 0 ] || parts=(static others deb booted container)
    for name in "${parts[@]}"; do
        case $name in
        static | others | deb | booted | container) ;;
        *) fail "$name: expected static, others, deb, booted or container" ;;
        esac
    done

    cd "$(dirname "$0")/.."
    local release=${CARGO_TARGET_DIR:-target}
    local static=${STATIC_TARGET_DIR:-$release}
    if [ "${PACKAGES_BUILD:-yes}" != no ]; then
        RUSTFLAGS='-C target-feature=+crt-static' CARGO_TARGET_DIR=$static cargo build --release --locked --target "$target"
        CARGO_TARGET_DIR=$release cargo build --release --locked
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cp "$static/$target/release/jdserver" "$work/static"
    if [[ " ${parts[*]} " == *" deb "* || " ${parts[*]} " == *" booted "* ]]; then
        rm -f target/debian/jdserver_*.deb
        CARGO_TARGET_DIR=$release src/package/deb.sh --no-build
        cp target/debian/jdserver_*.deb "$work/jdserver.deb"
    fi
    cp src/package/Containerfile src/install/example.lua "$0" "$work/"

    roots=${PACKAGES_ROOTS:-$work/roots}
    mkdir -p "$roots"
    debian "$old" "$names"
    debian stable "$names,adduser,curl,dbus,logrotate,man-db,systemd,systemd-sysv,tzdata"

    unshare --net --mount --pid --fork --kill-child --mount-proc bash "$work/packages.sh" --inside "$work" "$roots" "${parts[@]}"
}

# debian SUITE PACKAGES: a system in $roots/SUITE, unless there is one; none where the mirror has none.
debian() {
    local mirror
    [ ! -d "$roots/$1" ] || return 0
    # shellcheck disable=SC2016 # apt fills those in
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | sed -n 's/^Debian Debian //p' | head -1)
    printf 'debootstrap %s\n' "$1"
    if debootstrap --variant=minbase --include="$2" "$1" "$roots/$1.part" "$mirror" >"$work/debootstrap" 2>&1; then
        mv "$roots/$1.part" "$roots/$1"
    else
        tail -3 "$work/debootstrap"
        rm -rf "$roots/$1.part"
    fi
}

inside() {
    work=$1 roots=$2
    shift 2
    passed=0 failed=0
    ip link set lo up
    mkdir "$work/layers"
    mount -t tmpfs jdserver-test "$work/layers"
    target_starts
    local part
    for part; do
        "part_$part"
    done
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}

# try WHAT COMMAND...: a trial. What it says is shown where it fails; what it started ends with it.
try() {
    local what=$1 status=0
    shift
    # Not as a condition: in one `set -e` does not count.
    set +e
    (
        set -e
        servers=()
        trap 'kill "${servers[@]}" 2>/dev/null || true; wait' EXIT
        "$@"
    ) >"$work/said" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n' "$what"
        tail -40 "$work/said" | sed 's/^/      /'
    fi
}

not_tried() {
    printf 'not tried: %s\n' "$*"
}

# equal WHAT EXPECTED GOT
equal() {
    [ "$2" = "$3" ] || { printf '%s: expected %s, got %s\n' "$1" "$2" "$3" && false; }
}

# holds WHAT PART TEXT
holds() {
    case $3 in
    *"$2"*) ;;
    *) printf '%s: expected %s in: %s\n' "$1" "$2" "$3" && false ;;
    esac
}

# until_true WHAT COMMAND...: it succeeds, at once or within 20 s.
until_true() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    printf 'waited in vain: %s\n' "$what"
    return 1
}

jd() {
    curl -sS --max-time 15 "$@"
}

answers() {
    [ "$(jd http://127.0.0.1:8081/healthz)" = ok ]
}

# serve ROOT COMMAND...: in that root folder, with nothing in its environment, until the trial ends.
serve() {
    local root=$1
    shift
    # Nobody who did not end: it would answer in the other's place.
    if answers 2>/dev/null; then return 1; fi
    env -i "$chroot" "${as[@]}" "$root" "$@" &
    servers+=($!)
    until_true "$*" answers_or_ended
    answers
}

answers_or_ended() {
    answers || ! kill -0 "${servers[-1]}"
}

# The one that serves ends well when it is asked to.
stops() {
    kill "${servers[-1]}"
    wait "${servers[-1]}"
    unset 'servers[-1]'
}

# What else chroot(1) is to be told; where it is, for an empty PATH.
as=()
chroot=$(PATH=$PATH:/usr/sbin command -v chroot) || fail "chroot is missing"

# layer NAME BASE: a root folder like BASE, to be changed; its path.
layer() {
    local at=$work/layers/$1
    mkdir -p "$at/upper" "$at/work" "$at/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$at/upper,workdir=$at/work" jdserver-test "$at/root"
    printf '%s\n' "$at/root"
}

# empty NAME: a root folder with the static binary alone; its path.
empty() {
    local at=$work/layers/$1
    mkdir "$at"
    cp "$work/static" "$at/jdserver"
    printf '%s\n' "$at"
}

# What timers call: by http on port 9000, by https on 9443, by the name target.test that DNS on 127.0.0.1 knows.
target_starts() {
    local at=$work/target
    mkdir "$at"
    (
        cd "$at"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 \
            -subj /CN=ours
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.pem \
            -subj /CN=target.test
        printf 'subjectAltName=DNS:target.test\nbasicConstraints=CA:FALSE\n' >names
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem
    ) >"$at/openssl" 2>&1 || { cat "$at/openssl" && fail "no certificate"; }
    cat >"$at/target.py" <<'END'
import http.server, socket, ssl, struct, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with open("hits", "a") as hits:
            hits.write(self.path + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

def serve(port, context):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
serve(9443, context)
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("127.0.0.1", 53))
serve(9000, None)
while True:
    query, peer = dns.recvfrom(4096)
    end = query.index(b"\0", 12) + 5
    known = query[12:end - 4].lower() == b"\6target\4test\0"
    found = known and query[end - 4:end - 2] == b"\0\1"
    head = struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, found, 0, 0)
    address = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if found else b""
    dns.sendto(query[:2] + head + query[12:end] + address, peer)
END
    (cd "$at" && exec python3 target.py) >"$at/said" 2>&1 &
    until_true "the target" curl -sS -o /dev/null http://127.0.0.1:9000/up || { cat "$at/said" && fail "no target"; }
}

was_hit() {
    grep -qx "/$1" "$work/target/hits"
}

# calls HIT BASE: a timer calls BASE/HIT at once.
calls() {
    equal "a timer is set" '[0,null]' "$(jd http://127.0.0.1:8081/setTimeout -d "url=$2/$1")"
    until_true "a call of $2/$1" was_hit "$1"
}

# What every daemon must do: answer, serve its page, push.
works() {
    local pushed
    holds "the page" '<html' "$(jd http://127.0.0.1:8081/)"
    jd 'http://127.0.0.1:8081/getMsg?app=a&user=u&timeout=10' >"$work/got" &
    pushed=$!
    until_true "a receiver" receiver
    equal "a push" '[0,1]' "$(jd 'http://127.0.0.1:8081/push?app=a&user=*' -d msg=hello)"
    wait "$pushed"
    equal "what was pushed" hello "$(cat "$work/got")"
}

receiver() {
    [ "$(jd 'http://127.0.0.1:8081/getUsers?app=a')" = '[0,["u"]]' ]
}

# --- the static binary

part_static() {
    try "static: nothing is linked to it" static_is_alone
    try "static: what runs at a start stands together" static_is_laid_out
    try "static: alone in its root folder it checks, serves, pushes, calls, stops" static_works
    try "static: plugins, with SQLite" static_plugins
    try "static: names by /etc/hosts, without nsswitch.conf" static_finds hosts ''
    try "static: names by DNS, without nsswitch.conf" static_finds dns ''
    try "static: names by DNS, where nsswitch.conf names modules that are missing" static_finds missing \
        'hosts: files mymachines myhostname mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns'
    try "static: the user, by /etc/passwd" static_user
    try "static: https, by the certificates of its root folder" static_trusts
    try "static: time zones, by those of its root folder" static_zones
}

static_is_alone() {
    equal "libraries" "" "$(readelf -d "$work/static" | sed -n '/NEEDED/p')"
    equal "an interpreter" "" "$(readelf -l "$work/static" | sed -n '/INTERP/p')"
    holds ldd 'statically linked' "$(ldd "$work/static" 2>&1)"
}

# The patterns of src/package/start.ld name functions, which may be renamed.
static_is_laid_out() {
    local bytes
    bytes=$(readelf -SW "$work/static" | sed -n 's/.* \.text\.start  *PROGBITS  *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    [ $((16#0$bytes)) -ge 400000 ] || fail "src/package/start.ld finds 0x$bytes bytes; expected 400,000 or more"
}

static_works() {
    local root
    root=$(empty alone)
    holds "the check" 'all settings are right' "$(env -i "$chroot" "$root" /jdserver -t)"
    serve "$root" /jdserver
    works
    calls alone http://127.0.0.1:9000
    stops
}

static_plugins() {
    local root
    root=$(empty plugins)
    mkdir "$root/jdserver.d"
    cp "$work/example.lua" "$root/jdserver.d/10-example.lua"
    cat >"$root/jdserver.d/20-database.lua" <<'END'
function api_database(env)
  execOne("CREATE TABLE IF NOT EXISTS Ordr (id INTEGER PRIMARY KEY, item TEXT)")
  local id = dbInsert("Ordr", { item = "tea" })
  return queryOne("SELECT item FROM Ordr WHERE id=?", { id })
end
END
    serve "$root" /jdserver
    equal "a plugin" '[0,"hello Ann "]' "$(jd 'http://127.0.0.1:8081/greet?name=Ann')"
    equal "its database" '[0,"tea"]' "$(jd http://127.0.0.1:8081/database)"
    [ -s "$root/jdserver.db" ]
    stops
}

# static_finds WAY NSSWITCH
static_finds() {
    local root
    root=$(empty "names-$1")
    mkdir "$root/etc"
    case $1 in
    hosts) printf '127.0.0.1 target.test\n' >"$root/etc/hosts" ;;
    *) printf 'nameserver 127.0.0.1\n' >"$root/etc/resolv.conf" ;;
    esac
    [ -z "$2" ] || printf '%s\n' "$2" >"$root/etc/nsswitch.conf"
    serve "$root" /jdserver
    calls "names-$1" http://target.test:9000
    stops
}

static_user() {
    local root
    root=$(empty user)
    mkdir -m 0777 "$root/data"
    mkdir "$root/etc"
    holds "without users" 'there is no nobody' "$(env -i "$chroot" "$root" /jdserver -d /data --user nobody 2>&1)"
    printf 'root:x:0:0::/:/x\nnobody:x:65534:65534::/:/x\n' >"$root/etc/passwd"
    printf 'root:x:0:\nweb:x:33:nobody\n' >"$root/etc/group"
    serve "$root" /jdserver -d /data --user nobody:web
    holds "who it is" 'Uid: 65534 65534 65534 65534 Gid: 33 33 33 33' \
        "$(tr '\n\t' '  ' <"/proc/${servers[-1]}/status" | tr -s ' ')"
    stops
}

static_trusts() {
    local root
    root=$(empty tls)
    mkdir -p "$root/etc/ssl/certs"
    printf '127.0.0.1 target.test\n' >"$root/etc/hosts"
    serve "$root" /jdserver
    jd http://127.0.0.1:8081/setTimeout -d url=https://target.test:9443/nobody
    until_true "a failure in trace.log" grep -q fails "$root/trace.log"
    stops
    cp "$work/target/ca.pem" "$root/etc/ssl/certs/ca-certificates.crt"
    serve "$root" /jdserver
    calls trusted https://target.test:9443
    stops
}

static_zones() {
    local root call='http://127.0.0.1:8081/Timer.preview?cron=0+9+*+*+*&tz=Asia/Shanghai'
    root=$(empty zones)
    serve "$root" /jdserver
    holds "without zones" 'time zone' "$(jd "$call")"
    stops
    mkdir -p "$root/usr/share"
    cp -r "$roots/$old/usr/share/zoneinfo" "$root/usr/share/"
    serve "$root" /jdserver
    holds "with them" '[0,' "$(jd "$call")"
    stops
}

# --- the static binary in systems that have a libc of their own

part_others() {
    local suite line
    not_tried "what is older than $old: the mirrors have none"
    for suite in "$old" stable; do
        if [ ! -d "$roots/$suite" ]; then
            not_tried "$suite: the mirror has none"
            continue
        fi
        try "$suite: the static binary checks, serves, pushes, stops" other_works "$suite"
        for line in 'files dns' 'files mdns4_minimal [NOTFOUND=return] dns' 'files resolve [!UNAVAIL=return] dns' \
            'files myhostname mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns'; do
            try "$suite: the static binary finds names by: $line" other_finds "$suite" "$line"
        done
        for line in 'files' 'files systemd' 'compat systemd'; do
            try "$suite: the static binary finds users by: $line" other_user "$suite" "$line"
        done
    done
}

# other NAME SUITE: such a system with the binary in it, and what its C library is.
other() {
    root=$(layer "$1" "$roots/$2")
    cp "$work/static" "$root/usr/bin/jdserver"
    mkdir "$root/data"
    chmod 0777 "$root/data"
    mount -t proc proc "$root/proc"
}

other_works() {
    local root
    other "works-$1" "$1"
    holds "the check" 'all settings are right' "$(env -i "$chroot" "$root" jdserver -t -d /data)"
    serve "$root" /usr/bin/jdserver -d /data
    works
    stops
}

other_finds() {
    local root hit
    hit="$1-$(printf %s "$2" | tr -c 'a-z0-9' '-')"
    other "$hit" "$1"
    printf 'nameserver 127.0.0.1\n' >"$root/etc/resolv.conf"
    printf 'passwd: files systemd\ngroup: files systemd\nhosts: %s\n' "$2" >"$root/etc/nsswitch.conf"
    serve "$root" /usr/bin/jdserver -d /data
    calls "$hit" http://target.test:9000
    stops
}

other_user() {
    local root
    other "users-$1-${2// /-}" "$1"
    printf 'passwd: %s\ngroup: %s\ninitgroups: %s\n' "$2" "$2" "$2" >"$root/etc/nsswitch.conf"
    serve "$root" /usr/bin/jdserver -d /data --user www-data
    holds "who it is" 'Uid: 33 33 33 33 ' "$(tr '\n\t' '  ' <"/proc/${servers[-1]}/status" | tr -s ' ')"
    stops
}

# --- the Debian package

part_deb() {
    if [ ! -d "$roots/stable" ]; then
        not_tried "deb: the mirror has no stable"
        return
    fi
    local root
    root=$(layer deb "$roots/stable")
    mount -t proc proc "$root/proc"
    cp "$work/jdserver.deb" "$root/"
    try "deb: lintian finds nothing" deb_lints
    paths "$root" >"$work/before"
    try "deb: installs, with its user, folders and settings" deb_installs "$root"
    try "deb: as its user it checks, serves, pushes, calls, stops" deb_works "$root"
    try "deb: the manual page, completions in bash" deb_tells "$root"
    try "deb: logrotate loses no line" deb_rotates "$root"
    try "deb: remove leaves settings and data, purge nothing" deb_goes "$root"
}

in_root() {
    local root=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$chroot" "$root" "$@"
}

# Paths below a root folder, but of what a run, dpkg, accounts, logrotate, logs and caches keep.
paths() {
    (cd "$1" && find . -xdev -not -path './proc/*' | sort |
        grep -v -e '^./var/lib/dpkg/' -e '^./var/log/' -e '^./var/cache/' -e '^./var/lib/logrotate/' \
            -e '^./etc/.*-$' -e '^./tmp/' -e '^./run/' -e '^./root/')
}

deb_lints() {
    equal lintian '' "$(lintian --allow-root --fail-on none "$work/jdserver.deb" | sed '/^N: /d')"
}

deb_installs() {
    in_root "$1" dpkg -i /jdserver.deb
    equal "its user" /var/lib/jdserver:/usr/sbin/nologin "$(in_root "$1" getent passwd jdserver | cut -d: -f6,7)"
    equal "its group" jdserver "$(in_root "$1" id -gn jdserver)"
    equal "settings" '640 root:jdserver' "$(in_root "$1" stat -c '%a %U:%G' /etc/jdserver/jdserver.toml)"
    equal "data" '750 jdserver:jdserver' "$(in_root "$1" stat -c '%a %U:%G' /var/lib/jdserver)"
    equal "logs" '750 jdserver:jdserver' "$(in_root "$1" stat -c '%a %U:%G' /var/log/jdserver)"
    equal "what is wrong with it" '' "$(in_root "$1" dpkg --verify jdserver)"
    [ -L "$1/etc/systemd/system/multi-user.target.wants/jdserver.service" ]
}

deb_works() {
    as=(--userspec=jdserver:jdserver)
    holds "the check" 'data: /var/lib/jdserver' "$(in_root "$1" jdserver -t)"
    serve "$1" /usr/bin/jdserver -c /etc/jdserver/jdserver.toml
    equal "who it is" jdserver "$(in_root "$1" stat -c %U "/proc/$(in_root "$1" pidof jdserver)")"
    works
    calls deb http://127.0.0.1:9000
    [ "$(jd http://127.0.0.1:8081/setTimeout -d url=http://127.0.0.1:9000/again -d cron=1 -d wait=60000)" = '[0,1]' ]
    stops
    holds "its timers" '"id":1' "$(cat "$1/var/lib/jdserver/timer.json")"
}

deb_tells() {
    holds "the page" 'push messages to browsers' "$(in_root "$1" man jdserver)"
    holds "by name" 'jdserver (1)' "$(in_root "$1" sh -c 'mandb -q; whatis jdserver')"
    # As bash-completion does it.
    # shellcheck disable=SC2016 # the shell inside fills it in
    equal "what bash offers" --data "$(in_root "$1" bash -c '. /usr/share/bash-completion/completions/jdserver
        COMP_WORDS=(jdserver --da) COMP_CWORD=1; _jdserver; printf %s "${COMPREPLY[*]}"')"
}

deb_rotates() {
    local root=$1 log=/var/log/jdserver/jdserver.log users
    users='http://127.0.0.1:8081/getMsg?app=lines&timeout=0.001&user=u'
    in_root "$root" logrotate -d /etc/logrotate.d/jdserver
    as=(--userspec=jdserver:jdserver)
    in_root "$root" install -d -o jdserver -g jdserver /run/jdserver
    { cat "$root/etc/jdserver/jdserver.toml" && printf 'pid_file = "/run/jdserver/jdserver.pid"\n'; } >"$root/run/jdserver/try.toml"
    serve "$root" /usr/bin/jdserver -c /run/jdserver/try.toml -l "$log"
    jd "${users}[1-200]"
    jd "${users}[201-900]" &
    in_root "$root" logrotate --force /etc/logrotate.d/jdserver
    wait $!
    jd "${users}[901-1000]"
    stops
    ls -l "$root/var/log/jdserver"
    [ "$(find "$root/var/log/jdserver" -name 'jdserver.log-20*' -size +0 | wc -l)" = 1 ]
    grep -q 'user: u1000 ' "$root$log"
    equal "lines" 1000 "$(cat "$root/var/log/jdserver"/jdserver.log* | sed -n 's/.*add http user: \(u[0-9]*\) .*/\1/p' | sort -u | wc -l)"
}

deb_goes() {
    local path
    printf '# ours\n' >>"$1/etc/jdserver/jdserver.toml"
    in_root "$1" dpkg -r jdserver
    for path in /etc/jdserver/jdserver.toml /etc/logrotate.d/jdserver /var/lib/jdserver/timer.json; do
        [ -e "$1$path" ]
    done
    [ ! -e "$1/usr/bin/jdserver" ]
    in_root "$1" dpkg --purge jdserver
    paths "$1" >"$work/after"
    equal "what stays" '' "$(comm -13 "$work/before" "$work/after")"
    [ ! -e "$1/var/log/jdserver" ]
}

# --- the Debian package under systemd

part_booted() {
    if [ ! -d "$roots/stable" ]; then
        not_tried "booted: the mirror has no stable"
        return
    fi
    try "deb under systemd: starts, rotates, is upgraded, stays switched off, goes" booted
}

booted() {
    local root at=$work/booted status=0
    root=$(layer booted "$roots/stable")
    mkdir "$at"
    cp "$work/jdserver.deb" "$at/"
    cat >"$at/inside.sh" <<'END'
set -euxo pipefail
until_true() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    systemctl --no-pager status jdserver || true
    return 1
}
answers() { [ "$(curl -sS http://127.0.0.1:8081/healthz)" = ok ]; }
show() { systemctl show --value --property="$1" jdserver; }

dpkg -i /try/jdserver.deb
[ "$(systemctl is-active jdserver) $(systemctl is-enabled jdserver)" = 'active enabled' ]
answers
[ "$(ps -o user= -p "$(show MainPID)" 2>/dev/null || stat -c %U "/proc/$(show MainPID)")" = jdserver ]

printf 'log_file = "/var/log/jdserver/jdserver.log"\n' >>/etc/jdserver/jdserver.toml
systemctl restart jdserver
logs() { curl -sS "http://127.0.0.1:8081/getMsg?app=a&user=$1&timeout=0.001"; }
logs first
until_true grep 'user: first' /var/log/jdserver/jdserver.log
logrotate --force /etc/logrotate.d/jdserver
logs second
until_true grep 'user: second' /var/log/jdserver/jdserver.log
grep 'user: first' /var/log/jdserver/jdserver.log-2*
answers

before=$(show MainPID)
dpkg -i /try/jdserver.deb
[ "$(show MainPID)" != "$before" ]
answers
grep -q ^log_file /etc/jdserver/jdserver.toml

systemctl disable --now jdserver
dpkg -i /try/jdserver.deb
[ "$(systemctl is-enabled jdserver || true)" = disabled ]

systemctl enable --now jdserver
answers
dpkg -r jdserver
[ "$(systemctl is-active jdserver || true)" = inactive ]
if answers; then exit 1; fi
[ -e /etc/jdserver/jdserver.toml ]
dpkg -i /try/jdserver.deb
answers
dpkg --purge jdserver
[ ! -e /etc/jdserver ] && [ ! -e /var/lib/jdserver ] && [ ! -e /var/log/jdserver ]
[ -z "$(find /etc/systemd /var/lib/systemd -name '*jdserver*')" ]
echo all
END
    cat >"$root/etc/systemd/system/try.service" <<'END'
[Unit]
Wants=dbus.socket
After=dbus.socket
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/bash /try/inside.sh
StandardOutput=append:/try/said
StandardError=append:/try/said
TimeoutStartSec=150
END
    timeout 200 systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --private-network --link-journal=no \
        --console=pipe --bind="$at:/try" --boot -- systemd.unit=try.service systemd.show_status=no >"$at/console" 2>&1 || status=$?
    [ -e "$at/said" ] || cat "$at/console"
    tail -30 "$at/said"
    equal "its last word" all "$(tail -1 "$at/said")"
}

# --- the container image

part_container() {
    local root=$work/layers/container
    not_tried "container: the recipe's first stage and an engine; its second stage is copied and run here"
    mkdir "$root"
    try "container: the recipe's files" container_copies "$root"
    try "container: by the recipe's user and words, read-only but for its data" container_works "$root"
}

# What the recipe says of one word, in its last stage.
says() {
    sed '1,/^FROM scratch$/d' "$work/Containerfile" | sed -n "s/^$1 //p"
}

container_copies() {
    local build=$roots/stable from to options
    says COPY | while read -r options; do
        local owner=0:0 words=()
        read -ra words <<<"$options"
        while [[ ${words[0]} == --* ]]; do
            [[ ${words[0]} != --chown=* ]] || owner=${words[0]#--chown=}
            words=("${words[@]:1}")
        done
        from=${words[0]} to=$1${words[1]}
        case $from in
        /src/target/*) from=$work/static ;;
        /empty) from=$work/empty && mkdir -p "$from" ;;
        *) from=$build$from ;;
        esac
        mkdir -p "$(dirname "$to")"
        cp -r "$from" "$to"
        chown -R "$owner" "$to"
    done
    [ -x "$1/usr/bin/jdserver" ]
    equal "programs" /usr/bin/jdserver "$(cd "$1" && find . -type f -perm -1 | sed 's/^.//')"
}

container_works() {
    local root=$1 words data
    data=$root$(says VOLUME)
    as=("--userspec=$(says USER)")
    # Like an engine: all read-only, but for the volume.
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t tmpfs -o "mode=0755,uid=$(stat -c %u "$data"),gid=$(stat -c %g "$data")" jdserver-test "$data"
    mkfifo "$work/none"
    read -ra words <<<"$( { says ENTRYPOINT; says CMD; } | tr -d '[]",' | tr '\n' ' ')"
    # chroot(1) starts in /, an engine where WORKDIR says.
    serve "$root" "${words[@]}" -d "$(says WORKDIR)"
    holds "who it is" 'Uid: 10001 10001 10001 10001 ' "$(tr '\n\t' '  ' <"/proc/${servers[-1]}/status" | tr -s ' ')"
    grep -q '^ *[0-9]*: 00000000:1F91 ' /proc/net/tcp
    works
    calls container http://127.0.0.1:9000
    holds "a time zone" '[0,' "$(jd 'http://127.0.0.1:8081/Timer.preview?cron=0+9+*+*+*&tz=Asia/Shanghai')"
    equal "a timer" '[0,1]' "$(jd http://127.0.0.1:8081/setTimeout -d url=http://127.0.0.1:9000/kept -d cron=1 -d wait=60000)"
    stops
    [ -s "$data/timer.json" ]
}

case ${1:-} in
--inside) shift && inside "$@" ;;
*) outside "$@" ;;
esac
