//! Routes of applications.

use actix_web::web::{Data, ReqData};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{AppId, Invalid, RequestId, Username, application::MAX_USERNAME_CHARS, time::rfc3339},
    http::{
        error::HttpResult,
        extract::{
            JsonBody,
            body::{Body, Members, TextMember},
        },
        response,
    },
    service::Service,
};

/// Content of a new application.
#[derive(ToSchema)]
#[schema(example = json!({"username": "Shetewi"}))]
pub struct NewApplication {
    /// Owner: at least one visible character, and no U+0000.
    #[schema(value_type = String, min_length = 1, max_length = 255, pattern = r"^[^\u0000]*[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8][^\u0000]*$")]
    username: Username,
}

impl Body for NewApplication {
    const TEXTS: &'static [TextMember] = &[TextMember("username", "Username", MAX_USERNAME_CHARS)];

    fn parse(members: &Members<'_>) -> Result<Self, Invalid> {
        let username = Username::parse(members.text(&Self::TEXTS[0])?)?;
        Ok(Self { username })
    }
}

/// An application that was created.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({"Application": "dec969c6", "Username": "Shetewi"}))]
struct ApplicationCreated {
    /// Its id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// As it was sent.
    username: String,
}

/// An application.
// A decimal string for the count, and no longer a number: clients of the original rely on it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({
    "Application": "7aa269eb", "Username": "Shetewi", "ChatsCount": "0", "CreatedAt": "2026-11-23T22:02:53.218Z",
}))]
struct Application {
    /// Its id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Owner.
    username: String,
    /// Number of chats: a decimal number, as a string.
    #[schema(pattern = "^(0|[1-9][0-9]*)$")]
    chats_count: String,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Create an application
#[utoipa::path(
    post, path = "/application", operation_id = "createApplication", tag = "Applications",
    request_body(content = NewApplication, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 201, description = "The application was created.", body = ApplicationCreated), JsonBody<NewApplication>),
)]
pub async fn create(
    request_id: ReqData<RequestId>,
    service: Data<Service>,
    JsonBody(new): JsonBody<NewApplication>,
) -> HttpResult {
    let id = service
        .create_application(new.username.clone(), &request_id)
        .await?;
    let body = ApplicationCreated {
        application: id.to_string(),
        username: new.username.into_string(),
    };
    Ok(response::created(format!("application/{id}"), body))
}

/// Read an application
#[utoipa::path(
    get, path = "/application/{app}", operation_id = "readApplication", tag = "Applications",
    params(AppId),
    responses((status = 200, description = "The application.", body = Application), AppId),
)]
pub async fn show(app: AppId, service: Data<Service>) -> HttpResult {
    let read = service.application(app).await?;
    let (application, chats) = read.value;
    Ok(response::read(read.stale).json(Application {
        application: application.id.to_string(),
        username: application.username,
        chats_count: chats.to_string(),
        created_at: rfc3339(application.created_at),
    }))
}
