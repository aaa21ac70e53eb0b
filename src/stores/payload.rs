//! How a job is written down in a queue: one JSON object that carries its version.
//!
//! The queue adds what only it knows, the number given out and the time: see [`Payload`].

use serde::{Deserialize, Serialize};

use crate::domain::{
    AppId, Application, Chat, ChatKey, Entry, Job, Kind, Message, MessageKey, Number, RequestId,
    Revision, Write, time::from_millis,
};

/// The version that this program writes, and the only one so far.
pub const VERSION: u32 = 1;

/// What the text begins with: the last member, as it is long. No text contains this, as quotes in it are escaped.
const TEXT: &str = ",\"text\":";

/// The part of a payload that is known before the write is accepted.
#[derive(Serialize)]
struct Draft<'a> {
    kind: &'static str,
    app: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<Number>,
    /// The request that asks for it. Programs that do not know this member pass it over, so the version stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// A whole payload.
#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "v")]
    version: u32,
    /// When it was accepted, in milliseconds since 1970.
    at: i64,
    /// The number of the chat or message; absent for an application.
    #[serde(default)]
    number: Number,
    /// When the message that this updates was created, if the queue knew.
    created: Option<i64>,
    kind: String,
    app: String,
    #[serde(default)]
    chat: Number,
    /// The request that asked for it; absent in what older programs queued.
    request: Option<String>,
    #[serde(default)]
    text: String,
}

/// The JSON members that the queue puts its own before: an object without its opening brace.
pub fn draft(write: &Write, request: Option<&RequestId>) -> String {
    let (app, chat, text) = match write {
        Write::CreateApplication { id, username } => (*id, None, Some(username)),
        Write::CreateChat { app } => (*app, None, None),
        Write::CreateMessage { chat, text } => (chat.app, Some(chat.number), Some(text)),
        Write::UpdateMessage { message, text } => {
            (message.chat.app, Some(message.chat.number), Some(text))
        }
    };
    let draft = Draft {
        kind: write.kind().name(),
        app: app.to_string(),
        chat,
        request: request.map(RequestId::as_str),
        text: text.map(String::as_str),
    };
    // A struct of strings and numbers always serialises.
    let json = serde_json::to_string(&draft).unwrap_or_default();
    json[1.min(json.len())..].to_owned()
}

/// A job that was claimed, which failed `tries` times.
pub fn job(revision: Revision, tries: u32, payload: &str) -> Job {
    let (entry, request) = match parse(revision, payload) {
        Ok((entry, request)) => (Ok(entry), request),
        Err(reason) => (Err(reason), Head::read(payload).request),
    };
    Job {
        revision,
        tries,
        request,
        entry,
    }
}

/// Reads a payload; an error says why this program cannot, with no word of the text.
pub fn read(revision: Revision, payload: &str) -> Result<Entry, String> {
    parse(revision, payload).map(|(entry, _)| entry)
}

fn parse(revision: Revision, payload: &str) -> Result<(Entry, Option<String>), String> {
    let payload: Payload = serde_json::from_str(payload)
        .map_err(|error| format!("job {revision} has an unreadable payload: {error}"))?;
    if payload.version != VERSION {
        return Err(format!(
            "job {revision} has a payload of version {}; this program reads version {VERSION}: run the newer program, \
             then retry the job",
            payload.version
        ));
    }
    let app = AppId::parse(&payload.app)
        .ok_or_else(|| format!("job {revision} names no application: {:?}", payload.app))?;
    let kind = Kind::from_name(&payload.kind)
        .ok_or_else(|| format!("job {revision} is of an unknown kind: {:?}", payload.kind))?;
    let at = from_millis(payload.at);
    let chat = |number| ChatKey { app, number };
    let entry = match kind {
        Kind::CreateApplication => Entry::Application(Application {
            id: app,
            username: payload.text,
            revision,
            created_at: at,
        }),
        Kind::CreateChat => Entry::Chat(Chat {
            key: chat(payload.number),
            messages_count: None,
            revision,
            created_at: at,
        }),
        Kind::CreateMessage | Kind::UpdateMessage => Entry::Message(Message {
            key: MessageKey {
                chat: chat(payload.chat),
                number: payload.number,
            },
            text: payload.text,
            revision,
            created_at: payload.created.map_or(at, from_millis),
            updated_at: (kind == Kind::UpdateMessage).then_some(at),
        }),
    };
    Ok((entry, payload.request))
}

/// What an operator is told of a payload: also of one that [`read`] refuses, as far as it is understood.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Head {
    /// When it was accepted, in milliseconds since 1970.
    pub at: i64,
    /// The kind's name.
    pub kind: String,
    /// The application.
    pub app: String,
    /// The chat that a message belongs to, else 0.
    pub chat: Number,
    /// The number of the chat or message; 0 for an application.
    pub number: Number,
    /// The request that asked for it, if that is known.
    pub request: Option<String>,
}

impl Head {
    /// Reads a payload, or one that was cut off before its text.
    pub fn read(payload: &str) -> Self {
        let head = payload.split(TEXT).next().unwrap_or_default();
        let closed = format!("{}}}", head.trim_end_matches('}'));
        serde_json::from_str(&closed).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drafted_and_completed_is_read_back() {
        let chat = ChatKey {
            app: AppId(0xdec9_69c6),
            number: 5,
        };
        let write = Write::UpdateMessage {
            message: MessageKey { chat, number: 3 },
            text: "Guess \"what\"?".into(),
        };
        let payload = format!(
            "{{\"v\":1,\"at\":1000,\"number\":3,\"created\":500,{}",
            draft(&write, None)
        );
        let Ok(Entry::Message(message)) = read(Revision(7), &payload) else {
            panic!("{payload}");
        };
        assert_eq!(message.text, "Guess \"what\"?");
        assert_eq!(message.key, MessageKey { chat, number: 3 });
        assert_eq!(message.created_at, from_millis(500));
        assert_eq!(message.updated_at, Some(from_millis(1000)));
    }

    #[test]
    fn a_job_names_the_request_that_left_it_and_an_older_one_none() {
        let id = RequestId::given("a\"b\\c}").unwrap();
        let chat = ChatKey {
            app: AppId(0xdec9_69c6),
            number: 5,
        };
        let text = "hello".to_owned();
        let write = Write::CreateMessage { chat, text };
        for given in [Some(&id), None] {
            let (draft, request) = (draft(&write, given), given.map(RequestId::as_str));
            let payload = format!("{{\"v\":1,\"at\":1000,\"number\":3,{draft}");
            let told = job(Revision(7), 2, &payload);
            assert_eq!(told.request.as_deref(), request, "{payload}");
            assert!(told.entry.is_ok());
            let head = Head::read(&payload);
            assert_eq!(head.request.as_deref(), request, "{payload}");
            assert_eq!((head.chat, head.number), (5, 3));
            let newer = payload.replace("\"v\":1", "\"v\":2");
            let refused = job(Revision(7), 2, &newer);
            assert!(refused.entry.is_err());
            assert_eq!(refused.request.as_deref(), request, "{newer}");
        }
    }

    /// What makes an addition safe: the programs before it read as this one does.
    #[test]
    fn a_member_that_is_not_known_is_passed_over() {
        let payload =
            r#"{"v":1,"at":1,"number":2,"kind":"create_chat","app":"dec969c6","new":{"a":[1]}}"#;
        assert!(read(Revision(7), payload).is_ok());
    }

    #[test]
    fn a_newer_version_is_refused_and_not_guessed_at() {
        let refused = read(
            Revision(7),
            r#"{"v":2,"at":1,"kind":"create_chat","app":"dec969c6"}"#,
        );
        assert!(refused.is_err_and(|error| error.contains("version 2")));
    }
}
