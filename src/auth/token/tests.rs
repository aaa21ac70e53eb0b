use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "0123456789ab";
const SECRET: [u8; 32] = [7; 32];

/// Signs header and claims as they are, however wrong.
fn signed(algorithm: hmac::Algorithm, header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(algorithm, &SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": KEY})
}

fn claims() -> Value {
    json!({"app": "dec969c6", "sub": "alice", "iat": 1000, "exp": 1900, "chats": [3, 1], "can": ["read"]})
}

/// What becomes of a token with these claims.
fn read(claims: &str) -> Option<Token> {
    let text = signed(hmac::HMAC_SHA256, &header().to_string(), claims);
    verify(&text, key_id(&text)?, &SECRET)
}

fn with(name: &str, value: Value) -> Option<Token> {
    let mut claims = claims();
    claims[name] = value;
    read(&claims.to_string())
}

fn without(name: &str) -> Option<Token> {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    read(&claims.to_string())
}

#[test]
fn signed_token_is_read_back() {
    let key = KeyId::parse(KEY).unwrap();
    for (chats, can) in [
        (Chats::All, BTreeSet::new()),
        (Chats::some(&[]).unwrap(), BTreeSet::from([Action::Read])),
        (
            Chats::some(&[9, 1, MAX_NUMBER]).unwrap(),
            BTreeSet::from([Action::CreateChat, Action::Read, Action::Write]),
        ),
    ] {
        let token = Token::new(key, AppId(1), "al\"ice 😀", (chats, can), (1000, 1900));
        let text = sign(&token, &SECRET).unwrap();
        assert_eq!(key_id(&text), Some(key));
        assert_eq!(verify(&text, key, &SECRET), Some(token));
        assert_eq!(verify(&text, key, &[8; 32]), None);
    }
}

#[test]
fn absent_claims_have_their_defaults_and_unknown_ones_are_ignored() {
    let token = without("chats").unwrap();
    assert_eq!(token.chats, Chats::Some(BTreeSet::new()));
    let token = without("can").unwrap();
    assert_eq!(token.can, BTreeSet::from([Action::Read, Action::Write]));
    assert!(with("aud", json!(["x", 1])).is_some());
    assert!(with("iss", json!({"a": [1.5]})).is_some());
    for name in ["app", "sub", "iat", "exp"] {
        assert_eq!(without(name), None, "{name}");
    }
}

#[test]
fn claims_of_another_type_or_range_are_refused() {
    let many: Vec<u64> = (1..=1001).collect();
    for (name, values) in [
        ("app", vec![json!("DEC969C6"), json!("dec969c"), json!(1)]),
        (
            "sub",
            vec![json!(""), json!(1), json!("x".repeat(256)), json!("a\0b")],
        ),
        (
            "iat",
            vec![
                json!(1000.0),
                json!("1000"),
                json!(-1),
                json!(1e30),
                json!(null),
            ],
        ),
        (
            "exp",
            vec![json!(1900.5), json!("1900"), json!(-1), json!(1u64 << 40)],
        ),
        ("nbf", vec![json!(1000.0), json!("1000"), json!(null)]),
        (
            "chats",
            vec![
                json!(many),
                json!("all"),
                json!(["1"]),
                json!([0]),
                json!([1.0]),
                json!([MAX_NUMBER + 1]),
                json!(1),
                json!({}),
                json!(null),
            ],
        ),
        (
            "can",
            vec![json!(["delete"]), json!("read"), json!([1]), json!(null)],
        ),
    ] {
        for value in values {
            let shown = value.to_string();
            assert_eq!(with(name, value), None, "{name}: {shown}");
        }
    }
    assert!(with("sub", json!("é".repeat(255))).is_some());
    assert!(with("chats", json!(many[..1000])).is_some());
}

#[test]
fn claim_that_comes_twice_is_refused() {
    let claims = claims().to_string();
    for second in [
        r#""exp":1901"#,
        r#""exp":1900"#,
        r#""app":"dec969c6""#,
        r#""sub":"bob""#,
        r#""chats":"*""#,
        r#""can":["write"]"#,
        r#""iat":999"#,
        r#""e\u0078p":1901"#,
    ] {
        let twice = format!("{},{second}}}", &claims[..claims.len() - 1]);
        assert!(serde_json::from_str::<Value>(&twice).is_ok());
        assert_eq!(read(&twice), None, "{twice}");
    }
}

#[test]
fn only_one_algorithm_and_plain_headers_are_accepted() {
    let claims = claims().to_string();
    let accepted = |algorithm, header: &Value| {
        let text = signed(algorithm, &header.to_string(), &claims);
        key_id(&text).is_some_and(|key| verify(&text, key, &SECRET).is_some())
    };
    assert!(accepted(hmac::HMAC_SHA256, &header()));
    assert!(accepted(
        hmac::HMAC_SHA256,
        &json!({"alg": "HS256", "kid": KEY, "x": 1})
    ));
    for name in [
        "none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", "PS256",
    ] {
        for algorithm in [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512] {
            let header = json!({"alg": name, "typ": "JWT", "kid": KEY});
            assert!(!accepted(algorithm, &header), "{name}");
        }
    }
    assert!(!accepted(hmac::HMAC_SHA384, &header()));
    for wrong in [
        json!({"alg": "HS256", "typ": "JWT"}),
        json!({"typ": "JWT", "kid": KEY}),
        json!({"alg": "HS256", "kid": "0123456789AB"}),
        json!({"alg": "HS256", "kid": ["0123456789ab"]}),
        json!({"alg": "HS256", "kid": KEY, "crit": ["b64"], "b64": false}),
        json!({"alg": "HS256", "kid": KEY, "typ": "JWE"}),
        json!([]),
    ] {
        assert!(!accepted(hmac::HMAC_SHA256, &wrong), "{wrong}");
    }
    let twice = format!(r#"{{"alg":"HS256","kid":"{KEY}","kid":"{KEY}"}}"#);
    assert_eq!(key_id(&signed(hmac::HMAC_SHA256, &twice, &claims)), None);
}

#[test]
fn changed_and_malformed_tokens_are_refused() {
    let good = signed(
        hmac::HMAC_SHA256,
        &header().to_string(),
        &claims().to_string(),
    );
    let key = KeyId::parse(KEY).unwrap();
    let verified = |text: &str| key_id(text).and_then(|key| verify(text, key, &SECRET));
    assert!(verified(&good).is_some());
    let parts: Vec<&str> = good.split('.').collect();
    let others = json!({"app": "dec969c6", "sub": "bob", "iat": 1000, "exp": 1900});
    let others = URL_SAFE_NO_PAD.encode(others.to_string());
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    for wrong in [
        String::new(),
        "..".into(),
        unsigned,
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{others}.{}", parts[0], parts[2]),
        format!("{good}."),
        format!("{good}="),
        format!("{good}.{}", parts[2]),
        format!(" {good}"),
        good[..good.len() - 1].to_owned(),
    ] {
        assert_eq!(verified(&wrong), None, "{wrong}");
    }
    // Whatever one character of it becomes.
    for at in 0..good.len() {
        let other = if good.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        assert_eq!(verified(&changed), None, "{at}");
    }
    // The longest one, and one more.
    let padded = |length| {
        let mut claims = claims();
        claims["x"] = "x".repeat(length).into();
        signed(
            hmac::HMAC_SHA256,
            &header().to_string(),
            &claims.to_string(),
        )
    };
    let fits = (4000..6000)
        .rev()
        .map(padded)
        .find(|text| text.len() <= MAX_TOKEN_CHARS);
    assert!(verified(&fits.unwrap()).is_some());
    let too_long = padded(6000);
    assert!(too_long.len() > MAX_TOKEN_CHARS);
    assert_eq!(
        (key_id(&too_long), verify(&too_long, key, &SECRET)),
        (None, None)
    );
}

#[test]
fn token_with_too_many_chats_is_not_signed() {
    let key = KeyId::parse(KEY).unwrap();
    let signed = |first: u64| {
        let chats = Chats::some(&(first..first + 1000).collect::<Vec<_>>()).unwrap();
        let token = Token::new(key, AppId(1), "alice", (chats, BTreeSet::new()), (1, 2));
        sign(&token, &SECRET)
    };
    assert!(signed(1).is_some());
    assert_eq!(signed(1 << 50), None);
}

#[test]
fn times_have_no_leeway_for_the_end_and_five_seconds_for_the_start() {
    let check = |now, iat, exp, nbf: Option<i64>| {
        let key = KeyId::parse(KEY).unwrap();
        let grants = (Chats::All, BTreeSet::new());
        let mut token = Token::new(key, AppId(1), "alice", grants, (iat, exp));
        token.not_before = nbf;
        token.check_times(now, Duration::from_secs(3600), None)
    };
    let (fine, expired, invalid) = (Ok(()), Err("expired"), Err("invalid"));
    for (now, iat, exp, nbf, wanted) in [
        (1_000_000, 1000, 1900, None, fine),
        (1_899_999, 1000, 1900, None, fine),
        (1_900_000, 1000, 1900, None, expired),
        (995_000, 1000, 1900, None, fine),
        (994_999, 1000, 1900, None, invalid),
        (1_000_000, 1000, 1900, Some(1005), fine),
        (1_000_000, 1000, 1900, Some(1006), invalid),
        (1_000_000, 1000, 4600, None, fine),
        (1_000_000, 1000, 4601, None, invalid),
        (1_000_000, 1000, 999, None, invalid),
        (1_000_000, 1000, 1000, None, expired),
        (9_000_000, 1000, 4601, None, invalid),
    ] {
        let seen = check(now, iat, exp, nbf).map_err(|error| match error {
            AuthError::Expired => "expired",
            _ => "invalid",
        });
        assert_eq!(seen, wanted, "{now} {iat} {exp} {nbf:?}");
    }
}

#[test]
fn first_second_after_a_revocation_may_be_ahead_of_the_clock() {
    let key = KeyId::parse(KEY).unwrap();
    let check = |iat, exp, revoked| {
        let grants = (Chats::All, BTreeSet::new());
        let token = Token::new(key, AppId(1), "alice", grants, (iat, exp));
        let checked = token.check_times(1_000_000, Duration::from_secs(3600), Some(revoked));
        checked.is_ok()
    };
    assert!(check(1005, 1900, 999));
    assert!(!check(1006, 1900, 999));
    assert!(check(1021, 1900, 1020));
    assert!(!check(1020, 1900, 1020));
    assert!(!check(1022, 1900, 1020));
    // The lifetime counts from there.
    assert!(check(1021, 4621, 1020));
    assert!(!check(1021, 4622, 1020));
}
