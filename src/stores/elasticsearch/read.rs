//! Searching, and looking at what is indexed.

use elasticsearch::{CountParts, MgetParts, SearchParts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ElasticsearchIndex, answer,
    document::{Stored, parse_chat_field},
    failed, query, unavailable,
};
use crate::{
    domain::{ChatKey, Message, MessageKey, Number, Page, Revision, text::Query},
    stores::Result,
};

/// Keys that one request asks about.
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

/// A hit's place in the order of keys.
#[derive(Deserialize)]
struct Place {
    sort: (String, Number),
}

#[derive(Deserialize)]
struct Looked {
    docs: Vec<LookedUp>,
}

#[derive(Deserialize)]
struct LookedUp {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_version")]
    version: Option<u64>,
    error: Option<answer::Complaint>,
}

impl ElasticsearchIndex {
    pub(super) async fn read_hits(
        &self,
        chat: ChatKey,
        query: &Query,
        page: &Page,
    ) -> Result<Vec<Message>> {
        if query.is_empty() {
            return Ok(Vec::new());
        }
        let body = query::search(chat, query, page);
        let hits: Vec<Hit> = self
            .hits(&["hits.hits._version", "hits.hits._source"], body)
            .await?;
        let mut messages: Vec<Message> = hits
            .into_iter()
            .map(|hit| hit.document.into_message(chat, hit.version))
            .collect();
        if !query::ascending(page) {
            messages.reverse();
        }
        Ok(messages)
    }

    /// Sees what a refresh has made visible. Elasticsearch refuses a `limit` above 10,000.
    pub(super) async fn read_keys(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>> {
        let places: Vec<Place> = self
            .hits(&["hits.hits.sort"], query::scan(after, limit))
            .await?;
        places
            .into_iter()
            .map(
                |Place {
                     sort: (chat, number),
                 }| {
                    let chat = parse_chat_field(&chat)?;
                    Ok(MessageKey { chat, number })
                },
            )
            .collect()
    }

    /// Searches, and takes nothing less than all there is: a part of the hits would look like all of them.
    async fn hits<T: DeserializeOwned>(&self, fields: &[&str], body: Value) -> Result<Vec<T>> {
        let filter_path = [&["timed_out", "_shards.failed"], fields].concat();
        let send = async {
            self.client
                .search(SearchParts::Index(&[&self.alias]))
                .allow_partial_search_results(false)
                .filter_path(&filter_path)
                .body(body)
                .send()
                .await
        };
        let found: Searched<T> = self
            .ask(send)
            .await
            .map_err(|refusal| refusal.error(&self.alias))?;
        if found.timed_out || found.shards.failed > 0 {
            return Err(unavailable("a part of the index did not answer"));
        }
        Ok(found.hits.map(|hits| hits.hits).unwrap_or_default())
    }

    pub(super) async fn count_documents(&self) -> Result<u64> {
        let send = async {
            self.client
                .count(CountParts::Index(&[&self.alias]))
                .filter_path(&["count", "_shards.failed"])
                .send()
                .await
        };
        let counted: Counted = self
            .ask(send)
            .await
            .map_err(|refusal| refusal.error(&self.alias))?;
        if counted.shards.failed > 0 {
            return Err(unavailable("a part of the index was not counted"));
        }
        Ok(counted.count)
    }

    /// Sees what was put a moment ago: looking up by id does not wait for a refresh.
    pub(super) async fn read_versions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        let mut revisions = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS) {
            let ids: Vec<String> = keys.iter().map(MessageKey::to_string).collect();
            let send = async {
                self.client
                    .mget(MgetParts::Index(&self.alias))
                    ._source(&["false"])
                    .filter_path(&["docs.found", "docs._version", "docs.error"])
                    .body(json!({ "ids": ids }))
                    .send()
                    .await
            };
            let looked: Looked = self
                .ask(send)
                .await
                .map_err(|refusal| refusal.error(&self.alias))?;
            if looked.docs.len() != keys.len() {
                return Err(failed(
                    "it answered for other documents than it was asked for",
                ));
            }
            for doc in looked.docs {
                revisions.push(self.revision(doc)?);
            }
        }
        Ok(revisions)
    }

    fn revision(&self, doc: LookedUp) -> Result<Option<Revision>> {
        if let Some(error) = doc.error {
            // It gives no status here. What goes wrong with a lookup by id is the index's fault.
            let refusal = error.with_status(503);
            return Err(refusal.error(&self.alias));
        }
        Ok(doc.version.filter(|_| doc.found).map(Revision))
    }
}
