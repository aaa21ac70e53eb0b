//! Messages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use serde::Serialize;

use super::{body, chats::LIST_LIMITS, error::HttpError, paging, path, respond};
use crate::{
    domain::{Message, MessageText, Number, Page, page::Listing, time::rfc3339},
    service::{Read, Service},
};

#[derive(Serialize)]
struct Created {
    #[serde(rename = "Application")]
    application: String,
    #[serde(rename = "Chat")]
    chat: Number,
    #[serde(rename = "MessageID")]
    number: Number,
    #[serde(rename = "Message")]
    text: String,
}

/// The number is a string here: clients of the original rely on it.
#[derive(Serialize)]
struct Shown {
    #[serde(rename = "Application")]
    application: String,
    #[serde(rename = "Chat")]
    chat: Number,
    #[serde(rename = "MessageID")]
    number: String,
    #[serde(rename = "Message")]
    text: String,
    #[serde(rename = "CreatedAt")]
    created_at: String,
    #[serde(rename = "UpdatedAt", skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

#[derive(Serialize)]
struct Updated {
    status: &'static str,
}

/// An item of a list, and a hit of a search.
#[derive(Serialize)]
struct Listed {
    #[serde(rename = "appID")]
    app: String,
    #[serde(rename = "chatID")]
    chat: Number,
    #[serde(rename = "messageID")]
    number: Number,
    message: String,
    #[serde(rename = "createdAt")]
    created_at: String,
    #[serde(rename = "updatedAt", skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl From<Message> for Listed {
    fn from(message: Message) -> Self {
        Self {
            app: message.key.chat.app.to_string(),
            chat: message.key.chat.number,
            number: message.key.number,
            message: message.text,
            created_at: rfc3339(message.created_at),
            updated_at: message.updated_at.map(rfc3339),
        }
    }
}

/// `POST /application/{app}/chat/{chat}/message`
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let chat = path::chat_key(&request)?;
    let text = MessageText::parse(body::text(&request, payload, "message", "Message").await?)?;
    let key = service.create_message(chat, &text).await?;
    let application = chat.app.to_string();
    let location = format!(
        "/application/{application}/chat/{}/message/{}",
        chat.number, key.number
    );
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(Created {
            application,
            chat: chat.number,
            number: key.number,
            text: text.as_str().to_owned(),
        }))
}

/// `GET /application/{app}/chat/{chat}/message/{message}`
pub async fn show(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let read = service.message(path::message_key(&request)?).await?;
    let message = read.value;
    Ok(respond(read.stale).json(Shown {
        application: message.key.chat.app.to_string(),
        chat: message.key.chat.number,
        number: message.key.number.to_string(),
        text: message.text,
        created_at: rfc3339(message.created_at),
        updated_at: message.updated_at.map(rfc3339),
    }))
}

/// `PUT /application/{app}/chat/{chat}/message/{message}`
pub async fn update(
    request: HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let key = path::message_key(&request)?;
    let text = MessageText::parse(body::text(&request, payload, "message", "Message").await?)?;
    service.update_message(key, &text).await?;
    Ok(HttpResponse::Ok().json(Updated { status: "success" }))
}

/// `GET /application/{app}/chat/{chat}/messages`
pub async fn list(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let chat = path::chat_key(&request)?;
    let page = paging::page(&request, &LIST_LIMITS)?;
    let read = service.messages(chat, &page).await?;
    Ok(array(&request, &page, read))
}

/// A page of messages as a bare array.
pub fn array(request: &HttpRequest, page: &Page, read: Read<Listing<Message>>) -> HttpResponse {
    let mut response = respond(read.stale);
    if let Some(link) = paging::link(request, page, &read.value) {
        response.insert_header(link);
    }
    let messages: Vec<Listed> = read.value.items.into_iter().map(Listed::from).collect();
    response.json(messages)
}
