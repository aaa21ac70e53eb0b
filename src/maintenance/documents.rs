//! Documents without a row.

use std::collections::HashSet;

use chrono::Utc;

use super::{
    Maintenance,
    verify::{Finding, Problem, last},
};
use crate::{
    domain::{Message, MessageKey},
    stores::{Result, ScanPage},
};

impl Maintenance {
    /// Finds documents of a page that have no row, except empty ones: their messages are erased. Rows are written before
    /// their documents, so findings are permanent.
    pub async fn compare_documents(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<ScanPage<MessageKey, Finding>> {
        let keys = self.backend.scan_documents(after, limit).await?;
        let rows = self.backend.rows(&keys).await?;
        let rows: HashSet<MessageKey> = rows.into_iter().map(|message| message.key).collect();
        let dangling = keys.iter().copied().filter(|key| !rows.contains(key));
        let dangling: Vec<MessageKey> = dangling.collect();
        Ok(ScanPage {
            scanned: keys.len(),
            last: last(keys.iter().copied(), limit),
            findings: match dangling.is_empty() {
                true => Vec::new(),
                false => self.check_dangling(dangling).await?,
            },
        })
    }

    /// Checks documents without a row.
    async fn check_dangling(&self, keys: Vec<MessageKey>) -> Result<Vec<Finding>> {
        let revisions = self.backend.text_revisions(&keys).await?;
        let deleted = self.backend.deleted_with_parents(&keys).await?;
        let deleted: HashSet<MessageKey> = deleted.into_iter().collect();
        let found = keys
            .into_iter()
            .zip(revisions)
            .filter_map(|(key, indexed)| {
                Some(Finding {
                    key,
                    problem: match deleted.contains(&key) {
                        true => Problem::Deleted,
                        false => Problem::Dangling,
                    },
                    indexed: Some(indexed?),
                })
            });
        Ok(found.collect())
    }

    /// Removes dangling documents, and empties those of deleted messages.
    pub async fn repair_documents(&self, findings: &[Finding]) -> Result<()> {
        let (deleted, dangling): (Vec<&Finding>, Vec<&Finding>) = findings
            .iter()
            .partition(|finding| finding.problem == Problem::Deleted);
        let dangling: Vec<MessageKey> = dangling.iter().map(|finding| finding.key).collect();
        self.backend.remove_documents(&dangling).await?;
        let now = Utc::now();
        let deleted = deleted
            .iter()
            .filter_map(|finding| Some(Message::deleted(finding.key, finding.indexed?, now)));
        let deleted: Vec<Message> = deleted.collect();
        self.backend.put_documents(None, &deleted).await.map(drop)
    }
}
