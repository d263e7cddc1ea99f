<?php
// Uses static/jdserver.php for a test: php check.php FILE URL TOKEN. Prints what every call gave, one line each.
require $argv[1];
$jd = new JDServer($argv[2], ["token" => $argv[3], "timeout" => 10]);

function show($what, $call)
{
    try {
        $result = json_encode($call(), JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
    } catch (JDServerException $e) {
        $result = "error " . $e->getCode() . " " . $e->getMessage() . " | " . json_encode($e->detail, JSON_UNESCAPED_UNICODE);
    }
    echo "$what: $result\n";
}

show("users", function () use ($jd) { return $jd->getUsers("php"); });
show("push", function () use ($jd) { return $jd->push("php", "u*", ["id" => 1, "text" => "你好 <b>", "price" => 1.5]); });
show("text", function () use ($jd) { return $jd->push("php", ["u1", "zz"], "plain"); });
show("list", function () use ($jd) {
    return $jd->pushList([["app" => "php", "user" => "u1", "msg" => "a"], ["app" => "php", "user" => "zz", "msg" => "b"]]);
});
show("missing", function () use ($jd) { return $jd->push("php", "u1", null); });
show("unknown", function () use ($jd) { return $jd->call("nosuch"); });
show("broken text", function () use ($jd) { return $jd->push("php", "u1", "\xff"); });
$jd->pushAsync("php", "u1", str_repeat("x", 200000));

$id = $jd->setTimeout("http://127.0.0.1:1/x", ["cron" => "0 0 1 1 *", "code" => "php-timer-1", "data" => ["a" => [1, 2]]]);
show("id", function () use ($id) { return is_int($id) && $id > 0; });
show("get", function () use ($jd, $id) { return $jd->timer("get", $id)["data"]; });
show("set", function () use ($jd) { return $jd->timer("set", "php-timer-1", ["cron" => "0 1 1 1 *"]); });
show("cron", function () use ($jd) { return $jd->timer("get", "php-timer-1")["cron"]; });
show("del", function () use ($jd, $id) { return $jd->timer("del", $id); });
show("gone", function () use ($jd, $id) { return $jd->timer("get", $id); });
show("query", function () use ($jd) { return $jd->timer("query"); });
show("one-shot", function () use ($jd) { return $jd->setTimeout("http://127.0.0.1:1/x", ["wait" => 3600000]) < 0; });
show("batch", function () use ($jd) {
    return $jd->call("batch", [], [["ac" => "getUsers", "get" => ["app" => "php"]], ["ac" => "nosuch"]]);
});

$other = new JDServer($argv[2], ["token" => "wrong"]);
show("token", function () use ($other) { return $other->getUsers("php"); });
$nobody = new JDServer("http://127.0.0.1:1");
show("nobody", function () use ($nobody) { return $nobody->getUsers("php"); });
foreach (["ftp://x", "127.0.0.1:8081", "http://h\r\nX: 1"] as $url) {
    try {
        new JDServer($url);
        echo "taken: $url\n";
    } catch (InvalidArgumentException $e) {
        echo "refused\n";
    }
}
