//! Routes of applications.

use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        AppId, Invalid, Origin, Username,
        application::{self, MAX_USERNAME_CHARS},
        time::rfc3339,
    },
    http::{
        error::HttpResult,
        extract::{
            CursorQuery, JsonBody,
            body::{Body, Members, TextMember},
        },
        memory::ResponseMemory,
        response::{self, Success},
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

/// An application, as an item of the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "appID": "dec969c6", "username": "Shetewi", "chatsCount": 8, "createdAt": "2026-11-23T22:02:53.218Z",
}))]
struct ListedApplication {
    /// Its id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Owner.
    username: String,
    /// Number of chats.
    chats_count: u64,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<application::ListedApplication> for ListedApplication {
    fn from(item: application::ListedApplication) -> Self {
        Self {
            app: item.application.id.to_string(),
            username: item.application.username,
            chats_count: item.chats,
            created_at: rfc3339(item.application.created_at),
        }
    }
}

/// Create an application
#[utoipa::path(
    post, path = "/application", operation_id = "createApplication", tag = "Applications",
    request_body(content = NewApplication, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 201, description = "The application was created.", body = ApplicationCreated), JsonBody<NewApplication>),
)]
pub async fn create(
    origin: Origin,
    service: Data<Service>,
    JsonBody(new): JsonBody<NewApplication>,
) -> HttpResult {
    let id = service
        .create_application(new.username.clone(), &origin)
        .await?;
    let body = ApplicationCreated {
        application: id.to_string(),
        username: new.username.into_string(),
    };
    Ok(response::created(format!("application/{id}")).json(body))
}

/// List all applications
#[utoipa::path(
    get, path = "/applications", operation_id = "listApplications", tag = "Applications",
    params(CursorQuery),
    responses(
        (status = 200, description = "A page of applications, by creation.", body = Vec<ListedApplication>),
        CursorQuery,
    ),
)]
pub async fn list(
    mut page: CursorQuery,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
) -> HttpResult {
    let reservation = page.reserve(&memory).await?;
    let read = service.applications(&page.page).await?;
    let link = page.link(&read.value);
    let items = read.value.items.into_iter().map(ListedApplication::from);
    Ok(response::page_of(
        read.stale,
        link,
        items.collect(),
        reservation,
    ))
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

/// Delete an application
///
/// Its chats and messages are deleted with it, and its keys are revoked. Its ID is not used again.
#[utoipa::path(
    delete, path = "/application/{app}", operation_id = "deleteApplication", tag = "Applications",
    params(AppId),
    responses((status = 200, description = "The application is deleted.", body = Success), AppId),
)]
pub async fn delete(app: AppId, origin: Origin, service: Data<Service>) -> HttpResult {
    service.delete_application(app, &origin).await?;
    Ok(response::success())
}
