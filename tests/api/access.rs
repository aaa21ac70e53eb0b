//! Who may use which route: every route of `/openapi.json` with every kind of credential.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{
    App, Chat, Client, Fixture, Response, Server, apply, concurrently,
    credentials::{claims, in_seconds, key_id, new_key, now, sign},
    eventually, on_each_guarded_server, on_embedded,
};

/// A body that every route takes.
fn any_body() -> String {
    json!({
        "username": "me", "message": "hello", "user": "nobody", "name": "new",
        "expiresAt": in_seconds(86_400),
    })
    .to_string()
}

/// Outcomes in the table below, as status, error and challenge. `ok` is any success.
fn outcome(code: &str) -> (u16, &str, Option<&str>) {
    const SCOPE: Option<&str> = Some("Bearer error=\"insufficient_scope\"");
    match code {
        "required" => (401, "Credential is required", Some("Bearer")),
        "invalid" => (
            401,
            "Credential is not valid",
            Some("Bearer error=\"invalid_token\""),
        ),
        "expired" => (
            401,
            "Credential has expired",
            Some("Bearer error=\"invalid_token\", error_description=\"expired\""),
        ),
        "app" => (404, "Application not found", None),
        "chat" => (404, "Chat not found", None),
        "read" => (403, "Not allowed: read", SCOPE),
        "write" => (403, "Not allowed: write", SCOPE),
        "create" => (403, "Not allowed: create_chat", SCOPE),
        "key" => (403, "Not allowed: needs a key", SCOPE),
        "appkey" => (403, "Not allowed: needs an application key", SCOPE),
        "inkey" => (403, "Not allowed: needs an installation key", SCOPE),
        _ => panic!("{code}: an unknown outcome"),
    }
}

/// Credentials that are refused at every route that is not public, and how.
const REFUSED: [(&str, &str); 8] = [
    ("none", "required"),
    ("malformed", "invalid"),
    ("unknown key", "invalid"),
    ("expired key", "expired"),
    ("revoked key", "invalid"),
    ("expired token", "expired"),
    ("token of a revoked user", "invalid"),
    ("token of a revoked key", "invalid"),
];

/// Valid credentials: the columns of [`TABLE`].
const VALID: [&str; 12] = [
    "installation key",
    "read-only installation key",
    "application key",
    "read-only application key",
    "key of another application",
    "token",
    "token of other chats",
    "token without chats",
    "token that reads",
    "token that writes",
    "token of a read-only key",
    "token of another application",
];

/// Expected outcome of each route, in the order of [`VALID`].
#[rustfmt::skip]
const TABLE: [(&str, &str, [&str; 12]); 24] = [
    ("GET", "/applications",
        ["ok", "ok", "inkey", "inkey", "inkey", "key", "key", "key", "key", "key", "key", "key"]),
    ("POST", "/application",
        ["ok", "write", "inkey", "write", "inkey", "key", "key", "key", "key", "key", "key", "key"]),
    ("GET", "/application/{app}",
        ["ok", "ok", "ok", "ok", "app", "ok", "key", "key", "ok", "read", "ok", "app"]),
    ("DELETE", "/application/{app}",
        ["ok", "write", "inkey", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/erase",
        ["ok", "write", "ok", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/keys",
        ["ok", "write", "inkey", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("GET", "/application/{app}/keys",
        ["ok", "ok", "inkey", "inkey", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("PATCH", "/application/{app}/keys/{keyID}",
        ["ok", "write", "inkey", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("DELETE", "/application/{app}/keys/{keyID}",
        ["ok", "write", "inkey", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/token",
        ["appkey", "write", "ok", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/token/revoke",
        ["ok", "write", "ok", "write", "app", "key", "key", "key", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/chat",
        ["ok", "write", "ok", "write", "app", "ok", "ok", "ok", "create", "create", "create", "app"]),
    ("POST", "/application/{app}/chats",
        ["ok", "write", "ok", "write", "app", "ok", "ok", "ok", "create", "create", "create", "app"]),
    ("GET", "/application/{app}/chats",
        ["ok", "ok", "ok", "ok", "app", "ok", "ok", "ok", "ok", "read", "ok", "app"]),
    ("GET", "/application/{app}/changes",
        ["ok", "ok", "ok", "ok", "app", "ok", "ok", "ok", "ok", "read", "ok", "app"]),
    ("GET", "/application/{app}/chat/{chat}",
        ["ok", "ok", "ok", "ok", "app", "ok", "chat", "chat", "ok", "read", "ok", "app"]),
    ("DELETE", "/application/{app}/chat/{chat}",
        ["ok", "write", "ok", "write", "app", "key", "chat", "chat", "key", "key", "key", "app"]),
    ("POST", "/application/{app}/chat/{chat}/message",
        ["ok", "write", "ok", "write", "app", "ok", "chat", "chat", "write", "ok", "write", "app"]),
    ("GET", "/application/{app}/chat/{chat}/messages",
        ["ok", "ok", "ok", "ok", "app", "ok", "chat", "chat", "ok", "read", "ok", "app"]),
    ("GET", "/application/{app}/chat/{chat}/message/{message}",
        ["ok", "ok", "ok", "ok", "app", "ok", "chat", "chat", "ok", "read", "ok", "app"]),
    ("PUT", "/application/{app}/chat/{chat}/message/{message}",
        ["ok", "write", "ok", "write", "app", "ok", "chat", "chat", "write", "ok", "write", "app"]),
    ("DELETE", "/application/{app}/chat/{chat}/message/{message}",
        ["ok", "write", "ok", "write", "app", "ok", "chat", "chat", "write", "ok", "write", "app"]),
    ("GET", "/application/{app}/chat/{chat}/search",
        ["ok", "ok", "ok", "ok", "app", "ok", "chat", "chat", "ok", "read", "ok", "app"]),
    ("GET", "/application/{app}/chat/{chat}/search/{query}",
        ["ok", "ok", "ok", "ok", "app", "ok", "chat", "chat", "ok", "read", "ok", "app"]),
];

/// Routes for everybody.
const PUBLIC: [&str; 3] = ["/up", "/readyz", "/openapi.json"];

/// An application with a chat and a message, and every kind of credential.
struct Cast {
    chat: Chat,
    /// Texts of the credentials, by their names in the tables.
    credentials: BTreeMap<&'static str, String>,
}

impl Cast {
    async fn new(server: &Server) -> Self {
        let api = server.client();
        let (app, other) = (api.new_app().await, api.new_app().await);
        let chat = api.new_chat(&app).await;
        let key = api.new_key(&app, &json!({})).await;
        let read_only = api.new_key(&app, &json!({"readOnly": true})).await;
        let others = api.new_key(&other, &json!({})).await;
        let past = json!({"expiresAt": "2026-01-01T00:00:00Z"});
        let expired = api.new_key(&app, &past).await;
        let revoked = api.new_key(&app, &json!({})).await;
        let path = format!("{app}/keys/{}", key_id(&revoked));
        api.send("DELETE", path, &[], "").await.expect_status(200);

        let with = |key: &str, changes: Value| {
            let mut claims = claims(&app, "alice");
            for (name, value) in changes.as_object().expect("claims") {
                claims[name] = value.clone();
            }
            sign(key, &claims)
        };
        let gone = sign(&key, &claims(&app, "mallory"));
        let body = json!({"user": "mallory"});
        let path = format!("{app}/token/revoke");
        api.post(path, &body).await.expect_status(200);

        let installation = server.stores().guarded();
        let (_, file) = &installation[1];
        let installation = std::fs::read_to_string(file).expect("a key");
        let made = server
            .stores()
            .confab(&["keys", "create", "--read-only", "--json"]);
        let made = made.await;
        made.expect_code(0);
        let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
        let read_only_installation = made["key"].as_str().expect("a key").to_owned();

        let token = with(&key, json!({}));
        // The message that the table's users change is theirs.
        let alice = api.with_credential(&token);
        assert_eq!(alice.create_message(&chat, "hello").await, 1);
        let past = json!({"iat": now() - 1000, "exp": now() - 100});
        let credentials = BTreeMap::from([
            ("none", String::new()),
            ("malformed", "cfb_nonsense".to_owned()),
            ("unknown key", new_key()),
            ("expired key", expired),
            ("revoked key", revoked.clone()),
            ("expired token", with(&key, past)),
            ("token of a revoked user", gone),
            ("token of a revoked key", with(&revoked, json!({}))),
            ("installation key", installation),
            ("read-only installation key", read_only_installation),
            ("application key", key.clone()),
            ("read-only application key", read_only.clone()),
            ("key of another application", others.clone()),
            ("token", token),
            ("token of other chats", with(&key, json!({"chats": [2, 3]}))),
            ("token without chats", with(&key, json!({"chats": []}))),
            ("token that reads", with(&key, json!({"can": ["read"]}))),
            ("token that writes", with(&key, json!({"can": ["write"]}))),
            ("token of a read-only key", with(&read_only, json!({}))),
            (
                "token of another application",
                sign(&others, &claims(&other, "alice")),
            ),
        ]);
        Self { chat, credentials }
    }

    fn app(&self) -> App {
        App {
            id: self.chat.app.clone(),
        }
    }

    /// Path of something new that the credentials may delete; `None` if the path is of a key.
    async fn target_to_delete(&self, api: &Client, path: &str) -> Option<String> {
        let alice = self.client(api, "token");
        match path {
            "/application/{app}" => Some(api.new_app().await.to_string()),
            "/application/{app}/chat/{chat}" => Some(api.new_chat(&self.app()).await.to_string()),
            "/application/{app}/chat/{chat}/message/{message}" => {
                let number = alice.create_message(&self.chat, "to delete").await;
                Some(self.chat.message(number))
            }
            _ => None,
        }
    }

    /// A client with this credential.
    fn client(&self, api: &Client, name: &str) -> Client {
        match &*self.credentials[name] {
            "" => api.without_credential(),
            credential => api.with_credential(credential),
        }
    }
}

/// Fills in a path.
fn filled(template: &str, chat: &Chat, key: &str) -> String {
    template
        .replace("{app}", &chat.app)
        .replace("{chat}", &chat.number.to_string())
        .replace("{message}", "1")
        .replace("{query}", "hello")
        .replace("{keyID}", key)
}

/// Checks a response against a code, and describes a difference.
fn difference(response: &Response, code: &str) -> Option<String> {
    let challenge = response.header("www-authenticate");
    let is_right = match code {
        // A search index that is not there yet changes nothing.
        "ok" => {
            (200..300).contains(&response.status)
                || response.request.contains("/search") && response.status == 503
        }
        _ => {
            let (status, error, wanted) = outcome(code);
            response.is_error(status, error)
                && challenge == wanted
                && response.header("cache-control") == Some("no-store")
        }
    };
    let seen = format!("{code} expected: {response} {challenge:?}");
    (!is_right).then_some(seen)
}

#[apply(on_each_guarded_server!)]
async fn every_route_admits_exactly_the_documented_credentials(server: &Server) {
    let api = server.client();
    let cast = Cast::new(server).await;
    let document = api.without_credential().get("/openapi.json").await.json();
    let mut table: BTreeMap<_, _> = TABLE
        .iter()
        .map(|(method, path, codes)| (format!("{method} {path}"), codes))
        .collect();
    let mut wrong = Vec::new();
    let refused = REFUSED.iter().map(|(name, _)| *name);
    println!(
        "route | {}",
        refused.chain(VALID).collect::<Vec<_>>().join(" | ")
    );
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let method = method.to_uppercase();
            if PUBLIC.contains(&&**path) {
                assert_eq!(operation["security"], json!([]), "{path}");
                for name in cast.credentials.keys() {
                    let response = cast.client(&api, name).get(path).await;
                    response.expect_status(200);
                }
                println!("{method} {path} | public");
                continue;
            }
            assert_eq!(operation["security"], json!([{"credential": []}]), "{path}");
            let codes = table
                .remove(&format!("{method} {path}"))
                .unwrap_or_else(|| panic!("{method} {path}: no expectation in TABLE"));
            let expected = REFUSED.into_iter().chain(VALID.into_iter().zip(*codes));
            let mut row = Vec::new();
            for (name, code) in expected {
                // A key to expire or to revoke.
                let victim = match path.contains("{keyID}") {
                    true => api.new_key(&cast.app(), &json!({})).await,
                    false => new_key(),
                };
                let mut target = filled(path, &cast.chat, key_id(&victim));
                if method == "DELETE" && code == "ok" {
                    target = cast.target_to_delete(&api, path).await.unwrap_or(target);
                }
                let json = [("content-type", "application/json")];
                let client = cast.client(&api, name);
                let response = client.send(&method, &target, &json, any_body()).await;
                row.push(code);
                if let Some(difference) = difference(&response, code) {
                    wrong.push(format!("{method} {path} with {name}: {difference}"));
                }
                // What is refused is refused in the same way where nothing exists, and whatever the body is.
                if code != "ok" && code != "required" {
                    let nothing = Chat {
                        app: cast.chat.app.clone(),
                        number: 1,
                    };
                    let target =
                        filled(path, &nothing, "000000000000").replace("message/1", "message/999");
                    let response = client.send(&method, &target, &[], "[").await;
                    if let Some(difference) = difference(&response, code) {
                        wrong.push(format!("{method} {target} with {name}: {difference}"));
                    }
                    let documented = &operation["responses"][response.status.to_string()];
                    let examples =
                        documented["content"]["application/json"]["examples"].as_object();
                    let body = response.json();
                    if !examples.is_some_and(|all| all.values().any(|one| one["value"] == body)) {
                        wrong.push(format!("{method} {path}: {body} is not documented"));
                    }
                }
            }
            println!("{method} {path} | {}", row.join(" | "));
        }
    }
    assert!(table.is_empty(), "not in /openapi.json: {:?}", table.keys());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[apply(on_each_guarded_server!)]
async fn other_applications_look_like_none(server: &Server) {
    let api = server.client();
    let (app, other) = (api.new_app().await, api.new_app_and_chat().await);
    let key = api.new_key(&app, &json!({})).await;
    let token = sign(&key, &claims(&app, "alice"));
    let none = Chat {
        app: "00000000".into(),
        number: 1,
    };
    for credential in [key, token] {
        let client = api.with_credential(&credential);
        for (method, path, _) in TABLE {
            if !path.contains("{app}") {
                continue;
            }
            let json = [("content-type", "application/json")];
            let mut seen = BTreeSet::new();
            for chat in [&other, &none] {
                let target = filled(path, chat, "000000000000");
                let response = client.send(method, &target, &json, any_body()).await;
                response.expect_error(404, "Application not found");
                let headers = response.headers.keys().map(ToString::to_string);
                seen.insert(headers.collect::<BTreeSet<_>>());
            }
            assert_eq!(seen.len(), 1, "{method} {path}: {seen:?}");
        }
    }
}

#[apply(on_each_guarded_server!)]
async fn errors_of_access_come_in_the_documented_order(server: &Server) {
    let api = server.client();
    let anonymous = api.without_credential();
    let chat = api.new_app_and_chat().await;
    let app = App {
        id: chat.app.clone(),
    };
    let key = api.new_key(&app, &json!({})).await;
    let reader = sign(
        &key,
        &json!({
            "app": app.id, "sub": "alice", "iat": now(), "exp": now() + 60, "chats": [1], "can": ["read"],
        }),
    );
    let reader = api.with_credential(&reader);
    let stranger = api.with_credential(&new_key());
    let huge = "x".repeat(262_145);
    const TOO_LARGE: &str = "Body must be at most 262144 bytes";
    const REQUIRED: &str = "Credential is required";
    for (client, method, path, body, status, error) in [
        // The path is first.
        (
            &anonymous,
            "POST",
            format!("{app}/nowhere"),
            &*huge,
            404,
            "Not found",
        ),
        (
            &anonymous,
            "PATCH",
            format!("{chat}/message"),
            &huge,
            405,
            "Method not allowed",
        ),
        (
            &anonymous,
            "POST",
            format!("{app}/chat/01/message"),
            &huge,
            404,
            "Chat not found",
        ),
        (
            &anonymous,
            "GET",
            "/application/xyz".into(),
            "",
            404,
            "Application not found",
        ),
        (
            &anonymous,
            "PUT",
            format!("{chat}/message/x"),
            &huge,
            404,
            "Message not found",
        ),
        (
            &anonymous,
            "DELETE",
            format!("{app}/keys/x"),
            "",
            404,
            "Key not found",
        ),
        // Then the size.
        (
            &anonymous,
            "POST",
            format!("{chat}/message"),
            &huge,
            413,
            TOO_LARGE,
        ),
        // Then the credential.
        (
            &anonymous,
            "POST",
            format!("{chat}/message"),
            "[",
            401,
            REQUIRED,
        ),
        (
            &stranger,
            "POST",
            format!("{chat}/message"),
            "[",
            401,
            "Credential is not valid",
        ),
        // Then the application and the chat.
        (
            &reader,
            "POST",
            "/application/00000000/chat/7/message".into(),
            "[",
            404,
            "Application not found",
        ),
        (
            &reader,
            "POST",
            format!("{app}/chat/7/message"),
            "[",
            404,
            "Chat not found",
        ),
        // Then the right.
        (
            &reader,
            "POST",
            format!("{chat}/message"),
            "[",
            403,
            "Not allowed: write",
        ),
        // Then the form.
        (
            &api,
            "POST",
            format!("{app}/chat/7/message"),
            "[",
            400,
            "Body must be valid JSON in UTF-8",
        ),
        // Then existence.
        (
            &api,
            "POST",
            format!("{app}/chat/7/message"),
            r#"{"message":"hello"}"#,
            404,
            "Chat not found",
        ),
    ] {
        println!("{method} {path}, expecting {status}");
        let response = client.send(method, &path, &[], body).await;
        response.expect_error(status, error);
    }
    // The same for a body that does not declare its size.
    let size = huge.len();
    for (length, body, status, error) in [(size, &*huge, 413, TOO_LARGE), (1, "[", 401, REQUIRED)] {
        let request = format!(
            "POST {chat}/message HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{body}\r\n0\r\n\r\n"
        );
        let response = api.raw_bytes(request.as_bytes()).await.expect("a response");
        response.expect_error(status, error);
    }
    // A body that was read for its size is still there for the handler.
    let body = r#"{"message":"in chunks"}"#;
    let request = format!(
        "POST {chat}/message HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let response = api.raw_bytes(request.as_bytes()).await.expect("a response");
    response.expect_status(201);
    assert_eq!(response.text_field("Message"), "in chunks");
}

#[apply(on_each_guarded_server!)]
async fn credential_is_one_bearer_header(server: &Server) {
    const REQUIRED: &str = "Credential is required";
    const INVALID: &str = "Credential is not valid";
    let api = server.client();
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let token = sign(&key, &claims(&app, "alice"));
    for credential in [&key, &token] {
        for header in [
            format!("Bearer {credential}"),
            format!("bearer {credential}"),
            format!("BEARER   {credential}"),
            format!("Bearer {credential}  "),
        ] {
            let response = api
                .send("GET", &app, &[("authorization", &header)], "")
                .await;
            response.expect_status(200);
        }
        for (headers, error) in [
            (vec![format!("Bearer {credential}x")], INVALID),
            (vec![format!("Bearer {}", &credential[1..])], INVALID),
            (
                vec![format!("Bearer {credential}, Bearer {credential}")],
                INVALID,
            ),
            (vec![format!("Bearer {credential}"); 2], INVALID),
            (
                vec![format!("Bearer {credential}"), "Basic YTpi".into()],
                INVALID,
            ),
            (vec!["Bearer".into()], INVALID),
            (vec![format!("Basic {credential}")], REQUIRED),
            (vec![credential.clone()], REQUIRED),
            (vec![String::new()], REQUIRED),
        ] {
            let headers: Vec<_> = headers
                .iter()
                .map(|value| ("authorization", &**value))
                .collect();
            let response = api.send("GET", &app, &headers, "").await;
            response.expect_error(401, error);
        }
        // A credential in the URL is an unknown parameter.
        let path = format!("{app}?access_token={credential}");
        let response = api.without_credential().get(path).await;
        response.expect_error(401, REQUIRED);
    }
}

#[apply(on_each_guarded_server!)]
async fn list_of_chats_holds_only_those_of_the_token(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    for _ in 0..9 {
        api.new_chat(&app).await;
    }
    let key = api.new_key(&app, &json!({})).await;
    for (chats, wanted) in [
        (json!("*"), (1..=9).collect()),
        (json!([2, 7, 3, 70, 9]), vec![2, 3, 7, 9]),
        (json!([70]), vec![]),
        (json!([]), vec![]),
    ] {
        let mut claims = claims(&app, "alice");
        claims["chats"] = chats;
        let user = api.with_credential(&sign(&key, &claims));
        for (first, direction) in [
            ("limit=1", "next"),
            ("limit=2", "next"),
            ("limit=2&before=now", "prev"),
        ] {
            let mut pages = user.follow(format!("{app}/chats?{first}"), direction).await;
            if direction == "prev" {
                pages.reverse();
            }
            let numbers: Vec<_> = pages
                .iter()
                .flat_map(|page| page.numbers("chatID"))
                .collect();
            assert_eq!(numbers, wanted, "{first}");
        }
    }
}

#[apply(on_embedded!)]
async fn rate_limit_counts_users_keys_and_addresses_apart(fixture: &Fixture) {
    let api = fixture
        .start_guarded(&[
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "100"),
            ("CONFAB_SERVER__CORS_ORIGINS", "https://chat.example.com"),
        ])
        .await;
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let second = api.new_key(&app, &json!({})).await;
    let other = api.new_app().await;
    let others = api.new_key(&other, &json!({})).await;
    let user =
        |key: &str, app: &App, name: &str| api.with_credential(&sign(key, &claims(app, name)));
    let alice = user(&key, &app, "alice");
    let exhaust = async |client: &Client| {
        eventually("the client is limited", async || {
            let responses = concurrently(50, |_| {
                let (client, app) = (client.clone(), app.clone());
                async move { client.get(app).await }
            });
            let limited = responses
                .await
                .into_iter()
                .find(|response| response.status == 429);
            limited.ok_or("all were answered")
        })
        .await
    };
    exhaust(&alice).await.expect_error(429, "Too many requests");
    // The same user with another token, signed by another key.
    exhaust(&user(&second, &app, "alice")).await;
    // Nor does another spelling of the path change who is counted.
    let encoded = concurrently(20, |_| {
        let (alice, path) = (alice.clone(), format!("/%61pplication/{}", app.id));
        async move { alice.get(path).await.status }
    });
    let encoded = encoded.await;
    assert!(encoded.contains(&429), "{encoded:?}");
    // Everybody else is not limited: other users, their namesake, the keys, and those without a credential.
    for client in [
        user(&key, &app, "bob"),
        api.with_credential(&key),
        api.with_credential(&second),
        api.client(),
    ] {
        client.get(&app).await.expect_status(200);
    }
    user(&others, &other, "alice")
        .get(&other)
        .await
        .expect_status(200);
    let anonymous = api.without_credential();
    anonymous
        .get(&app)
        .await
        .expect_error(401, "Credential is required");
    exhaust(&anonymous).await;
    // Unknown credentials count by address, whatever they are.
    let stranger = api.with_credential(&new_key());
    eventually("a stranger is limited", async || {
        let response = stranger.get(&app).await;
        match response.status {
            429 => Ok(()),
            _ => Err(response),
        }
    })
    .await;
    api.with_credential(&key).get(&app).await.expect_status(200);
    // Preflights need no credential and count for nobody.
    let origin = ("origin", "https://chat.example.com");
    let preflight = [
        origin,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization"),
    ];
    let allowed = anonymous.send("OPTIONS", &app, &preflight, "").await;
    allowed.expect_status(200);
    let headers = allowed
        .header("access-control-allow-headers")
        .expect("headers");
    assert!(headers.contains("authorization"), "{headers}");
    // Errors of access can be read by the page.
    let refused = alice
        .send("GET", &app, &[origin, ("authorization", "Bearer x")], "")
        .await;
    assert!([401, 429].contains(&refused.status), "{refused:?}");
    for (name, value) in [
        ("access-control-allow-origin", "https://chat.example.com"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(refused.header(name), Some(value));
    }
    let exposed = refused
        .header("access-control-expose-headers")
        .expect("headers");
    assert!(
        exposed.to_lowercase().contains("www-authenticate"),
        "{exposed}"
    );
}
