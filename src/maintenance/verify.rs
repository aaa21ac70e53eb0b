//! Comparing the search index with the rows, and repairing it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

use super::{Maintenance, Progress, Watch, scan};
use crate::{
    domain::{Message, MessageKey, Revision, serialize::as_text},
    stores::{Backend, Result, ScanPage},
};

/// Time to wait for the index workers to catch up with suspected differences. An idle system needs none.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Rows or documents that one step reads.
const PAGE: usize = 1000;

/// Difference between a message's document and its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The row has no document.
    Missing,
    /// The document holds an older text than the row.
    Stale,
    /// The document is newer than the row: the database was restored from a backup. Only a rebuild repairs this.
    Ahead,
    /// The document has no row.
    Dangling,
    /// The document holds the text of a message that is deleted with its chat or application, or by retention.
    Deleted,
}

impl Problem {
    /// The label of its metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing_document",
            Self::Stale => "stale_document",
            Self::Ahead => "document_ahead_of_row",
            Self::Dangling => "dangling_document",
            Self::Deleted => "document_of_deleted",
        }
    }
}

/// A message whose row and document disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `application:chat:number`.
    #[serde(serialize_with = "as_text")]
    pub key: MessageKey,
    /// Kind of difference.
    pub problem: Problem,
    /// Revision of the document, if it exists.
    #[serde(skip)]
    pub indexed: Option<Revision>,
}

/// Result of a comparison of everything.
#[derive(Debug, Default, Serialize)]
pub struct IndexReport {
    /// Number of compared rows.
    pub rows: usize,
    /// Number of compared documents.
    pub documents: usize,
    /// Differences.
    pub findings: Vec<Finding>,
    /// Number of repaired differences.
    #[serde(rename = "mended")]
    pub repaired: usize,
}

impl IndexReport {
    fn report_progress(&self, total: u64, watch: Watch<'_>) {
        let done = (self.rows + self.documents) as u64;
        watch(Progress { done, total });
    }
}

impl Maintenance {
    /// Compares all rows with all documents, and with `fix` repairs what differs. Waits for pending changes.
    pub async fn verify_index(&self, fix: bool, watch: Watch<'_>) -> Result<IndexReport> {
        let mut report = IndexReport::default();
        let total = self.backend.totals().await?.messages + self.backend.count_documents().await?;
        self.verify_rows(fix, total, watch, &mut report).await?;
        self.refresh_index().await?;
        scan(async |after| {
            let step = self.compare_documents(after, PAGE).await?;
            report.documents += step.scanned;
            report.report_progress(total, watch);
            if fix {
                self.repair_documents(&step.findings).await?;
                report.repaired += step.findings.len();
            }
            report.findings.extend(step.findings);
            Ok(step.last)
        })
        .await?;
        if fix {
            self.refresh_index().await?;
        }
        Ok(report)
    }

    async fn verify_rows(
        &self,
        fix: bool,
        total: u64,
        watch: Watch<'_>,
        report: &mut IndexReport,
    ) -> Result<()> {
        let mut suspects = Vec::new();
        scan(async |after| {
            let step = self.compare_rows(after, PAGE).await?;
            report.rows += step.scanned;
            report.report_progress(total, watch);
            suspects.extend(step.findings.into_iter().map(|finding| finding.key));
            Ok(step.last)
        })
        .await?;
        if !suspects.is_empty() {
            self.catch_up(CATCH_UP).await?;
        }
        for keys in suspects.chunks(PAGE) {
            let messages = self.backend.rows(keys).await?;
            let findings = self.compare(&messages).await?;
            if fix && !findings.is_empty() {
                let wrong: HashSet<MessageKey> = findings.iter().map(|found| found.key).collect();
                let messages: Vec<Message> = messages
                    .into_iter()
                    .filter(|message| wrong.contains(&message.key))
                    .collect();
                self.backend.put_documents(None, &messages).await?;
                // Some differences can remain: a document that is newer than its row, or one that was just deleted,
                // because the index keeps the version of a deletion for a minute.
                let left = self.compare(&messages).await?;
                report.repaired += findings.len() - left.len();
            }
            report.findings.extend(findings);
        }
        Ok(())
    }

    /// Compares a page of rows with their documents. Findings may be changes that are not indexed yet.
    pub async fn compare_rows(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<ScanPage<MessageKey, Finding>> {
        let messages = self.backend.scan_rows(after, limit).await?;
        Ok(ScanPage {
            scanned: messages.len(),
            last: last(messages.iter().map(|message| message.key), limit),
            findings: self.compare(&messages).await?,
        })
    }

    /// Compares suspects again once the index holds everything stored until now; `None` if it does not within `wait`.
    pub async fn confirm(
        &self,
        suspects: &[MessageKey],
        wait: Duration,
    ) -> Result<Option<Vec<Finding>>> {
        if suspects.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if !self.catch_up(wait).await? {
            return Ok(None);
        }
        let messages = self.backend.rows(suspects).await?;
        self.compare(&messages).await.map(Some)
    }

    /// Compares messages as they were read with their documents.
    async fn compare(&self, messages: &[Message]) -> Result<Vec<Finding>> {
        let keys: Vec<MessageKey> = messages.iter().map(|message| message.key).collect();
        let revisions = self.backend.document_revisions(&keys).await?;
        let problems = messages
            .iter()
            .zip(revisions)
            .filter_map(|(message, indexed)| {
                let problem = match indexed {
                    None => Problem::Missing,
                    Some(indexed) if indexed < message.revision => Problem::Stale,
                    Some(indexed) if indexed > message.revision => Problem::Ahead,
                    Some(_) => return None,
                };
                Some(Finding {
                    key: message.key,
                    problem,
                    indexed,
                })
            });
        self.without_updated(problems.collect()).await
    }

    /// Drops findings of documents that are newer than the row because the row was updated after it was read. Rows are
    /// written before their documents: a row that is still older when read again was restored from a backup.
    async fn without_updated(&self, findings: Vec<Finding>) -> Result<Vec<Finding>> {
        let ahead = |finding: &&Finding| finding.problem == Problem::Ahead;
        let keys: Vec<MessageKey> = findings.iter().filter(ahead).map(|f| f.key).collect();
        if keys.is_empty() {
            return Ok(findings);
        }
        let rows = self.backend.rows(&keys).await?;
        let rows: HashMap<MessageKey, Revision> = rows
            .into_iter()
            .map(|message| (message.key, message.revision))
            .collect();
        let updated = |finding: &Finding| rows.get(&finding.key).copied() >= finding.indexed;
        Ok(findings
            .into_iter()
            .filter(|finding| finding.problem != Problem::Ahead || !updated(finding))
            .collect())
    }

    /// Waits until the index holds everything stored until now; false if it does not within `wait`. An embedded index
    /// never lags.
    async fn catch_up(&self, wait: Duration) -> Result<bool> {
        match &self.backend {
            Backend::Services(services) => services.wait_until_indexed(wait).await,
            Backend::Embedded(_) => Ok(true),
        }
    }

    /// Waits until indexed documents are visible; in the embedded index they are at once.
    async fn refresh_index(&self) -> Result<()> {
        match &self.backend {
            Backend::Services(services) => services.elasticsearch.refresh().await,
            Backend::Embedded(_) => Ok(()),
        }
    }
}

/// The key after which the next step continues, if this one filled its page.
pub(super) fn last(
    keys: impl ExactSizeIterator<Item = MessageKey>,
    limit: usize,
) -> Option<MessageKey> {
    if keys.len() < limit {
        None
    } else {
        keys.last()
    }
}
