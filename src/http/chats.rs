//! Chats.

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web::Data};
use serde::Serialize;

use super::{
    error::HttpError,
    paging::{self, Limits},
    path, respond,
};
use crate::{
    domain::{Chat, Number, time::rfc3339},
    service::Service,
};

/// How long the pages of lists are.
pub const LIST_LIMITS: Limits = Limits {
    default: 100,
    most: 1000,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    application: String,
    chat: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    application: String,
    chat: Number,
    messages_count: Option<u64>,
    created_at: String,
}

/// An item of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(rename = "appID")]
    app: String,
    #[serde(rename = "chatID")]
    chat: Number,
    messages_count: Option<u64>,
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

/// `POST /application/{app}/chat` and `…/chats`; a body is not looked at.
pub async fn create(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let key = service.create_chat(path::app_id(&request)?).await?;
    let location = format!("/application/{}/chat/{}", key.app, key.number);
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(Created {
            application: key.app.to_string(),
            chat: key.number,
        }))
}

/// `GET /application/{app}/chat/{chat}`
pub async fn show(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let read = service.chat(path::chat_key(&request)?).await?;
    Ok(respond(read.stale).json(Shown {
        application: read.value.key.app.to_string(),
        chat: read.value.key.number,
        messages_count: read.value.messages_count,
        created_at: rfc3339(read.value.created_at),
    }))
}

/// `GET /application/{app}/chats`
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
