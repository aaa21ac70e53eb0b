//! Keys of applications over HTTP.

use chrono::Utc;
use serde_json::{Value, json};

use crate::support::{
    Fixture, Server, apply, check_time,
    credentials::{claims, in_seconds, key_id, now, sign},
    eventually, on_each_backend, on_each_guarded_server, on_each_server,
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[apply(on_each_guarded_server!)]
async fn key_is_created_listed_expired_and_revoked(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let path = format!("{app}/keys");
    assert_eq!(api.get(&path).await.json(), json!([]));
    let end = "2999-12-31T23:59:59.5+01:00";
    let members = json!({"name": "backend", "readOnly": true, "expiresAt": end});
    let created = api.post(&path, &members).await;
    created.expect_status(201);
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let key = created.text_field("key");
    let id = created.text_field("keyID");
    assert_eq!(
        (key_id(&key), created.text_field("appID")),
        (&*id, app.id.clone())
    );
    let made_at = created.time_field("createdAt");
    assert_eq!(
        created.body,
        format!(
            r#"{{"keyID":"{id}","key":"{key}","appID":"{}","name":"backend","readOnly":true,"createdAt":"{made_at}","expiresAt":"2999-12-31T22:59:59.500Z"}}"#,
            app.id
        )
    );
    let location = created.location().expect("a location");
    assert_eq!(location, format!("{path}/{id}"));
    let item = format!(
        r#"{{"keyID":"{id}","name":"backend","readOnly":true,"createdAt":"{made_at}","expiresAt":"2999-12-31T22:59:59.500Z","lastUsedAt":null}}"#
    );
    let list = api.get(&path).await;
    assert_eq!(list.body, format!("[{item}]"));
    assert!(list.header("etag").is_some());

    let other = api.new_key(&app, &json!({})).await;
    let list = api.get(&path).await.json();
    let items: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| &item["keyID"])
        .collect();
    assert_eq!(items, [&json!(id), &json!(key_id(&other))]);
    assert_eq!(
        (&list[1]["name"], &list[1]["expiresAt"]),
        (&json!(""), &Value::Null)
    );

    // The day of the last use, of a key and of its tokens.
    api.with_credential(&key).get(&app).await.expect_status(200);
    let token = sign(&other, &claims(&app, "alice"));
    api.with_credential(&token)
        .get(&app)
        .await
        .expect_status(200);
    let today = Utc::now().date_naive();
    eventually("the uses are listed", async || {
        let list = api.get(&path).await.json();
        let is_recent = |item: &Value| {
            let day = item["lastUsedAt"].as_str().and_then(|day| day.parse().ok());
            day.is_some_and(|day: chrono::NaiveDate| (day - today).num_days().abs() <= 1)
        };
        match list.as_array().expect("a list").iter().all(is_recent) {
            true => Ok(()),
            false => Err(list),
        }
    })
    .await;

    let body = json!({"expiresAt": in_seconds(-1)}).to_string();
    let changed = api.send("PATCH", &location, &JSON, body).await;
    changed.expect_status(200);
    assert_eq!(changed.text_field("keyID"), id);
    assert!(changed.time_field("expiresAt") < Utc::now().to_rfc3339());
    api.with_credential(&key)
        .get(&app)
        .await
        .expect_error(401, "Credential has expired");
    // A key that expired can be given a later end.
    let body = json!({"expiresAt": in_seconds(3600)}).to_string();
    api.send("PATCH", &location, &JSON, body)
        .await
        .expect_status(200);
    api.with_credential(&key).get(&app).await.expect_status(200);

    api.send("DELETE", &location, &[], "")
        .await
        .expect(200, r#"{"status":"success"}"#);
    api.with_credential(&key)
        .get(&app)
        .await
        .expect_error(401, "Credential is not valid");
    assert_eq!(
        api.get(&path)
            .await
            .json()
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    for (method, body) in [
        ("DELETE", ""),
        ("PATCH", r#"{"expiresAt":"2999-01-01T00:00:00Z"}"#),
    ] {
        let response = api.send(method, &location, &JSON, body).await;
        response.expect_error(404, "Key not found");
    }
}

#[apply(on_each_guarded_server!)]
async fn requests_for_keys_are_validated(server: &Server) {
    let api = server.client();
    let (app, other) = (api.new_app().await, api.new_app().await);
    let key = api.new_key(&app, &json!({})).await;
    let (path, id) = (format!("{app}/keys"), key_id(&key));
    for (body, error) in [
        (json!({"name": 1}), "name must be a string"),
        (
            json!({"name": "x".repeat(256)}),
            "name must be at most 255 characters",
        ),
        (json!({"name": "\0"}), "name must not contain U+0000"),
        (
            json!({"readOnly": "true"}),
            "readOnly must be true or false",
        ),
        (json!({"readOnly": 1}), "readOnly must be true or false"),
        (
            json!({"expiresAt": "tomorrow"}),
            "expiresAt must be a time in RFC 3339",
        ),
        (
            json!({"expiresAt": now()}),
            "expiresAt must be a time in RFC 3339",
        ),
    ] {
        api.post(&path, &body).await.expect_error(400, error);
    }
    let null = json!({"name": null, "readOnly": null, "expiresAt": null});
    api.post(&path, &null).await.expect_status(201);
    let patch = async |path: String, body: &str| api.send("PATCH", path, &JSON, body).await;
    for (body, error) in [
        ("{}", "expiresAt is required"),
        (r#"{"expiresAt":null}"#, "expiresAt is required"),
        (
            r#"{"expiresAt":"2026"}"#,
            "expiresAt must be a time in RFC 3339",
        ),
    ] {
        patch(format!("{path}/{id}"), body)
            .await
            .expect_error(400, error);
    }
    let end = r#"{"expiresAt":"2999-01-01T00:00:00Z"}"#;
    for path in [
        format!("{other}/keys/{id}"),
        format!("{app}/keys/000000000000"),
        format!("{app}/keys/{}", id.to_uppercase() + "A"),
        format!("/application/00000000/keys/{id}"),
        format!("/application/x/keys/{id}"),
    ] {
        patch(path.clone(), end)
            .await
            .expect_error(404, "Key not found");
        api.send("DELETE", path, &[], "")
            .await
            .expect_error(404, "Key not found");
    }
    let unknown = "/application/00000000/keys";
    api.get(unknown)
        .await
        .expect_error(404, "Application not found");
    api.post(unknown, &json!({}))
        .await
        .expect_error(404, "Application not found");
    let revoke = "/application/00000000/token/revoke";
    let alice = json!({"user": "alice"});
    api.post(revoke, &alice)
        .await
        .expect_error(404, "Application not found");
    // None of these attempts changed anything.
    api.with_credential(&key).get(&app).await.expect_status(200);
}

#[apply(on_each_server!)]
async fn routes_of_credentials_do_not_exist_in_open_mode(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let app = format!("/application/{}", chat.app);
    for (method, path) in [
        ("GET", "/applications".to_owned()),
        ("GET", format!("{app}/keys")),
        ("POST", format!("{app}/keys")),
        ("PATCH", format!("{app}/keys/000000000000")),
        ("DELETE", format!("{app}/keys/000000000000")),
        ("POST", format!("{app}/token")),
        ("POST", format!("{app}/token/revoke")),
        ("OPTIONS", format!("{app}/token")),
        ("PUT", format!("{app}/keys")),
    ] {
        let response = api.send(method, &path, &[], "").await;
        response.expect_error(404, "Not found");
    }
    // The header is not looked at.
    for value in ["Bearer nonsense", "Basic YTpi", ""] {
        let headers = [("authorization", value), ("authorization", "Bearer x")];
        let response = api.send("GET", &chat, &headers, "").await;
        response.expect_status(200);
    }
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["components"].get("securitySchemes"), None);
    assert!(!document.to_string().contains("Credential is required"));
}

#[apply(on_each_backend!)]
async fn applications_are_listed_by_creation(fixture: &Fixture) {
    let api = fixture.start_guarded(&[]).await;
    assert_eq!(api.get("/applications").await.json(), json!([]));
    let mut created = Vec::new();
    for _ in 0..7 {
        created.push(api.new_app().await);
    }
    api.new_chat(&created[2]).await;
    // At once, whether stored or not.
    let ids = |pages: &[crate::support::Response]| -> Vec<String> {
        let items = pages.iter().flat_map(|page| match page.json() {
            Value::Array(items) => items,
            other => panic!("{other}"),
        });
        items
            .map(|item| item["appID"].as_str().expect("an ID").to_owned())
            .collect()
    };
    let right: Vec<_> = created.iter().map(|app| app.id.clone()).collect();
    for limit in [1, 3, 7, 100] {
        let pages = api
            .follow(format!("/applications?limit={limit}"), "next")
            .await;
        assert_eq!(ids(&pages), right, "{limit}");
    }
    let last = api
        .get("/applications?limit=6")
        .await
        .link("next")
        .expect("a page");
    let mut pages = api.follow(last, "prev").await;
    pages.reverse();
    assert_eq!(ids(&pages), right);
    eventually("the count of chats is listed", async || {
        let list = api.get("/applications").await.json();
        match list[2]["chatsCount"] == json!(1) {
            true => Ok(()),
            false => Err(list),
        }
    })
    .await;
    let list = api.get("/applications?limit=1").await;
    let item = &list.json()[0];
    let made_at = item["createdAt"].as_str().expect("a time");
    check_time(made_at);
    assert_eq!(
        list.body,
        format!(
            r#"[{{"appID":"{}","username":"Shetewi","chatsCount":0,"createdAt":"{made_at}"}}]"#,
            right[0]
        )
    );
    for (query, error) in [
        ("limit=0", "limit must be a whole number from 1 to 1000"),
        ("limit=1001", "limit must be a whole number from 1 to 1000"),
        ("after=1", "after must be a cursor from a Link header"),
        ("before=now", "before must be a cursor from a Link header"),
    ] {
        let response = api.get(format!("/applications?{query}")).await;
        response.expect_error(400, error);
    }
}
