#!/usr/bin/env bash
# Every call of jdserver with curl, each with the answer that is right: reference and test in one.
#
#     tests/calls.sh [BASE]                 default http://127.0.0.1:8081; a path prefix is fine
#     TOKEN=secret tests/calls.sh           for a server with conf_token
#     VERBOSE=1 tests/calls.sh              prints each command line and its answer
#
# Exits 0 when every answer was the expected one, else 1 after naming each that differed. Leaves nothing
# behind but one run-time value (conf_calls_sh); `reload` reads the server's settings again. It expects
# default limits and origins. WebSocket is not shown: Debian's curl is built without it; see /test.html.
# shellcheck disable=SC2016    # backquotes and $ in the answers are the answers' own

set -u

BASE=${1:-http://127.0.0.1:8081}
BASE=${BASE%/}
APP=calls$$ # of this run only, so that no real receiver gets anything
WORK=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$WORK"' EXIT

passed=0
failed=0
AUTH=()
[ -z "${TOKEN:-}" ] || AUTH=(-H "Authorization: Bearer $TOKEN")

# -g: the brackets and braces of patterns and batches are ours, not curl's.
jd() {
    curl -g -sS --max-time 15 "${AUTH[@]}" "$@"
}

# equal WHAT EXPECTED GOT
equal() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'differs: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    fi
}

# call WHAT EXPECTED CURL-ARGUMENTS...: the body, without the newline at its end
call() {
    local what=$1 expected=$2 got
    shift 2
    got=$(jd "$@" 2>&1)
    [ -z "${VERBOSE:-}" ] || printf '\n# %s\ncurl -g %s\n%s\n' "$what" "${*@Q}" "$got"
    equal "$what" "$expected" "$got"
}

# status WHAT EXPECTED CURL-ARGUMENTS...: the status alone
status() {
    local what=$1 expected=$2
    shift 2
    call "$what" "$expected" -o "$WORK/body" -w '%{http_code}' "$@"
}

# header WHAT 'Name: value' CURL-ARGUMENTS...: a line that the answer's head must hold, in any case
header() {
    local what=$1 expected=$2 head
    shift 2
    head=$(jd -o "$WORK/body" -D - "$@" 2>&1 | tr -d '\r')
    [ -z "${VERBOSE:-}" ] || printf '\n# %s\ncurl -g %s\n%s\n' "$what" "${*@Q}" "$head"
    if grep -qixF -- "$expected" <<<"$head"; then
        equal "$what" "$expected" "$expected"
    else
        equal "$what" "$expected" "$head"
    fi
}

# listen NAME USER: waits for one message in the background; back once the server lists the user
listen() {
    local before=$SECONDS
    jd -G "$BASE/getMsg" -d "app=$APP" --data-urlencode "user=$2" -d timeout=10 -o "$WORK/$1" &
    printf '%s' $! >"$WORK/$1.pid"
    until jd "$BASE/getUsers?app=$APP&_raw=2" | tr '\t' '\n' | grep -qxF -- "$2"; do
        if [ $((SECONDS - before)) -gt 5 ]; then
            equal "a poller is listed" "$2" "$(jd "$BASE/getUsers?app=$APP")"
            return
        fi
    done
}

# heard WHAT EXPECTED NAME: what that poller got
heard() {
    wait "$(cat "$WORK/$3.pid")"
    [ -z "${VERBOSE:-}" ] || printf '\n# %s\n%s\n' "$1" "$(cat "$WORK/$3")"
    equal "$1" "$2" "$(cat "$WORK/$3")"
}

if ! jd -o "$WORK/body" "$BASE/stat"; then
    echo "no server at $BASE: start one, or name it: tests/calls.sh http://HOST:PORT"
    exit 1
fi

JSON='Content-Type: application/json'

# ---- push ----------------------------------------------------------------------------------

# Everything in the query; the answer is the number of connections that took the message.
call 'push by query, to nobody' '[0,0]' "$BASE/push?app=$APP&user=*&msg=hello"

# The message in a form.
call 'push by form' '[0,0]' "$BASE/push?app=$APP&user=*" -d msg=hello

# Everything in a JSON object; the message may be a text, a number, a bool, an object or a list.
call 'push by JSON' '[0,0]' "$BASE/push" -H "$JSON" -d '{"app":"'"$APP"'","user":"*","msg":{"id":1,"text":"订单10待审批"}}'

# A multipart form, as browsers and PHP's curl send it.
call 'push by multipart form' '[0,0]' "$BASE/push" -F "app=$APP" -F user=u1 -F msg=hello

# A text reaches its receiver as it is.
listen one u1
call 'push to a poller' '[0,1]' "$BASE/push?app=$APP&user=u1" --data-urlencode 'msg=你好 & bye'
heard 'a text' '你好 & bye' one

# < and > in a text by HTTP are escaped (conf_htmlEscape=0 switches that off) ...
listen one u1
call 'push of markup' '[0,1]' "$BASE/push?app=$APP&user=u1" --data-urlencode 'msg=<b>'
heard 'escaped markup' '&lt;b&gt;' one

# ... but never inside an object, and numbers stay exact.
listen one u1
call 'push of an object' '[0,1]' "$BASE/push" -H "$JSON" -d '{"app":"'"$APP"'","user":"u1","msg":{"a":"<b>","n":12345678901234567890,"o":{},"l":[]}}'
heard 'an object' '{"a":"<b>","n":12345678901234567890,"o":{},"l":[]}' one

# PHP's brackets in a form make an object ...
listen one u1
call 'push of a nested form' '[0,1]' "$BASE/push" -d "app=$APP&user=u1&msg[id]=1&msg[who][name]=x&msg[tags][]=a&msg[tags][]=b"
heard 'a nested form' '{"id":"1","who":{"name":"x"},"tags":["a","b"]}' one

# ... or a list.
listen one u1
call 'push of a list by form' '[0,1]' "$BASE/push" -d "app=$APP&user=u1&msg[]=1&msg[]=2"
heard 'a list by form' '["1","2"]' one

# Receivers: names by commas, patterns, groups by prefix. Six pollers hear one push each.
listen one u1
listen two u2
call 'push to a list of users' '[0,2]' "$BASE/push?app=$APP&user=u1,u2,u3&msg=list"
heard 'first of a list' list one
heard 'second of a list' list two
listen one u1
listen two u2
call 'a class; nobody gets a message twice' '[0,1]' "$BASE/push?app=$APP&user=u[2-9],u2&msg=class"
heard 'a class' class two
listen three group1/7
call 'push to a group' '[0,1]' "$BASE/push?app=$APP&user=group1/*&msg=group"
heard 'a group' group three
call 'one character' '[0,1]' "$BASE/push?app=$APP&user=?1&msg=question"
heard 'one character' question one

# In JSON the receivers may be a list; a name in it is a pattern, too.
listen one u1
call 'receivers as a JSON list' '[0,1]' "$BASE/push" -H "$JSON" -d '{"app":"'"$APP"'","user":["u1","nobody"],"msg":true}'
heard 'a bool goes as its text' true one

# Many messages in one call, order kept: a list of counts.
listen one u1
call 'a list of pushes' '[0,[1,0,0]]' "$BASE/push" -H "$JSON" \
    -d '[{"app":"'"$APP"'","user":"u1","msg":"first"},{"app":"'"$APP"'","user":"u1","msg":"second"},{"app":"'"$APP"'","user":"zz","msg":3}]'
heard 'the first of a list of pushes' first one

# ---- who is online, long poll ----------------------------------------------------------------

# In order of arrival, one entry per connection.
listen one u1
listen two u2
call 'getUsers' '[0,["u1","u2"]]' "$BASE/getUsers?app=$APP"
call 'push to all' '[0,2]' "$BASE/push?app=$APP&user=*&msg=all"
heard 'all, first' all one
heard 'all, second' all two
call 'getUsers of an empty app' '[0,[]]' "$BASE/getUsers?app=$APP"

# A long poll without a message: 200 and an empty body once its time is over (seconds, a fraction is fine).
call 'getMsg times out' '' "$BASE/getMsg?app=$APP&user=u1&timeout=0.2"
status 'getMsg times out with 200' 200 "$BASE/getMsg?app=$APP&user=u1&timeout=0.1"
call 'getMsg without user' '*** error: require param `user`' "$BASE/getMsg?app=$APP"

# ---- service ---------------------------------------------------------------------------------

# Counters since the start, under Swoole's names.
status 'stat' 200 "$BASE/stat"
for name in start_time connection_num accept_count close_count abort_count request_count response_count worker_num \
    worker_request_count total_recv_bytes total_send_bytes coroutine_num jdserver_timer_cnt; do
    equal "stat has $name" 1 "$(grep -cE "\"$name\":[0-9]+[,}]" "$WORK/body")"
done
for name in jdserver_start_time jdserver_tm; do
    equal "stat has $name" 1 "$(grep -cE "\"$name\":\"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\"" "$WORK/body")"
done

# What looks at the daemon: the last hour, who is online by pattern, the logs, the settings, and what monitoring asks.
status 'the last hour' 200 "$BASE/statHistory"
equal 'the last hour has names' 1 "$(grep -c '^\[0,{"interval":10,"h":\["t",' "$WORK/body")"
listen one u1
call 'apps by pattern' "[0,[{\"app\":\"$APP\",\"count\":1}]]" "$BASE/getApps?match=$APP*"
call 'users by pattern' '[0,["u1"]]' "$BASE/getUsers?app=$APP&match=u[0-9]&limit=5"
call 'the end of a user list' '[0,1]' "$BASE/push?app=$APP&user=u1&msg=x"
heard 'the end of a user list' x one
status 'the last log line' 200 "$BASE/logTail?limit=1&match=$APP"
equal 'a log line' 1 "$(grep -c "\"server\",\"=== REQ at .*\[app $APP\]" "$WORK/body")"
status 'settings' 200 "$BASE/getSettings"
equal 'a setting' 1 "$(grep -c '"name":"max_rate","value":"[0-9]*","default":"0"' "$WORK/body")"
status 'metrics' 200 "$BASE/metrics"
equal 'a metric' 1 "$(grep -c '^jdserver_connections [0-9]' "$WORK/body")"
call 'health' 'ok' "$BASE/healthz"

# Values at run time; the answer is what was set. Names nobody knows are for plugins.
call 'conf' '[0,{"conf_calls_sh":"1"}]' "$BASE/conf?conf_calls_sh=1"
call 'conf sets conf_ names only' '[0,[]]' "$BASE/conf?other=1"

# Reads the settings again; no connection is lost.
listen one u1
call 'reload' '[0,true]' "$BASE/reload"
call 'reload keeps connections' '[0,1]' "$BASE/push?app=$APP&user=u1&msg=still"
heard 'reload keeps connections' still one

# ---- names and parameters ----------------------------------------------------------------------

# The name may also come as _ac (goes before the path) or, at the root, as ac.
call '_ac' '[0,[]]' "$BASE/x?_ac=getUsers&app=$APP"
call 'ac at the root' '[0,[]]' "$BASE/?ac=getUsers&app=$APP"

# The query goes before the body; an empty value there hides the body's.
call 'query before body' '[1,"缺少参数`msg`","Bad Request - param `msg` is missing"]' "$BASE/push?app=$APP&user=u&msg=" -d msg=x

# REST-like paths: a name with a capital is an object; verb and id choose the method.
call 'GET an object' '[2,"未登录","Operation is not allowed for current user: `No.query`"]' "$BASE/No"
call 'GET one' '[2,"未登录","Operation is not allowed for current user: `No.get`"]' "$BASE/No/7"
call 'POST' '[2,"未登录","Operation is not allowed for current user: `No.add`"]' "$BASE/No" -X POST
call 'PATCH one' '[2,"未登录","Operation is not allowed for current user: `No.set`"]' "$BASE/No/7" -X PATCH
call 'DELETE one' '[2,"未登录","Operation is not allowed for current user: `No.del`"]' "$BASE/No/7" -X DELETE
call 'a method by path' '[2,"未登录","Operation is not allowed for current user: `No.such`"]' "$BASE/No/such/7"
call 'a method by dot' '[2,"未登录","Operation is not allowed for current user: `No.such`"]' "$BASE/No.such"
call 'PATCH needs an id' '[1,"参数不正确","missing id"]' "$BASE/No" -X PATCH

# ---- shapes of an answer -----------------------------------------------------------------------

call '_raw=1: data alone' '[]' "$BASE/getUsers?app=$APP&_raw=1"
call '_raw=1: an error is its message' '接口不支持' "$BASE/nosuch?_raw=1"
call '_jsonp=f' 'cb([0,[]]);' "$BASE/getUsers?app=$APP&_jsonp=cb"
call '_jsonp=v=' 'v=[0,[]];' "$BASE/getUsers?app=$APP&_jsonp=v%3d"
call '_jsonp and _raw' 'cb([]);' "$BASE/getUsers?app=$APP&_jsonp=cb&_raw=1"
call 'retfn=obj' '{"code":0,"data":[]}' "$BASE/getUsers?app=$APP&retfn=obj"
call 'retfn=obj, an error' '{"code":1,"message":"接口不支持","debug":"Bad request - unknown ac: nosuch"}' "$BASE/nosuch?retfn=obj"
call 'retfn=xml' '<ret>
 <code>0</code>
 <data count="0"/>
</ret>' "$BASE/getUsers?app=$APP&retfn=xml"
header 'retfn=xml has its own type' 'Content-Type: application/xml; charset=UTF-8' "$BASE/getUsers?app=$APP&retfn=xml"

# _raw=2: the values of a list or object, joined by tabs.
listen one u1
listen two u2
call '_raw=2' $'u1\tu2' "$BASE/getUsers?app=$APP&_raw=2"

# ---- batch -------------------------------------------------------------------------------------

# Several calls in one; `ref` names the parameters in which earlier answers are filled: {$1} is the
# first, {$-1} the last. One fails without the others.
call 'batch with ref' '[0,[[0,["u1","u2"]],[0,1],[0,1],[1,"接口不支持","Bad request - unknown ac: nosuch"]]]' "$BASE/batch" -H "$JSON" -d '[
    {"ac":"getUsers","get":{"app":"'"$APP"'"}},
    {"ac":"push","get":{"app":"'"$APP"'","user":"{$1[0]}"},"post":{"msg":"{$1}"},"ref":["user","msg"]},
    {"ac":"push","get":{"app":"'"$APP"'","user":"u2"},"post":{"msg":"took: {$-1}"},"ref":["msg"]},
    {"ac":"nosuch"}]'
heard 'a list filled in' '["u1","u2"]' one
heard 'an answer filled into a text' 'took: 1' two

# useTrans=1 stops at the first failure.
call 'batch with useTrans' '[0,[[0,[]],[1,"接口不支持","Bad request - unknown ac: nosuch"],[-100,"事务失败，取消执行","batch call cancelled."]]]' \
    "$BASE/batch?useTrans=1" -H "$JSON" -d '[{"ac":"getUsers","get":{"app":"'"$APP"'"}},{"ac":"nosuch"},{"ac":"getUsers","get":{"app":"'"$APP"'"}}]'
call 'batch takes POST only' '[1,"参数不正确","batch MUST use `POST'"'"' method"]' "$BASE/batch"

# ---- errors of a call: status 200, [code, message, detail] -------------------------------------

call 'an unknown call' '[1,"接口不支持","Bad request - unknown ac: nosuch"]' "$BASE/nosuch"
call 'a missing parameter' '[1,"缺少参数`app`","Bad Request - param `app` is missing"]' "$BASE/push"
call 'bad JSON' '[1,"参数不正确","bad json-format body"]' "$BASE/push" -H "$JSON" -d '{bad'
call 'a verb no call takes' "[1,\"参数不正确\",\"bad verb 'PUT'. use 'GET' or 'POST'\"]" "$BASE/getUsers?app=$APP" -X PUT

# ---- HTTP --------------------------------------------------------------------------------------

header 'the type of an answer' 'Content-Type: text/plain; charset=UTF-8' "$BASE/getUsers?app=$APP"
header 'answers are not cached' 'Cache-Control: no-cache' "$BASE/getUsers?app=$APP"

# CORS: the origin is echoed; a preflight gets what it asks for and runs nothing.
header 'CORS: origin' 'Access-Control-Allow-Origin: http://ex.com' "$BASE/getUsers?app=$APP" -H 'Origin: http://ex.com'
header 'CORS: credentials' 'Access-Control-Allow-Credentials: true' "$BASE/getUsers?app=$APP" -H 'Origin: http://ex.com'
PREFLIGHT=(-X OPTIONS -H 'Origin: http://ex.com' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type,x-a')
header 'preflight: methods' 'Access-Control-Allow-Methods: POST' "$BASE/push" "${PREFLIGHT[@]}"
header 'preflight: headers' 'Access-Control-Allow-Headers: content-type,x-a' "$BASE/push" "${PREFLIGHT[@]}"
call 'preflight: status and size' '200 0' -o "$WORK/body" -w '%{http_code} %{size_download}' "$BASE/push" "${PREFLIGHT[@]}"

# HEAD: no body, and the call is not run.
listen one u1
call 'HEAD' '200 0' -I -o "$WORK/body" -w '%{http_code} %{size_download}' "$BASE/stat"
status 'HEAD of a push' 200 -I "$BASE/push?app=$APP&user=u1&msg=no"
call 'HEAD ran nothing' '[0,["u1"]]' "$BASE/getUsers?app=$APP"
call 'the poller still waits' '[0,1]' "$BASE/push?app=$APP&user=u1&msg=yes"
heard 'the poller still waits' yes one

# Files: the root is index.html; an ETag saves the second transfer; what is missing is 404 and empty.
header 'a page' 'Content-Type: text/html; charset=UTF-8' "$BASE/"
tag=$(jd -o "$WORK/body" -D - "$BASE/index.html" | tr -d '\r' | sed -n 's/^etag: //Ip')
call 'the same page again' '304 0' -o "$WORK/body" -w '%{http_code} %{size_download}' "$BASE/index.html" -H "If-None-Match: $tag"
status 'another tag' 200 "$BASE/index.html" -H 'If-None-Match: "other"'
call 'no such file' '404 0' -o "$WORK/body" -w '%{http_code} %{size_download}' "$BASE/nosuch.html"
status 'never outside the root' 400 --path-as-is "$BASE/../../etc/x.txt"

# Errors of the transport are real statuses with one line of text.
status 'no Host' 400 -H 'Host:' "$BASE/stat"
status 'a target too long' 414 "$BASE/stat?x=$(head -c 9000 /dev/zero | tr '\0' x)"
status 'a head too large' 431 -H "X-Long: $(head -c 40000 /dev/zero | tr '\0' x)" "$BASE/stat"
status 'an expectation nobody knows' 417 -H 'Expect: the-unexpected' "$BASE/stat"
status 'an old WebSocket' 426 "$BASE/" -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 8' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
head -c 5000000 /dev/zero >"$WORK/large"
status 'a body too large' 413 "$BASE/push" -H 'Content-Type: text/plain' --data-binary @"$WORK/large"

# Where there is a token, a call without it is refused; the pages stay open.
if [ -n "${TOKEN:-}" ]; then
    SAVED=("${AUTH[@]}")
    AUTH=()
    call 'a call without the token' '[2,"未登录","token required"]' "$BASE/stat"
    status 'a call without the token: 401' 401 "$BASE/stat"
    status 'the token as a parameter' 200 "$BASE/stat?_token=$TOKEN"
    status 'pages stay open' 200 "$BASE/"
    AUTH=("${SAVED[@]}")
fi

echo "$passed answers as expected, $failed not ($BASE)"
[ "$failed" -eq 0 ]
