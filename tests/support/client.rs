//! A thin client of the API.

use std::{fmt, fmt::Display, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::{Url, form_urlencoded};

use super::wait::concurrently;

/// Timeout of a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// An application that a test created. `Display` prints its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct App {
    /// The ID, such as `dec969c6`.
    pub id: String,
}

impl Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/application/{}", self.id)
    }
}

/// A chat that a test created. `Display` prints its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chat {
    /// The ID of its application.
    pub app: String,
    /// Its number in the application.
    pub number: u64,
}

impl Chat {
    /// The path of one of its messages.
    pub fn message(&self, number: u64) -> String {
        format!("{self}/message/{number}")
    }
}

impl Display for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/application/{}/chat/{}", self.app, self.number)
    }
}

/// An HTTP client of one process.
#[derive(Debug, Clone)]
pub struct Client {
    /// The port of the process on 127.0.0.1.
    pub port: u16,
    http: reqwest::Client,
    /// Key or token that each request carries, unless it has an `Authorization` header of its own.
    credential: Option<String>,
}

impl Client {
    /// Creates a client of the process on that port.
    pub fn new(port: u16) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(RESPONSE_TIMEOUT)
            // The server closes a connection after 5 s without a request.
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .expect("a client can be built");
        let credential = None;
        Self {
            port,
            http,
            credential,
        }
    }

    /// The same client with connections of its own, which end with the runtime of the test.
    pub fn renewed(&self) -> Self {
        Self {
            credential: self.credential.clone(),
            ..Self::new(self.port)
        }
    }

    /// The same client with this key or token.
    pub fn with_credential(&self, credential: &str) -> Self {
        Self {
            credential: Some(credential.to_owned()),
            ..self.clone()
        }
    }

    /// The same client without a credential.
    pub fn without_credential(&self) -> Self {
        Self {
            credential: None,
            ..self.clone()
        }
    }

    /// Sends a GET. The path is sent as URL libraries normalize it; see [`Client::raw`] for other targets.
    pub async fn get(&self, path: impl Display) -> Response {
        self.send("GET", path, &[], "").await
    }

    /// Like [`Client::get`], returning connection errors.
    pub async fn try_get(&self, path: impl Display) -> reqwest::Result<Response> {
        self.try_send("GET", path, &[], "").await
    }

    /// Sends a POST with a JSON body.
    pub async fn post(&self, path: impl Display, body: &Value) -> Response {
        self.send("POST", path, &[JSON], body.to_string()).await
    }

    /// Like [`Client::post`], returning connection errors.
    pub async fn try_post(&self, path: impl Display, body: &Value) -> reqwest::Result<Response> {
        self.try_send("POST", path, &[JSON], body.to_string()).await
    }

    /// Sends a PUT with a JSON body.
    pub async fn put(&self, path: impl Display, body: &Value) -> Response {
        self.send("PUT", path, &[JSON], body.to_string()).await
    }

    /// Like [`Client::put`], returning connection errors.
    pub async fn try_put(&self, path: impl Display, body: &Value) -> reqwest::Result<Response> {
        self.try_send("PUT", path, &[JSON], body.to_string()).await
    }

    /// Sends a request with the given headers.
    pub async fn send(
        &self,
        method: &str,
        path: impl Display,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Response {
        let (what, path, body) = (format!("{method} {path}"), path.to_string(), body.into());
        let mut response = self.try_send(method, &path, headers, body.clone()).await;
        if method == "GET" && response.as_ref().is_err_and(reqwest::Error::is_request) {
            // The server closed the idle connection while the request was sent: RFC 9112, 9.3.1.
            response = self.try_send(method, &path, headers, body).await;
        }
        response.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends a request with a JSON body, or without a body if it is `null`, and further headers. Returns connection errors.
    pub async fn try_write(
        &self,
        method: &str,
        path: impl Display,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> reqwest::Result<Response> {
        let has_body = !body.is_null();
        let body = if has_body {
            body.to_string()
        } else {
            String::new()
        };
        let declared = has_body.then_some(JSON);
        let headers: Vec<_> = declared
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.try_send(method, path, &headers, body).await
    }

    async fn try_send(
        &self,
        method: &str,
        path: impl Display,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Response> {
        let method = method.parse().expect("a method");
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let body = body.into();
        let mut request = self.http.request(method, &url);
        let mut names = headers.iter().map(|(name, _)| name);
        if let Some(credential) = &self.credential
            && !names.any(|name| name.eq_ignore_ascii_case("authorization"))
        {
            request = request.bearer_auth(credential);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let request = request.build()?;
        let what = format!("{} {path}", request.method());
        let http_response = self.http.execute(request).await?;
        Ok(Response {
            request: what,
            status: http_response.status().as_u16(),
            headers: http_response.headers().clone(),
            body: http_response.text().await?,
        })
    }

    /// Sends a request target that a URL library would change.
    pub async fn raw(&self, method: &str, target: &str, body: &str) -> Response {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.raw_bytes(request.as_bytes())
            .await
            .unwrap_or_else(|| panic!("{method} {target}: closed without an answer"))
    }

    /// Sends bytes that need not be HTTP, then reads until the connection ends; `None` without a response.
    pub async fn raw_bytes(&self, request: &[u8]) -> Option<Response> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("the process accepts connections");
        stream.write_all(request).await.expect("a connection");
        let mut response = Vec::new();
        tokio::time::timeout(RESPONSE_TIMEOUT, stream.read_to_end(&mut response))
            .await
            .expect("an answer, or the end")
            .ok();
        let response = String::from_utf8_lossy(&response);
        let (head, body) = response.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).expect("a header's name"),
                    HeaderValue::from_str(value).expect("a header's value"),
                )
            })
            .collect();
        let line = request.split(|byte| *byte == b'\r').next()?;
        Some(Response {
            request: String::from_utf8_lossy(line).into_owned(),
            status,
            headers,
            body: body.into(),
        })
    }

    /// Creates an application.
    pub async fn new_app(&self) -> App {
        let response = self
            .post("/application", &json!({"username": "Shetewi"}))
            .await;
        response.expect_status(201);
        App {
            id: response.text_field("Application"),
        }
    }

    /// Creates a chat.
    pub async fn new_chat(&self, app: &App) -> Chat {
        let response = self.send("POST", format!("{app}/chat"), &[], "").await;
        response.expect_status(201);
        Chat {
            app: app.id.clone(),
            number: response.number_field("Chat"),
        }
    }

    /// Creates an application with one chat.
    pub async fn new_app_and_chat(&self) -> Chat {
        self.new_chat(&self.new_app().await).await
    }

    /// Creates a message and returns its number.
    pub async fn create_message(&self, chat: &Chat, text: &str) -> u64 {
        let response = self
            .post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        response.expect_status(201);
        response.number_field("MessageID")
    }

    /// Creates `count` messages of this text, by 20 concurrent clients.
    pub async fn fill(&self, chat: &Chat, text: &'static str, count: u64) {
        const CLIENTS: u64 = 20;
        concurrently(CLIENTS as usize, |_| {
            let (api, chat) = (self.clone(), chat.clone());
            async move {
                for _ in 0..count / CLIENTS {
                    api.create_message(&chat, text).await;
                }
            }
        })
        .await;
    }

    /// Updates the text of a message.
    pub async fn update_message(&self, chat: &Chat, number: u64, text: &str) {
        self.put(chat.message(number), &json!({"message": text}))
            .await
            .expect(200, r#"{"status":"success"}"#);
    }

    /// Reads the text of a message.
    pub async fn text(&self, chat: &Chat, number: u64) -> String {
        let response = self.get(chat.message(number)).await;
        response.expect_status(200);
        response.text_field("Message")
    }

    /// Reads the `MessagesCount` of a chat.
    pub async fn messages_count(&self, chat: &Chat) -> Value {
        let response = self.get(chat).await;
        response.expect_status(200);
        response.json()["MessagesCount"].clone()
    }

    /// Searches a chat by `?q=`, with at most 100 hits.
    pub async fn search(&self, chat: &Chat, query: &str) -> Response {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        self.get(format!("{chat}/search?limit=100&q={query}")).await
    }

    /// The numbers of the messages that a search returns, at most 100; empty while the index does not exist.
    pub async fn search_numbers(&self, chat: &Chat, query: &str) -> Vec<u64> {
        let response = self.search(chat, query).await;
        if response.status == 503 {
            return Vec::new();
        }
        response.expect_status(200);
        response.numbers("messageID")
    }

    /// Follows the links of a list in one direction (`next` or `prev`) to the end, and returns every page.
    pub async fn follow(&self, first: impl Display, direction: &str) -> Vec<Response> {
        let mut pages = vec![self.get(first).await];
        while let Some(link) = pages.last().and_then(|page| page.link(direction)) {
            assert!(pages.len() < 10_000, "{link}: the list never ends");
            pages.push(self.get(link).await);
        }
        for page in &pages {
            page.expect_status(200);
        }
        pages
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The request it answers: `GET /up`.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unchanged.
    pub body: String,
}

/// Prints the response in one line.
impl Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.body.chars().take(200).collect();
        write!(f, "is answered {} {body}", self.status)
    }
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// A string field of the body.
    #[track_caller]
    pub fn text_field(&self, name: &str) -> String {
        match &self.json()[name] {
            Value::String(text) => text.clone(),
            _ => panic!("{name} is not a string: {self:#?}"),
        }
    }

    /// An integer field of the body.
    #[track_caller]
    pub fn number_field(&self, name: &str) -> u64 {
        self.json()[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} is not an integer: {self:#?}"))
    }

    /// A time field of the body in the format of the API: RFC 3339, UTC, milliseconds, `Z`.
    #[track_caller]
    pub fn time_field(&self, name: &str) -> String {
        let text = self.text_field(name);
        check_time(&text);
        text
    }

    /// An integer field of each item of a list.
    #[track_caller]
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let items = self.json();
        let items = items
            .as_array()
            .unwrap_or_else(|| panic!("no list: {self:#?}"));
        items
            .iter()
            .map(|item| {
                item[name]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{name} is not an integer: {self:#?}"))
            })
            .collect()
    }

    /// The `Location` header as a path, resolved as a client does: relative to the URL of the request.
    #[track_caller]
    pub fn location(&self) -> Option<String> {
        self.header("location")
            .map(|reference| self.resolve(reference))
    }

    /// A reference, relative to the URL of the request, as a path with its query.
    #[track_caller]
    fn resolve(&self, reference: &str) -> String {
        let path = self.request.split(' ').nth(1).expect("a path");
        let base = Url::parse(&format!("http://localhost{path}")).expect("a URL");
        let resolved = base.join(reference).expect("a reference");
        assert_eq!(resolved.host_str(), Some("localhost"), "{reference}");
        match resolved.query() {
            Some(query) => format!("{}?{query}", resolved.path()),
            None => resolved.path().to_owned(),
        }
    }

    /// The path in the `Link` header (RFC 8288) with a relation, resolved as [`Response::location`].
    #[track_caller]
    pub fn link(&self, relation: &str) -> Option<String> {
        let target = self.raw_link(relation)?;
        Some(self.resolve(&target))
    }

    /// The target of the `Link` header with a relation, as it was sent.
    #[track_caller]
    pub fn raw_link(&self, relation: &str) -> Option<String> {
        let headers = self.headers.get_all("link").iter();
        headers
            .flat_map(|value| value.to_str().expect("a header in ASCII").split(", "))
            .find_map(|link| {
                let (target, parameters) = link
                    .strip_prefix('<')
                    .and_then(|link| link.split_once(">; "))
                    .unwrap_or_else(|| panic!("{link:?} is not a link: {self:#?}"));
                (parameters == format!("rel=\"{relation}\"")).then(|| target.to_owned())
            })
    }

    /// Fails unless this is the status.
    #[track_caller]
    pub fn expect_status(&self, status: u16) {
        assert_eq!(self.status, status, "{self:#?}");
    }

    /// Fails unless this is the status and exactly the JSON body.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{self:#?}");
        assert!(self.is(status, body), "{self:#?}");
    }

    /// Fails unless this is the status and the error: see [`Response::is_error`].
    #[track_caller]
    pub fn expect_error(&self, status: u16, error: &str) {
        self.expect(status, &error_body(error));
        assert!(self.is_error(status, error), "{self:#?}");
    }

    /// Tells whether this is the status and exactly the JSON body.
    fn is(&self, status: u16, body: &str) -> bool {
        self.status == status
            && self.body == body
            && self.header("content-type") == Some("application/json")
    }

    /// Tells whether this is the status and the error, `{"error":"…"}` and nothing else, with the headers that the status
    /// requires.
    pub fn is_error(&self, status: u16, error: &str) -> bool {
        self.is(status, &error_body(error))
            && match status {
                503 => self.header("retry-after") == Some("1"),
                405 => self.header("allow").is_some(),
                _ => true,
            }
    }
}

fn error_body(error: &str) -> String {
    format!(r#"{{"error":{}}}"#, json!(error))
}

/// Fails unless this is a time in the format of the API, within a day of now.
#[track_caller]
pub fn check_time(text: &str) {
    let time = DateTime::parse_from_rfc3339(text)
        .unwrap_or_else(|error| panic!("{text:?} is not RFC 3339: {error}"))
        .to_utc();
    assert_eq!(time.to_rfc3339_opts(SecondsFormat::Millis, true), text);
    let off = (Utc::now() - time).abs();
    assert!(off < TimeDelta::days(1), "{text} is {off} from now");
}
