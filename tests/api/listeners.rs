//! Addresses and unix sockets that the API listens on.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt as _};

use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use crate::support::{
    Fixture, Nginx, Process, apply, concurrently, eventually, free_port, on_embedded,
    on_embedded_behind_proxy,
};

/// Sends `GET /up` and returns the status line.
async fn get_up(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> Option<String> {
    let request = format!("GET /up HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    response.lines().next().map(str::to_owned)
}

/// Waits until the process answers at this address.
async fn answers_at(api: &Process, address: &str) {
    let address: IpAddr = address.parse().expect("an address");
    let host = match address {
        IpAddr::V4(address) => format!("{address}:{}", api.port),
        IpAddr::V6(address) => format!("[{address}]:{}", api.port),
    };
    eventually("the process answers", async || {
        let stream = TcpStream::connect((address, api.port)).await;
        let stream = stream.map_err(|error| (error.to_string(), api.output()))?;
        match get_up(stream, &host).await {
            Some(status) if status == "HTTP/1.1 200 OK" => Ok(()),
            other => Err((format!("{other:?}"), api.output())),
        }
    })
    .await;
}

#[apply(on_embedded!)]
async fn server_listens_on_each_configured_address(fixture: &Fixture) {
    for (hosts, addresses) in [
        ("::1", &["::1"][..]),
        ("[::1]", &["::1"]),
        ("127.0.0.1, [::1]", &["127.0.0.1", "::1"]),
        ("127.0.0.1,127.0.0.2", &["127.0.0.1", "127.0.0.2"]),
        ("localhost", &["127.0.0.1"]),
        ("localhost,127.0.0.1", &["127.0.0.1"]),
        ("::", &["127.0.0.1", "::1"]),
        ("0.0.0.0,::", &["127.0.0.1", "127.0.0.2", "::1"]),
    ] {
        let settings = [
            ("CONFAB_SERVER__HOST", hosts),
            ("CONFAB_AUTH__MODE", "open"),
        ];
        let api = fixture.launch(&["serve"], &settings);
        for address in addresses {
            answers_at(&api, address).await;
        }
        let is_listening = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            std::net::TcpStream::connect((address, api.port)).is_ok()
        };
        for other in ["127.0.0.1", "127.0.0.2", "::1"] {
            let is_expected = addresses.contains(&other)
                || hosts.contains("localhost")
                || hosts.contains("::") && !hosts.contains("1");
            assert!(is_expected || !is_listening(other), "{hosts}: {other}");
        }
    }
    // A list in a file, with two ports.
    let port = free_port();
    let file = fixture.folder().join("confab.toml");
    let text = format!("[server]\nhost = [\"127.0.0.1\", \"::1\"]\ncreation_port = {port}\n");
    fs::write(&file, text).expect("the folder takes files");
    let file = file.to_str().expect("a path in UTF-8");
    let api = fixture.launch(&["serve", "--config", file], &[]);
    answers_at(&api, "127.0.0.1").await;
    answers_at(&api, "::1").await;
    let stream = TcpStream::connect(("::1", port)).await;
    let status = get_up(stream.expect("a connection"), "localhost").await;
    assert_eq!(status.as_deref(), Some("HTTP/1.1 200 OK"));
}

#[apply(on_embedded!)]
async fn addresses_that_cannot_be_listened_on_stop_the_start(fixture: &Fixture) {
    let socket = fixture.folder().join("file");
    fs::write(&socket, "no socket").expect("the folder takes files");
    let path = socket.to_str().expect("a path in UTF-8");
    for (settings, words) in [
        (
            &[("CONFAB_SERVER__HOST", "192.0.2.1")][..],
            &["192.0.2.1", "server.host"][..],
        ),
        (
            &[("CONFAB_SERVER__HOST", "127.0.0.1,192.0.2.1")],
            &["192.0.2.1", "server.host"],
        ),
        (
            &[("CONFAB_SERVER__HOST", "nowhere.invalid")],
            &["nowhere.invalid", "server.host"],
        ),
        (
            &[("CONFAB_SERVER__HOST", "127.0.0.1:3001")],
            &["127.0.0.1:3001", "server.host"],
        ),
        (
            &[("CONFAB_SERVER__HOST", "http://127.0.0.1")],
            &["http://127.0.0.1", "server.host"],
        ),
        (
            &[("CONFAB_SERVER__UNIX_SOCKET_MODE", "888")],
            &["888", "server.unix_socket_mode"],
        ),
        (
            &[("CONFAB_SERVER__UNIX_SOCKET_MODE", "1777")],
            &["1777", "server.unix_socket_mode"],
        ),
        (
            &[("CONFAB_SERVER__UNIX_SOCKET", path)],
            &["not a socket", "server.unix_socket", path],
        ),
        (
            &[("CONFAB_SERVER__UNIX_SOCKET", "/nowhere/s")],
            &["/nowhere/s", "server.unix_socket"],
        ),
    ] {
        let ports = [
            ("CONFAB_AUTH__MODE", "open"),
            ("CONFAB_SERVER__PORT", "0"),
            ("CONFAB_ADMIN__PORT", "0"),
        ];
        let settings = [settings, &ports].concat();
        let finished = fixture.confab_with(&["serve"], &settings).await;
        assert_ne!(finished.code, Some(0), "{finished:#?}");
        for word in words {
            assert!(finished.stderr.contains(word), "no {word:?}: {finished:#?}");
        }
    }
    assert_eq!(fs::read_to_string(&socket).expect("the file"), "no socket");
    let file = fixture.folder().join("confab.toml");
    fs::write(&file, "[server]\nhost = []\n").expect("the folder takes files");
    let file = file.to_str().expect("a path in UTF-8");
    let finished = fixture.confab(&["serve", "--config", file]).await;
    assert!(
        finished.stderr.contains("server.unix_socket"),
        "{finished:#?}"
    );
}

#[apply(on_embedded!)]
async fn unix_socket_serves_the_api_with_its_permissions(fixture: &Fixture) {
    let path = fixture.folder().join("confab.sock");
    let text = path.to_str().expect("a path in UTF-8");
    let file = fixture.folder().join("confab.toml");
    fs::write(
        &file,
        format!("[server]\nhost = []\nunix_socket = \"{text}\"\n"),
    )
    .expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let start = async |mode: &str| {
        let settings = [("CONFAB_SERVER__UNIX_SOCKET_MODE", mode)];
        let api = fixture.launch(&["serve", "--config", file], &settings);
        // No browser reaches a unix socket, so any name is right.
        eventually("the socket answers", async || {
            let stream = UnixStream::connect(&path).await;
            let stream = stream.map_err(|error| (error.to_string(), api.output()))?;
            match get_up(stream, "chat.example.com").await {
                Some(status) if status == "HTTP/1.1 200 OK" => Ok(()),
                other => Err((format!("{other:?}"), api.output())),
            }
        })
        .await;
        let permissions = fs::metadata(&path).expect("the socket").permissions();
        assert_eq!(format!("{:o}", permissions.mode() & 0o777), mode);
        assert!(TcpStream::connect(("127.0.0.1", api.port)).await.is_err());
        api
    };
    // A killed process leaves the file, which the next one replaces.
    start("600").await.kill();
    assert!(path.exists());
    let mut api = start("666").await;
    // Two processes do not share it.
    let data = fixture.folder().join("other.sqlite3").display().to_string();
    let settings = [
        ("CONFAB_EMBEDDED__PATH", data.as_str()),
        ("CONFAB_ADMIN__PORT", "0"),
    ];
    let second = fixture
        .confab_with(&["serve", "--config", file], &settings)
        .await;
    assert!(second.stderr.contains("in use"), "{second:#?}");
    assert!(second.stderr.contains("server.unix_socket"), "{second:#?}");
    let stream = UnixStream::connect(&path).await.expect("a connection");
    assert!(get_up(stream, "localhost").await.is_some());
    // After a shutdown the file is gone.
    api.signal("TERM");
    eventually("the process ends", async || api.ended().map(drop).ok_or(())).await;
    assert!(!path.exists());
}

#[apply(on_embedded_behind_proxy!)]
async fn proxy_reaches_the_api_through_a_unix_socket(fixture: &Fixture) {
    let path = fixture.folder().join("confab.sock");
    let path = path.to_str().expect("a path in UTF-8");
    let limited = [
        ("CONFAB_SERVER__UNIX_SOCKET", path),
        ("CONFAB_LIMITS__PROXIES", "1"),
        ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1"),
        ("CONFAB_LIMITS__BURST", "1"),
    ];
    let api = fixture.start_with(&limited).await;
    let named = "proxy_set_header X-Forwarded-For $http_x_client;";
    let nginx = Nginx::start(&format!("http://unix:{path}"), named).await;
    // Each client has a rate limit of its own, and those that the proxy does not name share one.
    for client in ["203.0.113.7:4711", "[2001:db8::7]:4711", ""] {
        eventually("a client is turned away", async || {
            let responses = concurrently(20, |_| {
                let client_of_proxy = nginx.client().clone();
                async move {
                    let headers = [("x-client", client)];
                    client_of_proxy.send("GET", "/readyz", &headers, "").await
                }
            })
            .await;
            let away = responses.iter().any(|response| response.status == 429);
            away.then_some(()).ok_or("all were answered")
        })
        .await;
        let headers = [("x-client", "203.0.113.8:4711")];
        eventually("another client is answered", async || {
            let response = nginx
                .client()
                .send("GET", "/openapi.json", &headers, "")
                .await;
            if response.status == 200 {
                Ok(())
            } else {
                Err(response)
            }
        })
        .await;
    }
    drop((nginx, api));
    let api = fixture.start_with(&limited[..1]).await;
    let nginx = Nginx::start(&format!("http://unix:{path}"), "").await;
    let body = json!({"username": "Shetewi"});
    nginx
        .client()
        .post("/application", &body)
        .await
        .expect_status(201);
    drop(api);
}
