//! The clients that administrators have: curl and openssl.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::program::program;
use crate::peer::Pair;
use crate::start;

#[test]
fn curl_calls_pushes_and_polls() {
    let Some(curl) = program("curl") else {
        return;
    };
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    let ask = |port: u16, arguments: &[&str]| {
        let output = Command::new(&curl)
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(server.folder().join("cert.pem"))
            .arg(format!("https://localhost:{port}{}", arguments[0]))
            .args(&arguments[1..])
            .output()
            .expect("curl runs");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for port in [port, server.port()] {
        for version in ["--tlsv1.2", "--tlsv1.3"] {
            for options in [&[version][..], &[version, "--tls-max", "1.2"]] {
                if options.contains(&"--tlsv1.3") && options.len() > 1 {
                    continue;
                }
                let (said, error) = ask(port, &[&["/getUsers?app=a"], options].concat());
                assert_eq!(
                    (said.as_str(), error.as_str()),
                    ("[0,[]]\n", ""),
                    "{options:?}"
                );
            }
        }
        let form = ["/push", "-d", "app=a", "-d", "user=*", "-d", "msg=hello"];
        assert_eq!(ask(port, &form).0, "[0,0]\n");
        assert_eq!(ask(port, &["/getMsg?app=a&user=1&timeout=0.05"]).0, "");
        let (said, error) = ask(
            port,
            &["/", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"],
        );
        assert_eq!((said.as_str(), error.as_str()), ("1.1 200", ""));
    }
}

#[test]
fn openssl_sees_the_chain_and_a_clean_end() {
    let Some(openssl) = program("openssl") else {
        return;
    };
    let pair = Pair::new();
    let (server, port) = start(&pair, "");
    let mut child = Command::new(openssl)
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-servername",
            "localhost",
            "-CAfile",
        ])
        .arg(server.folder().join("cert.pem"))
        .arg("-connect")
        .arg(format!("127.0.0.1:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut input = child.stdin.take().expect("piped");
    input
        .write_all(b"GET /getUsers?app=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.ends_with("[0,[]]\n"),
        "{said}{errors}"
    );
    // A cut instead of an end is an error of openssl.
    assert!(!errors.contains("unexpected eof"), "{errors}");
    assert!(output.status.success(), "{errors}");
}
