//! Signatures of callbacks by the Standard Webhooks specification: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature`. Knows no timer; ids and times come in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Secrets in the specification's own form are base64 behind this.
const PREFIX: &str = "whsec_";

/// The key of a secret: `whsec_` and base64, or the text itself; `None` where the former is broken or empty.
pub fn key(secret: &str) -> Option<Vec<u8>> {
    let key = match secret.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => secret.as_bytes().to_vec(),
    };
    (!key.is_empty()).then_some(key)
}

/// The three headers of a message: `id` stays the same across retries, `unix_s` is that of this try.
pub fn headers(key: &[u8], id: &str, unix_s: u64, body: &[u8]) -> [(Box<str>, Box<str>); 3] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{id}.{unix_s}.").as_bytes());
    context.update(body);
    let signature = format!("v1,{}", STANDARD.encode(context.sign()));
    [
        ("webhook-id".into(), id.into()),
        ("webhook-timestamp".into(), unix_s.to_string().into()),
        ("webhook-signature".into(), signature.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks reference libraries.
    #[test]
    fn known_signature() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let [id, time, signature] = headers(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(&*id.1, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(&*time.1, "1614265330");
        assert_eq!(
            &*signature.1,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn secrets() {
        assert_eq!(key("plain"), Some(b"plain".to_vec()));
        assert_eq!(key("whsec_AAE="), Some(vec![0, 1]));
        assert_eq!(key("whsec_!"), None);
        assert_eq!(key("whsec_"), None);
        assert_eq!(key(""), None);
    }
}
