//! Applications.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use serde::Serialize;

use super::{body, error::HttpError, path, respond};
use crate::{
    domain::{Username, time::rfc3339},
    service::Service,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    application: String,
    username: String,
}

/// A decimal string for the count, and no longer a number: clients of the original rely on it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    application: String,
    username: String,
    chats_count: String,
    created_at: String,
}

/// `POST /application`
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let username = body::text(&request, payload, "username", "Username").await?;
    let id = service
        .create_application(Username::parse(username.clone())?)
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/application/{id}")))
        .json(Created {
            application: id.to_string(),
            username,
        }))
}

/// `GET /application/{app}`
pub async fn show(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let read = service.application(path::app_id(&request)?).await?;
    let (application, chats) = read.value;
    Ok(respond(read.stale).json(Shown {
        application: application.id.to_string(),
        username: application.username,
        chats_count: chats.to_string(),
        created_at: rfc3339(application.created_at),
    }))
}
