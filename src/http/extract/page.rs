//! Page of a list: the query parameters `limit`, `after` and `before`, and the `Link` header (RFC 8288).

use std::marker::PhantomData;

use actix_web::HttpRequest;
use url::form_urlencoded;
use utoipa::openapi::{
    OneOfBuilder,
    path::{Parameter, ParameterIn},
};

use super::{integer, parameter, text};
use crate::{
    domain::{Invalid, Page, number::MAX_NUMBER, page::Listing},
    http::{
        error::HttpError,
        memory::{Reservation, ResponseMemory},
    },
};

/// Value of `before` that asks for the newest page.
const NOW: &str = "now";

/// Limits and descriptions of a list's pages.
pub trait PageKind {
    /// Number of items if the request has no `limit`.
    const DEFAULT: u64;
    /// Highest `limit`.
    const MAX: u64;
    /// Descriptions of `limit`, `after` and `before`.
    const DESCRIPTIONS: [&str; 3];
}

/// Pages of a list.
pub struct List;

impl PageKind for List {
    const DEFAULT: u64 = 100;
    const MAX: u64 = 1000;
    const DESCRIPTIONS: [&str; 3] = [
        "Maximum number of items.",
        "Only items with a higher number: the page starts after it.",
        "Only items with a lower number. Without `after`, the page ends just before it. `now`: the newest page.",
    ];
}

/// Pages of the hits of a search.
pub struct Hits;

impl PageKind for Hits {
    const DEFAULT: u64 = 20;
    const MAX: u64 = 100;
    const DESCRIPTIONS: [&str; 3] = [
        "Maximum number of hits: the newest.",
        "Only messages with a higher number.",
        "Only messages with a lower number. `now`: the newest page.",
    ];
}

/// Page that a query asks for.
pub struct PageQuery<K> {
    /// The page.
    pub page: Page,
    query: String,
    kind: PhantomData<K>,
}

impl<K: PageKind> PageQuery<K> {
    /// Name, lowest and highest value of each parameter.
    const BOUNDS: [(&str, u64, u64); 3] = [
        ("limit", 1, K::MAX),
        ("after", 0, MAX_NUMBER),
        ("before", 1, MAX_NUMBER),
    ];

    /// Parses the query of a request.
    pub fn parse(request: &HttpRequest) -> Result<Self, Invalid> {
        let [limit, after, before] = Self::BOUNDS;
        let after = number(request, after)?;
        let before = match value(request, before.0).as_deref() {
            // After a number, all that follows comes before now.
            Some(NOW) => after.is_none().then_some(Page::NOW),
            _ => number(request, before).map_err(|_| Self::before_error())?,
        };
        let page = Page {
            limit: number(request, limit)?.unwrap_or(K::DEFAULT) as usize,
            after,
            before,
            bytes: usize::MAX,
        };
        Ok(Self {
            page,
            query: request.query_string().to_owned(),
            kind: PhantomData,
        })
    }

    /// Reserves memory for the page, and limits the page to it.
    ///
    /// # Errors
    ///
    /// Same as [`ResponseMemory::reserve_page`].
    pub async fn reserve(&mut self, memory: &ResponseMemory) -> Result<Reservation, HttpError> {
        let reservation = memory.reserve_page().await?;
        self.page.bytes = reservation.bytes();
        Ok(reservation)
    }

    /// Describes the parameters.
    pub fn parameters() -> Vec<Parameter> {
        let bounds = Self::BOUNDS.into_iter().zip([10, 20, 31]);
        bounds
            .zip(K::DESCRIPTIONS)
            .map(|(((name, min, max), example), description)| {
                let default = (name == "limit").then(|| K::DEFAULT.into());
                let schema = integer(min, max).default(default);
                let description = (name, description);
                if name == "before" {
                    let now = text().enum_values(Some([NOW]));
                    let schema = OneOfBuilder::new().item(schema).item(now);
                    parameter(ParameterIn::Query, description, schema, example)
                } else {
                    parameter(ParameterIn::Query, description, schema, example)
                }
            })
            .collect()
    }

    /// Errors of [`PageQuery::parse`].
    pub fn errors() -> [Invalid; 3] {
        let [limit, after, _] = Self::BOUNDS;
        let error = |(name, min, max)| Invalid::Parameter { name, min, max };
        [error(limit), error(after), Self::before_error()]
    }

    fn before_error() -> Invalid {
        let [_, _, (name, min, max)] = Self::BOUNDS;
        Invalid::ParameterOrNow { name, min, max }
    }

    /// Value of the `Link` header: the same request for each neighbour of a page. The references consist of a query
    /// only, so they are also correct behind a proxy that changes the path.
    pub fn link<T>(&self, listing: &Listing<T>) -> Option<String> {
        let previous = listing.previous.map(|number| number.min(MAX_NUMBER));
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        links(
            &self.query,
            self.page.limit,
            text(listing.next),
            text(previous),
        )
    }
}

/// Value of a `Link` header: the query of a request, continued `after` the page and `before` it.
pub fn links(
    query: &str,
    limit: usize,
    after: Option<String>,
    before: Option<String>,
) -> Option<String> {
    let links: Vec<String> = [("next", "after", after), ("prev", "before", before)]
        .into_iter()
        .filter_map(|(relation, parameter, position)| {
            let others = form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| !matches!(&**name, "limit" | "after" | "before"));
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(others)
                .append_pair("limit", &limit.to_string())
                .append_pair(parameter, &position?)
                .finish();
            Some(format!("<?{query}>; rel=\"{relation}\""))
        })
        .collect();
    (!links.is_empty()).then(|| links.join(", "))
}

extractor!([K: PageKind] PageQuery<K>, Self::parse, Self::parameters(), Self::errors());

/// Parses a parameter that is a plain decimal number.
pub fn number(
    request: &HttpRequest,
    (name, min, max): (&'static str, u64, u64),
) -> Result<Option<u64>, Invalid> {
    let Some(text) = value(request, name) else {
        return Ok(None);
    };
    // `parse` accepts a plus sign.
    let number = text.parse().ok().filter(|_| !text.starts_with('+'));
    let number = number.filter(|number| (min..=max).contains(number));
    number
        .map(Some)
        .ok_or(Invalid::Parameter { name, min, max })
}

/// Value of a query parameter: the last one if it is repeated.
pub fn value(request: &HttpRequest, name: &str) -> Option<String> {
    form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(key, _)| key == name)
        .last()
        .map(|(_, value)| value.into_owned())
}
