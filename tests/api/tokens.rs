//! User tokens: issue, use, revocation, and attacks.

use std::collections::BTreeSet;

use chrono::DateTime;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{
    App, Client, Fixture, Response, Server, apply,
    credentials::{claims, in_seconds, key_id, new_key, now, sign, sign_as},
    eventually, on_each_backend, on_each_guarded_server,
};

const INVALID: &str = "Credential is not valid";
const EXPIRED: &str = "Credential has expired";

async fn read(api: &Client, app: &App, token: &str) -> Response {
    api.with_credential(token).get(app).await
}

/// The claims of a token, without a look at its signature.
fn claims_of(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(1).expect("claims");
    let json = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

#[apply(on_each_guarded_server!)]
async fn issued_token_has_the_requested_rights_and_end(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let owner = api.with_credential(&key);
    let path = format!("{app}/token");
    for (body, chats, can, lifetime) in [
        (
            json!({"user": "alice"}),
            json!([]),
            json!(["read", "write"]),
            900,
        ),
        (
            json!({"user": "alice", "chats": null, "can": null, "expiresIn": null}),
            json!([]),
            json!(["read", "write"]),
            900,
        ),
        (
            json!({"user": " é\"😀", "chats": "*", "can": ["create_chat"], "expiresIn": 3600}),
            json!("*"),
            json!(["create_chat"]),
            3600,
        ),
        (
            json!({"user": "alice", "chats": [5, 1], "can": [], "expiresIn": 1}),
            json!([1, 5]),
            json!([]),
            1,
        ),
    ] {
        let issued = owner.post(&path, &body).await;
        issued.expect_status(200);
        assert_eq!(issued.header("cache-control"), Some("no-store"));
        assert_eq!(issued.number_field("expiresIn"), lifetime);
        let claims = claims_of(&issued.text_field("token"));
        assert_eq!(claims["app"], json!(app.id));
        assert_eq!(
            (&claims["sub"], &claims["chats"], &claims["can"]),
            (&body["user"], &chats, &can)
        );
        let (iat, exp) = (
            claims["iat"].as_i64().unwrap(),
            claims["exp"].as_i64().unwrap(),
        );
        assert!((iat - now()).abs() < 60, "{claims}");
        assert_eq!(exp - iat, i64::try_from(lifetime).unwrap());
        let end = DateTime::parse_from_rfc3339(&issued.text_field("expiresAt")).unwrap();
        assert_eq!(end.timestamp(), exp);
        assert!(issued.text_field("expiresAt").ends_with(".000Z"));
    }
    for (body, error) in [
        (json!({}), "user is required"),
        (json!({"user": null}), "user is required"),
        (json!({"user": ""}), "user is required"),
        (json!({"user": 1}), "user must be a string"),
        (json!({"user": "a\0"}), "user must not contain U+0000"),
        (
            json!({"user": "x".repeat(256)}),
            "user must be at most 255 characters",
        ),
        (
            json!({"user": "alice", "chats": [0]}),
            "chats must be \"*\" or an array of up to 1000 chat numbers",
        ),
        (
            json!({"user": "alice", "chats": vec![1; 1001]}),
            "chats must be \"*\" or an array of up to 1000 chat numbers",
        ),
        (
            json!({"user": "alice", "can": ["delete"]}),
            "can must be an array of read, write and create_chat",
        ),
        (
            json!({"user": "alice", "expiresIn": 3601}),
            "expiresIn must be a whole number from 1 to 3600",
        ),
        (
            json!({"user": "alice", "expiresIn": 1.0}),
            "expiresIn must be a whole number from 1 to 3600",
        ),
        (
            json!({"user": "alice", "expiresIn": "900"}),
            "expiresIn must be a whole number from 1 to 3600",
        ),
        (
            json!({"user": "alice", "chats": (0..1000).map(|number| (1u64 << 52) + number).collect::<Vec<_>>()}),
            "chats must be fewer: a token has at most 7000 characters",
        ),
    ] {
        let response = owner.post(&path, &body).await;
        response.expect_error(400, error);
    }
}

#[apply(on_each_guarded_server!)]
async fn token_ends_with_its_key(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let key = api
        .new_key(&app, &json!({"expiresAt": in_seconds(300)}))
        .await;
    let owner = api.with_credential(&key);
    let body = json!({"user": "alice", "chats": "*", "expiresIn": 900});
    let issued = owner.post(format!("{app}/token"), &body).await;
    issued.expect_status(200);
    assert!(issued.number_field("expiresIn") <= 300, "{issued:?}");
    let token = issued.text_field("token");
    read(&api, &app, &token).await.expect_status(200);
    // The key's owner signs tokens that would last longer.
    let longer = sign(&key, &claims(&app, "alice"));
    read(&api, &app, &longer).await.expect_status(200);
    // Cut short, the key ends its tokens.
    let path = format!("{app}/keys/{}", key_id(&key));
    let body = json!({"expiresAt": in_seconds(0)}).to_string();
    let json = [("content-type", "application/json")];
    api.send("PATCH", &path, &json, body)
        .await
        .expect_status(200);
    for token in [&token, &longer, &key] {
        read(&api, &app, token).await.expect_error(401, EXPIRED);
    }
    api.send("DELETE", &path, &[], "").await.expect_status(200);
    for token in [&token, &longer, &key] {
        read(&api, &app, token).await.expect_error(401, INVALID);
    }
}

#[apply(on_each_guarded_server!)]
async fn revocation_of_a_user_holds_in_every_process(server: &Server) {
    let processes = server.clients();
    let api = &processes[0];
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let (path, revoke) = (format!("{app}/token"), format!("{app}/token/revoke"));
    let alice = json!({"user": "alice", "chats": "*"});
    let issue = async |process: &Client| {
        let issued = process.with_credential(&key).post(&path, &alice).await;
        issued.expect_status(200);
        issued.text_field("token")
    };
    let own = sign(&key, &claims(&app, "alice"));
    let bob = sign(&key, &claims(&app, "bob"));
    let mut tokens = vec![own, issue(api).await];
    // Again and again within a second, by either key, in either process.
    for round in 0..6 {
        for (index, process) in processes.iter().enumerate() {
            for token in &tokens {
                let response = read(process, &app, token).await;
                assert_eq!(response.status, 200, "{round} {index}: {response:?}");
            }
        }
        let process = &processes[round % processes.len()];
        let revoker = match round % 2 {
            0 => process.with_credential(&key),
            _ => process.clone(),
        };
        let revoked = revoker.post(&revoke, &json!({"user": "alice"})).await;
        revoked.expect_status(200);
        assert_eq!(revoked.text_field("status"), "success");
        let until = revoked.number_field("issuedUntil");
        for token in &tokens {
            assert!(claims_of(token)["iat"].as_u64() <= Some(until), "{round}");
            read(process, &app, token).await.expect_error(401, INVALID);
        }
        for other in &processes {
            for token in &tokens {
                eventually("the token is refused", async || {
                    let response = read(other, &app, token).await;
                    match response.is_error(401, INVALID) {
                        true => Ok(()),
                        false => Err(response),
                    }
                })
                .await;
            }
            read(other, &app, &bob).await.expect_status(200);
        }
        // The next token is valid at once in the process that signed it, whether or not it knew of the revocation.
        let signer = &processes[(round + 1) % processes.len()];
        tokens = vec![issue(signer).await];
        assert!(
            claims_of(&tokens[0])["iat"].as_u64() > Some(until),
            "{round}"
        );
    }
}

#[apply(on_each_guarded_server!)]
async fn token_issued_after_many_revocations_is_valid_at_once(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let owner = api.with_credential(&key);
    let issue = async || {
        let body = json!({"user": "alice", "chats": "*"});
        let issued = owner.post(format!("{app}/token"), &body).await;
        issued.expect_status(200);
        issued.text_field("token")
    };
    let earlier = issue().await;
    let mut until = 0;
    for _ in 0..20 {
        let revoke = format!("{app}/token/revoke");
        let revoked = owner.post(revoke, &json!({"user": "alice"})).await;
        revoked.expect_status(200);
        until = revoked.number_field("issuedUntil");
    }
    let token = issue().await;
    read(&api, &app, &token).await.expect_status(200);
    // A server that signs tokens itself takes the second after the last revocation, too.
    let signed = |iat: u64| {
        let mut claims = claims(&app, "alice");
        claims["iat"] = json!(iat);
        claims["exp"] = json!(iat + 900);
        sign(&key, &claims)
    };
    let next = signed(until + 1);
    read(&api, &app, &next).await.expect_status(200);
    for refused in [earlier, signed(until), signed(until + 2)] {
        let response = read(&api, &app, &refused).await;
        response.expect_error(401, INVALID);
    }
}

#[apply(on_each_backend!)]
async fn revocations_of_too_many_users_are_refused(fixture: &Fixture) {
    let api = fixture
        .start_guarded(&[("CONFAB_LIMITS__USER_REVOCATIONS", "2")])
        .await;
    let (app, other) = (api.new_app().await, api.new_app().await);
    let revoke = async |app: &App, user: &str| {
        let path = format!("{app}/token/revoke");
        api.post(path, &json!({"user": user})).await
    };
    for user in ["alice", "bob", "alice"] {
        revoke(&app, user).await.expect_status(200);
    }
    let refused = revoke(&app, "carol").await;
    refused.expect_error(
        400,
        "Tokens of 2 users were revoked within a day (limits.user_revocations): revoke the key that signs them instead",
    );
    assert_eq!(refused.header("retry-after"), None);
    revoke(&app, "bob").await.expect_status(200);
    revoke(&other, "carol").await.expect_status(200);
}

#[apply(on_each_guarded_server!)]
async fn forged_tokens_are_refused(server: &Server) {
    let api = server.client();
    let (app, other) = (api.new_app().await, api.new_app().await);
    let key = api.new_key(&app, &json!({})).await;
    let (second, others) = (
        api.new_key(&app, &json!({})).await,
        api.new_key(&other, &json!({})).await,
    );
    let installation = api.with_credential(&key);
    installation.get(&app).await.expect_status(200);
    let first_key = server.stores().guarded();
    let first_key = std::fs::read_to_string(&first_key[1].1).expect("a key");
    let claims = claims(&app, "alice");
    let text = claims.to_string();
    read(&api, &app, &sign(&key, &claims))
        .await
        .expect_status(200);

    let header = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid}).to_string();
    let own = key_id(&key);
    let mut forged = BTreeSet::new();
    for alg in [
        "none", "None", "", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256",
    ] {
        for algorithm in [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512] {
            let token = sign_as(&key, algorithm, &header(alg, own), &text);
            let unsigned = token.rsplit_once('.').expect("a signature").0.to_owned();
            forged.extend([format!("{unsigned}."), unsigned, token]);
        }
    }
    let sign_hs256 =
        |key: &str, header: &str, claims: &str| sign_as(key, hmac::HMAC_SHA256, header, claims);
    // The kid of another key, of an installation key, of none, and no kid.
    for (signer, kid) in [
        (&*second, own),
        (&others, own),
        (&first_key, own),
        (&key, key_id(&second)),
        (&key, key_id(&others)),
        (&first_key, key_id(&first_key)),
        (&key, key_id(&first_key)),
        (&key, "000000000000"),
        (&key, "' OR 1=1 -- "),
        (&key, "../../etc/pa"),
    ] {
        forged.insert(sign_hs256(signer, &header("HS256", kid), &text));
    }
    // Of another application's key for this application.
    forged.insert(sign(&others, &claims));
    forged.insert(sign_hs256(&key, r#"{"alg":"HS256","typ":"JWT"}"#, &text));
    let mut jwk =
        json!({"alg": "HS256", "kid": own, "jwk": {"kty": "oct", "k": "AAAA"}, "crit": ["jwk"]});
    forged.insert(sign_hs256(&new_key(), &jwk.to_string(), &text));
    jwk["kid"] = json!(null);
    forged.insert(sign_hs256(&key, &jwk.to_string(), &text));
    // Claims that come twice, of another type, or out of range.
    let inner = &text[1..text.len() - 1];
    for extra in [
        r#""sub":"bob""#,
        r#""exp":99999999999"#,
        r#""chats":[1]"#,
        r#""can":["write"]"#,
        r#""iat":1"#,
        r#""app":"00000000""#,
    ] {
        forged.insert(sign_hs256(
            &key,
            &header("HS256", own),
            &format!("{{{inner},{extra}}}"),
        ));
        forged.insert(sign_hs256(
            &key,
            &header("HS256", own),
            &format!("{{{extra},{inner}}}"),
        ));
    }
    let now = now();
    for (name, value) in [
        ("exp", json!(format!("{}", now + 60))),
        ("exp", json!((now + 60) as f64 + 0.5)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!((now + 60) * 1000)),
        ("exp", json!(now + 3700)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(now - 60)),
        ("iat", json!(now as f64 + 0.5)),
        ("iat", json!(format!("{now}"))),
        ("iat", json!(now + 60)),
        ("iat", json!(i64::MIN)),
        ("iat", json!(now - 3000)),
        ("nbf", json!(now + 60)),
        ("nbf", json!("0")),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!("a\0b")),
        ("app", json!("")),
        ("chats", json!(vec![1; 1001])),
        ("chats", json!("**")),
        ("can", json!(["read", "erase"])),
        ("can", json!("read")),
    ] {
        let mut wrong = claims.clone();
        wrong[name] = value;
        forged.insert(sign(&key, &wrong));
    }
    for required in ["app", "sub", "iat", "exp"] {
        let mut wrong = claims.clone();
        wrong.as_object_mut().expect("claims").remove(required);
        forged.insert(sign(&key, &wrong));
    }
    // Too long, though signed.
    let mut long = claims.clone();
    long["x"] = json!("x".repeat(6000));
    forged.insert(sign(&key, &long));
    forged.insert("x".repeat(60_000));
    forged.insert(".".repeat(60_000));
    forged.insert("eyJ".repeat(2000) + "..");
    for token in forged {
        let shown: String = token.chars().take(200).collect();
        let response = read(&api, &app, &token).await;
        assert!(response.is_error(401, INVALID), "{shown}: {response:?}");
    }
    // Ended, but rightly signed.
    let mut ended = claims.clone();
    (ended["iat"], ended["exp"]) = (json!(now - 100), json!(now - 1));
    read(&api, &app, &sign(&key, &ended))
        .await
        .expect_error(401, EXPIRED);
    ended["app"] = json!(other.id);
    read(&api, &app, &sign(&key, &ended))
        .await
        .expect_error(401, INVALID);
    // Within the leeway of the start.
    let mut early = claims;
    (early["iat"], early["nbf"]) = (json!(now + 3), json!(now + 3));
    read(&api, &app, &sign(&key, &early))
        .await
        .expect_status(200);
}

#[apply(on_each_guarded_server!)]
async fn user_is_the_sender_and_changes_only_own_messages(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let key = api.new_key(&app, &json!({})).await;
    let user = |name: &str| api.with_credential(&sign(&key, &claims(&app, name)));
    let (alice, bob) = (user("alice"), user("bob"));
    let forged = json!({"message": "hello", "sender": "bob"});
    let path = format!("{chat}/message");
    alice.post(&path, &forged).await.expect_status(201);
    bob.create_message(&chat, "from bob").await;
    api.create_message(&chat, "from nobody").await;
    let by_key = json!({"message": "by a server", "sender": "alice"});
    api.post(&path, &by_key).await.expect_status(201);
    let list = api.get(format!("{chat}/messages")).await.json();
    let senders: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| &item["sender"])
        .collect();
    assert_eq!(
        senders,
        [
            &json!("alice"),
            &json!("bob"),
            &json!(null),
            &json!("alice")
        ]
    );

    const OTHERS: &str = "Not allowed: another sender's message";
    let change = json!({"message": "changed"});
    for number in [1, 4] {
        alice
            .put(chat.message(number), &change)
            .await
            .expect_status(200);
        let response = bob.put(chat.message(number), &change).await;
        response.expect_error(403, OTHERS);
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"insufficient_scope\""));
    }
    for number in [2, 3] {
        alice
            .put(chat.message(number), &change)
            .await
            .expect_error(403, OTHERS);
    }
    // Form and existence come first.
    alice
        .put(chat.message(2), &json!({}))
        .await
        .expect_error(400, "Message is required");
    alice
        .put(chat.message(5), &change)
        .await
        .expect_error(404, "Message not found");
    // A key changes any message, and the sender stays.
    api.put(chat.message(2), &change).await.expect_status(200);
    let read = api.get(chat.message(2)).await;
    assert_eq!(
        (read.text_field("Sender"), read.text_field("Message")),
        ("bob".into(), "changed".into())
    );
    bob.put(chat.message(2), &change).await.expect_status(200);
}
