//! [`SearchIndex`] on Elasticsearch.
//!
//! What is searched and written is an alias; behind it stands one index at a time, `{alias}-{digits}`, so that a
//! rebuild can fill another one and put it into use in one step. Writes never create an index, as Elasticsearch
//! would with a mapping it guesses: they go through an alias and say so (`require_alias`).
//!
//! A document is a message, whole, under `_id` = `application:chat:message`, and its revision is its external version:
//! what is newer stays, whatever order writes come in.

mod answer;
mod document;
mod examine;
mod indices;
mod query;
mod read;
mod tokens;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use elasticsearch::{
    Elasticsearch,
    http::{
        headers::{ACCEPT_ENCODING, HeaderValue},
        response::Response,
        transport::{SingleNodeConnectionPool, TransportBuilder},
    },
};
use serde::de::DeserializeOwned;
use url::Url;

use self::answer::Refusal;
use super::{Check, Error, Result, SearchIndex, breaker::Breaker};
use crate::domain::{ChatKey, Message, MessageKey, Page, Revision, text::Query};

/// What the errors of this store are told by.
const STORE: &str = "Elasticsearch";

/// Full text, in Elasticsearch.
pub struct ElasticsearchIndex {
    client: Elasticsearch,
    breaker: Breaker,
    write_timeout: Duration,
    alias: String,
}

impl ElasticsearchIndex {
    /// Prepares the client; Elasticsearch is reached when first needed. A request that reads takes at most `timeout`, from
    /// connecting to the last byte of the answer, and one that writes `write_timeout`. A user and password in `url` become
    /// basic authentication.
    ///
    /// `alias` also begins the names of the indices, of which unused ones are deleted: it must be this
    /// installation's own.
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
            breaker: Breaker::new(STORE, timeout),
            write_timeout,
            alias: alias.into(),
        })
    }

    /// Sends a request and reads the answer.
    async fn ask<T: DeserializeOwned>(
        &self,
        send: impl Future<Output = std::result::Result<Response, elasticsearch::Error>>,
    ) -> std::result::Result<T, Refusal> {
        let called = self.breaker.call(async { answer::read(send.await).await });
        called.await.unwrap_or_else(silence)
    }

    /// The same for what changes something: Elasticsearch answers once it is on its disk, which may be busy, and no client
    /// waits for it. To ask again would only make it write again.
    async fn tell<T: DeserializeOwned>(
        &self,
        send: impl Future<Output = std::result::Result<Response, elasticsearch::Error>>,
    ) -> std::result::Result<T, Refusal> {
        let call = async { answer::read(send.await).await };
        let called = self.breaker.call_within(self.write_timeout, call);
        called.await.unwrap_or_else(silence)
    }
}

#[async_trait]
impl SearchIndex for ElasticsearchIndex {
    async fn ping(&self) -> Result<()> {
        let index = self.index_in_use().await?;
        index.map_or_else(|| Err(Error::IndexMissing(self.alias.clone())), |_| Ok(()))
    }

    async fn examine(&self) -> Vec<Check> {
        let checked = self.checks().await;
        checked.unwrap_or_else(|error| {
            let advice =
                "see that Elasticsearch runs, and that services.elasticsearch_url leads there";
            vec![Check::problem("elasticsearch", error.to_string(), advice)]
        })
    }

    async fn search(&self, chat: ChatKey, query: &Query, page: &Page) -> Result<Vec<Message>> {
        self.read_hits(chat, query, page).await
    }

    async fn put(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>> {
        self.write_documents(target, messages).await
    }

    async fn remove(&self, keys: &[MessageKey]) -> Result<()> {
        self.delete_documents(keys).await
    }

    async fn revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        self.read_versions(keys).await
    }

    async fn count(&self) -> Result<u64> {
        self.count_documents().await
    }

    async fn scan(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<MessageKey>> {
        self.read_keys(after, limit).await
    }

    async fn current(&self) -> Result<Option<String>> {
        self.index_in_use().await
    }

    async fn fits(&self, index: &str) -> Result<bool> {
        self.is_as_defined(index).await
    }

    async fn is_outdated(&self, index: &str) -> Result<bool> {
        self.is_of_the_past(index).await
    }

    async fn create(&self) -> Result<String> {
        self.create_index().await
    }

    async fn swap(&self, index: &str) -> Result<()> {
        self.put_into_use(index).await
    }

    async fn refresh(&self) -> Result<()> {
        self.refresh_index(&self.alias).await
    }
}

fn silence<T>(outage: Error) -> std::result::Result<T, Refusal> {
    Err(Refusal::Silence(outage.to_string()))
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
        let new = |alias| ElasticsearchIndex::new(&url, alias, second, second);
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
        let index = ElasticsearchIndex::new(&url, "confab", second, second).unwrap();
        let error = index.current().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains("cret"), "{error}");
    }
}
