//! Routes of chats.

use actix_web::web::{Data, ReqData};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    domain::{self, AppId, ChatKey, Number, Origin, time::rfc3339},
    http::{
        error::HttpResult,
        extract::{IdempotencyHeader, PageQuery, page::List},
        memory::ResponseMemory,
        response::{self, Success},
    },
    service::Service,
};

/// A chat that was created.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({"Application": "dec969c6", "Chat": 8}))]
struct ChatCreated {
    /// Its application's id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its number within the application.
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
}

/// A chat.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({
    "Application": "dec969c6", "Chat": 5, "MessagesCount": null, "CreatedAt": "2026-11-23T22:02:53.218Z",
}))]
struct Chat {
    /// Its application's id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its number within the application.
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Number of messages, at most a second old; null until the first one is counted.
    #[schema(required)]
    messages_count: Option<u64>,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A chat, as an item of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "appID": "dec969c6", "chatID": 5, "messagesCount": 3, "createdAt": "2026-11-23T22:02:53.218Z",
}))]
struct ListedChat {
    /// Its application's id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Its number within the application.
    #[serde(rename = "chatID")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Number of messages, at most a second old; null until the first one is counted.
    #[schema(required)]
    messages_count: Option<u64>,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<domain::Chat> for ListedChat {
    fn from(chat: domain::Chat) -> Self {
        Self {
            app: chat.key.app.to_string(),
            chat: chat.key.number,
            messages_count: chat.messages_count,
            created_at: rfc3339(chat.created_at),
        }
    }
}

/// Create a chat
///
/// The request has no body; a body is ignored. A repeated request with the same `Idempotency-Key` creates nothing, and returns
/// the response of the first one.
#[utoipa::path(
    post, path = "/application/{app}/chat", operation_id = "createChat", tag = "Chats",
    params(AppId, IdempotencyHeader),
    responses(
        (status = 201, description = "The chat was created.", body = ChatCreated),
        AppId,
    ),
)]
pub async fn create(
    app: AppId,
    idempotency: IdempotencyHeader,
    origin: Origin,
    service: Data<Service>,
) -> HttpResult {
    let created = service.create_chat(app, idempotency.key(), &origin).await?;
    let number = created.key.number;
    let mut response = response::created_once(format!("chat/{number}"), &created);
    Ok(response.json(ChatCreated {
        application: app.to_string(),
        chat: number,
    }))
}

/// Create a chat
///
/// The same as `POST /application/{app}/chat`.
#[utoipa::path(
    post, path = "/application/{app}/chats", operation_id = "createChatInList", tag = "Chats",
    params(AppId, IdempotencyHeader),
    responses(
        (status = 201, description = "The chat was created.", body = ChatCreated),
        AppId,
    ),
)]
pub async fn create_in_list(
    app: AppId,
    idempotency: IdempotencyHeader,
    origin: Origin,
    service: Data<Service>,
) -> HttpResult {
    create(app, idempotency, origin, service).await
}

/// Read a chat
#[utoipa::path(
    get, path = "/application/{app}/chat/{chat}", operation_id = "readChat", tag = "Chats",
    params(ChatKey),
    responses((status = 200, description = "The chat.", body = Chat), ChatKey),
)]
pub async fn show(key: ChatKey, service: Data<Service>) -> HttpResult {
    let read = service.chat(key).await?;
    Ok(response::read(read.stale).json(Chat {
        application: read.value.key.app.to_string(),
        chat: read.value.key.number,
        messages_count: read.value.messages_count,
        created_at: rfc3339(read.value.created_at),
    }))
}

/// Delete a chat
///
/// Its messages are deleted with it. Its number is not used again. User tokens delete no chats.
#[utoipa::path(
    delete, path = "/application/{app}/chat/{chat}", operation_id = "deleteChat", tag = "Chats",
    params(ChatKey),
    responses((status = 200, description = "The chat is deleted.", body = Success), ChatKey),
)]
pub async fn delete(key: ChatKey, origin: Origin, service: Data<Service>) -> HttpResult {
    service.delete_chat(key, &origin).await?;
    Ok(response::success())
}

/// List an application's chats
///
/// A user token lists the chats that it grants.
#[utoipa::path(
    get, path = "/application/{app}/chats", operation_id = "listChats", tag = "Chats",
    params(AppId, PageQuery<List>),
    responses(
        (status = 200, description = "A page of chats, by number.", body = Vec<ListedChat>),
        AppId, PageQuery<List>,
    ),
)]
pub async fn list(
    app: AppId,
    mut page: PageQuery<List>,
    caller: ReqData<Caller>,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
) -> HttpResult {
    let reservation = page.reserve(&memory).await?;
    let granted = caller.granted_chats();
    let chats = service.chats(app, &page.page, granted).await?;
    Ok(response::list::<ListedChat>(&page, chats, reservation))
}
