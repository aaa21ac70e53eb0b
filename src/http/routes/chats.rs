//! Chats.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, ReqData},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    error::HttpError,
    error_responses::{BadPage, NoApplication, NoChat, ReadFails, WriteFails},
    paging::{self, LIST_LIMITS, ListPage},
    path::{self, AppPath, ChatPath},
    respond,
};
use crate::{
    domain::{Chat, Number, RequestId, time::rfc3339},
    service::Service,
};

/// A chat that was created.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = ChatCreated, example = json!({"Application": "dec969c6", "Chat": 8}))]
struct Created {
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
#[schema(as = Chat, example = json!({
    "Application": "dec969c6", "Chat": 5, "MessagesCount": null, "CreatedAt": "2026-11-23T22:02:53.218Z",
}))]
struct Shown {
    /// Its application's id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its number within the application.
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// How many messages it has, at most a second behind what is stored; null until the first was counted.
    #[schema(required)]
    messages_count: Option<u64>,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A chat, as an item of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ListedChat, example = json!({
    "appID": "dec969c6", "chatID": 5, "messagesCount": 3, "createdAt": "2026-11-23T22:02:53.218Z",
}))]
struct Listed {
    /// Its application's id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Its number within the application.
    #[serde(rename = "chatID")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// How many messages it has, at most a second behind what is stored; null until the first was counted.
    #[schema(required)]
    messages_count: Option<u64>,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Chat> for Listed {
    fn from(chat: Chat) -> Self {
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
/// It takes no body; one that comes is not looked at.
#[utoipa::path(
    post,
    path = "/application/{app}/chat",
    operation_id = "createChat",
    tag = "Chats",
    params(AppPath),
    responses(
        (status = 201, description = "It is created.", body = Created, headers(
            ("Location" = String, description = "Where it can be read."),
        )),
        NoApplication,
        WriteFails,
    ),
)]
pub async fn create(
    request: HttpRequest,
    request_id: ReqData<RequestId>,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let key = service
        .create_chat(path::app_id(&request)?, &request_id)
        .await?;
    let location = format!("/application/{}/chat/{}", key.app, key.number);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(Created {
            application: key.app.to_string(),
            chat: key.number,
        }))
}

/// Create a chat
///
/// The same as `POST /application/{app}/chat`.
#[utoipa::path(
    post,
    path = "/application/{app}/chats",
    operation_id = "createChatInList",
    tag = "Chats",
    params(AppPath),
    responses(
        (status = 201, description = "It is created.", body = Created, headers(
            ("Location" = String, description = "Where it can be read."),
        )),
        NoApplication,
        WriteFails,
    ),
)]
pub async fn create_in_list(
    request: HttpRequest,
    request_id: ReqData<RequestId>,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    create(request, request_id, service).await
}

/// Read a chat
#[utoipa::path(
    get,
    path = "/application/{app}/chat/{chat}",
    operation_id = "readChat",
    tag = "Chats",
    params(ChatPath),
    responses((status = 200, description = "The chat.", body = Shown), NoChat, ReadFails),
)]
pub async fn show(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let read = service.chat(path::chat_key(&request)?).await?;
    Ok(respond(read.stale).json(Shown {
        application: read.value.key.app.to_string(),
        chat: read.value.key.number,
        messages_count: read.value.messages_count,
        created_at: rfc3339(read.value.created_at),
    }))
}

/// List an application's chats
#[utoipa::path(
    get,
    path = "/application/{app}/chats",
    operation_id = "listChats",
    tag = "Chats",
    params(AppPath, ListPage),
    responses(
        (status = 200, description = "A page of them, by number.", body = Vec<Listed>, headers(
            ("Link" = String, description = "The neighbours that there are (RFC 8288): `next`, `prev`."),
        )),
        BadPage,
        NoApplication,
        ReadFails,
    ),
)]
pub async fn list(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let app = path::app_id(&request)?;
    let page = paging::page(&request, &LIST_LIMITS)?;
    let read = service.chats(app, &page).await?;
    let mut response = respond(read.stale);
    if let Some(link) = paging::link(&request, &page, &read.value) {
        response.insert_header(link);
    }
    let chats: Vec<Listed> = read.value.items.into_iter().map(Listed::from).collect();
    Ok(response.json(chats))
}
