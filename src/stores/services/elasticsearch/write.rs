//! Putting documents into the index, and taking them out, in bulk.
//!
//! A bulk response of HTTP 200 may contain failed items, so every item is checked.

use elasticsearch::BulkParts;
use serde::Deserialize;
use serde_json::json;

use super::{
    SearchIndex,
    document::MessageDocument,
    failed, indices,
    response::{ErrorInfo, Rejection},
};
use crate::{
    domain::{Message, MessageKey},
    stores::{
        Result,
        call::{Call, call},
    },
};

/// Bytes of a request, about: a batch of the longest messages would be over 100 MiB, which Elasticsearch refuses to
/// read, and it holds a request in its heap several times over. Larger ones are no faster (measured: 0.3 to 34 MiB).
const BULK_BYTES: usize = 8 << 20;

/// Number of bytes after which the task yields, because tokenizing long texts takes time.
const PAUSE_BYTES: usize = 256 << 10;

/// Documents that one request deletes.
const DELETES: usize = 1000;

#[derive(Deserialize)]
struct Done {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "delete")]
    index: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    error: Option<ErrorInfo>,
}

impl Outcome {
    /// Converts the outcome; an item that was not written is a rejection.
    fn into_result(self) -> std::result::Result<(), Rejection> {
        match (self.status, self.error) {
            // 409: the index holds a version that is as new or newer. 404 without an error: no document to delete.
            (200..=299 | 409, _) | (404, None) => Ok(()),
            (status, Some(error)) => Err(error.with_status(status)),
            (status, None) => Err(ErrorInfo::Text(String::new()).with_status(status)),
        }
    }
}

/// Tells whether a document was refused because an older program created the index, without a field that it has.
fn lacks_field(outcome: &std::result::Result<(), Rejection>) -> bool {
    matches!(outcome, Err(rejection) if rejection.is_kind("strict_dynamic_mapping_exception"))
}

impl SearchIndex {
    /// An outage ends it with that error, whatever was done until then: it can all be put again.
    pub async fn put(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>> {
        let index = target.unwrap_or(&self.alias);
        let alias = target.map_or_else(|| self.alias.clone(), indices::own_alias);
        let mut refused = Vec::new();
        let mut rest = messages;
        let mut max_count = usize::MAX;
        let mut has_fields = false;
        while !rest.is_empty() {
            let (body, count) = bulk_body(rest, max_count).await?;
            let (sent, later) = rest.split_at(count);
            match self.bulk(call!("search", "put"), &alias, body, count).await {
                Ok(outcomes) => {
                    let outcomes: Vec<_> = outcomes.map(Outcome::into_result).collect();
                    if !has_fields && outcomes.iter().any(lacks_field) {
                        self.add_fields(&alias).await?;
                        has_fields = true;
                        // What was written is refused as not newer.
                        continue;
                    }
                    for (message, outcome) in sent.iter().zip(outcomes) {
                        match outcome {
                            Ok(()) => {}
                            Err(rejection)
                                if rejection.is_missing_index() || rejection.is_outage() =>
                            {
                                return Err(rejection.error(index));
                            }
                            Err(rejection) => refused.push((message.key, rejection.detail())),
                        }
                    }
                    rest = later;
                }
                // Something on the way, a proxy say, takes less at a time than Elasticsearch does.
                Err(rejection) if rejection.is_status(413) && count > 1 => max_count = count / 2,
                Err(rejection) if rejection.is_status(413) => {
                    refused.extend(sent.iter().map(|message| (message.key, rejection.detail())));
                    rest = later;
                }
                Err(rejection) => return Err(rejection.error(index)),
            }
        }
        Ok(refused)
    }

    /// Made for documents whose message does not exist. A deletion is a version too: for a minute (`gc_deletes`) the
    /// index takes the revision that it deleted for an old one. Newer ones it takes as ever.
    pub async fn remove(&self, keys: &[MessageKey]) -> Result<()> {
        for keys in keys.chunks(DELETES) {
            let mut body = Vec::with_capacity(keys.len() * 64);
            for key in keys {
                push_line(&mut body, &json!({"delete": {"_id": key.to_string()}}))?;
            }
            let outcomes = self
                .bulk(call!("search", "remove"), &self.alias, body, keys.len())
                .await
                .map_err(|rejection| rejection.error(&self.alias))?;
            for outcome in outcomes {
                outcome
                    .into_result()
                    .map_err(|rejection| rejection.error(&self.alias))?;
            }
        }
        Ok(())
    }

    async fn bulk(
        &self,
        call: &Call,
        alias: &str,
        body: Vec<u8>,
        count: usize,
    ) -> std::result::Result<impl Iterator<Item = Outcome>, Rejection> {
        let done: Done = self
            .send_write(
                call,
                self.client
                    .bulk(BulkParts::Index(alias))
                    .require_alias(true)
                    .filter_path(&[
                        "items.*.status",
                        "items.*.error.type",
                        "items.*.error.reason",
                    ])
                    .body(vec![body])
                    .send(),
            )
            .await?;
        if done.items.len() != count {
            return Err(Rejection::Status {
                status: 200,
                kind: "unreadable".into(),
                reason: format!("the response has {} items, not {count}", done.items.len()),
            });
        }
        Ok(done.items.into_iter().map(|item| item.index))
    }
}

/// Encodes as many messages as fit one request, at least one and at most `max_count`. Returns their number.
async fn bulk_body(messages: &[Message], max_count: usize) -> Result<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut count = 0;
    let mut pause = PAUSE_BYTES;
    for message in messages.iter().take(max_count) {
        let action = json!({"index": {
            "_id": message.key.to_string(),
            "version": message.revision.0,
            "version_type": version_type(message),
        }});
        push_line(&mut body, &action)?;
        push_line(&mut body, &MessageDocument::new(message))?;
        count += 1;
        if body.len() >= BULK_BYTES {
            break;
        }
        if body.len() >= pause {
            pause = body.len() + PAUSE_BYTES;
            tokio::task::yield_now().await;
        }
    }
    Ok((body, count))
}

/// A deletion also replaces a document of the same revision: the row of a deleted message keeps the revision of the write that
/// it deleted if that revision is higher.
fn version_type(message: &Message) -> &'static str {
    match message.deleted_at {
        None => "external",
        Some(_) => "external_gte",
    }
}

fn push_line(body: &mut Vec<u8>, line: &impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(&mut *body, line).map_err(failed)?;
    body.push(b'\n');
    Ok(())
}
