//! Files as the original, an editor or chance may leave them.

use proptest::prelude::*;

use super::*;

fn e(id: Option<i64>, json: &str) -> Entry {
    Entry {
        id,
        json: json.into(),
    }
}

#[track_caller]
fn parsed(text: &str) -> TimerFile {
    parse(text.as_bytes()).expect(text)
}

#[track_caller]
fn check_list(list: &str, expected: &[Entry], strays: &[&str]) {
    let file = parsed(&format!("{{\"nextId\":3,\"list\":{list}}}"));
    assert_eq!(file.list, expected, "{list}");
    assert_eq!(
        file.strays.iter().map(|text| &**text).collect::<Vec<_>>(),
        strays,
        "{list}"
    );
}

fn write(file: &TimerFile) -> String {
    let mut writer = Writer::new(file.next_id);
    for entry in &file.list {
        writer.item(&entry.json);
    }
    for stray in &file.strays {
        writer.item(stray);
    }
    writer.end_list(
        &file.extra,
        file.epoch.unwrap_or(9),
        file.next_one_shot_id,
        &file.our_extra,
    );
    for entry in &file.one_shots {
        writer.item(&entry.json);
    }
    writer.end_one_shots();
    for entry in &file.failed {
        writer.item(&entry.json);
    }
    writer.end();
    String::from_utf8(writer.out).unwrap()
}

#[test]
fn a_file_of_the_original() {
    let file = parsed(
        r#"{"nextId":4,"list":[{"url":"http:\/\/a\/b","cron":"1 2 * * *","wait":null,"code":"a-b-1","data":{"x":"\u4e2d"},"id":1},{"url":"b","cron":1,"wait":"3000","id":3}]}"#,
    );
    assert_eq!((file.next_id, file.epoch), (4, None));
    assert_eq!(file.next_one_shot_id, -1);
    assert_eq!(
        file.list,
        [
            e(
                Some(1),
                r#"{"url":"http:\/\/a\/b","cron":"1 2 * * *","wait":null,"code":"a-b-1","data":{"x":"\u4e2d"},"id":1}"#
            ),
            e(Some(3), r#"{"url":"b","cron":1,"wait":"3000","id":3}"#),
        ]
    );
}

#[test]
fn empty_files_as_php_writes_them() {
    for text in ["[]", "{}", " [ ] \n", r#"{"list":null}"#, r#"{"list":{}}"#] {
        assert_eq!(parsed(text), TimerFile::default(), "{text}");
    }
}

#[test]
fn what_is_no_file_of_timers() {
    for text in [
        "",
        " ",
        "null",
        "5",
        "[1]",
        r#"{"nextId":1,"list":[{"id":1},"#,
        r#"{"list":5}"#,
        r#"{"list":[]}x"#,
        r#"{"list":[{"a":tru}]}"#,
        r#"{"jdserver":[1]}"#,
        r#"{"jdserver":{"failed":[7]}}"#,
        r#"{"other":"\ud800"}"#,
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(b"{\"list\":[{\"a\":\"\xff\"}]}").is_err());
}

#[test]
fn ids() {
    check_list(
        r#"[{"id":1,"a":2}]"#,
        &[e(Some(1), r#"{"id":1,"a":2}"#)],
        &[],
    );
    check_list(
        r#"[{"id":"5","a":"id"}]"#,
        &[e(Some(5), r#"{"a":"id","id":5}"#)],
        &[],
    );
    check_list(
        r#"[{"id":5,"a":0,"id":6}]"#,
        &[e(Some(6), r#"{"id":5,"a":0,"id":6}"#)],
        &[],
    );
    check_list(r#"[{"\u0069d":7}]"#, &[e(Some(7), r#"{"\u0069d":7}"#)], &[]);
    for bad in [
        "0",
        "-1",
        "1.5",
        "null",
        "\"x\"",
        "[1]",
        "{}",
        "9007199254740993",
        "99999999999999999999",
    ] {
        let json = format!("{{\"id\":{bad}}}");
        check_list(&format!("[{json}]"), &[e(None, &json)], &[]);
    }
    check_list("[{}]", &[e(None, "{}")], &[]);
}

#[test]
fn lists_with_gaps_and_strays() {
    check_list(
        r#"{"0":{"id":1},"2":{"id":2}}"#,
        &[e(Some(1), r#"{"id":1}"#), e(Some(2), r#"{"id":2}"#)],
        &[],
    );
    check_list(
        r#"[5,{"id":1},null,[ {"id":2} ],{"id":3,"a":"\uD800"},{"id":4,"a":"\ud83d\ude00"}]"#,
        &[
            e(Some(1), r#"{"id":1}"#),
            e(Some(4), r#"{"id":4,"a":"\ud83d\ude00"}"#),
        ],
        &["5", "null", r#"[{"id":2}]"#, r#"{"id":3,"a":"\uD800"}"#],
    );
}

#[test]
fn deep_entries_are_kept_apart() {
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let file = parsed(&format!(
        "{{\"list\":[{},{},{}]}}",
        deep(100),
        deep(126),
        deep(100_000)
    ));
    assert_eq!((file.list.len(), file.strays.len()), (2, 1));
    for entry in &file.list {
        assert!(serde_json::from_str::<Value>(&entry.json).is_ok());
    }
}

#[test]
fn white_space_goes_and_strings_stay() {
    check_list(
        "\n\t[ { \"a b\" : \" \\\" { \\\\\" ,\r\n \"id\" : 1 } ]",
        &[e(Some(1), r#"{"a b":" \" { \\","id":1}"#)],
        &[],
    );
    assert_eq!(
        parsed("\u{feff}{\"nextId\":\"12\"}").next_id,
        12,
        "a byte order mark"
    );
}

#[test]
fn what_is_unknown_is_written_again() {
    let text = concat!(
        r#"{"nextId":3,"list":[{"url":"a","mine":[1.50],"id":2},7],"note":{"a":1e2},"x\"y":null,"#,
        r#""jdserver":{"epoch":77,"nextOneShotId":-4,"later":true,"oneShots":[{"id":-3}],"failed":[{"b":1,"id":-2}]}}"#,
        "\n"
    );
    let file = parsed(text);
    assert_eq!(file.epoch, Some(77));
    assert_eq!(file.one_shots, [e(Some(-3), r#"{"id":-3}"#)]);
    assert_eq!(write(&file), text);
    assert_eq!(
        parsed(r#"{"a":1,"a":2}"#).extra,
        [("a".into(), "2".into())],
        "the last of two"
    );
}

#[test]
fn entries_that_may_be_stored() {
    for (json, id, expected) in [
        (r#"{"url":"a","id":5}"#, 5, true),
        (r#"{"url":"a","id":-5}"#, -5, true),
        (r#"{"url":"a","id":5}"#, 6, false),
        (r#"{"url":"a","id":"5"}"#, 5, false),
        (r#"{"url":"a"}"#, 5, false),
        (r#"{"url":"a","id":5"#, 5, false),
        (r#"{"id":5}{}"#, 5, false),
        (r#"{"a":"\ud800","id":5}"#, 5, false),
        ("5", 5, false),
        ("", 5, false),
        (r#"{"id":0}"#, 0, false),
    ] {
        assert_eq!(is_entry(json, id), expected, "{json}");
    }
}

#[test]
fn a_large_file_is_read_in_linear_time() {
    let mut writer = Writer::new(100_001);
    for id in 1..=100_000 {
        writer.item(&format!(
            r#"{{"url":"http://127.0.0.1:8080/callback?n={id}","cron":1,"wait":60000,"code":"app-order-{id}","headers":["Content-Type: application/json"],"data":{{"id":{id}}},"id":{id}}}"#
        ));
    }
    writer.end_list(&[], 1, -1, &[]);
    writer.end_one_shots();
    writer.end();
    let file = parse(&writer.out).expect("sound");
    assert_eq!(file.list.len(), 100_000);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_text_of_json_signs_is_written_as_it_was_read(
        list in "[\\[\\]{}\",:0-9a-z\\\\ud8]{0,40}",
        tail in "(,\"[a-z]{1,3}\":[0-9]{1,3}){0,3}",
    ) {
        for text in [format!("{{\"list\":[{list}]{tail}}}"), format!("{{\"list\":[{{\"a\":\"{list}\",\"id\":1}}]{tail}}}")] {
            if let Ok(file) = parse(text.as_bytes()) {
                let again = parse(write(&file).as_bytes()).expect("what was written");
                prop_assert_eq!(&again.list, &file.list);
                prop_assert_eq!(&again.strays, &file.strays);
                prop_assert_eq!(&again.extra, &file.extra);
            }
        }
    }
}
