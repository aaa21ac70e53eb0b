//! Search within a chat.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    error::HttpError,
    messages::array,
    paging::{self, Limits, parameter},
    path::{self, segment},
};
use crate::{
    domain::{
        Invalid,
        text::{MAX_QUERY_CHARS, Query},
    },
    service::Service,
};

const LIMITS: Limits = Limits {
    default: 20,
    most: 100,
};

/// `GET /application/{app}/chat/{chat}/search/{query}`
pub async fn by_path(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let text = segment(&request, "query");
    search(&request, &service, &text).await
}

/// `GET /application/{app}/chat/{chat}/search?q=`
pub async fn by_parameter(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let text = parameter(&request, "q").unwrap_or_default();
    search(&request, &service, &text).await
}

async fn search(
    request: &HttpRequest,
    service: &Service,
    text: &str,
) -> Result<HttpResponse, HttpError> {
    let chat = path::chat_key(request)?;
    let page = paging::page(request, &LIMITS)?;
    if text.chars().count() > MAX_QUERY_CHARS {
        return Err(Invalid::TooLong {
            field: "Query",
            limit: MAX_QUERY_CHARS,
        }
        .into());
    }
    let read = service.search(chat, &Query::parse(text), &page).await?;
    Ok(array(request, &page, read))
}
