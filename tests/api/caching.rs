//! Headers for caches: `Cache-Control`, `ETag` and `Vary`.

use crate::support::{Fixture, Response, apply, eventually_eq, on_each_backend};

/// The media types of `Accept-Encoding` and the like that a cache must compare, in lower case.
fn vary(response: &Response) -> Vec<String> {
    let values = response.headers.get_all("vary").iter();
    values
        .flat_map(|value| value.to_str().expect("ASCII").split(','))
        .map(|name| name.trim().to_lowercase())
        .collect()
}

#[apply(on_each_backend!)]
async fn reads_may_be_kept_but_must_be_revalidated(fixture: &Fixture) {
    const ORIGIN: &str = "https://chat.example.com";
    for settings in [&[][..], &[("CONFAB_SERVER__CORS_ORIGINS", ORIGIN)]] {
        let api = fixture.start_with(settings).await;
        let chat = api.new_app_and_chat().await;
        api.create_message(&chat, "hello").await;
        eventually_eq("search", vec![1], async || {
            api.search_numbers(&chat, "hello").await
        })
        .await;
        let app = format!("/application/{}", chat.app);
        for path in [
            app.clone(),
            format!("{app}/chats"),
            chat.to_string(),
            format!("{chat}/messages"),
            format!("{chat}/messages?after=1"),
            format!("{chat}/search?q=hello"),
            format!("{chat}/search/hello"),
            chat.message(1),
            "/openapi.json".into(),
        ] {
            for method in ["GET", "HEAD"] {
                let fresh = api.send(method, &path, &[], "").await;
                fresh.expect_status(200);
                let tag = fresh.header("etag").expect("a tag");
                let headers = [("if-none-match", tag)];
                let known = api.send(method, &path, &headers, "").await;
                known.expect_status(304);
                assert_eq!(known.header("etag"), Some(tag));
                for response in [&fresh, &known] {
                    let cache = response.header("cache-control");
                    assert_eq!(cache, Some("private, no-cache"), "{response:#?}");
                    let vary = vary(response);
                    assert!(vary.contains(&"accept-encoding".into()), "{response:#?}");
                    let origin = vary.contains(&"origin".into());
                    assert_eq!(origin, !settings.is_empty(), "{response:#?}");
                }
            }
        }
    }
}

#[apply(on_each_backend!)]
async fn errors_are_not_stored_by_caches(fixture: &Fixture) {
    let api = fixture
        .start_with(&[
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "2"),
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "100"),
        ])
        .await;
    let chat = api.new_app_and_chat().await;
    let message = format!("{chat}/message");
    for (method, path, body, status) in [
        ("GET", "/nowhere".into(), "", 404),
        ("HEAD", "/nowhere".into(), "", 404),
        ("GET", chat.message(1), "", 404),
        ("GET", format!("{chat}/messages?limit=0"), "", 400),
        ("POST", chat.to_string(), "", 405),
        ("POST", message.clone(), "{}", 400),
        ("POST", message, r#"{"message":"hello"}"#, 503),
        ("GET", "/readyz".into(), "", 503),
    ] {
        let response = api.send(method, path, &[], body).await;
        response.expect_status(status);
        assert_eq!(
            response.header("cache-control"),
            Some("no-store"),
            "{response:#?}"
        );
    }
    loop {
        let response = api.get("/nowhere").await;
        assert_eq!(response.header("cache-control"), Some("no-store"));
        if response.status == 429 {
            break;
        }
    }
}
