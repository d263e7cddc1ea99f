//! Answers as XML (`retfn=xml`), as the original wrote them. Knows values only, never what they mean.
//!
//! One element per line, indented by one blank per level; a list tells its length in `count` and names its items
//! after itself (`data_e`); nulls are left out, `count` counts them. True is `1`, false is `0`. Text with quotes or line ends
//! stands in CDATA, other text is escaped; characters that XML 1.0 forbids are dropped. A key that is no XML name
//! gets `_` for each character that cannot stand there, and `_` in front where it cannot begin a name.

use serde_json::Value;

use crate::call::answer::{self, Answer};
use crate::call::error::CallError;
use crate::limits::XML_BYTES_MAX;
use crate::proto::json;

/// Appends the document of an answer (`<ret>` with `code` and `data`, or `code`, `message` and `debug`) and its last
/// line end. One that would pass [`XML_BYTES_MAX`] becomes an error of code 4: names and blanks may cost a
/// thousand times what they hold.
pub fn write(out: &mut Vec<u8>, answer: Answer) {
    let start = out.len();
    let written = match answer {
        Ok(data) => write_ok(out, &data.into_value()),
        Err(error) => {
            write_error(out, &error);
            Ok(())
        }
    };
    if written.is_err() {
        out.truncate(start);
        write_error(out, &CallError::new(4, "answer is too long for retfn=xml"));
    }
}

/// The document grew beyond its limit.
struct TooLong;

/// What is being written, and where it must end.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    end: usize,
}

fn write_ok(out: &mut Vec<u8>, data: &Value) -> Result<(), TooLong> {
    out.extend_from_slice(b"<ret>\n <code>0</code>\n");
    let end = out.len().saturating_add(XML_BYTES_MAX);
    Writer { out, end }.element("data", data, 1)?;
    out.extend_from_slice(b"</ret>\n");
    Ok(())
}

fn write_error(out: &mut Vec<u8>, error: &CallError) {
    out.extend_from_slice(b"<ret>\n <code>");
    answer::write_integer(out, error.code.into());
    out.extend_from_slice(b"</code>\n <message>");
    write_text(out, &error.message);
    out.extend_from_slice(b"</message>\n <debug>");
    write_text(out, &error.detail);
    out.extend_from_slice(b"</debug>\n</ret>\n");
}

impl Writer<'_> {
    /// One element and its line end. `name` is an XML name. Recursion is as deep as the value, which JSON bounds.
    fn element(&mut self, name: &str, value: &Value, level: usize) -> Result<(), TooLong> {
        if self.out.len() > self.end {
            return Err(TooLong);
        }
        match value {
            Value::Null => Ok(()),
            Value::Array(items) => self.list(name, items, level),
            Value::Object(members) if members.is_empty() => {
                self.indent(level);
                self.push(&["<", name, "/>\n"]);
                Ok(())
            }
            Value::Object(members) => {
                self.indent(level);
                self.push(&["<", name, ">\n"]);
                for (key, value) in members {
                    self.element(&to_name(key), value, level + 1)?;
                }
                self.close(name, level);
                Ok(())
            }
            scalar => {
                self.indent(level);
                self.push(&["<", name, ">"]);
                match scalar {
                    Value::String(text) => write_text(self.out, text),
                    Value::Bool(yes) => self.out.push(b'0' + u8::from(*yes)),
                    number => json::write(self.out, number),
                }
                self.push(&["</", name, ">\n"]);
                Ok(())
            }
        }
    }

    fn list(&mut self, name: &str, items: &[Value], level: usize) -> Result<(), TooLong> {
        self.indent(level);
        self.push(&["<", name, " count=\""]);
        answer::write_count(self.out, items.len() as u64);
        if items.is_empty() {
            self.push(&["\"/>\n"]);
            return Ok(());
        }
        self.push(&["\">\n"]);
        let item_name = [name, "_e"].concat();
        for item in items {
            self.element(&item_name, item, level + 1)?;
        }
        self.close(name, level);
        Ok(())
    }

    fn close(&mut self, name: &str, level: usize) {
        self.indent(level);
        self.push(&["</", name, ">\n"]);
    }

    fn indent(&mut self, level: usize) {
        self.out.resize(self.out.len() + level, b' ');
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .any(|b| matches!(b, b'"' | b'\'' | b'\n' | b'\r'))
    {
        out.extend_from_slice(b"<![CDATA[");
        let start = out.len();
        for c in text.chars().filter(|c| is_xml(*c)) {
            // `]]>` would end the section, so it is cut in two; looked for in what was written, for a
            // dropped character may stand inside.
            if c == '>' && out[start..].ends_with(b"]]") {
                out.extend_from_slice(b"]]><![CDATA[");
            }
            push_char(out, c);
        }
        out.extend_from_slice(b"]]>");
    } else {
        for c in text.chars().filter(|c| is_xml(*c)) {
            match c {
                '&' => out.extend_from_slice(b"&amp;"),
                '<' => out.extend_from_slice(b"&lt;"),
                '>' => out.extend_from_slice(b"&gt;"),
                c => push_char(out, c),
            }
        }
    }
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// XML 1.0 §2.2, Char.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// A key as an XML name (XML 1.0 §2.3, without the colon, which namespaces claim).
fn to_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 1);
    if !key.starts_with(is_name_start) {
        name.push('_');
    }
    for (i, c) in key.chars().enumerate() {
        match c {
            c if is_name_start(c) || is_name_rest(c) => name.push(c),
            _ if i == 0 => {}
            _ => name.push('_'),
        }
    }
    name
}

fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn is_name_rest(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::answer::Data;
    use serde_json::json;

    fn document(answer: Answer) -> String {
        let mut out = Vec::new();
        write(&mut out, answer);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(data: Value, expect: &str) {
        let expect = format!("<ret>\n <code>0</code>\n{expect}</ret>\n");
        assert_eq!(document(Ok(Data::Json(data))), expect);
    }

    #[test]
    fn recorded_answers() {
        check(
            json!(["u<1>&", "say \"hi\"", 7]),
            " <data count=\"3\">\n  <data_e>u&lt;1&gt;&amp;</data_e>\n  <data_e><![CDATA[say \"hi\"]]></data_e>\n  <data_e>7</data_e>\n </data>\n",
        );
        check(json!([]), " <data count=\"0\"/>\n");
        check(
            json!({"conf_jdserver_log_ws": "0"}),
            " <data>\n  <conf_jdserver_log_ws>0</conf_jdserver_log_ws>\n </data>\n",
        );
        assert_eq!(
            document(Ok(Data::Count(0))),
            "<ret>\n <code>0</code>\n <data>0</data>\n</ret>\n"
        );
        assert_eq!(
            document(Err(CallError::with_message(
                1,
                "缺少参数`app`",
                "Bad Request - param `app` is missing"
            ))),
            "<ret>\n <code>1</code>\n <message>缺少参数`app`</message>\n <debug>Bad Request - param `app` is missing</debug>\n</ret>\n"
        );
    }

    #[test]
    fn values() {
        check(json!(null), "");
        check(json!(true), " <data>1</data>\n");
        check(json!(false), " <data>0</data>\n");
        check(json!(-1.5), " <data>-1.5</data>\n");
        check(json!(""), " <data></data>\n");
        check(json!({}), " <data/>\n");
        check(json!({"a": null, "b": {}}), " <data>\n  <b/>\n </data>\n");
        check(
            json!([null, [1, []], {"x": [2]}]),
            " <data count=\"3\">\n  <data_e count=\"2\">\n   <data_e_e>1</data_e_e>\n   <data_e_e count=\"0\"/>\n  </data_e>\n  <data_e>\n   <x count=\"1\">\n    <x_e>2</x_e>\n   </x>\n  </data_e>\n </data>\n",
        );
    }

    #[track_caller]
    fn check_text(text: &str, expect: &str) {
        let mut out = Vec::new();
        write_text(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn text() {
        check_text("it's <b>", "<![CDATA[it's <b>]]>");
        check_text("a\nb", "<![CDATA[a\nb]]>");
        check_text("a\rb", "<![CDATA[a\rb]]>");
        check_text("]]>", "]]&gt;");
        check_text("\"]]>", "<![CDATA[\"]]]]><![CDATA[>]]>");
        check_text("'>]]>]]>", "<![CDATA['>]]]]><![CDATA[>]]]]><![CDATA[>]]>");
        check_text("'\"]\u{0}]\u{1}>", "<![CDATA['\"]]]]><![CDATA[>]]>");
        check_text(
            "a\u{0}\u{8}\tb\u{1f}\u{fffe}\u{ffff}\u{1F600}",
            "a\tb\u{1F600}",
        );
        check_text("`a`", "`a`");
    }

    #[test]
    fn names() {
        for (key, expect) in [
            ("a", "a"),
            ("_a-b.c1", "_a-b.c1"),
            ("1", "_1"),
            ("-a", "_-a"),
            ("", "_"),
            (" ", "_"),
            ("<", "_"),
            ("a b", "a_b"),
            ("a><script x=\"", "a__script_x__"),
            ("用户", "用户"),
            ("a:b", "a_b"),
            ("\u{0}a\n", "_a_"),
        ] {
            assert_eq!(to_name(key), expect, "{key:?}");
        }
    }

    #[test]
    fn a_bomb_becomes_an_error() {
        let key = "k".repeat(1 << 20);
        let answer = document(Ok(Data::Json(json!({ key: vec![0; 1000] }))));
        assert!(
            answer.starts_with("<ret>\n <code>4</code>\n <message>"),
            "{}",
            &answer[..80]
        );
        assert!(answer.ends_with("</ret>\n") && answer.len() < 200);
    }
}
