//! What handlers of plugins do, and in which order.

use crate::common::http::push;
use crate::common::websocket::Ws;
use crate::shop;

#[test]
fn what_a_handler_pushes_comes_before_the_answer() {
    let server = shop();
    let mut ann = Ws::open(&server);
    ann.send_text("{\"ac\":\"init\",\"app\":\"shop\",\"user\":\"ann\"}");
    assert_eq!(ann.text(), "OK");
    assert_eq!(ann.text(), "{\"welcome\":\"ann\"}");
    // The first one sleeps: the second waits for it.
    ann.send_text("{\"ac\":\"slow\",\"text\":\"1\"}");
    ann.send_text("{\"ac\":\"say\",\"text\":\"2\"}");
    for expected in ["{\"echo\":\"1\"}", "OK", "{\"echo\":\"2\"}", "OK"] {
        assert_eq!(ann.text(), expected);
    }
    assert_eq!(push(&server, "shop", "ann", "hi"), 1);
    assert_eq!(ann.text(), "hi");
    server.line_in("trace.log", |line| line.ends_with("] pushed to ann: hi"));
}

#[test]
fn an_end_is_heard_of() {
    let server = shop();
    let mut watch = Ws::user(&server, "watch", "w");
    let mut ann = Ws::open(&server);
    ann.send_text("{\"ac\":\"init\",\"app\":\"shop\",\"user\":\"ann\"}");
    ann.send_text("{\"ac\":\"bye\"}");
    assert_eq!(watch.text(), "{\"gone\":\"ann\"}");
}
