<?php
/**
 * Client of jdserver: pushes, users, timers, any call. PHP 7.2 or later, no extension needed (openssl for https).
 * jdserver 的 PHP 客户端：推送、在线用户、定时器及任意调用。单个文件，无需扩展（https 需要 openssl）。
 *
 *     require "jdserver.php";
 *     $jd = new JDServer("http://127.0.0.1:8081", ["token" => "…"]);   // options: token, timeout (s), insecure
 *     $n = $jd->push("app1", "user1,group/*", ["id" => 1]);            // how many connections took it
 *     $users = $jd->getUsers("app1");
 *     $id = $jd->setTimeout("http://localhost/a.php", ["wait" => 3000, "data" => ["id" => 1]]);
 *     $jd->pushAsync("app1", "*", "hello");                             // does not wait for the answer
 *
 * The address is http://HOST[:PORT][/PATH], https://… or unix:/run/jdserver.sock. What fails throws a JDServerException:
 * its code and message are the answer's (1 bad parameter, 4 server …), -2 where there was no answer; $e->detail says more.
 */
class JDServerException extends Exception
{
    /** @var mixed What the server said beside the message. */
    public $detail;

    public function __construct($code, $message, $detail = null)
    {
        parent::__construct($message, $code);
        $this->detail = $detail;
    }
}

class JDServer
{
    private $socket;
    private $host;
    private $path;
    private $token;
    private $timeout;
    private $insecure;

    public function __construct($url = "http://127.0.0.1:8081", array $options = [])
    {
        $this->token = $options["token"] ?? "";
        $this->timeout = $options["timeout"] ?? 5;
        $this->insecure = $options["insecure"] ?? false;
        if (preg_match('/\s/', $url . $this->token)) {
            throw new InvalidArgumentException("jdserver: no blanks or line ends in url or token");
        }
        if (strpos($url, "unix:") === 0) {
            list($this->socket, $this->host, $this->path) = ["unix://" . substr($url, 5), "localhost", "/"];
            return;
        }
        $parts = parse_url($url);
        $scheme = $parts["scheme"] ?? "";
        if (!isset($parts["host"]) || !in_array($scheme, ["http", "https"], true)) {
            throw new InvalidArgumentException("jdserver: expected http://HOST:PORT, https://HOST or unix:/PATH, not $url");
        }
        $port = $parts["port"] ?? ($scheme === "https" ? 443 : 80);
        $this->socket = ($scheme === "https" ? "ssl://" : "tcp://") . $parts["host"] . ":$port";
        $this->host = $parts["host"] . (isset($parts["port"]) ? ":$port" : "");
        $this->path = rtrim($parts["path"] ?? "", "/") . "/";
    }

    /** Pushes to the users a list of patterns names. Gives the number of connections that took it. */
    public function push($app, $user, $msg)
    {
        return $this->call("push", [], ["app" => $app, "user" => $user, "msg" => $msg]);
    }

    /** Pushes many: a list of ["app" =>, "user" =>, "msg" =>]. Gives the list of counts. */
    public function pushList(array $list)
    {
        return $this->call("push", [], array_values($list));
    }

    /** Pushes without waiting for the answer. */
    public function pushAsync($app, $user, $msg)
    {
        $this->callAsync("push", [], ["app" => $app, "user" => $user, "msg" => $msg]);
    }

    /** The users online, one entry per connection. */
    public function getUsers($app)
    {
        return $this->call("getUsers", ["app" => $app]);
    }

    /** Calls a URL later or again and again: $fields are wait (ms), data, cron, code, headers, useJson … Gives the id or null. */
    public function setTimeout($url, array $fields = [])
    {
        return $this->call("setTimeout", [], ["url" => $url] + $fields);
    }

    /**
     * A call of a timer: get, set, enable, disable, del, run, log; query, clear (no key).
     * $key is an id (int) or a code (string); $fields are what set changes.
     */
    public function timer($method, $key = null, array $fields = [])
    {
        $get = $key === null ? [] : [is_int($key) ? "id" : "code" => $key];
        return $this->call("Timer.$method", $get, $fields);
    }

    /** Any call: $get goes into the query, $post (null: none) into a JSON body. Gives the answer's data. */
    public function call($ac, array $get = [], $post = null)
    {
        $stream = $this->send($ac, $get, $post);
        $answer = stream_get_contents($stream);
        $timedOut = stream_get_meta_data($stream)["timed_out"];
        fclose($stream);
        if ($timedOut || !preg_match('~^HTTP/\d\.\d (\d+)[^\r]*\r\n.*?\r\n\r\n(.*)$~s', (string)$answer, $match)) {
            throw new JDServerException(-2, "jdserver: no answer to $ac", $timedOut ? "timed out" : $answer);
        }
        $result = json_decode($match[2], true);
        if (!is_array($result) || !array_key_exists(0, $result)) {
            throw new JDServerException(-2, "jdserver: HTTP {$match[1]} to $ac", trim($match[2]));
        }
        if ($result[0] !== 0) {
            throw new JDServerException($result[0], $result[1] ?? "", $result[2] ?? null);
        }
        return $result[1] ?? null;
    }

    /**
     * Any call, without waiting for the answer: a whole request runs even if its sender is gone. Over https it waits until
     * the answer begins: TLS has the server speak first, and closing on unread bytes resets what is still under way.
     */
    public function callAsync($ac, array $get = [], $post = null)
    {
        $stream = $this->send($ac, $get, $post);
        if (strpos($this->socket, "ssl:") === 0) {
            fread($stream, 1);
        }
        fclose($stream);
    }

    /** Writes one whole request. HTTP/1.0, so that no answer comes in chunks, whatever proxy is on the way. */
    private function send($ac, array $get, $post)
    {
        $query = $get ? "?" . http_build_query($get) : "";
        $body = "";
        $request = ($post === null ? "GET " : "POST ") . $this->path . str_replace("%2F", "/", rawurlencode($ac)) . $query . " HTTP/1.0\r\n";
        $request .= "Host: {$this->host}\r\n";
        if ($this->token !== "") {
            $request .= "Authorization: Bearer {$this->token}\r\n";
        }
        if ($post !== null) {
            $flags = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION;
            $body = $post === [] ? "{}" : json_encode($post, $flags);
            if ($body === false) {
                throw new JDServerException(-2, "jdserver: $ac: " . json_last_error_msg());
            }
            $request .= "Content-Type: application/json\r\nContent-Length: " . strlen($body) . "\r\n";
        }
        $context = stream_context_create($this->insecure ? ["ssl" => ["verify_peer" => false, "verify_peer_name" => false]] : []);
        $stream = @stream_socket_client($this->socket, $errno, $error, $this->timeout, STREAM_CLIENT_CONNECT, $context);
        if ($stream === false) {
            throw new JDServerException(-2, "jdserver: cannot connect to {$this->socket}", $error);
        }
        stream_set_timeout($stream, (int)$this->timeout, (int)(fmod($this->timeout, 1) * 1000000));
        for ($rest = "$request\r\n$body"; $rest !== ""; $rest = substr($rest, $written)) {
            $written = @fwrite($stream, $rest);
            if (!$written) {
                fclose($stream);
                throw new JDServerException(-2, "jdserver: the request of $ac could not be sent");
            }
        }
        return $stream;
    }
}
