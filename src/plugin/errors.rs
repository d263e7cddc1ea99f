//! Errors of Lua as a plugin's author knows them.

use mlua::Value;

/// An error of mlua as a plugin's author knows it from Lua: no word about Rust, no traceback.
pub fn error_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => error_text(cause),
        mlua::Error::WithContext { cause, .. } => error_text(cause),
        mlua::Error::SyntaxError { message, .. }
        | mlua::Error::RuntimeError(message)
        | mlua::Error::MemoryError(message) => {
            let end = message.find("\nstack traceback:").unwrap_or(message.len());
            message[..end].to_owned()
        }
        mlua::Error::FromLuaConversionError { from, to, .. } => {
            let to = match to.as_str() {
                "i64" | "u64" | "i32" | "u32" | "usize" | "u16" | "u8" => "integer",
                "f64" => "number",
                other => other,
            };
            format!("{to} expected, got {from}")
        }
        other => other.to_string(),
    }
}

/// The text of an error value that a plugin raised, for a log. Runs no Lua.
pub fn value_text(error: &Value) -> String {
    match error {
        Value::String(text) => text.to_string_lossy(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Error(error) => error_text(error),
        other => format!("(error object is a {} value)", other.type_name()),
    }
}
