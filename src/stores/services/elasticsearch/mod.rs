//! The search index, in Elasticsearch.
//!
//! Searches and writes use an alias, which stands for one index at a time, `{alias}-{digits}`. So a rebuild can fill
//! another index and put it into use in one step. Writes never create an index, which Elasticsearch would give a
//! guessed mapping: they require an alias (`require_alias`).
//!
//! A document is a message, whole, under `_id` = `application:chat:message`, and its revision is its external version:
//! what is newer stays, whatever order writes come in.

mod diagnose;
mod document;
mod indices;
mod ownership;
mod query;
mod read;
mod response;
mod tokens;
mod write;

use std::time::Duration;

use elasticsearch::{
    Elasticsearch,
    http::{
        headers::{ACCEPT_ENCODING, HeaderValue},
        transport::{SingleNodeConnectionPool, TransportBuilder},
    },
};
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::de::DeserializeOwned;
use url::Url;

use self::response::{Rejection, Sent, StatusAndBody};
use crate::stores::{Error, Result, call::Call, circuit_breaker::CircuitBreaker};

/// Name of this store in errors.
const STORE: &str = "Elasticsearch";

/// Time limit of a ping after a call that was not answered in time.
const PING: Duration = Duration::from_secs(1);

/// Full text, in Elasticsearch.
pub struct SearchIndex {
    client: Elasticsearch,
    /// Breaker of everything but the API's searches: indexing, rebuilds, comparisons.
    breaker: CircuitBreaker,
    /// Breaker of the API's searches, which clients can make slow.
    search_breaker: CircuitBreaker,
    timeout: Duration,
    write_timeout: Duration,
    alias: String,
}

impl SearchIndex {
    /// Prepares the client; Elasticsearch is contacted when first needed. A read takes at most `timeout` from
    /// connecting to the last byte of the response, a write at most `write_timeout`. Credentials in `url` become basic
    /// authentication.
    ///
    /// `alias` also begins the names of the indices. Two installations on one Elasticsearch need different ones.
    pub fn new(url: &Url, alias: &str, timeout: Duration, write_timeout: Duration) -> Result<Self> {
        // The rules for an index's name, and nothing that is a wildcard or a list in the path of a request.
        let named = alias.starts_with(|c: char| c.is_ascii_lowercase())
            && alias.len() <= 200
            && alias
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !named {
            return Err(failed(format!("{alias:?} cannot name an index")));
        }
        // The credentials stay in the URL: the HTTP client below moves them, decoded, from there into the header of
        // each request, and shows them in no error.
        // Answers are small, and packing them takes longer than sending them: the client would ask for gzip.
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(url.clone()))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .build()
            .map_err(failed)?;
        Ok(Self {
            client: Elasticsearch::new(transport),
            breaker: CircuitBreaker::new(STORE, timeout),
            search_breaker: CircuitBreaker::new(STORE, timeout),
            timeout,
            write_timeout,
            alias: alias.into(),
        })
    }

    /// Sends a request that reads, and parses the response.
    async fn send_read<T: DeserializeOwned>(
        &self,
        call: &Call,
        send: impl Future<Output = Sent> + Send,
    ) -> std::result::Result<T, Rejection> {
        let sent = self.send(call, &self.breaker, self.timeout, send.boxed());
        response::parse(sent.await?)
    }

    /// Sends a search of the API, and parses the response.
    async fn send_search<T: DeserializeOwned>(
        &self,
        call: &Call,
        send: impl Future<Output = Sent> + Send,
    ) -> Result<T> {
        let sent = self.send(call, &self.search_breaker, self.timeout, send.boxed());
        let parsed = sent.await.and_then(response::parse);
        parsed.map_err(|rejection| rejection.error(&self.alias))
    }

    /// Same as [`Self::send_read`], with a rejection as the error of `index`.
    async fn get<T: DeserializeOwned>(
        &self,
        call: &Call,
        index: &str,
        send: impl Future<Output = Sent> + Send,
    ) -> Result<T> {
        let response = self.send_read(call, send).await;
        response.map_err(|rejection| rejection.error(index))
    }

    /// Sends a request that changes something. Elasticsearch responds once it is on its disk, which may be busy, and no
    /// client waits for it: such a request has more time, as repeating it would only make it write again.
    async fn send_write<T: DeserializeOwned>(
        &self,
        call: &Call,
        send: impl Future<Output = Sent> + Send,
    ) -> std::result::Result<T, Rejection> {
        let sent = self.send(call, &self.breaker, self.write_timeout, send.boxed());
        response::parse(sent.await?)
    }

    /// Sends a request. Rejections do not trip the circuit breaker, nor does a request that takes too long while
    /// Elasticsearch responds to others.
    async fn send(
        &self,
        call: &Call,
        breaker: &CircuitBreaker,
        timeout: Duration,
        send: BoxFuture<'_, Sent>,
    ) -> std::result::Result<StatusAndBody, Rejection> {
        let response = response::read(send);
        let called = async {
            let called = breaker.call_or_ping(timeout, response, self.responds());
            match called.await? {
                Err(Rejection::NoResponse(detail)) => Err(unavailable(detail)),
                response => Ok(response),
            }
        };
        match call.timed(called).await {
            Ok(response) => response,
            Err(Error::Unavailable { detail, .. }) => Err(Rejection::NoResponse(detail)),
            Err(error) => Err(Rejection::NoResponse(error.to_string())),
        }
    }
}

impl SearchIndex {
    /// Tells whether Elasticsearch responds at all, with whatever status, to a request that costs it nothing.
    async fn responds(&self) -> bool {
        let ping = tokio::time::timeout(PING, self.client.ping().send()).await;
        ping.is_ok_and(|sent| sent.is_ok())
    }
}

fn failed(detail: impl ToString) -> Error {
    Error::Failed {
        store: STORE,
        detail: detail.to_string(),
    }
}

fn unavailable(detail: impl ToString) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_a_plain_name() {
        let url = Url::parse("http://127.0.0.1:9200").unwrap();
        let second = Duration::from_secs(1);
        let new = |alias| SearchIndex::new(&url, alias, second, second);
        assert!(new("confab").is_ok());
        assert!(new("confab_test-7").is_ok());
        for alias in [
            "", "*", "a*", "a,b", "_all", "-a", "Confab", "a/b", "a.b", "ä",
        ] {
            assert!(new(alias).is_err(), "{alias:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_outage_and_keeps_the_password() {
        let url = Url::parse("http://someone:s%40cret@127.0.0.1:1").unwrap();
        let second = Duration::from_secs(1);
        let index = SearchIndex::new(&url, "confab", second, second).unwrap();
        let error = index.in_use().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains("cret"), "{error}");
    }
}
