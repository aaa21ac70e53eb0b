//! What browsers and proxies ask for: other origins, tags, compression, and limits on a client's rate.

use serde_json::json;

use crate::support::{Answer, Process, Site, eventually, on_each_backing, on_embedded, together};

const ORIGIN: &str = "https://chat.example.com";

/// What a browser asks before it lets a page of this origin send a message.
async fn preflight(api: &Process, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let path = "/application/00000000/chat/1/message";
    api.send("OPTIONS", path, &headers, "").await
}

async fn only_configured_origins_may_use_it(site: &Site) {
    const ALLOWED: &str = "access-control-allow-origin";
    let api = site.start().await;
    for answer in [
        preflight(&api, ORIGIN).await,
        api.send("GET", "/up", &[("origin", ORIGIN)], "").await,
    ] {
        assert_eq!(answer.header(ALLOWED), None, "{answer:#?}");
    }
    drop(api);
    let origins = format!("http://localhost:5173, {ORIGIN}");
    let api = site
        .start_with(&[("CONFAB_SERVER__CORS_ORIGINS", &origins)])
        .await;
    for origin in [ORIGIN, "http://localhost:5173"] {
        let asked = preflight(&api, origin).await;
        assert_eq!(asked.header(ALLOWED), Some(origin), "{asked:#?}");
        let methods = asked.header("access-control-allow-methods");
        assert!(methods.is_some_and(|methods| methods.contains("POST")));
        // An error can be read by the page, too.
        let headers = [("origin", origin)];
        let answer = api.send("GET", "/nowhere", &headers, "").await;
        answer.expect_error(404, "Not found");
        assert_eq!(answer.header(ALLOWED), Some(origin), "{answer:#?}");
        let exposed = answer.header("access-control-expose-headers");
        let exposed = exposed.expect("headers").to_lowercase();
        for name in ["link", "location", "etag", "retry-after", "x-request-id"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
    for other in ["https://example.com", "http://chat.example.com", "null"] {
        assert_eq!(preflight(&api, other).await.header(ALLOWED), None);
        let answer = api.send("GET", "/up", &[("origin", other)], "").await;
        assert_eq!(answer.header(ALLOWED), None, "{answer:#?}");
    }
}

async fn what_did_not_change_is_not_sent_again(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "as created").await;
    let path = chat.message(1);
    let first = api.get(&path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    for known in [tag.clone(), format!("\"other\", {tag}"), "*".into()] {
        for method in ["GET", "HEAD"] {
            let headers = [("if-none-match", known.as_str())];
            let answer = api.send(method, &path, &headers, "").await;
            answer.expect_status(304);
            assert_eq!(answer.body, "");
            assert_eq!(answer.header("etag"), Some(&*tag));
        }
    }
    api.change(&chat, 1, "changed").await;
    let headers = [("if-none-match", tag.as_str())];
    let answer = api.send("GET", &path, &headers, "").await;
    answer.expect_status(200);
    assert_eq!(answer.text_field("Message"), "changed");
    assert_ne!(answer.header("etag"), Some(&*tag));
}

async fn long_answers_to_reads_are_compressed_for_who_wants_it(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    let long = "hello ".repeat(2_000);
    api.say(&chat, &long).await;
    api.say(&chat, "hello").await;
    // The client of these tests unpacks by itself, and says nothing of it.
    let ask = async |request: String, headers: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let answer = api.raw_bytes(request.as_bytes()).await;
        answer.expect("an answer")
    };
    let get = async |number, headers: &str| {
        let answer = ask(format!("GET {}", chat.message(number)), headers, "").await;
        answer.expect_status(200);
        answer
    };
    let gzip = "Accept-Encoding: gzip, deflate, br\r\n";
    let packed = get(1, gzip).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    let length = packed.header("content-length").expect("a length");
    let length: usize = length.parse().expect("a number");
    assert!(length < 1_000, "{length}");
    for plain in [
        get(1, "").await,
        get(1, "Accept-Encoding: gzip;q=0\r\n").await,
    ] {
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("etag"), packed.header("etag"));
        assert_eq!(plain.text_field("Message"), long);
    }
    assert_eq!(get(2, gzip).await.header("content-encoding"), None);
    let body = json!({"message": long}).to_string();
    let created = ask(format!("POST {chat}/message"), gzip, &body).await;
    created.expect_status(201);
    assert_eq!(created.header("content-encoding"), None);
}

async fn a_client_that_asks_too_often_has_to_wait(site: &Site) {
    let api = site
        .start_with(&[
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "1"),
            ("CONFAB_LIMITS__PROXIES", "1"),
        ])
        .await;
    let ask = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        api.send("GET", "/application/00000000", &headers, "").await
    };
    let turned_away = eventually("a client is turned away", async || {
        let answers = together(20, |_| {
            let client = api.client();
            async move {
                let headers = [("x-forwarded-for", "203.0.113.1, 198.51.100.1")];
                let path = "/application/00000000";
                client.send("GET", path, &headers, "").await
            }
        })
        .await;
        let away = answers.into_iter().find(|answer| answer.status == 429);
        away.ok_or("all were answered")
    })
    .await;
    turned_away.expect_error(429, "Too many requests");
    let wait = turned_away.header("retry-after").expect("a time");
    assert!((1..=2).contains(&wait.parse::<u64>().expect("seconds")));
    // What a client writes itself makes nobody else of it, and nobody else has to wait.
    ask("198.51.100.2")
        .await
        .expect_error(404, "Application not found");
    for _ in 0..20 {
        let headers = [("x-forwarded-for", "198.51.100.1")];
        api.send("GET", "/up", &headers, "")
            .await
            .expect_status(200);
    }
    eventually("it is answered again", async || {
        let answer = ask("198.51.100.1").await;
        if answer.status == 404 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}

on_each_backing!(what_did_not_change_is_not_sent_again);

on_embedded!(
    only_configured_origins_may_use_it,
    long_answers_to_reads_are_compressed_for_who_wants_it,
    a_client_that_asks_too_often_has_to_wait,
);
