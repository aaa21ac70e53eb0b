//! Page of the list of applications: `limit`, and `after` and `before` as opaque cursors from the `Link` header.

use actix_web::HttpRequest;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{
    integer,
    page::{links, number, value},
    parameter, text,
};
use crate::{
    domain::{
        Invalid,
        application::{ApplicationsListing, ApplicationsPage, Position},
    },
    http::{
        error::HttpError,
        memory::{Reservation, ResponseMemory},
    },
};

/// Number of items if the request has no `limit`.
const DEFAULT: u64 = 100;

const LIMIT: (&str, u64, u64) = ("limit", 1, 1000);

/// Extractor of a page of applications.
pub struct CursorQuery {
    /// The page.
    pub page: ApplicationsPage,
    /// Limit of the request, which that of the page may be below.
    limit: usize,
    query: String,
}

impl CursorQuery {
    fn parse(request: &HttpRequest) -> Result<Self, Invalid> {
        let limit = number(request, LIMIT)?.unwrap_or(DEFAULT) as usize;
        let page = ApplicationsPage {
            limit,
            after: cursor(request, "after")?,
            before: cursor(request, "before")?,
        };
        let query = request.query_string().to_owned();
        Ok(Self { page, limit, query })
    }

    /// Reserves memory for the page, and limits the page to it.
    ///
    /// # Errors
    ///
    /// Same as [`ResponseMemory::reserve_page`].
    pub async fn reserve(&mut self, memory: &ResponseMemory) -> Result<Reservation, HttpError> {
        /// Upper bound of an item: 255 characters of 6 bytes, and the other members.
        const ITEM: usize = 2048;
        let reservation = memory.reserve_page().await?;
        self.page.limit = self.page.limit.min(reservation.bytes() / ITEM).max(1);
        Ok(reservation)
    }

    /// Value of the `Link` header.
    pub fn link(&self, listing: &ApplicationsListing) -> Option<String> {
        let cursor = |position: Option<Position>| position.map(|position| position.to_string());
        links(
            &self.query,
            self.limit,
            cursor(listing.next),
            cursor(listing.previous),
        )
    }

    fn parameters() -> Vec<Parameter> {
        let (name, min, max) = LIMIT;
        let schema = integer(min, max).default(Some(DEFAULT.into()));
        let limit = parameter(
            ParameterIn::Query,
            (name, "Maximum number of items."),
            schema,
            10,
        );
        let cursor = |name, description| {
            let schema = text().pattern(Some("^[0-9a-f]{24}$"));
            let example = "0000010000000001dec969c6";
            parameter(ParameterIn::Query, (name, description), schema, example)
        };
        vec![
            limit,
            cursor("after", "Cursor from `Link`: the page starts after it."),
            cursor("before", "Cursor from `Link`: the page ends before it."),
        ]
    }

    fn errors() -> [Invalid; 3] {
        let (name, min, max) = LIMIT;
        [
            Invalid::Parameter { name, min, max },
            Invalid::NotACursor("after"),
            Invalid::NotACursor("before"),
        ]
    }
}

extractor!([] CursorQuery, Self::parse, Self::parameters(), Self::errors());

fn cursor(request: &HttpRequest, name: &'static str) -> Result<Option<Position>, Invalid> {
    let Some(text) = value(request, name) else {
        return Ok(None);
    };
    let position = Position::parse(&text).ok_or(Invalid::NotACursor(name))?;
    Ok(Some(position))
}
