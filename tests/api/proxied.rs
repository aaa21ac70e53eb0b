//! The API behind a reverse proxy that serves it below a path, and the page at its root.

use serde_json::json;

use crate::{
    docs::execute,
    support::{
        Browser, Client, Fixture, Nginx, PREFIX, Response, apply, concurrently, eventually,
        on_embedded, on_embedded_behind_proxy,
    },
};

const KEEP_HOST: &str = "proxy_set_header Host $http_host;";

/// Settings of a program behind one proxy.
const PROXIED: (&str, &str) = ("CONFAB_LIMITS__PROXIES", "1");

#[apply(on_embedded_behind_proxy!)]
async fn redirects_keep_the_path_of_a_proxy(fixture: &Fixture) {
    for (directives, setting) in [(KEEP_HOST, PROXIED), ("", ("CONFAB_LIMITS__PROXIES", "0"))] {
        let api = fixture.start_with(&[setting]).await;
        let nginx = Nginx::start(&format!("http://127.0.0.1:{}", api.port), directives).await;
        for prefix in [PREFIX, ""] {
            let request = format!("{prefix}/docs");
            let response = nginx.client().get(&request).await;
            response.expect_status(308);
            assert_eq!(response.location(), Some(format!("{prefix}/docs/")));
        }
    }
}

#[apply(on_embedded_behind_proxy!)]
async fn references_keep_the_path_of_a_proxy(fixture: &Fixture) {
    for (directives, setting) in [(KEEP_HOST, PROXIED), ("", ("CONFAB_LIMITS__PROXIES", "0"))] {
        let api = fixture.start_with(&[setting]).await;
        let nginx = Nginx::start(&format!("http://127.0.0.1:{}", api.port), directives).await;
        let proxy = nginx.client();
        let create = async |path: String, body: serde_json::Value| {
            let response = proxy.post(&path, &body).await;
            response.expect_status(201);
            let location = response.location().expect("a location");
            proxy.get(&location).await.expect_status(200);
            location
        };
        let username = json!({"username": "Shetewi"});
        let app = create(format!("{PREFIX}/application"), username).await;
        let chat = create(format!("{app}/chat"), json!({})).await;
        assert_eq!(chat, format!("{app}/chat/1"));
        for text in ["first", "second", "third"] {
            create(format!("{chat}/message"), json!({"message": text})).await;
        }
        let pages = proxy
            .follow(format!("{chat}/messages?limit=2"), "next")
            .await;
        let numbers: Vec<_> = pages.iter().map(|page| page.numbers("messageID")).collect();
        assert_eq!(numbers, [vec![1, 2], vec![3]]);
    }
}

#[apply(on_embedded_behind_proxy!)]
async fn docs_page_works_below_a_path_of_a_proxy(fixture: &Fixture) {
    for (directives, setting) in [(KEEP_HOST, PROXIED), ("", ("CONFAB_LIMITS__PROXIES", "0"))] {
        let api = fixture.start_with(&[setting]).await;
        let nginx = Nginx::start(&format!("http://127.0.0.1:{}", api.port), directives).await;
        let site = format!("http://127.0.0.1:{}", nginx.client().port);
        for prefix in [PREFIX, ""] {
            let mut browser = Browser::start().await;
            browser.open(format!("{site}{prefix}/docs")).await;
            let made = execute(&mut browser, "/application", &[]).await;
            let app = made["Application"].as_str().expect("an id");
            api.get(format!("/application/{app}"))
                .await
                .expect_status(200);
            let sent = browser
                .eval("document.querySelector('.request-url pre').innerText")
                .await;
            assert_eq!(sent, json!(format!("{site}{prefix}/application")));
        }
    }
}

#[apply(on_embedded!)]
async fn forwarded_addresses_have_a_rate_limit_each(fixture: &Fixture) {
    let limited = |header| {
        [
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
            ("CONFAB_LIMITS__BURST", "1"),
            ("CONFAB_LIMITS__PROXY_HEADER", header),
            PROXIED,
        ]
    };
    let send_20 = async |client: &Client, name: &'static str, value: String| {
        let responses = concurrently(20, |_| {
            let (client, value) = (client.clone(), value.clone());
            async move {
                let headers = [(name, value.as_str())];
                client.send("GET", "/nowhere", &headers, "").await
            }
        });
        let responses = responses.await.into_iter();
        responses.filter(|response| response.status == 429).count()
    };
    let api = fixture.start_with(&limited("x-forwarded-for")).await;
    for (number, (name, form)) in [
        ("x-forwarded-for", "203.0.113.N:41000"),
        ("x-forwarded-for", "[2001:db8:0:N::1]"),
        ("x-forwarded-for", "[2001:db8:0:N::1]:41000"),
        ("forwarded", "for=203.0.113.N;proto=https"),
        ("forwarded", "proto=https;For=\"[2001:db8:0:N::1]:41000\""),
    ]
    .into_iter()
    .enumerate()
    {
        let value = |client: usize| form.replace('N', &format!("{}", 10 * number + client));
        // Whichever port a client uses, it is the same client.
        eventually("a client is turned away", async || {
            match send_20(&api, name, value(1)).await {
                0 => Err("all were answered"),
                _ => Ok(()),
            }
        })
        .await;
        let headers = [(name, &*value(2))];
        let other = api.send("GET", "/nowhere", &headers, "").await;
        other.expect_error(404, "Not found");
    }
    drop(api);
    // With `Forwarded` configured, clients cannot choose their address in the other header.
    let api = fixture.start_with(&limited("forwarded")).await;
    eventually("a client is turned away", async || {
        let responses = concurrently(20, |number| {
            let client = api.client();
            async move {
                let forged = format!("203.0.113.{number}");
                let headers = [
                    ("x-forwarded-for", forged.as_str()),
                    ("forwarded", "for=192.0.2.1"),
                ];
                client.send("GET", "/nowhere", &headers, "").await
            }
        })
        .await;
        let away = responses.iter().any(|response| response.status == 429);
        away.then_some(()).ok_or("all were answered")
    })
    .await;
}

/// What browsers send with the address that a person entered.
const BROWSER: (&str, &str) = (
    "accept",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
);

#[apply(on_embedded!)]
async fn root_is_a_page_for_browsers_only(fixture: &Fixture) {
    let api = fixture.start().await;
    let get = async |method: &str, headers: &[(&str, &str)]| -> Response {
        api.send(method, "/", headers, "").await
    };
    let page = get("GET", &[BROWSER]).await;
    page.expect_status(200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.header("vary")
            .is_some_and(|vary| vary.contains("Accept"))
    );
    assert!(page.header("content-security-policy").is_some());
    for link in ["docs/", "openapi.json", "readyz"] {
        assert!(page.body.contains(&format!("href=\"{link}\"")), "{page:#?}");
    }
    let head = get("HEAD", &[BROWSER]).await;
    head.expect_status(200);
    for headers in [
        &[][..],
        &[("accept", "*/*")],
        &[("accept", "application/json")],
    ] {
        get("GET", headers).await.expect_error(404, "Not found");
    }
    for method in ["POST", "PUT", "DELETE"] {
        get(method, &[BROWSER]).await.expect_error(404, "Not found");
    }
}

#[apply(on_embedded_behind_proxy!)]
async fn root_page_leads_to_docs_and_description(fixture: &Fixture) {
    let api = fixture.start().await;
    let nginx = Nginx::start(&format!("http://127.0.0.1:{}", api.port), "").await;
    let site = format!("http://127.0.0.1:{}{PREFIX}/", nginx.client().port);
    let mut browser = Browser::start().await;
    browser.open(&site).await;
    browser.screenshots("root").await;
    browser.follow("a[href='openapi.json']").await;
    assert!(browser.text().await.contains("\"openapi\":\"3.1"));
    browser.open(&site).await;
    browser.follow("a[href='readyz']").await;
    assert!(browser.text().await.contains("\"status\":"));
    browser.open(&site).await;
    browser.follow("a[href='docs/']").await;
    browser
        .until("!!document.querySelector('[data-path=\"/application\"]')")
        .await;
    browser.screenshot("docs-behind-proxy").await;
}
