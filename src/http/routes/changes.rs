//! Route of an application's changes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::CACHE_CONTROL,
    web::{Data, ReqData},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::listed_message::raw_json;
use crate::{
    auth::Caller,
    domain::{self, AppId, Changed, ChatKey, MessageKey, Number, time::rfc3339},
    http::{
        error::HttpResult,
        extract::ChangesQuery,
        memory::{Reservation, ResponseMemory},
        waiting::WaitingRequests,
    },
    service::Service,
};

/// Changes in their order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "changes": [{
        "type": "message", "appID": "dec969c6", "chatID": 5, "messageID": 3, "message": "Hi", "sender": "alice",
        "createdAt": "2026-11-23T22:02:53.218Z",
    }],
    "next": "3slpxgEjRWeJq83vAAADAAAAAE0AAAMAAAAATQ",
}))]
struct Changes {
    /// The changes. It may be empty before the end.
    changes: Vec<Change>,
    /// Cursor with which the next request continues. At the end it is that of the request.
    next: String,
}

/// Present state of something that changed. Other types may be added.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Change {
    /// A chat.
    Chat(ChangedChat),
    /// A message.
    Message(Box<ChangedMessage>),
}

/// A chat that changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangedChat {
    /// Type of the change.
    r#type: ChatType,
    /// Its application's id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Its number.
    #[serde(rename = "chatID")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// UTC, in milliseconds; only if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    created_at: Option<String>,
    /// All its messages up to this number are deleted; only if there are such.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, nullable = false)]
    deleted_up_to: Option<Number>,
    /// `true`: it is deleted, with all its messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deleted: Option<bool>,
}

/// Type of a change of a chat.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ChatType {
    /// A chat.
    Chat,
}

/// A message that changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangedMessage {
    /// Type of the change.
    r#type: MessageType,
    /// Its application's id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Its chat's number.
    #[serde(rename = "chatID")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat.
    #[serde(rename = "messageID")]
    #[schema(value_type = u64, minimum = 1)]
    number: Number,
    /// Its text; only if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// UTC, in milliseconds; only if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    created_at: Option<String>,
    /// UTC, in milliseconds; only if it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    updated_at: Option<String>,
    /// Its sender; only if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    sender: Option<String>,
    /// Its newest data; only if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    data: Option<Box<RawValue>>,
    /// `true`: it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deleted: Option<bool>,
}

/// Type of a change of a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum MessageType {
    /// A message.
    Message,
}

impl ChangedChat {
    /// A chat of which only the key is known.
    fn new(key: ChatKey) -> Self {
        Self {
            r#type: ChatType::Chat,
            app: key.app.to_string(),
            chat: key.number,
            created_at: None,
            deleted_up_to: None,
            deleted: None,
        }
    }
}

impl ChangedMessage {
    /// A message of which only the key is known.
    fn new(MessageKey { chat, number }: MessageKey) -> Self {
        Self {
            r#type: MessageType::Message,
            app: chat.app.to_string(),
            chat: chat.number,
            number,
            message: None,
            created_at: None,
            updated_at: None,
            sender: None,
            data: None,
            deleted: None,
        }
    }
}

impl From<Changed> for Change {
    fn from(changed: Changed) -> Self {
        match changed {
            Changed::Chat(chat) => Self::Chat(ChangedChat {
                created_at: Some(rfc3339(chat.created_at)),
                deleted_up_to: Some(chat.deleted_up_to).filter(|mark| *mark > 0),
                ..ChangedChat::new(chat.key)
            }),
            Changed::DeletedChat(key) => Self::Chat(ChangedChat {
                deleted: Some(true),
                ..ChangedChat::new(key)
            }),
            Changed::Message(message) => Self::Message(Box::new(ChangedMessage {
                message: Some(message.text),
                created_at: Some(rfc3339(message.created_at)),
                updated_at: message.updated_at.map(rfc3339),
                sender: message.sender,
                data: message.data.and_then(raw_json),
                ..ChangedMessage::new(message.key)
            })),
            Changed::DeletedMessage(key) => Self::Message(Box::new(ChangedMessage {
                deleted: Some(true),
                ..ChangedMessage::new(key)
            })),
        }
    }
}

/// Read what changed
///
/// A change has the present state of what changed. Applying the changes in their order to what the lists held at the cursor gives
/// what the lists hold. A cursor does not expire.
#[utoipa::path(
    get, path = "/application/{app}/changes", operation_id = "readChanges", tag = "Changes",
    params(AppId, ChangesQuery),
    responses(
        (status = 200, description = "The changes after the cursor.", body = Changes),
        AppId, ChangesQuery,
    ),
)]
pub async fn list(
    request: HttpRequest,
    app: AppId,
    query: ChangesQuery,
    caller: ReqData<Caller>,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
    waiting: Data<WaitingRequests>,
) -> HttpResult {
    // Before the first read, so that no change is between that and the wait.
    let mut wait = (!query.wait.is_zero()).then(|| waiting.wait(service.follow(app), query.wait));
    let mut since = query.page.since;
    loop {
        let (reservation, page) = query.reserve(&memory, since).await?;
        let changes = service.changes(app, page, caller.granted_chats()).await?;
        let Some(waits) = wait.as_mut().filter(|_| changes.items.is_empty()) else {
            return Ok(respond(changes, reservation));
        };
        drop(reservation);
        let is_end = changes.next == since;
        since = changes.next;
        let goes_on = match is_end {
            true => waits.changed(&request).await?,
            false => waits.goes_on(&request).await?,
        };
        if !goes_on {
            // The last read returns what there is.
            wait = None;
        }
    }
}

fn respond(changes: domain::Changes, reservation: Reservation) -> HttpResponse {
    let mut response = HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Changes {
            changes: changes.items.into_iter().map(Change::from).collect(),
            next: changes.next.to_string(),
        });
    response.extensions_mut().insert(reservation);
    response
}
