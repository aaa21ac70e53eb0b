//! Support for browsers and proxies: CORS, ETags, compression, and rate limits.

use serde_json::json;

use crate::support::{
    Fixture, Process, Response, Server, apply, concurrently, eventually, on_each_server,
    on_embedded,
};

const ORIGIN: &str = "https://chat.example.com";

/// The preflight request of a browser before a page of this origin sends a message.
async fn preflight(api: &Process, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let path = "/application/00000000/chat/1/message";
    api.send("OPTIONS", path, &headers, "").await
}

/// The members of a header's list, sorted, in lower case.
fn list(response: &Response, header: &str) -> Vec<String> {
    let value = response.header(header).expect("a header").to_lowercase();
    let mut members: Vec<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
    members.sort();
    members
}

#[apply(on_embedded!)]
async fn every_answer_to_an_allowed_origin_has_cors_headers(fixture: &Fixture) {
    let api = fixture
        .start_with(&[
            ("CONFAB_SERVER__CORS_ORIGINS", ORIGIN),
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "3"),
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "100"),
        ])
        .await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "fills the queue").await;
    let (path, message) = (chat.message(1), format!("{chat}/message"));
    let tag = api.get(&path).await;
    let tag = tag.header("etag").expect("a tag");
    let huge = "x".repeat(262_145);
    let text = r#"{"message":"hello"}"#;
    let headers = [("origin", ORIGIN)];
    let cached = [headers[0], ("if-none-match", tag)];
    let declared = [headers[0], ("content-type", "text/plain")];
    let mut statuses = Vec::new();
    for (method, path, headers, body) in [
        ("GET", &*path, &headers[..], ""),
        ("GET", &path, &cached, ""),
        ("OPTIONS", &path, &headers, ""),
        ("POST", &message, &headers, "{}"),
        ("GET", "/nowhere", &headers, ""),
        ("DELETE", "/up", &headers, ""),
        ("POST", &message, &headers, &huge),
        ("POST", &message, &declared, text),
        ("POST", &message, &headers, text),
        ("GET", "/readyz", &headers, ""),
    ] {
        let response = api.send(method, path, headers, body).await;
        let allowed = response.header("access-control-allow-origin");
        assert_eq!(allowed, Some(ORIGIN), "{response:#?}");
        statuses.push(response.status);
    }
    assert_eq!(statuses, [200, 304, 204, 400, 404, 405, 413, 415, 503, 503]);
    // Preflights are not counted by the rate limit, but the limit applies to everything else.
    loop {
        let response = api.send("GET", "/nowhere", &headers, "").await;
        let allowed = response.header("access-control-allow-origin");
        assert_eq!(allowed, Some(ORIGIN), "{response:#?}");
        if response.status == 429 {
            break;
        }
    }
    for _ in 0..50 {
        preflight(&api, ORIGIN).await.expect_status(200);
    }
}

#[apply(on_embedded!)]
async fn cors_allows_only_configured_origins(fixture: &Fixture) {
    const ALLOWED: &str = "access-control-allow-origin";
    let api = fixture.start().await;
    for response in [
        preflight(&api, ORIGIN).await,
        api.send("GET", "/up", &[("origin", ORIGIN)], "").await,
    ] {
        assert_eq!(response.header(ALLOWED), None, "{response:#?}");
    }
    drop(api);
    let origins = format!("http://localhost:5173, {ORIGIN}");
    let api = fixture
        .start_with(&[("CONFAB_SERVER__CORS_ORIGINS", &origins)])
        .await;
    for origin in [ORIGIN, "http://localhost:5173"] {
        let asked = preflight(&api, origin).await;
        assert_eq!(asked.header(ALLOWED), Some(origin), "{asked:#?}");
        let methods = list(&asked, "access-control-allow-methods");
        assert_eq!(methods, ["delete", "get", "head", "post", "put"]);
        let headers = list(&asked, "access-control-allow-headers");
        assert_eq!(headers, ["content-type"]);
        assert_eq!(asked.header("access-control-max-age"), Some("7200"));
        // A page can also read errors.
        let headers = [("origin", origin)];
        let response = api.send("GET", "/nowhere", &headers, "").await;
        response.expect_error(404, "Not found");
        assert_eq!(response.header(ALLOWED), Some(origin), "{response:#?}");
        let exposed = list(&response, "access-control-expose-headers");
        let readable = [
            "confab-state",
            "etag",
            "idempotent-replayed",
            "link",
            "location",
            "retry-after",
            "www-authenticate",
            "x-request-id",
        ];
        assert_eq!(exposed, readable);
    }
    // A refused preflight says why, and a page of an allowed origin can read it.
    let headers = [
        ("origin", ORIGIN),
        ("access-control-request-method", "BREW"),
    ];
    let refused = api.send("OPTIONS", "/up", &headers, "").await;
    refused.expect_error(403, "Requested method is not allowed");
    assert_eq!(refused.header(ALLOWED), Some(ORIGIN), "{refused:#?}");
    for other in ["https://example.com", "http://chat.example.com", "null"] {
        let refused = preflight(&api, other).await;
        refused.expect_error(403, "Origin is not allowed to make this request");
        assert_eq!(refused.header(ALLOWED), None);
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        assert!(refused.header("x-request-id").is_some(), "{refused:#?}");
        let response = api.send("GET", "/up", &[("origin", other)], "").await;
        assert_eq!(response.header(ALLOWED), None, "{response:#?}");
    }
}

#[apply(on_each_server!)]
async fn unchanged_resources_return_304(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "as created").await;
    let path = chat.message(1);
    let first = api.get(&path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("\"other\", {tag}"), "*".into()] {
        for method in ["GET", "HEAD"] {
            let headers = [("if-none-match", known.as_str())];
            let response = api.send(method, &path, &headers, "").await;
            response.expect_status(304);
            assert_eq!(response.body, "");
            assert_eq!(response.header("etag"), Some(&*tag));
        }
    }
    api.update_message(&chat, 1, "changed").await;
    let headers = [("if-none-match", tag.as_str())];
    let response = api.send("GET", &path, &headers, "").await;
    response.expect_status(200);
    assert_eq!(response.text_field("Message"), "changed");
    assert_ne!(response.header("etag"), Some(&*tag));
}

#[apply(on_embedded!)]
async fn large_read_responses_are_compressed_if_accepted(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    let long = "hello ".repeat(2_000);
    api.create_message(&chat, &long).await;
    api.create_message(&chat, "hello").await;
    // The HTTP client of these tests would decompress transparently.
    let send_request = async |request: String, headers: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let response = api.raw_bytes(request.as_bytes()).await;
        response.expect("a response")
    };
    let get = async |number, headers: &str| {
        let path = format!("{chat}/messages?limit=1&after={}", number - 1);
        let response = send_request(format!("GET {path}"), headers, "").await;
        response.expect_status(200);
        response
    };
    let gzip = "Accept-Encoding: gzip, deflate, br\r\n";
    let compressed = get(1, gzip).await;
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert_eq!(compressed.header("vary"), Some("accept-encoding"));
    let length = compressed.header("content-length").expect("a length");
    let length: usize = length.parse().expect("a number");
    assert!(length < 1_000, "{length}");
    for uncompressed in [
        get(1, "").await,
        get(1, "Accept-Encoding: gzip;q=0\r\n").await,
    ] {
        assert_eq!(uncompressed.header("content-encoding"), None);
        assert_eq!(uncompressed.header("etag"), compressed.header("etag"));
        assert_eq!(uncompressed.json()[0]["message"], *long);
    }
    assert_eq!(get(2, gzip).await.header("content-encoding"), None);
    let body = json!({"message": long}).to_string();
    let created = send_request(format!("POST {chat}/message"), gzip, &body).await;
    created.expect_status(201);
    assert_eq!(created.header("content-encoding"), None);
}

#[apply(on_embedded!)]
async fn requests_over_the_rate_limit_return_429(fixture: &Fixture) {
    let api = fixture
        .start_with(&[
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "1"),
            ("CONFAB_LIMITS__PROXIES", "1"),
        ])
        .await;
    let send_request = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        api.send("GET", "/application/00000000", &headers, "").await
    };
    let turned_away = eventually("a client is turned away", async || {
        let responses = concurrently(20, |_| {
            let client = api.client();
            async move {
                let headers = [("x-forwarded-for", "203.0.113.1, 198.51.100.1")];
                let path = "/application/00000000";
                client.send("GET", path, &headers, "").await
            }
        })
        .await;
        let away = responses
            .into_iter()
            .find(|response| response.status == 429);
        away.ok_or("all were answered")
    })
    .await;
    turned_away.expect_error(429, "Too many requests");
    let wait = turned_away.header("retry-after").expect("a time");
    assert!((1..=2).contains(&wait.parse::<u64>().expect("seconds")));
    // A forged header does not change the client's identity, and other clients are not limited.
    send_request("198.51.100.2")
        .await
        .expect_error(404, "Application not found");
    for _ in 0..20 {
        let headers = [("x-forwarded-for", "198.51.100.1")];
        api.send("GET", "/up", &headers, "")
            .await
            .expect_status(200);
    }
    // Readiness asks the stores, so it counts.
    eventually("readiness is limited", async || {
        let responses = concurrently(20, |_| {
            let client = api.client();
            async move {
                let headers = [("x-forwarded-for", "198.51.100.3")];
                client.send("GET", "/readyz", &headers, "").await
            }
        })
        .await;
        let away = responses
            .into_iter()
            .find(|response| response.status == 429);
        away.ok_or("all were answered")
    })
    .await
    .expect_error(429, "Too many requests");
    eventually("it is answered again", async || {
        let response = send_request("198.51.100.1").await;
        if response.status == 404 {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
}
