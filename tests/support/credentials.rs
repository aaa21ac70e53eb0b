//! Keys and tokens, made without the program.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{SecondsFormat, TimeDelta, Utc};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::{App, Client, Fixture, Process};

/// Variable of the setting `auth.first_key_file`.
pub const FIRST_KEY_FILE: &str = "CONFAB_AUTH__FIRST_KEY_FILE";

const BASE_36: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const BASE_62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a key as the contract describes it.
pub fn new_key() -> String {
    let random = |alphabet: &[u8], count: usize| -> String {
        let digit = |_| char::from(alphabet[rand::random_range(0..alphabet.len())]);
        (0..count).map(digit).collect()
    };
    let key = format!("cfb_{}_{}", random(BASE_36, 12), random(BASE_62, 43));
    let mut rest = crc32fast::hash(key.as_bytes());
    let mut checksum = ["0"; 6].map(str::to_owned);
    for digit in checksum.iter_mut().rev() {
        *digit = char::from(BASE_62[(rest % 62) as usize]).to_string();
        rest /= 62;
    }
    format!("{key}{}", checksum.concat())
}

/// ID in the text of a key.
pub fn key_id(key: &str) -> &str {
    &key[4..16]
}

/// The time now, in seconds since 1970.
pub fn now() -> i64 {
    Utc::now().timestamp()
}

/// The time in so many seconds, in RFC 3339.
pub fn in_seconds(seconds: i64) -> String {
    let time = Utc::now() + TimeDelta::seconds(seconds);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Claims of a user from now on for a quarter of an hour, with every right in every chat.
pub fn claims(app: &App, user: &str) -> Value {
    json!({
        "app": app.id, "sub": user, "iat": now(), "exp": now() + 900, "chats": "*",
        "can": ["read", "write", "create_chat"],
    })
}

/// Signs a token with a key, as a server of an application does.
pub fn sign(key: &str, claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key_id(key)});
    sign_as(
        key,
        hmac::HMAC_SHA256,
        &header.to_string(),
        &claims.to_string(),
    )
}

/// Signs header and claims as they are.
pub fn sign_as(key: &str, algorithm: hmac::Algorithm, header: &str, claims: &str) -> String {
    let secret = digest::digest(&digest::SHA256, key.as_bytes());
    let message = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let secret = hmac::Key::new(algorithm, secret.as_ref());
    let signature = hmac::sign(&secret, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Client {
    /// Creates a key of an application with these members.
    pub async fn new_key(&self, app: &App, members: &Value) -> String {
        let created = self.post(format!("{app}/keys"), members).await;
        created.expect_status(201);
        created.text_field("key")
    }
}

impl Fixture {
    /// Settings of required mode, with an installation key in a file.
    pub fn guarded(&self) -> Vec<(&'static str, String)> {
        let file = self.folder().join("first.key");
        if !file.exists() {
            std::fs::write(&file, new_key()).expect("the test's folder takes files");
        }
        vec![
            ("CONFAB_AUTH__MODE", "required".to_owned()),
            (FIRST_KEY_FILE, file.display().to_string()),
        ]
    }

    /// Starts a process in required mode, with further settings. Its client has the installation key.
    pub async fn start_guarded(&self, further: &[(&str, &str)]) -> Process {
        let guarded = self.guarded();
        let guarded = guarded.iter().map(|(name, value)| (*name, &**value));
        let settings: Vec<_> = guarded.chain(further.iter().copied()).collect();
        self.start_with(&settings).await
    }
}
