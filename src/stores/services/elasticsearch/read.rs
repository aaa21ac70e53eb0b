//! Searching, and looking at what is indexed.

use elasticsearch::{CountParts, MgetParts, SearchParts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    SearchIndex,
    document::{Stored, parse_chat_field},
    failed, query,
    response::{self, Sent},
    unavailable,
};
use crate::{
    domain::{ChatKey, Message, MessageKey, Number, Page, Revision, text::Query},
    stores::{Result, call::call},
};

/// Maximum number of keys in one request.
const KEYS: usize = 1000;

#[derive(Deserialize)]
struct Searched<T> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    /// Left out where there are none.
    hits: Option<Hits<T>>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u32,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
    #[serde(rename = "_shards")]
    shards: Shards,
}

#[derive(Deserialize)]
struct Hits<T> {
    hits: Vec<T>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_version")]
    version: u64,
    #[serde(rename = "_source")]
    document: Stored,
}

/// A hit's position in the order of keys.
#[derive(Deserialize)]
struct Position {
    sort: (String, Number),
}

#[derive(Deserialize)]
struct MultiGet {
    docs: Vec<MultiGetItem>,
}

#[derive(Deserialize)]
struct MultiGetItem {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_source")]
    document: Option<Text>,
    #[serde(rename = "_version")]
    version: Option<u64>,
    error: Option<response::ErrorInfo>,
}

/// Part of a document.
#[derive(Deserialize)]
struct Text {
    text: String,
}

impl SearchIndex {
    pub(crate) async fn search(
        &self,
        chat: ChatKey,
        query: &Query,
        page: &Page,
    ) -> Result<Vec<Message>> {
        if query.is_empty() {
            return Ok(Vec::new());
        }
        let fields = ["hits.hits._version", "hits.hits._source"];
        let mut body = query::search(chat, query, page);
        // Elasticsearch stops a search whose client has stopped waiting.
        body["timeout"] = json!(format!("{}ms", self.timeout.as_millis()));
        let send = self.send_search_request(&fields, body);
        let found = self.send_search(call!("search", "search"), send).await?;
        let hits: Vec<Hit> = complete(found)?;
        let mut messages: Vec<Message> = hits
            .into_iter()
            .map(|hit| hit.document.into_message(chat, hit.version))
            .collect();
        if !query::ascending(page) {
            messages.reverse();
        }
        Ok(messages)
    }

    /// Scans documents that a refresh has made visible. Elasticsearch rejects a `limit` above 10,000.
    pub async fn scan(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<MessageKey>> {
        let send = self.send_search_request(&["hits.hits.sort"], query::scan(after, limit));
        let found = self.get(call!("search", "scan"), &self.alias, send).await?;
        let positions: Vec<Position> = complete(found)?;
        positions
            .into_iter()
            .map(
                |Position {
                     sort: (chat, number),
                 }| {
                    let chat = parse_chat_field(&chat)?;
                    Ok(MessageKey { chat, number })
                },
            )
            .collect()
    }

    /// Sends a search that fails if any shard fails.
    async fn send_search_request(&self, fields: &[&str], body: Value) -> Sent {
        let filter_path = [&["timed_out", "_shards.failed"], fields].concat();
        let index = [&*self.alias];
        let search = self
            .client
            .search(SearchParts::Index(&index))
            .allow_partial_search_results(false)
            .filter_path(&filter_path)
            .body(body);
        search.send().await
    }

    pub(crate) async fn count(&self) -> Result<u64> {
        let counted: Counted = self
            .get(
                call!("search", "count"),
                &self.alias,
                self.client
                    .count(CountParts::Index(&[&self.alias]))
                    .filter_path(&["count", "_shards.failed"])
                    .send(),
            )
            .await?;
        if counted.shards.failed > 0 {
            return Err(unavailable("a shard was not counted"));
        }
        Ok(counted.count)
    }

    /// Looks up documents by ID, including those that no refresh has made visible yet.
    pub async fn revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        let found = self.look_up(keys, "false").await?;
        let revisions = found.into_iter().map(|doc| doc.version.map(Revision));
        Ok(revisions.collect())
    }

    /// Same as [`Self::revisions`], for documents with a text. That of a deleted message has none.
    pub async fn revisions_of_texts(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        let found = self.look_up(keys, "text").await?;
        let revisions = found.into_iter().map(|doc| {
            let has_text = doc
                .document
                .is_some_and(|document| !document.text.is_empty());
            doc.version.filter(|_| has_text).map(Revision)
        });
        Ok(revisions.collect())
    }

    /// Looks up documents by ID, with these fields. One that does not exist has no version.
    async fn look_up(&self, keys: &[MessageKey], fields: &str) -> Result<Vec<MultiGetItem>> {
        let mut documents = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS) {
            let ids: Vec<String> = keys.iter().map(MessageKey::to_string).collect();
            let found: MultiGet = self
                .get(
                    call!("search", "revisions"),
                    &self.alias,
                    self.client
                        .mget(MgetParts::Index(&self.alias))
                        ._source(&[fields])
                        .filter_path(&["docs.found", "docs._version", "docs._source", "docs.error"])
                        .body(json!({ "ids": ids }))
                        .send(),
                )
                .await?;
            if found.docs.len() != keys.len() {
                return Err(failed("the response is for other documents than requested"));
            }
            for mut doc in found.docs {
                if let Some(error) = doc.error {
                    // It gives no status here. What goes wrong with a lookup by id is the index's fault.
                    let rejection = error.with_status(503);
                    return Err(rejection.error(&self.alias));
                }
                doc.version = doc.version.filter(|_| doc.found);
                documents.push(doc);
            }
        }
        Ok(documents)
    }
}

/// Returns the hits, unless some may be missing: partial results cannot be told from complete ones.
fn complete<T>(found: Searched<T>) -> Result<Vec<T>> {
    if found.timed_out || found.shards.failed > 0 {
        return Err(unavailable("a shard did not respond"));
    }
    Ok(found.hits.map(|hits| hits.hits).unwrap_or_default())
}
