//! Search within a chat.

use actix_web::{HttpRequest, web::Data};
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::listed_message::ListedMessage;
use crate::{
    domain::{
        ChatKey, Invalid,
        text::{MAX_QUERY_CHARS, MAX_QUERY_WORDS, Query},
    },
    http::{
        error::{HttpError, HttpResult},
        extract::{
            PageQuery, extractor,
            page::{Hits, value},
            parameter,
            path::segment,
            text,
        },
        memory::ResponseMemory,
        response,
    },
    service::Service,
};

/// Extractor of a search: its page, and its text from the path or from the query.
pub struct Search<const IN_PATH: bool> {
    page: PageQuery<Hits>,
    query: Query,
}

const TOO_LONG: Invalid = Invalid::TooLong {
    field: "Query",
    limit: MAX_QUERY_CHARS,
};

const TOO_MANY_WORDS: Invalid = Invalid::TooManyWords(MAX_QUERY_WORDS);

impl<const IN_PATH: bool> Search<IN_PATH> {
    fn parse(request: &HttpRequest) -> Result<Self, Invalid> {
        let page = PageQuery::parse(request)?;
        let text = match IN_PATH {
            true => segment(request, "query").into_owned(),
            false => value(request, "q").unwrap_or_default(),
        };
        if text.chars().count() > MAX_QUERY_CHARS {
            return Err(TOO_LONG);
        }
        let query = Query::parse(&text);
        if query.words() > MAX_QUERY_WORDS {
            return Err(TOO_MANY_WORDS);
        }
        Ok(Self { page, query })
    }

    fn parameters() -> Vec<Parameter> {
        let description = "Messages must contain every word, in any order. The last word may be a prefix. \
            `\"Quoted words\"` must be adjacent. \
            At most 128 words.";
        let (schema, example) = (text().max_length(Some(MAX_QUERY_CHARS)), "hello wor");
        let query = if IN_PATH {
            let schema = schema.min_length(Some(1));
            parameter(ParameterIn::Path, ("query", description), schema, example)
        } else {
            let description = format!("{description} Without\na word there are no hits.");
            parameter(ParameterIn::Query, ("q", &description), schema, example)
        };
        [vec![query], PageQuery::<Hits>::parameters()].concat()
    }

    fn errors() -> [Invalid; 5] {
        let [limit, after, before] = PageQuery::<Hits>::errors();
        [limit, after, before, TOO_LONG, TOO_MANY_WORDS]
    }

    async fn run(
        mut self,
        chat: ChatKey,
        service: &Service,
        memory: &ResponseMemory,
    ) -> HttpResult {
        let reservation = self.page.reserve(memory).await?;
        let hits = service.search(chat, &self.query, &self.page.page).await?;
        Ok(response::list::<ListedMessage>(
            &self.page,
            hits,
            reservation,
        ))
    }
}

extractor!([const IN_PATH: bool] Search<IN_PATH>, Self::parse, Self::parameters(), Self::errors());

/// Search a chat, with the text in the path
///
/// For a text with a `/` use `/search?q=`.
#[utoipa::path(
    get, path = "/application/{app}/chat/{chat}/search/{query}", operation_id = "searchByPath", tag = "Search",
    params(ChatKey, Search<true>),
    responses(
        (status = 200, description = "The newest hits, by number.", body = Vec<ListedMessage>),
        ChatKey,
        Search<true>,
    ),
)]
pub async fn by_path(
    chat: ChatKey,
    search: Search<true>,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
) -> HttpResult {
    search.run(chat, &service, &memory).await
}

/// Search a chat
#[utoipa::path(
    get, path = "/application/{app}/chat/{chat}/search", operation_id = "search", tag = "Search",
    params(ChatKey, Search<false>),
    responses(
        (status = 200, description = "The newest hits, by number.", body = Vec<ListedMessage>),
        ChatKey,
        Search<false>,
    ),
)]
pub async fn by_parameter(
    chat: ChatKey,
    search: Search<false>,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
) -> HttpResult {
    search.run(chat, &service, &memory).await
}
