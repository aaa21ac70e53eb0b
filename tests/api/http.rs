//! HTTP itself: methods, media types, paths, and malformed requests.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Client, Fixture, Server, apply, on_each_backend, on_each_server};

#[apply(on_each_server!)]
async fn unknown_path_returns_404_for_every_method(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let app = &chat.app;
    for path in [
        "/",
        "/applications",
        "/application/",
        "/Application",
        "/favicon.ico",
        "/up/up",
        &format!("/application/{app}/"),
        &format!("/application/{app}/messages"),
        &format!("/application/{app}/chats/1"),
        &format!("/application/{app}/chat/1/chat"),
        &format!("/application/{app}/chat/1/message/1/1"),
        &format!("/application/{app}/chat/1/search/and/or"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let response = api.send(method, path, &[], "").await;
            response.expect_error(404, "Not found");
        }
    }
}

#[apply(on_each_server!)]
async fn wrong_method_returns_405_listing_the_allowed_ones(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    let app = format!("/application/{}", chat.app);
    let routes: [(&str, &[&str]); 12] = [
        ("/up", &["GET"]),
        ("/application", &["POST"]),
        (&app, &["GET"]),
        (&format!("{app}/chat"), &["POST"]),
        (&format!("{app}/chats"), &["GET", "POST"]),
        (&format!("{app}/chat/1"), &["GET", "DELETE"]),
        (&format!("{app}/chat/1/message"), &["POST"]),
        (
            &format!("{app}/chat/1/message/1"),
            &["GET", "PUT", "DELETE"],
        ),
        (&format!("{app}/chat/1/messages"), &["GET"]),
        (&format!("{app}/chat/1/search"), &["GET"]),
        (&format!("{app}/chat/1/search/hello"), &["GET"]),
        // As for any other value.
        (&format!("{app}/chat/2"), &["GET", "DELETE"]),
    ];
    for (path, right) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if right.contains(&method) {
                continue;
            }
            let response = api.raw(method, path, "").await;
            if (path, method) == (&*app, "DELETE") {
                response.expect_error(404, "Not found");
                continue;
            }
            response.expect_error(405, "Method not allowed");
            let allow = response.header("allow").expect("an Allow header");
            // HEAD and OPTIONS may be listed too.
            let allowed: BTreeSet<_> = allow
                .split(", ")
                .filter(|method| !["HEAD", "OPTIONS"].contains(method))
                .collect();
            assert_eq!(allowed, right.iter().copied().collect(), "{response:#?}");
        }
    }
}

/// The requests with a body.
async fn routes_with_a_body(api: &Client) -> [(&'static str, String, String); 3] {
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "as created").await;
    let message = json!({"message": "Hello, World!"}).to_string();
    let username = json!({"username": "Shetewi"}).to_string();
    [
        ("POST", "/application".into(), username),
        ("POST", format!("{chat}/message"), message.clone()),
        ("PUT", chat.message(1), message),
    ]
}

#[apply(on_each_server!)]
async fn json_content_types_and_a_missing_one_are_accepted(server: &Server) {
    let api = server.client();
    for (method, path, body) in routes_with_a_body(&api).await {
        for declared in [
            None,
            Some("application/json"),
            Some("APPLICATION/JSON"),
            Some("application/json; charset=utf-8"),
            Some("application/json;charset=UTF-8"),
            Some("application/vnd.confab+json"),
            Some("application/merge-patch+json; charset=utf-8"),
        ] {
            let headers: Vec<_> = declared.map(|d| ("content-type", d)).into_iter().collect();
            let response = api.send(method, &path, &headers, body.as_str()).await;
            let success = if method == "POST" { 201 } else { 200 };
            assert_eq!(response.status, success, "{declared:?}: {response:#?}");
        }
    }
}

#[apply(on_each_server!)]
async fn content_types_other_than_json_return_415(server: &Server) {
    let api = server.client();
    for (method, path, body) in routes_with_a_body(&api).await {
        for declared in [
            "text/plain",
            "text/html; charset=utf-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/octet-stream",
            "application/jsonp",
            "json",
            "*/*",
        ] {
            let headers = [("content-type", declared)];
            println!("{declared}");
            api.send(method, &path, &headers, body.as_str())
                .await
                .expect_error(415, "Content-Type must be application/json");
        }
        // Without a body no media type is needed.
        let response = api
            .send(method, &path, &[("content-type", "text/plain")], "")
            .await;
        response.expect_status(400);
        assert!(response.body.contains(" is required"), "{response:#?}");
    }
}

#[apply(on_each_server!)]
async fn content_codings_other_than_identity_return_415(server: &Server) {
    let api = server.client();
    for (method, path, body) in routes_with_a_body(&api).await {
        for coding in ["gzip", "GZIP", "br", "deflate", "identity, gzip", "none"] {
            println!("{coding}");
            let headers = [("content-encoding", coding)];
            // A real gzip stream, and the text itself.
            for body in [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], body.as_bytes()] {
                api.send(method, &path, &headers, body)
                    .await
                    .expect_error(415, "Content-Encoding must be identity");
            }
        }
        for coding in ["identity", "Identity", ""] {
            let headers = [("content-encoding", coding)];
            let response = api.send(method, &path, &headers, body.as_str()).await;
            assert!((200..300).contains(&response.status), "{response:#?}");
        }
        let two = [("content-encoding", "identity"), ("content-encoding", "br")];
        api.send(method, &path, &two, body.as_str())
            .await
            .expect_error(415, "Content-Encoding must be identity");
    }
}

#[apply(on_each_server!)]
async fn malformed_http_does_not_affect_other_requests(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    let start = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let requests: [Vec<u8>; 8] = [
        b"\r\n\r\nwhat?\r\n\r\n".into(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".into(),
        b"GET /application/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        b"GET / HTTP/9.9\r\n\r\n".into(),
        b"G\xc3\x8bT / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        format!("{start}Content-Length: many\r\n\r\n{{}}").into(),
        format!("{start}Content-Length: -1\r\n\r\n{{}}").into(),
        format!("{start}Transfer-Encoding: chunked\r\n\r\nno size\r\n").into(),
    ];
    for request in requests {
        if let Some(response) = api.raw_bytes(&request).await {
            assert!((400..500).contains(&response.status), "{response:#?}");
        }
        api.get("/up").await.expect_status(200);
    }
    assert_eq!(api.get(format!("{path}s")).await.body, "[]");
}

#[apply(on_each_server!)]
async fn chunked_bodies_are_accepted(server: &Server) {
    let api = server.client();
    let request = "POST /application HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   d\r\n{\"username\":\"\r\n9\r\nShetewi\"}\r\n0\r\n\r\n";
    let response = api.raw_bytes(request.as_bytes()).await.expect("a response");
    response.expect_status(201);
    assert_eq!(response.text_field("Username"), "Shetewi");
}

#[apply(on_each_backend!)]
async fn rejections_of_malformed_http_have_the_body_of_all_errors(fixture: &Fixture) {
    const NOT_HTTP: &str = "Request must be valid HTTP/1.1";
    const TOO_SLOW: &str = "Head of the request took too long to arrive";
    const TOO_LARGE: &str = "Head of the request is too large";
    let api = fixture
        .start_with(&[("CONFAB_SERVER__CLIENT_TIMEOUT_MS", "1000")])
        .await;
    let start = "POST /application HTTP/1.1\r\nHost: localhost\r\n";
    // As much as the server reads.
    let mut endless = "GET /up HTTP/1.1\r\nHost: localhost\r\nX-Endless: ".to_owned();
    endless.push_str(&"x".repeat(131_072 - endless.len()));
    for (request, status, error) in [
        ("what?\r\n\r\n".as_bytes(), 400, NOT_HTTP),
        (b"GET /up HTTP/9.9\r\n\r\n", 400, NOT_HTTP),
        (b"GET /application/\xff HTTP/1.1\r\n\r\n", 400, NOT_HTTP),
        (b"G\xc3\x8bT /up HTTP/1.1\r\n\r\n", 400, NOT_HTTP),
        (
            format!("{start}Content-Length: many\r\n\r\n{{}}").as_bytes(),
            400,
            NOT_HTTP,
        ),
        (
            format!("{start}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes(),
            400,
            NOT_HTTP,
        ),
        (start.as_bytes(), 408, TOO_SLOW),
        (b"GET", 408, TOO_SLOW),
        (endless.as_bytes(), 431, TOO_LARGE),
    ] {
        let shown: String = String::from_utf8_lossy(request).chars().take(80).collect();
        println!("{shown:?}");
        let response = api.raw_bytes(request).await.expect("a response");
        response.expect_error(status, error);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("connection"), Some("close"));
        let length = response.body.len().to_string();
        assert_eq!(response.header("content-length"), Some(&*length));
    }
    // Behind responses to valid requests.
    let up = "GET /up HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let requests = format!("{up}{up}what?\r\n\r\n");
    let first = api
        .raw_bytes(requests.as_bytes())
        .await
        .expect("a response");
    first.expect_status(200);
    let responses: Vec<&str> = first.body.split("HTTP/1.1 ").collect();
    assert_eq!(responses.len(), 3, "{first:#?}");
    assert!(responses[1].starts_with("200 OK"), "{first:#?}");
    assert!(responses[2].starts_with("400 Bad Request"), "{first:#?}");
    let body = format!("\r\n\r\n{{\"error\":\"{NOT_HTTP}\"}}");
    assert!(responses[2].ends_with(&body), "{first:#?}");
}
