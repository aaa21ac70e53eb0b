//! Pages in the query of a URL, and the `Link` header (RFC 8288) that names their neighbours.

use actix_web::{HttpRequest, http::header};
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::domain::{Invalid, Page, number::MAX_NUMBER, page::Listing};

/// What limits a list's pages.
pub struct Limits {
    /// How many items when the request does not say.
    pub default: usize,
    /// How many at most.
    pub most: usize,
}

/// How long the pages of lists are.
pub const LIST_LIMITS: Limits = Limits {
    default: 100,
    most: 1000,
};

/// How many hits a page holds.
pub const SEARCH_LIMITS: Limits = Limits {
    default: 20,
    most: 100,
};

/// What the query of a list may hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there to be described")]
pub struct ListPage {
    /// How many items at most.
    #[param(
        minimum = 1,
        maximum = 1000,
        default = 100,
        example = 10,
        nullable = false
    )]
    limit: Option<u64>,
    /// Only what has a higher number: the page begins behind it.
    #[param(
        minimum = 0,
        maximum = 9007199254740991_u64,
        example = 20,
        nullable = false
    )]
    after: Option<u64>,
    /// Only what has a lower number. Alone, it gives the page that ends just before it.
    #[param(
        minimum = 1,
        maximum = 9007199254740991_u64,
        example = 31,
        nullable = false
    )]
    before: Option<u64>,
}

/// What the query of a search may hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there to be described")]
pub struct SearchPage {
    /// How many hits at most: the newest.
    #[param(
        minimum = 1,
        maximum = 100,
        default = 20,
        example = 10,
        nullable = false
    )]
    limit: Option<u64>,
    /// Only messages with a higher number.
    #[param(
        minimum = 0,
        maximum = 9007199254740991_u64,
        example = 20,
        nullable = false
    )]
    after: Option<u64>,
    /// Only messages with a lower number.
    #[param(
        minimum = 1,
        maximum = 9007199254740991_u64,
        example = 31,
        nullable = false
    )]
    before: Option<u64>,
}

/// The value of a query parameter; of one that comes twice, the last.
pub fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(key, _)| key == name)
        .last()
        .map(|(_, value)| value.into_owned())
}

/// The page that a request asks for.
pub fn page(request: &HttpRequest, limits: &Limits) -> Result<Page, Invalid> {
    let most = u64::try_from(limits.most).unwrap_or(u64::MAX);
    let limit = number(request, "limit", 1, most)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    Ok(Page {
        after: number(request, "after", 0, MAX_NUMBER)?,
        before: number(request, "before", 1, MAX_NUMBER)?,
        limit: limit.unwrap_or(limits.default),
    })
}

fn number(
    request: &HttpRequest,
    name: &'static str,
    min: u64,
    max: u64,
) -> Result<Option<u64>, Invalid> {
    let Some(text) = parameter(request, name) else {
        return Ok(None);
    };
    // `parse` alone would take a plus sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| digits && (min..=max).contains(number));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Invalid::Parameter { name, min, max }),
    }
}

/// The header that names a listing's neighbours, if it has any: the same request with another page.
pub fn link<T>(
    request: &HttpRequest,
    page: &Page,
    listing: &Listing<T>,
) -> Option<(header::HeaderName, String)> {
    let neighbour = |relation, parameter, number: Option<u64>| {
        let number = number?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
            if !matches!(&*key, "limit" | "after" | "before") {
                query.append_pair(&key, &value);
            }
        }
        query.append_pair("limit", &page.limit.to_string());
        query.append_pair(parameter, &number.to_string());
        let (path, query) = (request.path(), query.finish());
        Some(format!("<{path}?{query}>; rel=\"{relation}\""))
    };
    let links: Vec<String> = [
        neighbour("next", "after", listing.next),
        neighbour("prev", "before", listing.previous),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!links.is_empty()).then(|| (header::LINK, links.join(", ")))
}
