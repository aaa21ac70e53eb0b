//! Format of a job in the queue: one JSON object with a version.
//!
//! The queue adds what only it knows, the number given out and the time: see [`Payload`].

use serde::{Deserialize, Serialize};

use crate::domain::{
    AppId, Application, Change, Chat, ChatKey, Entity, Hash, IdempotencyKey, Job, JobOrigin, Kind,
    Message, MessageKey, Number, RequestId, Revision, Target, Write, job::Action,
    time::from_millis,
};

/// The version that this program writes. It reads all earlier ones: messages of version 1 have no sender and no data, and up
/// to version 2 nothing is deleted and creations have no idempotency keys. A program that knows only an earlier version must
/// not store later ones, as it would lose what it does not know.
const VERSION: u32 = 3;

/// Beginning of the first of the members that may be long. No earlier member contains it, as quotes in a text are
/// escaped.
const TEXT: &str = ",\"text\":";

/// The part of a payload that is known before the write is accepted.
#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "v")]
    version: u32,
    kind: &'static str,
    app: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<Number>,
    /// Programs that do not know this member ignore it, so the version stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    /// ID of an idempotency key, and the hash of the body that it was used with.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// A string that holds JSON: what an author nests or spells in it does not matter to those who read the payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// A whole payload.
#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "v")]
    version: u32,
    /// Time of acceptance, in milliseconds since 1970.
    at: i64,
    /// Number of the chat or message; absent for an application.
    #[serde(default)]
    number: Number,
    /// Time of creation of the message that this updates, if the queue knew it.
    created: Option<i64>,
    kind: String,
    app: String,
    #[serde(default)]
    chat: Number,
    /// ID of the request, of the key, and the user. Older programs left them out.
    request: Option<String>,
    key: Option<String>,
    user: Option<String>,
    /// ID of an idempotency key, and the hash of the body that it was used with.
    idempotency: Option<String>,
    body: Option<String>,
    /// Sender of a message; of an update only if the queue knew it.
    sender: Option<String>,
    #[serde(default)]
    text: String,
    /// Data of a message, as compact JSON.
    data: Option<String>,
}

/// The JSON members that the queue puts its own before: an object without its opening brace.
pub fn members(write: &Write, request: Option<&RequestId>) -> String {
    let Target { app, chat, .. } = write.target;
    let members = Members {
        version: VERSION,
        kind: write.kind.name(),
        app: app.to_string(),
        chat: (chat != 0).then_some(chat),
        request: request.map(RequestId::as_str),
        key: write.actor.as_ref().map(|actor| actor.key.as_str()),
        user: write.actor.as_ref().and_then(|actor| actor.user.as_deref()),
        idempotency: write.idempotency.map(|key| key.id.to_hex()),
        body: write.idempotency.map(|key| key.body.to_hex()),
        sender: write.sender.as_deref(),
        text: write.text.as_deref(),
        data: write.data.as_deref(),
    };
    // A struct of strings and numbers always serialises.
    let json = serde_json::to_string(&members).unwrap_or_default();
    json[1.min(json.len())..].to_owned()
}

/// The members of an update that say what the queue knows of the message's creation; nothing or with a comma at the end.
pub fn origin(created_at: Option<i64>, sender: Option<&str>) -> String {
    let mut members = String::new();
    if let Some(at) = created_at {
        members.push_str(&format!("\"created\":{at},"));
    }
    // A text always serialises.
    if let Some(sender) = sender.and_then(|sender| serde_json::to_string(sender).ok()) {
        members.push_str(&format!("\"sender\":{sender},"));
    }
    members
}

/// A claimed job that failed `tries` times.
pub fn job(revision: Revision, tries: u32, payload: &str) -> Job {
    let (change, origin, idempotency) = match parse(revision, payload) {
        Ok((change, origin, idempotency)) => (Ok(change), origin, idempotency),
        Err(reason) => (Err(reason), Head::read(payload).origin, None),
    };
    Job {
        revision,
        tries,
        origin,
        idempotency,
        change,
    }
}

/// Parses a payload. The error never contains the text.
pub fn read(revision: Revision, payload: &str) -> Result<Change, String> {
    parse(revision, payload).map(|(change, ..)| change)
}

type Parsed = (Change, JobOrigin, Option<IdempotencyKey>);

fn parse(revision: Revision, payload: &str) -> Result<Parsed, String> {
    let payload: Payload = serde_json::from_str(payload)
        .map_err(|error| format!("job {revision} has an unreadable payload: {error}"))?;
    if !(1..=VERSION).contains(&payload.version) {
        return Err(format!(
            "job {revision} has a payload of version {}; this program reads versions up to {VERSION}: run the newer \
             program, then retry the job",
            payload.version
        ));
    }
    let app = AppId::parse(&payload.app)
        .ok_or_else(|| format!("job {revision} names no application: {:?}", payload.app))?;
    let kind = Kind::from_name(&payload.kind)
        .ok_or_else(|| format!("job {revision} is of an unknown kind: {:?}", payload.kind))?;
    let at = from_millis(payload.at);
    let deleted_at = (kind.action() == Action::Delete).then_some(at);
    let hash = |text: Option<String>| Hash::parse(&text?);
    let idempotency = hash(payload.idempotency)
        .zip(hash(payload.body))
        .map(|(id, body)| IdempotencyKey { id, body });
    let chat = |number| ChatKey { app, number };
    let change = match kind.entity() {
        Entity::Application => Change::Application(Application {
            id: app,
            username: payload.text,
            revision,
            created_at: at,
            deleted_at,
        }),
        Entity::Chat => Change::Chat(Chat {
            key: chat(payload.number),
            messages_count: None,
            deleted_up_to: 0,
            revision,
            created_at: at,
            deleted_at,
        }),
        Entity::Message => Change::Message(Message {
            key: MessageKey {
                chat: chat(payload.chat),
                number: payload.number,
            },
            text: payload.text,
            data: payload.data,
            sender: payload.sender,
            revision,
            created_at: payload.created.map_or(at, from_millis),
            updated_at: (kind.action() == Action::Update).then_some(at),
            deleted_at,
        }),
    };
    let origin = JobOrigin {
        request: payload.request,
        key: payload.key,
        user: payload.user,
    };
    Ok((change, origin, idempotency))
}

/// The members of a payload that an operator sees: also of one that [`read`] refuses, as far as it is understood.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Time of acceptance, in milliseconds since 1970.
    pub at: i64,
    /// The kind's name.
    pub kind: String,
    /// The application.
    pub app: String,
    /// Chat of a message, else 0.
    pub chat: Number,
    /// The number of the chat or message; 0 for an application.
    pub number: Number,
    /// Request, and who sent it.
    #[serde(flatten)]
    pub origin: JobOrigin,
}

impl Head {
    /// Key of the written entity, as far as it can be parsed.
    pub fn target(&self) -> String {
        target(&self.app, self.chat, self.number)
    }

    /// What is written; `None` if the application's ID is none.
    pub fn written(&self) -> Option<Target> {
        Some(Target {
            app: AppId::parse(&self.app)?,
            chat: self.chat,
            number: self.number,
        })
    }

    /// Reads a payload, or one that was cut off before its text.
    pub fn read(payload: &str) -> Self {
        let head = payload.split(TEXT).next().unwrap_or_default();
        let closed = format!("{}}}", head.trim_end_matches('}'));
        serde_json::from_str(&closed).unwrap_or_default()
    }
}

/// The key of what a job writes; an application ID that is none is shown as it is.
pub fn target(app: &str, chat: Number, number: Number) -> String {
    AppId::parse(app).map_or_else(
        || app.to_owned(),
        |app| Target { app, chat, number }.to_string(),
    )
}

#[cfg(test)]
mod tests;
