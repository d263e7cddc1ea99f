//! Plugins that change while the daemon runs.

use std::fs;

use crate::common::http::get;
use crate::common::server::Server;

#[test]
fn a_reload_switches_whole_or_not_at_all() {
    let server = Server::setup()
        .file(
            "api.lua",
            "n = 0 function api_n(env) n = n + 1 return n end",
        )
        .start();
    assert_eq!(get(&server, "/n"), "[0,1]\n");
    assert_eq!(get(&server, "/n"), "[0,2]\n");
    let write = |name: &str, source: &str| {
        let path = server.folder().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, source).expect("file");
    };
    // One that does not load leaves the others as they are.
    write("jdserver.d/20-bad.lua", "\nnosuch()");
    let answer = get(&server, "/reload");
    assert_eq!(
        answer,
        "[4,\"服务器错误\",\"jdserver.d/20-bad.lua:2: attempt to call a nil value (global 'nosuch')\"]\n"
    );
    assert_eq!(get(&server, "/n"), "[0,3]\n");
    write("jdserver.d/20-bad.lua", "function api_m() return 'm' end");
    assert_eq!(get(&server, "/reload"), "[0,true]\n");
    assert_eq!(get(&server, "/n"), "[0,1]\n");
    assert_eq!(get(&server, "/m"), "[0,\"m\"]\n");
}
