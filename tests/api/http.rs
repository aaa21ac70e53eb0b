//! HTTP itself: methods, media types, paths, and malformed requests.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Client, Server, apply, on_each_server};

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
        (&format!("{app}/chat/1"), &["GET"]),
        (&format!("{app}/chat/1/message"), &["POST"]),
        (&format!("{app}/chat/1/message/1"), &["GET", "PUT"]),
        (&format!("{app}/chat/1/messages"), &["GET"]),
        (&format!("{app}/chat/1/search"), &["GET"]),
        (&format!("{app}/chat/1/search/hello"), &["GET"]),
        // As for any other value.
        (&format!("{app}/chat/2"), &["GET"]),
    ];
    for (path, right) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if right.contains(&method) {
                continue;
            }
            let response = api.raw(method, path, "").await;
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
