//! Protection from pages of other sites that a user of this machine or of a client has open in a browser.

use serde_json::json;

use crate::support::{
    Browser, Client, Fixture, Nginx, PREFIX, Process, Response, apply, free_port, on_embedded,
    on_embedded_behind_proxy,
};

const FOREIGN: &str = "https://evil.example";
const OWN: &str = "https://chat.example.com";
const CROSS_SITE: &str =
    "Cross-site request: its origin is neither that of this server nor in server.cors_origins";
const MISDIRECTED: &str = "Host must be a loopback name, or a name in server.hosts";

/// Creates an application as a page can without a preflight request: the content type is that of a form.
async fn create(client: &Client, headers: &[(&str, &str)]) -> Response {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    let body = json!({"username": "Shetewi"}).to_string();
    client.send("POST", "/application", &headers, body).await
}

#[apply(on_embedded!)]
async fn writes_of_other_sites_are_refused(fixture: &Fixture) {
    let origins = [("CONFAB_SERVER__CORS_ORIGINS", OWN)];
    let api = fixture.start_with(&origins).await;
    let host = format!("127.0.0.1:{}", api.port);
    let own = format!("http://{host}");
    let refused: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", FOREIGN)],
        &[("sec-fetch-site", "cross-site"), ("origin", "null")],
        // The browser knows better than the comparison of names.
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("origin", FOREIGN)],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1")],
        &[("origin", "http://127.0.0.1.evil.example")],
        &[("origin", "http://localhost:3001")],
    ];
    for headers in refused {
        let response = create(&api, headers).await;
        response.expect_error(403, CROSS_SITE);
    }
    let allowed: &[&[(&str, &str)]] = &[
        &[],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        // Behind a proxy that rewrites Host.
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://a.example"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", &own)],
        &[("origin", OWN)],
        &[("sec-fetch-site", "cross-site"), ("origin", OWN)],
    ];
    for headers in allowed {
        let response = create(&api, headers).await;
        response.expect_status(201);
    }
    // A form needs no permission of the browser, and its content type is not JSON.
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "as it was").await;
    let message = chat.message(1);
    let body = json!({"message": "changed"}).to_string();
    for (method, path) in [
        ("POST", format!("{chat}/message")),
        ("PUT", message.clone()),
    ] {
        let headers = [("origin", FOREIGN), ("sec-fetch-site", "cross-site")];
        let response = api.send(method, &path, &headers, body.clone()).await;
        response.expect_error(403, CROSS_SITE);
    }
    // Nothing was written, and reading is harmless: without CORS headers the page does not get the response.
    assert_eq!(api.text(&chat, 1).await, "as it was");
    for method in ["GET", "HEAD", "OPTIONS"] {
        let headers = [("origin", FOREIGN), ("sec-fetch-site", "cross-site")];
        let response = api.send(method, &message, &headers, "").await;
        assert!(response.status < 300, "{response:#?}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

/// Sends a GET with this `Host`; `None` sends none, as HTTP/1.0 allows.
async fn get_from_host(api: &Client, host: Option<&str>) -> Response {
    let host = host.map_or_else(String::new, |host| format!("Host: {host}\r\n"));
    let version = if host.is_empty() { "1.0" } else { "1.1" };
    let request = format!("GET /up HTTP/{version}\r\n{host}Connection: close\r\n\r\n");
    let response = api.raw_bytes(request.as_bytes()).await;
    response.expect("a response")
}

#[apply(on_embedded!)]
async fn loopback_addresses_answer_only_to_their_own_names(fixture: &Fixture) {
    const LOCAL: [&str; 6] = [
        "localhost",
        "LOCALHOST:3001",
        "chat.localhost:80",
        "127.0.0.1",
        "127.1.2.3:9",
        "[::1]:3001",
    ];
    const OTHERS: [&str; 6] = [
        "evil.example",
        "evil.example:3001",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "chat.example.com",
    ];
    let hosts = [(
        "CONFAB_SERVER__HOSTS",
        "chat.example.com, 10.0.0.1, fd00::1",
    )];
    let proxied = [("CONFAB_LIMITS__PROXIES", "1")];
    let expect = async |api: &Process, name: &str, allowed: bool| {
        let response = get_from_host(api, Some(name)).await;
        if allowed {
            response.expect_status(200);
        } else {
            response.expect_error(421, MISDIRECTED);
        }
    };
    let api = fixture.start().await;
    for name in LOCAL {
        expect(&api, name, true).await;
    }
    for name in OTHERS {
        expect(&api, name, false).await;
    }
    // What is no browser may leave it out, and every route is protected.
    get_from_host(&api, None).await.expect_status(200);
    for path in [
        "/",
        "/docs/",
        "/openapi.json",
        "/application/00000000",
        "/nowhere",
    ] {
        let headers = [("host", "evil.example")];
        let response = api.send("GET", path, &headers, "").await;
        response.expect_error(421, MISDIRECTED);
    }
    drop(api);
    let api = fixture.start_with(&hosts).await;
    for name in LOCAL {
        expect(&api, name, true).await;
    }
    for name in [
        "chat.example.com",
        "Chat.Example.COM:8443",
        "10.0.0.1:3001",
        "[fd00::1]",
    ] {
        expect(&api, name, true).await;
    }
    for name in ["evil.example", "a.chat.example.com", "10.0.0.2"] {
        expect(&api, name, false).await;
    }
    drop(api);
    // A reverse proxy passes on the names of the site, and answers for them.
    let api = fixture.start_with(&proxied).await;
    expect(&api, "evil.example", true).await;
    drop(api);
    // On other addresses names are not known.
    let api = fixture
        .start_with(&[
            ("CONFAB_SERVER__HOST", "0.0.0.0"),
            ("CONFAB_AUTH__MODE", "open"),
        ])
        .await;
    expect(&api, "evil.example", true).await;
}

#[apply(on_embedded!)]
async fn origin_is_compared_with_the_name_that_a_proxy_received(fixture: &Fixture) {
    let forwarded: [&[(&str, &str)]; 3] = [
        &[("x-forwarded-host", "chat.example.com")],
        &[(
            "forwarded",
            "for=192.0.2.1;host=chat.example.com;proto=https",
        )],
        &[(
            "forwarded",
            "for=192.0.2.1, for=10.0.0.1;Host=\"chat.example.com\"",
        )],
    ];
    for (proxies, status) in [("0", 403), ("1", 201)] {
        let api = fixture
            .start_with(&[("CONFAB_LIMITS__PROXIES", proxies)])
            .await;
        for headers in forwarded {
            let same = [headers, &[("origin", OWN)]].concat();
            create(&api, &same).await.expect_status(status);
            let foreign = [headers, &[("origin", FOREIGN)]].concat();
            create(&api, &foreign).await.expect_error(403, CROSS_SITE);
        }
    }
}

/// Sends a write from a page, as a browser does it. Returns the status, or the browser's error.
async fn fetch(browser: &mut Browser, url: &str) -> String {
    let script = format!(
        "fetch('{url}', {{method: 'POST', body: JSON.stringify({{username: 'page'}}), \
         headers: {{'Content-Type': 'application/json'}}}}) \
         .then(response => String(response.status), error => String(error))"
    );
    let status = browser.eval(&script).await;
    status.as_str().expect("a text").to_owned()
}

/// Sends a form to this address from the open page, and waits for the text of the response.
async fn submit_form(browser: &mut Browser, url: &str, text: &str) {
    let script = format!(
        "(() => {{ \
             const form = document.createElement('form'); \
             form.method = 'POST'; form.enctype = 'text/plain'; form.action = '{url}'; \
             form.innerHTML = '<input name=\\'{{\"username\":\"x\",\"a\":\"\\' value=\\'\"}}\\'>'; \
             document.body.append(form); form.submit(); }})()"
    );
    browser.eval(&script).await;
    let has_text = format!("document.body?.innerText.includes({})", json!(text));
    browser.until(&has_text).await;
}

/// Pages behind a proxy that keeps `Host`, and behind one that writes its own address there, as nginx does by default. For
/// the name of the second page browsers send no `Sec-Fetch-Site`: it is neither HTTPS nor this machine.
#[apply(on_embedded_behind_proxy!)]
async fn pages_behind_a_proxy_can_write_and_those_of_other_sites_cannot(fixture: &Fixture) {
    const SITE: &str = "chat.test";
    let keeping = "proxy_set_header Host $http_host;";
    let rewriting = "";
    let forwarding = "proxy_set_header X-Forwarded-Host $http_host;";
    let port = free_port();
    let origin = format!("http://{SITE}:{port}");
    let proxied = ("CONFAB_LIMITS__PROXIES", "1");
    let named = ("CONFAB_SERVER__HOSTS", "chat.test,evil.test");
    let trusted = ("CONFAB_SERVER__CORS_ORIGINS", origin.as_str());
    for (directives, setting, elsewhere) in [
        (keeping, proxied, "201"),
        (keeping, named, "201"),
        (rewriting, proxied, "403"),
        (rewriting, trusted, "201"),
        (forwarding, proxied, "201"),
    ] {
        let api = fixture.start_with(&[setting]).await;
        let upstream = format!("http://127.0.0.1:{}", api.port);
        let _nginx = Nginx::start_on(port, &upstream, directives).await;
        let mut browser =
            Browser::start_with(&["--host-resolver-rules=MAP *.test 127.0.0.1"]).await;
        for (host, status) in [("localhost", "201"), (SITE, elsewhere)] {
            let what = format!("{directives:?} {setting:?} {host}");
            let site = format!("http://{host}:{port}{PREFIX}");
            let url = format!("{site}/application");
            browser.open(format!("{site}/openapi.json")).await;
            assert_eq!(fetch(&mut browser, &url).await, status, "{what}");
            // Pages of another site, through the proxy and directly.
            let direct = format!("http://127.0.0.1:{}/application", api.port);
            for url in [&url, &direct] {
                browser
                    .open(format!("http://evil.test:{port}/openapi.json"))
                    .await;
                let fetched = fetch(&mut browser, url).await;
                assert_eq!(fetched, "TypeError: Failed to fetch", "{what}");
                submit_form(&mut browser, url, "Cross-site request").await;
            }
        }
    }
}
