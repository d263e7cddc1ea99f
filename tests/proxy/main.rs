//! The daemon behind real proxies, as its users have it: Apache with the two rewrite rules, nginx. Everything of the
//! contract must come through. Never a proxy's own features.
//!
//! [`front`] starts them, [`through`] is what must work through each, [`idle`] what happens where a proxy or the daemon
//! closes silent connections, [`prefix`] proxies that keep the path's prefix.

#[path = "../common/mod.rs"]
mod common;

mod front;
mod idle;
mod prefix;
mod through;

/// The README's lines for a proxy, with the daemon at `port`.
fn readme(language: &str, port: u16) -> String {
    let text = include_str!("../../README.md");
    let (_, block) = text
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    block.replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"))
}

/// The two rules, word for word as in their users' `.htaccess`, but for the port.
fn rules(port: u16) -> String {
    let rules = readme("apache", 8081);
    for rule in [
        "rewriterule ^jdserver/(.+) http://127.0.0.1:8081/$1 [P,L]",
        "rewriterule ^jdserver ws://127.0.0.1:8081/ [P,L]",
    ] {
        assert!(rules.contains(rule), "{rule}");
    }
    readme("apache", port)
}

/// The same in a virtual host, for the folder that `FOLDER` stands for.
fn rules_in_host(port: u16) -> String {
    format!("<Directory FOLDER>\n{}</Directory>\n", rules(port))
}

/// The README's server, with further lines in its location, and with connections that are kept where it has none.
fn nginx(port: u16, further: &str, keep: bool) -> String {
    let lines = readme("nginx", port)
        .replace("server {", "server { listen 127.0.0.1:PORT;")
        .replace(
            "location /jdserver/ {",
            &format!("location /jdserver/ {{ {further}"),
        );
    if !keep {
        return lines;
    }
    let upstream = format!("upstream jdserver {{ server 127.0.0.1:{port}; keepalive 4; }}\n");
    upstream + &lines.replace(&format!("http://127.0.0.1:{port}"), "http://jdserver")
}
