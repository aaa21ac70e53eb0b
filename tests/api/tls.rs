//! TLS and Unix sockets to the stores: real servers with certificates of a private authority.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{
    Authority, DedicatedMysql, DedicatedRedis, Fixture, Identity, TlsProxy, apply, eventually,
    eventually_eq, on_services,
};

const PASSWORD: &str = "hunter2-hunter2";

/// Settings of the program, as environment variables.
type Variables = Vec<(&'static str, String)>;

/// The same settings, with others in their place or added to them.
fn with(variables: &Variables, others: &[(&'static str, &str)]) -> Variables {
    let kept = variables
        .iter()
        .filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    let others = others.iter().map(|(name, value)| (*name, (*value).into()));
    kept.cloned().chain(others).collect()
}

fn borrowed(variables: &Variables) -> Vec<(&str, &str)> {
    let pairs = variables.iter();
    pairs.map(|(name, value)| (*name, value.as_str())).collect()
}

/// Writes through the API, and waits until the message is stored and found.
async fn write_and_search(fixture: &Fixture, settings: &Variables) {
    let api = fixture.start_with(&borrowed(settings)).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "over an encrypted connection")
        .await;
    eventually_eq("the count", Value::from(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually_eq("the message", vec![1], async || {
        api.search_numbers(&chat, "encrypted").await
    })
    .await;
}

/// Runs `confab doctor` with these settings, and returns the error and the advice of a check that must fail.
async fn problem(fixture: &Fixture, check: &str, settings: &Variables) -> String {
    let finished = fixture
        .confab_with(&["doctor", "--json"], &borrowed(settings))
        .await;
    let output = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!output.contains(PASSWORD), "{output}");
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check}: {report:#}"));
    assert_eq!(found["verdict"], "problem", "{report:#}");
    format!("{} {}", found["found"], found["advice"])
}

/// Every one of these settings is a problem of the store that is described with these texts.
async fn all_fail(fixture: &Fixture, check: &str, cases: &[(Variables, &[&str])]) {
    for (settings, texts) in cases {
        let problem = problem(fixture, check, settings).await;
        for text in *texts {
            assert!(problem.contains(text), "{settings:?}: {problem}");
        }
    }
}

const MYSQL_URL: &str = "CONFAB_SERVICES__MYSQL_URL";
const MYSQL_CA: &str = "CONFAB_SERVICES__MYSQL_CA_FILE";
const MYSQL_CERT: &str = "CONFAB_SERVICES__MYSQL_CERT_FILE";
const MYSQL_KEY: &str = "CONFAB_SERVICES__MYSQL_KEY_FILE";

/// A MySQL server that accepts only TLS, and a user of it that needs a client certificate.
async fn mysql_with_tls(fixture: &Fixture, authority: &Authority) -> (DedicatedMysql, Variables) {
    let (server, client) = (authority.server("127.0.0.1"), authority.client());
    let mysql = DedicatedMysql::start(
        fixture,
        &[
            "--require-secure-transport=ON",
            &format!("--ssl-ca={}", authority.file()),
            &format!("--ssl-cert={}", server.cert),
            &format!("--ssl-key={}", server.key),
        ],
    )
    .await;
    let create = format!("CREATE USER 'chat'@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509");
    mysql.execute(&create).await;
    mysql.execute("GRANT ALL ON confab.* TO 'chat'@'%'").await;
    let url = format!("mysql://chat:{PASSWORD}@127.0.0.1:{}/confab", mysql.port);
    let settings = vec![
        (MYSQL_URL, url),
        (MYSQL_CA, authority.file()),
        (MYSQL_CERT, client.cert),
        (MYSQL_KEY, client.key),
    ];
    (mysql, settings)
}

#[apply(on_services!)]
async fn mysql_with_a_private_authority_is_used_over_tls(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let (_mysql, settings) = mysql_with_tls(fixture, &authority).await;
    write_and_search(fixture, &settings).await;
}

#[apply(on_services!)]
async fn mysql_with_a_wrong_certificate_is_an_outage_with_its_reason(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let other = Authority::new(fixture.folder(), "other");
    let stranger = other.client();
    let (mysql, settings) = mysql_with_tls(fixture, &authority).await;
    let localhost = format!("mysql://chat:{PASSWORD}@localhost:{}/confab", mysql.port);
    let public = format!(
        "mysql://chat:{PASSWORD}@127.0.0.1:{}/confab?require_ssl=true",
        mysql.port
    );
    let plain = format!("mysql://chat:{PASSWORD}@127.0.0.1:{}/confab", mysql.port);
    let setting = "services.mysql_ca_file";
    all_fail(
        fixture,
        "mysql",
        &[
            (
                with(&settings, &[(MYSQL_CA, &other.file())]),
                &["UnknownIssuer", setting],
            ),
            (
                with(&settings, &[(MYSQL_URL, &localhost)]),
                &["not valid for name", "localhost", setting],
            ),
            // Without a file, only public authorities are trusted.
            (vec![(MYSQL_URL, public)], &["UnknownIssuer", setting]),
            (
                with(&settings, &[(MYSQL_CERT, ""), (MYSQL_KEY, "")]),
                &["Access denied"],
            ),
            (
                with(
                    &settings,
                    &[(MYSQL_CERT, &stranger.cert), (MYSQL_KEY, &stranger.key)],
                ),
                &["MySQL is unavailable"],
            ),
            (vec![(MYSQL_URL, plain)], &["MySQL is unavailable"]),
        ],
    )
    .await;
    // The same in a process that serves: requests fail, and it does not.
    let wrong = with(&settings, &[(MYSQL_CA, &other.file())]);
    let mut api = fixture.spawn(&borrowed(&wrong)).await;
    for _ in 0..3 {
        let body = json!({"username": "Shetewi"});
        api.post("/application", &body).await.expect_status(503);
    }
    eventually_eq("the log names the reason", true, async || {
        api.output().contains("UnknownIssuer")
    })
    .await;
    assert_eq!(api.ended(), None);
    let output = api.output();
    assert!(!output.contains("panicked"), "{output}");
    assert!(!output.contains(PASSWORD), "{output}");
}

const REDIS_URL: &str = "CONFAB_SERVICES__REDIS_URL";
const REDIS_CA: &str = "CONFAB_SERVICES__REDIS_CA_FILE";
const REDIS_CERT: &str = "CONFAB_SERVICES__REDIS_CERT_FILE";
const REDIS_KEY: &str = "CONFAB_SERVICES__REDIS_KEY_FILE";

const DURABLE: [&str; 6] = [
    "--appendonly",
    "yes",
    "--maxmemory-policy",
    "noeviction",
    "--requirepass",
    PASSWORD,
];

/// A Redis server that accepts only TLS, from clients with a certificate.
async fn redis_with_tls(fixture: &Fixture, authority: &Authority) -> (DedicatedRedis, Variables) {
    let (server, client) = (authority.server("127.0.0.1"), authority.client());
    let redis = DedicatedRedis::start_tls(fixture, authority, &server, &DURABLE).await;
    let settings = vec![
        (REDIS_URL, with_password(&redis.url)),
        (REDIS_CA, authority.file()),
        (REDIS_CERT, client.cert),
        (REDIS_KEY, client.key),
    ];
    (redis, settings)
}

fn with_password(url: &str) -> String {
    url.replace("://", &format!("://:{PASSWORD}@"))
}

#[apply(on_services!)]
async fn redis_with_a_private_authority_is_used_over_tls(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let (_redis, settings) = redis_with_tls(fixture, &authority).await;
    write_and_search(fixture, &settings).await;
}

#[apply(on_services!)]
async fn redis_with_a_wrong_certificate_is_an_outage_with_its_reason(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let other = Authority::new(fixture.folder(), "other");
    let stranger = other.client();
    let (redis, settings) = redis_with_tls(fixture, &authority).await;
    let url = with_password(&redis.url);
    let setting = "services.redis_ca_file";
    all_fail(
        fixture,
        "redis",
        &[
            (
                with(&settings, &[(REDIS_CA, &other.file())]),
                &["UnknownIssuer", setting],
            ),
            (
                with(
                    &settings,
                    &[(REDIS_URL, &url.replace("127.0.0.1", "localhost"))],
                ),
                &["not valid for name", "localhost", setting],
            ),
            (vec![(REDIS_URL, url.clone())], &["UnknownIssuer", setting]),
            (
                with(&settings, &[(REDIS_CERT, ""), (REDIS_KEY, "")]),
                &["Redis is unavailable"],
            ),
            (
                with(
                    &settings,
                    &[(REDIS_CERT, &stranger.cert), (REDIS_KEY, &stranger.key)],
                ),
                &["Redis is unavailable"],
            ),
            (
                vec![(REDIS_URL, url.replace("rediss", "redis"))],
                &["Redis is unavailable"],
            ),
        ],
    )
    .await;
}

const SEARCH_URL: &str = "CONFAB_SERVICES__ELASTICSEARCH_URL";
const SEARCH_CA: &str = "CONFAB_SERVICES__ELASTICSEARCH_CA_FILE";
const SEARCH_CERT: &str = "CONFAB_SERVICES__ELASTICSEARCH_CERT_FILE";
const SEARCH_KEY: &str = "CONFAB_SERVICES__ELASTICSEARCH_KEY_FILE";
const SEARCH_API_KEY: &str = "CONFAB_SERVICES__ELASTICSEARCH_API_KEY";

/// A proxy before Elasticsearch that accepts only TLS, from clients with a certificate.
async fn elasticsearch_with_tls(fixture: &Fixture, authority: &Authority) -> (TlsProxy, Variables) {
    let (server, client) = (authority.server("127.0.0.1"), authority.client());
    let target = &fixture.services().elasticsearch_url;
    let proxy = TlsProxy::start(target, authority, &server).await;
    let settings = vec![
        (SEARCH_URL, format!("https://127.0.0.1:{}", proxy.port)),
        (SEARCH_CA, authority.file()),
        (SEARCH_CERT, client.cert),
        (SEARCH_KEY, client.key),
    ];
    (proxy, settings)
}

#[apply(on_services!)]
async fn elasticsearch_with_a_private_authority_is_used_over_tls(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let (proxy, settings) = elasticsearch_with_tls(fixture, &authority).await;
    write_and_search(fixture, &settings).await;
    assert!(proxy.received().contains("_bulk"));
}

#[apply(on_services!)]
async fn elasticsearch_with_a_wrong_certificate_is_an_outage_with_its_reason(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let other = Authority::new(fixture.folder(), "other");
    let stranger = other.client();
    let (proxy, settings) = elasticsearch_with_tls(fixture, &authority).await;
    let localhost = format!("https://localhost:{}", proxy.port);
    let plain = format!("http://127.0.0.1:{}", proxy.port);
    let setting = "services.elasticsearch_ca_file";
    all_fail(
        fixture,
        "elasticsearch",
        &[
            (
                with(&settings, &[(SEARCH_CA, &other.file())]),
                &["UnknownIssuer", setting],
            ),
            (
                with(&settings, &[(SEARCH_URL, &localhost)]),
                &["not valid for name", "localhost", setting],
            ),
            (
                with(&settings, &[(SEARCH_CA, "")]),
                &["UnknownIssuer", setting],
            ),
            (
                with(&settings, &[(SEARCH_CERT, ""), (SEARCH_KEY, "")]),
                &["Elasticsearch is unavailable"],
            ),
            (
                with(
                    &settings,
                    &[(SEARCH_CERT, &stranger.cert), (SEARCH_KEY, &stranger.key)],
                ),
                &["Elasticsearch is unavailable"],
            ),
            (vec![(SEARCH_URL, plain)], &["Elasticsearch is unavailable"]),
        ],
    )
    .await;
    assert_eq!(proxy.received(), "");
}

#[apply(on_services!)]
async fn elasticsearch_api_key_is_sent_and_never_logged(fixture: &Fixture) {
    const KEY: &str = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";
    let authority = Authority::new(fixture.folder(), "ca");
    let (proxy, settings) = elasticsearch_with_tls(fixture, &authority).await;
    let settings = with(
        &settings,
        &[(SEARCH_API_KEY, KEY), ("CONFAB_LOG__LEVEL", "trace")],
    );
    let api = fixture.start_with(&borrowed(&settings)).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "found with a key").await;
    eventually_eq("the message", vec![1], async || {
        api.search_numbers(&chat, "key").await
    })
    .await;
    let received = proxy.received();
    let requests = received.matches(" HTTP/1.1\r\n").count();
    let header = format!("authorization: ApiKey {KEY}\r\n");
    assert_eq!(received.matches(&header).count(), requests, "{received}");
    assert!(!api.output().contains(KEY), "{}", api.output());
}

#[apply(on_services!)]
async fn unix_sockets_of_mysql_and_redis_are_used(fixture: &Fixture) {
    let mysql = DedicatedMysql::start(fixture, &[]).await;
    let create = format!("CREATE USER 'chat'@'localhost' IDENTIFIED BY '{PASSWORD}'");
    mysql.execute(&create).await;
    mysql
        .execute("GRANT ALL ON confab.* TO 'chat'@'localhost'")
        .await;
    let redis_socket = fixture.folder().join("redis.sock").display().to_string();
    let settings = [DURABLE.as_slice(), &["--unixsocket", &redis_socket]].concat();
    let _redis = DedicatedRedis::start(fixture, &settings).await;
    let socket = mysql.socket.display();
    let settings = vec![
        (
            MYSQL_URL,
            // Nothing listens on the port.
            format!("mysql://chat:{PASSWORD}@localhost:1/confab?socket={socket}"),
        ),
        (
            REDIS_URL,
            format!("redis+unix://{redis_socket}?db=3&pass={PASSWORD}"),
        ),
    ];
    write_and_search(fixture, &settings).await;
}

/// A server that does not speak TLS. It keeps what clients send, and closes the connection after the first of it.
struct PlainServer {
    port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl PlainServer {
    async fn start(greeting: &'static [u8]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let connections = received.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut bytes = vec![0; 4096];
                client.write_all(greeting).await.ok();
                let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut bytes));
                let length = read.await.map_or(0, |read| read.unwrap_or(0));
                bytes.truncate(length);
                connections.lock().expect("nobody panicked").push(bytes);
            }
        });
        Self {
            port,
            received,
            serving,
        }
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Greeting of a MySQL server without the capability `CLIENT_SSL`.
const MYSQL_GREETING: &[u8] =
    b"\x4a\0\0\0\x0a9.7.0\0\x07\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xc1\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0caching_sha2_password\0";

#[apply(on_services!)]
async fn server_without_tls_receives_nothing_in_plain_text(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let ca = authority.file();
    for (check, greeting, url, url_setting, ca_setting) in [
        (
            "mysql",
            MYSQL_GREETING,
            "mysql://chat:PASSWORD@127.0.0.1:PORT/confab",
            MYSQL_URL,
            MYSQL_CA,
        ),
        (
            "redis",
            b"",
            "rediss://chat:PASSWORD@127.0.0.1:PORT",
            REDIS_URL,
            REDIS_CA,
        ),
        (
            "elasticsearch",
            b"",
            "https://chat:PASSWORD@127.0.0.1:PORT",
            SEARCH_URL,
            SEARCH_CA,
        ),
    ] {
        let server = PlainServer::start(greeting).await;
        let url = url
            .replace("PASSWORD", PASSWORD)
            .replace("PORT", &server.port.to_string());
        let settings = vec![(url_setting, url), (ca_setting, ca.clone())];
        problem(fixture, check, &settings).await;
        let first = eventually(check, async || {
            let received = server.received.lock().expect("nobody panicked");
            received.first().cloned().ok_or("no connection")
        })
        .await;
        // The first byte of a TLS handshake. MySQL's client sends nothing, because the greeting does not offer TLS.
        assert!(
            first.is_empty() || first[0] == 0x16,
            "{check}: {:?}",
            String::from_utf8_lossy(&first)
        );
        assert_eq!(first.is_empty(), check == "mysql", "{check}");
    }
}

#[apply(on_services!)]
async fn settings_that_would_not_encrypt_stop_startup(fixture: &Fixture) {
    let authority = Authority::new(fixture.folder(), "ca");
    let other = Authority::new(fixture.folder(), "other");
    let (client, stranger): (Identity, Identity) = (authority.client(), other.client());
    let (ca, missing) = (authority.file(), format!("{}.missing", authority.file()));
    let (mysql, redis, search) = (
        "mysql://chat:PASSWORD@127.0.0.1/confab",
        "rediss://127.0.0.1",
        "https://127.0.0.1:9200",
    );
    type Case<'a> = (&'a [(&'static str, &'a str)], &'a [&'a str]);
    let cases: &[Case] = &[
        // Files that would have no effect.
        (
            &[(REDIS_URL, "redis://127.0.0.1"), (REDIS_CA, &ca)],
            &["services.redis_ca_file", "rediss://"],
        ),
        (
            &[
                (REDIS_URL, "redis+unix:///run/redis.sock"),
                (REDIS_CERT, &client.cert),
                (REDIS_KEY, &client.key),
            ],
            &["services.redis_cert_file", "rediss://"],
        ),
        (
            &[(SEARCH_URL, "http://127.0.0.1:9200"), (SEARCH_CA, &ca)],
            &["services.elasticsearch_ca_file", "https://"],
        ),
        (
            &[
                (MYSQL_URL, "mysql://localhost/confab?socket=/run/mysql.sock"),
                (MYSQL_CA, &ca),
            ],
            &["services.mysql_ca_file", "socket"],
        ),
        (
            &[(
                MYSQL_URL,
                "mysql://localhost/confab?socket=/run/mysql.sock&require_ssl=true",
            )],
            &["services.mysql_url", "socket"],
        ),
        // Halves of a client certificate.
        (
            &[(MYSQL_URL, mysql), (MYSQL_CERT, &client.cert)],
            &["services.mysql_key_file"],
        ),
        (
            &[(REDIS_URL, redis), (REDIS_KEY, &client.key)],
            &["services.redis_cert_file"],
        ),
        // Files that cannot be used.
        (
            &[(MYSQL_URL, mysql), (MYSQL_CA, &missing)],
            &["services.mysql_ca_file", &missing],
        ),
        (
            &[(REDIS_URL, redis), (REDIS_CA, &client.key)],
            &["services.redis_ca_file", "certificate"],
        ),
        (
            &[
                (SEARCH_URL, search),
                (SEARCH_CERT, &client.cert),
                (SEARCH_KEY, &ca),
            ],
            &["services.elasticsearch_key_file", "key"],
        ),
        (
            &[
                (SEARCH_URL, search),
                (SEARCH_CERT, &client.cert),
                (SEARCH_KEY, &stranger.key),
            ],
            &["services.elasticsearch_key_file", "certificate"],
        ),
        // Ways to disable the check of certificates.
        (
            &[(REDIS_URL, "rediss://127.0.0.1/#insecure")],
            &["services.redis_url"],
        ),
        (
            &[(
                MYSQL_URL,
                "mysql://127.0.0.1/confab?require_ssl=true&verify_ca=false",
            )],
            &["services.mysql_url", "verify_ca"],
        ),
        (
            &[(
                MYSQL_URL,
                "mysql://127.0.0.1/confab?require_ssl=true&verify_identity=false",
            )],
            &["services.mysql_url", "verify_identity"],
        ),
        // Parameters that mean nothing.
        (
            &[(MYSQL_URL, "mysql://127.0.0.1/confab?require_ssl=maybe")],
            &["services.mysql_url", "require_ssl"],
        ),
        (
            &[(MYSQL_URL, "mysql://127.0.0.1/confab?sslmode=require")],
            &["services.mysql_url"],
        ),
        // Two ways to authenticate.
        (
            &[
                (SEARCH_URL, "https://me:PASSWORD@127.0.0.1:9200"),
                (SEARCH_API_KEY, "PASSWORD"),
            ],
            &["services.elasticsearch_api_key"],
        ),
        (
            &[(SEARCH_URL, search), (SEARCH_API_KEY, "a key\nPASSWORD")],
            &["services.elasticsearch_api_key"],
        ),
        (&[(REDIS_URL, "redis+unix://")], &["services.redis_url"]),
    ];
    for (settings, texts) in cases {
        let settings: Variables = settings
            .iter()
            .map(|(name, value)| (*name, value.replace("PASSWORD", PASSWORD)))
            .collect();
        let finished = fixture.confab_with(&["serve"], &borrowed(&settings)).await;
        println!("{settings:?}");
        finished.expect_code(1);
        let lines: Vec<&str> = finished.stderr.lines().collect();
        let [line] = lines.as_slice() else {
            panic!("{finished:#?}")
        };
        for text in *texts {
            assert!(line.contains(text), "no {text}: {line}");
        }
        assert!(!line.contains(PASSWORD), "{line}");
        assert!(!line.contains("PRIVATE"), "{line}");
    }
}
