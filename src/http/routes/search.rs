//! Search within a chat.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use utoipa::IntoParams;

use super::messages::{Listed, array};
use crate::http::{
    error::HttpError,
    error_responses::{BadSearch, NoChat, ReadFails},
    paging::{self, SEARCH_LIMITS, SearchPage, parameter},
    path::{self, ChatPath, segment},
};
use crate::{
    domain::{
        Invalid,
        text::{MAX_QUERY_CHARS, Query},
    },
    service::Service,
};

/// A search text in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is there to be described")]
struct TextInPath {
    /// Every word must be there, in any order; the last one may be unfinished; `"quoted words"` follow each other.
    #[param(min_length = 1, max_length = 1000, example = "hello wor")]
    query: String,
}

/// A search text in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there to be described")]
struct TextInQuery {
    /// Every word must be there, in any order; the last one may be unfinished; `"quoted words"` follow each other. Without
    /// a word nothing is found.
    #[param(max_length = 1000, example = "hello wor", nullable = false)]
    q: Option<String>,
}

/// Search a chat, with the text in the path
///
/// A text with a `/` in it goes into the query instead: see `/search?q=`.
#[utoipa::path(
    get,
    path = "/application/{app}/chat/{chat}/search/{query}",
    operation_id = "searchByPath",
    tag = "Search",
    params(ChatPath, TextInPath, SearchPage),
    responses(
        (status = 200, description = "The newest hits, by number.", body = Vec<Listed>, headers(
            ("Link" = String, description = "The neighbours that there are (RFC 8288): `next`, `prev`."),
        )),
        BadSearch,
        NoChat,
        ReadFails,
    ),
)]
pub async fn by_path(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let text = segment(&request, "query");
    search(&request, &service, &text).await
}

/// Search a chat
#[utoipa::path(
    get,
    path = "/application/{app}/chat/{chat}/search",
    operation_id = "search",
    tag = "Search",
    params(ChatPath, TextInQuery, SearchPage),
    responses(
        (status = 200, description = "The newest hits, by number.", body = Vec<Listed>, headers(
            ("Link" = String, description = "The neighbours that there are (RFC 8288): `next`, `prev`."),
        )),
        BadSearch,
        NoChat,
        ReadFails,
    ),
)]
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
    let page = paging::page(request, &SEARCH_LIMITS)?;
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
