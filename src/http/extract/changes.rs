//! Part of an application's changes: the query parameters `after`, `limit`, `wait` and `chat`.

use std::{collections::BTreeSet, time::Duration};

use actix_web::HttpRequest;
use url::form_urlencoded;
use utoipa::openapi::{
    ArrayBuilder,
    path::{Parameter, ParameterIn},
};

use super::{
    integer,
    page::{number, value},
    parameter, path, text,
};
use crate::{
    domain::{ChangesPage, Error, Invalid, Number, Since, number::MAX_NUMBER},
    http::{
        error::HttpError,
        memory::{Reservation, ResponseMemory},
    },
};

/// Number of changes if the request has no `limit`.
const DEFAULT: u64 = 100;

const LIMIT: (&str, u64, u64) = ("limit", 1, 1000);
const WAIT: (&str, u64, u64) = ("wait", 0, 50);
const CHAT: (&str, u64, u64) = ("chat", 1, MAX_NUMBER);

/// Maximum number of chats in a request.
const MAX_CHATS: usize = 100;

/// Extractor of a part of the changes.
pub struct ChangesQuery {
    /// The part.
    pub page: ChangesPage,
    /// Time to wait for a change, if there is none.
    pub wait: Duration,
}

impl ChangesQuery {
    fn parse(request: &HttpRequest) -> Result<Self, HttpError> {
        let (app, _) = path::parts(request)?;
        let since = match value(request, "after") {
            None => Since::Beginning,
            Some(text) => Since::parse(&text).ok_or(NOT_A_CURSOR)?,
        };
        if let Since::After(cursor) = since
            && Some(cursor.app) != app
        {
            return Err(NOT_A_CURSOR.into());
        }
        let page = ChangesPage {
            since,
            limit: number(request, LIMIT)?.unwrap_or(DEFAULT) as usize,
            bytes: usize::MAX,
            chats: chats(request)?,
        };
        let wait = Duration::from_secs(number(request, WAIT)?.unwrap_or(0));
        Ok(Self { page, wait })
    }

    /// Reserves memory for the changes after a place. Returns also the page that fits into it.
    ///
    /// # Errors
    ///
    /// Same as [`ResponseMemory::reserve_page`].
    pub async fn reserve(
        &self,
        memory: &ResponseMemory,
        since: Since,
    ) -> Result<(Reservation, ChangesPage), HttpError> {
        /// Upper bound of what a change has besides its texts.
        const CHANGE: usize = 512;
        let reservation = memory.reserve_page().await?;
        let fitting = reservation.bytes() / 2 / CHANGE;
        let page = ChangesPage {
            since,
            limit: self.page.limit.min(fitting).max(1),
            bytes: reservation.bytes() / 2,
            chats: self.page.chats.clone(),
        };
        Ok((reservation, page))
    }

    fn parameters() -> Vec<Parameter> {
        let after = text().pattern(Some("^[A-Za-z0-9_-]{1,128}$"));
        let after = parameter(
            ParameterIn::Query,
            (
                "after",
                "`next` of an earlier response; `0`: from the beginning; `now`: nothing but the present cursor.",
            ),
            after,
            "0",
        );
        let number = |(name, min, max), description, default: u64, example| {
            let schema = integer(min, max).default(Some(default.into()));
            parameter(ParameterIn::Query, (name, description), schema, example)
        };
        let chat = parameter(
            ParameterIn::Query,
            (
                "chat",
                "Only changes of this chat and its messages. May be repeated.",
            ),
            ArrayBuilder::new()
                .items(integer(CHAT.1, CHAT.2))
                .max_items(Some(MAX_CHATS)),
            [5],
        );
        vec![
            after,
            number(LIMIT, "Maximum number of changes.", DEFAULT, 10),
            number(
                WAIT,
                "Seconds to wait for a change, if there is none.",
                0,
                30,
            ),
            chat,
        ]
    }

    fn errors() -> [HttpError; 7] {
        let invalid = |(name, min, max)| HttpError::from(Invalid::Parameter { name, min, max });
        [
            NOT_A_CURSOR.into(),
            invalid(LIMIT),
            invalid(WAIT),
            invalid(CHAT),
            TOO_MANY_CHATS.into(),
            Error::HistoryLost.into(),
            HttpError::TooManyWaiting,
        ]
    }
}

const NOT_A_CURSOR: Invalid = Invalid::NotAChangesCursor("after");
const TOO_MANY_CHATS: Invalid = Invalid::GivenTooOften {
    name: CHAT.0,
    limit: MAX_CHATS,
};

extractor!([] ChangesQuery, Self::parse, Self::parameters(), Self::errors());

/// The chats that a request names; `None` if it names none.
fn chats(request: &HttpRequest) -> Result<Option<BTreeSet<Number>>, Invalid> {
    let (name, min, max) = CHAT;
    let given = form_urlencoded::parse(request.query_string().as_bytes());
    let given: Vec<_> = given.filter(|(key, _)| key == name).collect();
    if given.len() > MAX_CHATS {
        return Err(TOO_MANY_CHATS);
    }
    let parse = |text: &str| {
        let number = text.parse().ok().filter(|_| !text.starts_with('+'));
        let number = number.filter(|number| (min..=max).contains(number));
        number.ok_or(Invalid::Parameter { name, min, max })
    };
    let chats: BTreeSet<Number> = given
        .iter()
        .map(|(_, text)| parse(text))
        .collect::<Result<_, _>>()?;
    Ok((!chats.is_empty()).then_some(chats))
}
