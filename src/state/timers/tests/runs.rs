//! How runs go: overlap, retries, slow hosts, full queues, lost workers, stops.

use super::*;

#[test]
fn overlap() {
    for (word, default, calls) in [
        (json!(null), Overlap::Allow, 4),
        (json!("allow"), Overlap::Skip, 4),
        (json!("skip"), Overlap::Allow, 1),
        (json!(null), Overlap::Skip, 1),
        (json!("queue"), Overlap::Allow, 1),
    ] {
        let mut rig = Rig::new();
        let mut settings = Settings::default();
        settings.timer_overlap = default;
        rig.handle(TimersInput::Settings(Box::new(settings)));
        rig.set(json!({"url": "h/i", "cron": 1, "wait": 100, "overlap": word}));
        rig.advance(300);
        assert_eq!(rig.out.len(), calls, "{word} {default:?}");
        rig.end(Ok((200, "")));
        let more = usize::from(word == "queue");
        assert_eq!(rig.out.len(), calls - 1 + more, "{word} {default:?}");
    }
}

#[test]
fn retries() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/r", "retry": 2, "retryWait": 4_000, "sign": "whsec_AAEC"}));
    let header = |callback: &Callback, name: &str| {
        let found = callback
            .request
            .headers
            .iter()
            .find(|(key, _)| &**key == name);
        found.expect("a header").1.to_string()
    };
    let first = rig.out[0].1.clone();
    rig.end(Ok((503, "busy")));
    rig.advance(1_999);
    assert!(rig.out.is_empty());
    rig.advance(2_001);
    let second = rig.out[0].1.clone();
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_ne!(
        header(&first, "webhook-signature"),
        header(&second, "webhook-signature")
    );
    rig.end(Err("refused"));
    rig.advance(3_999);
    assert!(rig.out.is_empty());
    rig.advance(4_001);
    rig.end(Ok((404, "no\nsuch")));
    rig.advance(100_000_000);
    assert!(rig.out.is_empty());
    let last = rig.trace.last().expect("a line");
    assert!(last.ends_with("fails: no\\nsuch (404, 12 ms)"), "{last}");
    let counters = rig.timers.counters();
    assert_eq!(
        (counters.fired, counters.retried, counters.failed),
        (3, 2, 1)
    );
    // Without `retry`, any answer is a success.
    rig.set(json!({"url": "h/r"}));
    rig.end(Ok((500, "")));
    assert_eq!(rig.timers.counters().failed, 1);
}

#[test]
fn a_retry_ends_with_its_timer() {
    let mut rig = Rig::new();
    let id = id_of(&rig.set(json!({"url": "h/r", "cron": "0 0 * * *", "retry": 5})));
    rig.call(TimerRequest::Run(key(id)));
    rig.end(Err("refused"));
    rig.call(TimerRequest::Del(key(id)));
    rig.advance(10_000_000);
    assert!(rig.out.is_empty());
    assert!(rig.timers.running.is_empty() && rig.timers.deadlines.is_empty());
}

#[test]
fn a_lost_worker_gives_its_slot_back() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/a", "timeout": 1}));
    let (_, callback) = rig.out.pop_front().expect("one");
    rig.advance(1_000 + CALLBACK_LOST_MS - 1);
    assert_eq!(rig.timers.counters().busy_workers, 1);
    rig.advance(1);
    assert_eq!(rig.timers.counters().busy_workers, 0);
    // And an answer after all finds nothing.
    rig.end_one(&callback, Ok((200, "")));
    assert_eq!(rig.timers.counters().failed, 1);
}

#[test]
fn a_full_workers_queue_gives_callbacks_back() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/a"}));
    for _ in 0..3 {
        let (_, callback) = rig.out.pop_front().expect("one");
        rig.handle(TimersInput::CallbackRefused(Box::new(callback)));
        assert!(rig.out.is_empty());
        rig.advance(10);
    }
    assert_eq!(rig.end_all(), 1);
    assert_eq!(rig.trace.len(), 2);
    assert_eq!(rig.timers.counters().fired, 1);
}

#[test]
fn a_slow_host_delays_no_other() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        rig.set(json!({"url": "dead/x"}));
    }
    assert_eq!(rig.out.len(), 24);
    rig.set(json!({"url": "well/y"}));
    assert_eq!(rig.out.len(), 25);
    for _ in 0..20 {
        rig.end(Err("timeout"));
    }
    assert_eq!(rig.out.len(), 5);
    for _ in 0..4 {
        rig.end(Err("timeout"));
    }
    rig.advance(0);
    assert_eq!(rig.out.len(), 5);
    rig.out.rotate_left(1);
    rig.end(Ok((200, "")));
    assert!(rig.out.len() > 20, "it is well again");
    assert_eq!(
        rig.timers.counters().queue_depth,
        76 - 4 - rig.out.len() + 4
    );
}

#[test]
fn a_queued_one_shot_can_be_cancelled() {
    let mut rig = Rig::new();
    for _ in 0..24 {
        rig.set(json!({"url": "h/x"}));
    }
    let id = id_of(&rig.set(json!({"url": "h/late", "wait": 10})));
    rig.advance(11);
    assert_eq!(rig.call(TimerRequest::Del(key(id))), json!([0, null]));
    assert!(rig.fired().iter().all(|(url, _)| url == "x"));
    // One that is with a worker cannot.
    let id = id_of(&rig.set(json!({"url": "h/late", "wait": 10})));
    rig.advance(11);
    assert_eq!(rig.call(TimerRequest::Del(key(id)))[0], 1);
    rig.end_all();
    assert!(rig.timers.running.is_empty() && rig.timers.deadlines.is_empty());
    assert_eq!(
        (rig.timers.built, rig.timers.counters().busy_workers),
        (0, 0)
    );
}

#[test]
fn a_stop_ends_what_is_out_and_begins_nothing() {
    let mut rig = Rig::new();
    rig.set(json!({"url": "h/i", "cron": 1, "wait": 100}));
    rig.advance(0);
    rig.handle(TimersInput::Stop);
    assert!(!rig.timers.is_stopped());
    assert_eq!(rig.set(json!({"url": "h/n"}))[0], 4);
    rig.advance(1_000);
    assert_eq!(rig.out.len(), 1);
    rig.end_all();
    assert!(rig.timers.is_stopped());
}

#[test]
fn one_shots_wait_for_room_in_the_queue() {
    let mut rig = Rig::new();
    // The queue's share of one host is filled by what can be set in a test.
    rig.timers.dispatch = crate::state::dispatch::Dispatch::new(100);
    for _ in 0..300 {
        assert_eq!(rig.set(json!({"url": "h/x"})), json!([0, null]));
    }
    assert!(rig.timers.queue.len() > 200, "they wait in the heap");
    let mut count = 0;
    for _ in 0..40 {
        count += rig.end_all();
        rig.advance(DISPATCH_RETRY_MS);
    }
    count += rig.end_all();
    assert_eq!(count, 300, "none is lost");
}
