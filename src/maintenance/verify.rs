//! Comparing the search index with the rows, and repairing it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

use super::{Maintenance, Progress, Watch, scan};
use crate::{
    domain::{Message, MessageKey, Revision},
    stores::{Backend, Result, ScanPage},
};

/// How long to wait for the index workers to catch up with what looked wrong; on a system at rest no time at all.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Rows or documents that one step reads.
const PAGE: usize = 1000;

/// What is wrong with the document of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There is none.
    Missing,
    /// It holds an older text than the row.
    Stale,
    /// It is newer than the row: the database was set back. Only a rebuild repairs that, as the reconciler begins one.
    Ahead,
    /// There is no row for it.
    Dangling,
}

impl Problem {
    /// The label of its metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing_document",
            Self::Stale => "stale_document",
            Self::Ahead => "document_ahead_of_row",
            Self::Dangling => "dangling_document",
        }
    }
}

/// A message whose row and document disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `application:chat:number`.
    #[serde(serialize_with = "as_text")]
    pub key: MessageKey,
    /// In what way.
    pub problem: Problem,
    /// The revision of the document, if there is one and it was asked for.
    #[serde(skip)]
    pub indexed: Option<Revision>,
}

fn as_text<S: serde::Serializer>(
    key: &MessageKey,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

/// What a comparison of everything found.
#[derive(Debug, Default, Serialize)]
pub struct IndexReport {
    /// Rows that were looked at.
    pub rows: usize,
    /// Documents that were looked at.
    pub documents: usize,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// How much of it was mended.
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
    /// Compares all rows with all documents, and with `fix` repairs what differs. What the index only does not hold yet is
    /// waited for.
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
                let keys: Vec<MessageKey> = step.findings.iter().map(|found| found.key).collect();
                self.backend.remove_documents(&keys).await?;
                report.repaired += keys.len();
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
                // Not all of it need have helped: what is ahead stays, and so may what was deleted just now, as the index
                // remembers a deletion for a while.
                let left = self.compare(&messages).await?;
                report.repaired += findings.len() - left.len();
            }
            report.findings.extend(findings);
        }
        Ok(())
    }

    /// Compares a page of rows with their documents. What the index does not hold yet is found too.
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

    /// Looks for the rows of a page of documents. A row is there before its document, so what is found is wrong for good.
    pub async fn compare_documents(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<ScanPage<MessageKey, Finding>> {
        let keys = self.backend.scan_documents(after, limit).await?;
        let rows = self.backend.rows(&keys).await?;
        let rows: HashSet<MessageKey> = rows.into_iter().map(|message| message.key).collect();
        let dangling = keys.iter().filter(|key| !rows.contains(key));
        Ok(ScanPage {
            scanned: keys.len(),
            last: last(keys.iter().copied(), limit),
            findings: dangling
                .map(|key| Finding {
                    key: *key,
                    problem: Problem::Dangling,
                    indexed: None,
                })
                .collect(),
        })
    }

    /// Looks once more at rows that seemed to have no document or an older one, when the index holds all that was stored
    /// until now; `None` if it does not within `wait`.
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

    /// Of documents that are ahead leaves out those whose row was updated after it was read. A row is there before its
    /// document: one that is read now and still older was set back.
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

    /// Waits until the index holds what was stored until now; false if it does not within `wait`. The embedded index is
    /// never behind.
    async fn catch_up(&self, wait: Duration) -> Result<bool> {
        match &self.backend {
            Backend::Services(services) => services.wait_until_indexed(wait).await,
            Backend::Embedded(_) => Ok(true),
        }
    }

    /// Waits until what was put into the index can be found: in the embedded one it can at once.
    async fn refresh_index(&self) -> Result<()> {
        match &self.backend {
            Backend::Services(services) => services.elasticsearch.refresh().await,
            Backend::Embedded(_) => Ok(()),
        }
    }
}

/// The key after which the next step continues, if this one filled its page.
fn last(keys: impl ExactSizeIterator<Item = MessageKey>, limit: usize) -> Option<MessageKey> {
    if keys.len() < limit {
        None
    } else {
        keys.last()
    }
}
