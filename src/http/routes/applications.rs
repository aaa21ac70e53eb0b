//! Applications.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload, ReqData},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    body,
    error::HttpError,
    error_responses::{BadUsername, NoApplication, ReadFails, WriteFails},
    path::{self, AppPath},
    respond,
};
use crate::{
    domain::{RequestId, Username, time::rfc3339},
    service::Service,
};

/// What makes an application.
#[derive(ToSchema)]
#[schema(example = json!({"username": "Shetewi"}))]
#[expect(dead_code, reason = "it is there to be described")]
struct NewApplication {
    /// Who it belongs to: not only white space, and without U+0000.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
    )]
    username: String,
}

/// An application that was created.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = ApplicationCreated, example = json!({"Application": "dec969c6", "Username": "Shetewi"}))]
struct Created {
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
#[schema(as = Application, example = json!({
    "Application": "7aa269eb", "Username": "Shetewi", "ChatsCount": "0", "CreatedAt": "2026-11-23T22:02:53.218Z",
}))]
struct Shown {
    /// Its id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Who it belongs to.
    username: String,
    /// How many chats it has: a decimal number, as a string.
    #[schema(pattern = "^(0|[1-9][0-9]*)$")]
    chats_count: String,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Create an application
#[utoipa::path(
    post,
    path = "/application",
    operation_id = "createApplication",
    tag = "Applications",
    request_body(content = NewApplication, description = "JSON in UTF-8, up to 256 KiB."),
    responses(
        (status = 201, description = "It is created.", body = Created, headers(
            ("Location" = String, description = "Where it can be read."),
        )),
        BadUsername,
        WriteFails,
    ),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    request_id: ReqData<RequestId>,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let username = body::text(&request, payload, "username", "Username").await?;
    let id = service
        .create_application(Username::parse(username.clone())?, &request_id)
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/application/{id}")))
        .json(Created {
            application: id.to_string(),
            username,
        }))
}

/// Read an application
#[utoipa::path(
    get,
    path = "/application/{app}",
    operation_id = "readApplication",
    tag = "Applications",
    params(AppPath),
    responses((status = 200, description = "The application.", body = Shown), NoApplication, ReadFails),
)]
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
