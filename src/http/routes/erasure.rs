//! Route that erases the messages of a sender.

use actix_web::web::Data;

use super::user_body::UserBody;
use crate::{
    domain::AppId,
    http::{
        error::HttpResult,
        extract::JsonBody,
        response::{self, Success},
    },
    service::Service,
};

/// Erase a user's messages
///
/// Deletes every message whose sender is this user and that was accepted until now, as if one by one. Of many messages, the last
/// ones are deleted after the response.
#[utoipa::path(
    post, path = "/application/{app}/erase", operation_id = "eraseUser", tag = "Messages",
    params(AppId),
    request_body(content = UserBody, description = "JSON in UTF-8, up to 256 KiB."),
    responses((status = 200, description = "The deletion was accepted.", body = Success), JsonBody<UserBody>, AppId),
)]
pub async fn create(
    app: AppId,
    service: Data<Service>,
    JsonBody(UserBody { user }): JsonBody<UserBody>,
) -> HttpResult {
    service.erase_sender(app, &user).await?;
    Ok(response::success())
}
