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
    auth::ClientCertificate,
    cert::{Certificate, CertificateValidation},
    http::{
        headers::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue},
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::de::DeserializeOwned;
use url::Url;

use self::response::{Rejection, Sent, StatusAndBody};
use crate::stores::{
    Error, Result,
    call::Call,
    circuit_breaker::CircuitBreaker,
    services::tls::{Tls, TlsFiles},
};

/// Name of this store in errors.
const STORE: &str = "Elasticsearch";

/// Prefix of the settings of this store.
const SETTINGS: &str = "services.elasticsearch";

/// Address of Elasticsearch, and how the client authenticates itself and the server.
pub struct ElasticsearchAccess<'a> {
    /// Address. Credentials in it become basic authentication.
    pub url: &'a Url,
    /// Certificates. Those of `ca` are trusted besides the public ones, which the HTTP client always trusts.
    pub files: &'a TlsFiles,
    /// API key in its encoded form. Empty: none.
    pub api_key: &'a str,
}

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
    /// connecting to the last byte of the response, a write at most `write_timeout`.
    ///
    /// `alias` also begins the names of the indices. Two installations on one Elasticsearch need different ones.
    ///
    /// # Errors
    ///
    /// An alias that cannot name an index, and files that cannot be used.
    pub fn new(
        access: &ElasticsearchAccess,
        alias: &str,
        timeout: Duration,
        write_timeout: Duration,
    ) -> Result<Self> {
        // The rules for an index's name, and nothing that is a wildcard or a list in the path of a request.
        let named = alias.starts_with(|c: char| c.is_ascii_lowercase())
            && alias.len() <= 200
            && alias
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !named {
            return Err(failed(format!("{alias:?} cannot name an index")));
        }
        Ok(Self {
            client: Elasticsearch::new(transport(access)?),
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
        self.client.ping().send().await.is_ok()
    }
}

/// Prepares the HTTP client.
fn transport(access: &ElasticsearchAccess) -> Result<Transport> {
    let tls = Tls::read(STORE, SETTINGS, access.files)?;
    // The credentials stay in the URL: the HTTP client below moves them, decoded, from there into the header of
    // each request, and shows them in no error.
    // Answers are small, and packing them takes longer than sending them: the client would ask for gzip.
    let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(access.url.clone()))
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !access.api_key.is_empty() {
        let mut key = HeaderValue::from_str(&format!("ApiKey {}", access.api_key))
            .map_err(|_| failed(format!("{SETTINGS}_api_key: not a header's value")))?;
        key.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, key);
    }
    if let Some(client) = tls.client {
        let pem = [client.cert, b"\n".into(), client.key].concat();
        builder = builder.auth(ClientCertificate::Pem(pem).into());
    }
    if let Some(pem) = &tls.ca {
        let authorities = Certificate::from_pem(pem).map_err(failed)?;
        builder = builder.cert_validation(CertificateValidation::Full(authorities));
    }
    builder.build().map_err(failed)
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

    fn new(url: &str, alias: &str) -> Result<SearchIndex> {
        let url = Url::parse(url).unwrap();
        let access = ElasticsearchAccess {
            url: &url,
            files: &TlsFiles::default(),
            api_key: "",
        };
        let second = Duration::from_secs(1);
        SearchIndex::new(&access, alias, second, second)
    }

    #[test]
    fn an_alias_is_a_plain_name() {
        let new = |alias| new("http://127.0.0.1:9200", alias);
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
        let index = new("http://someone:s%40cret@127.0.0.1:1", "confab").unwrap();
        let error = index.in_use().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains("cret"), "{error}");
    }
}
