//! A client of the API, as thin as a test wants it.

use std::{fmt, fmt::Display, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::form_urlencoded;

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(30);

/// An application that a test made. Shown, it is its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct App {
    /// `dec969c6`
    pub id: String,
}

impl Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/application/{}", self.id)
    }
}

/// A chat that a test made. Shown, it is its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chat {
    /// Its application's id.
    pub app: String,
    /// Its number there.
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

/// Talks HTTP to one process.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the process listens, on 127.0.0.1.
    pub port: u16,
    http: reqwest::Client,
}

impl Client {
    /// A client of the process on that port.
    pub fn new(port: u16) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER)
            // The server ends a connection after 5 s without a request.
            .pool_idle_timeout(Duration::from_secs(2))
            .build()
            .expect("a client can be built");
        Self { port, http }
    }

    /// GET. The path is sent as it stands, but for what every URL library does to it: see [`Client::raw`].
    pub async fn get(&self, path: impl Display) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// As [`Client::get`], for when there may be no answer.
    pub async fn try_get(&self, path: impl Display) -> reqwest::Result<Answer> {
        self.try_send("GET", path, &[], "").await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: impl Display, body: &Value) -> Answer {
        self.send("POST", path, &[JSON], body.to_string()).await
    }

    /// As [`Client::post`], for when there may be no answer.
    pub async fn try_post(&self, path: impl Display, body: &Value) -> reqwest::Result<Answer> {
        self.try_send("POST", path, &[JSON], body.to_string()).await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: impl Display, body: &Value) -> Answer {
        self.send("PUT", path, &[JSON], body.to_string()).await
    }

    /// As [`Client::put`], for when there may be no answer.
    pub async fn try_put(&self, path: impl Display, body: &Value) -> reqwest::Result<Answer> {
        self.try_send("PUT", path, &[JSON], body.to_string()).await
    }

    /// Any request, with these headers and no other that matters.
    pub async fn send(
        &self,
        method: &str,
        path: impl Display,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let (what, path, body) = (format!("{method} {path}"), path.to_string(), body.into());
        let mut answer = self.try_send(method, &path, headers, body.clone()).await;
        if method == "GET" && answer.as_ref().is_err_and(reqwest::Error::is_request) {
            // It was sent on a kept connection just as the server ended that: RFC 9112, 9.3.1.
            answer = self.try_send(method, &path, headers, body).await;
        }
        answer.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    async fn try_send(
        &self,
        method: &str,
        path: impl Display,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let method = method.parse().expect("a method");
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let body = body.into();
        let mut request = self.http.request(method, &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let request = request.build()?;
        let what = format!("{} {path}", request.method());
        let response = self.http.execute(request).await?;
        Ok(Answer {
            request: what,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    /// A request target that no URL library would leave as it is.
    pub async fn raw(&self, method: &str, target: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.raw_bytes(request.as_bytes())
            .await
            .unwrap_or_else(|| panic!("{method} {target}: closed without an answer"))
    }

    /// Sends bytes that need not be HTTP, then reads what comes until the end; `None` if nothing came.
    pub async fn raw_bytes(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("the process accepts connections");
        stream.write_all(request).await.expect("a connection");
        let mut answer = Vec::new();
        tokio::time::timeout(ANSWER, stream.read_to_end(&mut answer))
            .await
            .expect("an answer, or the end")
            .ok();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
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
        Some(Answer {
            request: String::from_utf8_lossy(line).into_owned(),
            status,
            headers,
            body: body.into(),
        })
    }

    /// Creates an application.
    pub async fn new_app(&self) -> App {
        let answer = self
            .post("/application", &json!({"username": "Shetewi"}))
            .await;
        answer.expect_status(201);
        App {
            id: answer.text_field("Application"),
        }
    }

    /// Creates a chat.
    pub async fn new_chat(&self, app: &App) -> Chat {
        let answer = self.send("POST", format!("{app}/chat"), &[], "").await;
        answer.expect_status(201);
        Chat {
            app: app.id.clone(),
            number: answer.number_field("Chat"),
        }
    }

    /// Creates an application with one chat.
    pub async fn new_app_and_chat(&self) -> Chat {
        self.new_chat(&self.new_app().await).await
    }

    /// Creates a message, and gives its number.
    pub async fn say(&self, chat: &Chat, text: &str) -> u64 {
        let answer = self
            .post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        answer.expect_status(201);
        answer.number_field("MessageID")
    }

    /// Gives a message a new text.
    pub async fn change(&self, chat: &Chat, number: u64, text: &str) {
        self.put(chat.message(number), &json!({"message": text}))
            .await
            .expect(200, r#"{"status":"success"}"#);
    }

    /// A message's text.
    pub async fn text(&self, chat: &Chat, number: u64) -> String {
        let answer = self.get(chat.message(number)).await;
        answer.expect_status(200);
        answer.text_field("Message")
    }

    /// A chat's `MessagesCount`.
    pub async fn messages_count(&self, chat: &Chat) -> Value {
        let answer = self.get(chat).await;
        answer.expect_status(200);
        answer.json()["MessagesCount"].clone()
    }

    /// Searches a chat by `?q=`, with at most 100 hits.
    pub async fn search(&self, chat: &Chat, query: &str) -> Answer {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        self.get(format!("{chat}/search?limit=100&q={query}")).await
    }

    /// The numbers of the messages that a search finds, at most 100; none while the index is not there yet.
    pub async fn found(&self, chat: &Chat, query: &str) -> Vec<u64> {
        let answer = self.search(chat, query).await;
        if answer.status == 503 {
            return Vec::new();
        }
        answer.expect_status(200);
        answer.numbers("messageID")
    }

    /// Follows a list's links in one direction (`next` or `prev`) to the end; gives every page.
    pub async fn follow(&self, first: impl Display, direction: &str) -> Vec<Answer> {
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

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// To what: `GET /up`.
    pub request: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, to the letter.
    pub body: String,
}

/// In one line.
impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.body.chars().take(200).collect();
        write!(f, "is answered {} {body}", self.status)
    }
}

impl Answer {
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

    /// A field of the body that is a string.
    #[track_caller]
    pub fn text_field(&self, name: &str) -> String {
        match &self.json()[name] {
            Value::String(text) => text.clone(),
            _ => panic!("{name} is no string: {self:#?}"),
        }
    }

    /// A field of the body that is a whole number.
    #[track_caller]
    pub fn number_field(&self, name: &str) -> u64 {
        self.json()[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} is no whole number: {self:#?}"))
    }

    /// A field of the body that is a point in time, as the contract writes it: RFC 3339, UTC, milliseconds, `Z`.
    #[track_caller]
    pub fn time_field(&self, name: &str) -> String {
        let text = self.text_field(name);
        check_time(&text);
        text
    }

    /// A list's numbers: of a field of each of its items.
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
                    .unwrap_or_else(|| panic!("{name} is no whole number: {self:#?}"))
            })
            .collect()
    }

    /// Where the `Link` header (RFC 8288) points for a relation.
    #[track_caller]
    pub fn link(&self, relation: &str) -> Option<String> {
        let headers = self.headers.get_all("link").iter();
        headers
            .flat_map(|value| value.to_str().expect("a header in ASCII").split(", "))
            .find_map(|link| {
                let (target, parameters) = link
                    .strip_prefix('<')
                    .and_then(|link| link.split_once(">; "))
                    .unwrap_or_else(|| panic!("{link:?} is no link: {self:#?}"));
                (parameters == format!("rel=\"{relation}\"")).then(|| target.to_owned())
            })
    }

    /// Fails unless this is the status.
    #[track_caller]
    pub fn expect_status(&self, status: u16) {
        assert_eq!(self.status, status, "{self:#?}");
    }

    /// Fails unless this is the status and, to the letter, the JSON body.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{self:#?}");
        assert!(self.is(status, body), "{self:#?}");
    }

    /// Fails unless this is the status and the error: see [`Answer::is_error`].
    #[track_caller]
    pub fn expect_error(&self, status: u16, error: &str) {
        self.expect(status, &error_body(error));
        assert!(self.is_error(status, error), "{self:#?}");
    }

    /// Whether this is the status and, to the letter, the JSON body.
    fn is(&self, status: u16, body: &str) -> bool {
        self.status == status
            && self.body == body
            && self.header("content-type") == Some("application/json")
    }

    /// Whether this is the status and the error: `{"error":"…"}`, with nothing else in it, and with the headers that
    /// the status asks for.
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

/// Fails unless this is a point in time as the contract writes it, and one of these days.
#[track_caller]
pub fn check_time(text: &str) {
    let time = DateTime::parse_from_rfc3339(text)
        .unwrap_or_else(|error| panic!("{text:?} is no RFC 3339: {error}"))
        .to_utc();
    assert_eq!(time.to_rfc3339_opts(SecondsFormat::Millis, true), text);
    let off = (Utc::now() - time).abs();
    assert!(off < TimeDelta::days(1), "{text} is {off} from now");
}
