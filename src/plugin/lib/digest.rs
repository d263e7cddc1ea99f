//! Checksums and base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::{Digest as _, Md5};
use mlua::{Lua, LuaString, Table};
use ring::{digest, hmac};

use crate::limits::PLUGIN_TEXT_BYTES_MAX;
use crate::plugin::lib::text::new_text;
use crate::plugin::sandbox::Sandbox;

/// With or without `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Puts the functions into `globals`.
///
/// - `md5(text)`, `sha1(text)`: the checksum in hexadecimal. Example: `md5("abc")`.
/// - `hmac(algorithm, key, text)`: `"sha256"`, `"sha1"` or `"md5"`, in hexadecimal. Example: `hmac("sha256", secret, body)`.
/// - `base64.encode(text)`, `base64.decode(text)`: the latter is nil for what is none. Example: `base64.encode("a:b")`.
pub(super) fn install(sandbox: &Sandbox, globals: &Table) -> mlua::Result<()> {
    let of_text = |name: &'static str, f: fn(&[u8]) -> Vec<u8>| {
        sandbox.function(name, move |_, text: LuaString| {
            bounded(&[&text], name)?;
            Ok(hex(&f(&text.as_bytes())))
        })
    };
    globals.raw_set("md5", of_text("md5", md5)?)?;
    globals.raw_set("sha1", of_text("sha1", sha1)?)?;
    let hmac = |_: &Lua, (algorithm, key, text): (LuaString, LuaString, LuaString)| {
        bounded(&[&key, &text], "hmac")?;
        let (key, text) = (key.as_bytes(), text.as_bytes());
        let tag = match &*algorithm.as_bytes() {
            b"sha256" => sign(hmac::HMAC_SHA256, &key, &text),
            b"sha1" => sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key, &text),
            b"md5" => hmac_md5(&key, &text),
            _ => return Err("hmac: expected sha256, sha1 or md5".to_owned()),
        };
        Ok(hex(&tag))
    };
    globals.raw_set("hmac", sandbox.function("hmac", hmac)?)?;
    let base64 = sandbox.lua().create_table()?;
    let encode = |lua: &Lua, text: LuaString| {
        bounded(&[&text], "base64.encode")?;
        new_text(
            lua,
            BASE64.encode(&*text.as_bytes()).as_bytes(),
            "base64.encode",
        )
    };
    base64.raw_set("encode", sandbox.function("base64.encode", encode)?)?;
    let decode = |lua: &Lua, text: LuaString| {
        bounded(&[&text], "base64.decode")?;
        let decoded = BASE64.decode(text.as_bytes().trim_ascii());
        decoded
            .ok()
            .map(|text| new_text(lua, &text, "base64.decode"))
            .transpose()
    };
    base64.raw_set("decode", sandbox.function("base64.decode", decode)?)?;
    globals.raw_set("base64", base64)
}

/// Nothing can interrupt these.
fn bounded(texts: &[&LuaString], name: &str) -> Result<(), String> {
    match texts
        .iter()
        .any(|text| text.as_bytes().len() > PLUGIN_TEXT_BYTES_MAX)
    {
        true => Err(format!("{name}: text too long")),
        false => Ok(()),
    }
}

fn md5(text: &[u8]) -> Vec<u8> {
    Md5::digest(text).to_vec()
}

fn sha1(text: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text)
        .as_ref()
        .to_vec()
}

fn sign(algorithm: hmac::Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), text)
        .as_ref()
        .to_vec()
}

/// Source: RFC 2104; ring has no MD5.
fn hmac_md5(key: &[u8], text: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    match key.len() > BLOCK {
        true => block[..16].copy_from_slice(&md5(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let padded = |byte: u8| block.map(|key| key ^ byte);
    let inner = Md5::new()
        .chain_update(padded(0x36))
        .chain_update(text)
        .finalize();
    Md5::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
