//! Page of a list: the query parameters `limit`, `after` and `before`, and the `Link` header (RFC 8288).

use std::marker::PhantomData;

use actix_web::{HttpRequest, http::Uri};
use url::form_urlencoded;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{integer, parameter};
use crate::{
    domain::{Invalid, Page, number::MAX_NUMBER, page::Listing},
    http::error::HttpError,
};

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
        "Only items with a lower number. Without `after`, the page ends just before it.",
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
        "Only messages with a lower number.",
    ];
}

/// Page that a query asks for.
pub struct PageQuery<K> {
    /// The page.
    pub page: Page,
    uri: Uri,
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
        let [limit, after, before] = Self::BOUNDS.map(|bounds| number(request, bounds));
        let page = Page {
            limit: limit?.unwrap_or(K::DEFAULT) as usize,
            after: after?,
            before: before?,
        };
        Ok(Self {
            page,
            uri: request.uri().clone(),
            kind: PhantomData,
        })
    }

    /// Describes the parameters.
    pub fn parameters() -> Vec<Parameter> {
        let bounds = Self::BOUNDS.into_iter().zip([10, 20, 31]);
        bounds
            .zip(K::DESCRIPTIONS)
            .map(|(((name, min, max), example), description)| {
                let default = (name == "limit").then(|| K::DEFAULT.into());
                let schema = integer(min, max).default(default);
                parameter(ParameterIn::Query, (name, description), schema, example)
            })
            .collect()
    }

    /// Errors of [`PageQuery::parse`].
    pub fn errors() -> [Invalid; 3] {
        Self::BOUNDS.map(|(name, min, max)| Invalid::Parameter { name, min, max })
    }

    /// Value of the `Link` header: the same request for each neighbour of a page.
    pub fn link<T>(&self, listing: &Listing<T>) -> Option<String> {
        let query = self.uri.query().unwrap_or_default().as_bytes();
        let links: Vec<String> = [
            ("next", "after", listing.next),
            ("prev", "before", listing.previous),
        ]
        .into_iter()
        .filter_map(|(relation, parameter, number)| {
            let others = form_urlencoded::parse(query)
                .filter(|(name, _)| !matches!(&**name, "limit" | "after" | "before"));
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(others)
                .append_pair("limit", &self.page.limit.to_string())
                .append_pair(parameter, &number?.to_string())
                .finish();
            Some(format!("<{}?{query}>; rel=\"{relation}\"", self.uri.path()))
        })
        .collect();
        (!links.is_empty()).then(|| links.join(", "))
    }
}

extractor!([K: PageKind] PageQuery<K>, Self::parse, Self::parameters(), Self::errors());

/// Parses a parameter that is a plain decimal number.
fn number(
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
