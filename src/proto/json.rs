//! JSON as the original wrote it: compact UTF-8, no slash escape, U+2028 and U+2029 escaped,
//! integers exact, floats shortest.

use serde_json::Value;

/// Appends `value` to `out`.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    let _ = (out, value);
    todo!()
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    let _ = (out, text);
    todo!()
}

/// The text of a scalar or the compact JSON of a list or object: what a push delivers.
pub fn to_text(value: &Value) -> String {
    let _ = value;
    todo!()
}
