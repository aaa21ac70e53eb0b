//! Comparing the search index and the counts with the rows, and mending them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

use super::progress::{Progress, Watch};
use crate::{
    domain::{Message, MessageKey, Revision},
    stores::{Checked, Records, Result, SearchIndex, WrongCount},
};

/// How long to wait for the index workers to catch up with what looked wrong; on a system at rest no time at all.
const CATCH_UP: Duration = Duration::from_secs(30);
const CATCH_UP_LOOK: Duration = Duration::from_millis(100);

/// How many rows or documents one step reads.
pub const PAGE: usize = 1000;

/// What is wrong with the document of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There is none.
    Missing,
    /// It holds an older text than the row.
    Stale,
    /// It is newer than the row: the database was set back. Only a rebuild mends that, as the clean job begins one.
    Ahead,
    /// There is no row for it.
    Dangling,
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
    pub mended: usize,
}

/// Compares all rows with all documents, and with `fix` mends what differs. What the index has only not been told yet
/// is waited for.
pub async fn index(
    records: &dyn Records,
    index: &dyn SearchIndex,
    fix: bool,
    watch: Watch<'_>,
) -> Result<IndexReport> {
    let mut report = IndexReport::default();
    let total = records.totals().await?.messages + index.count().await?;
    let tell = |report: &IndexReport| {
        let done = (report.rows + report.documents) as u64;
        watch(Progress { done, total });
    };
    let mut suspects = Vec::new();
    let mut after = None;
    loop {
        let step = rows(records, index, after, PAGE).await?;
        report.rows += step.checked;
        tell(&report);
        suspects.extend(step.findings.into_iter().map(|finding| finding.key));
        after = step.last;
        if after.is_none() {
            break;
        }
    }
    if !suspects.is_empty() {
        catch_up(records, CATCH_UP).await?;
    }
    for keys in suspects.chunks(PAGE) {
        let messages = records.messages_by_key(keys).await?;
        let findings = compare(records, index, &messages).await?;
        if fix && !findings.is_empty() {
            let wrong: HashSet<MessageKey> = findings.iter().map(|finding| finding.key).collect();
            let messages: Vec<Message> = messages
                .into_iter()
                .filter(|message| wrong.contains(&message.key))
                .collect();
            index.put(None, &messages).await?;
            // Not all of it need have helped: what is ahead stays, and so may what was deleted just now, as the index
            // remembers a deletion for a while.
            let left = compare(records, index, &messages).await?;
            report.mended += findings.len() - left.len();
        }
        report.findings.extend(findings);
    }
    index.refresh().await?;
    let mut after = None;
    loop {
        let step = documents(records, index, after, PAGE).await?;
        report.documents += step.checked;
        tell(&report);
        if fix {
            let keys: Vec<MessageKey> = step.findings.iter().map(|finding| finding.key).collect();
            index.remove(&keys).await?;
            report.mended += keys.len();
        }
        report.findings.extend(step.findings);
        after = step.last;
        if after.is_none() {
            break;
        }
    }
    if fix {
        index.refresh().await?;
    }
    Ok(report)
}

/// Compares a page of rows with their documents. What the index has not been told yet is found too.
pub async fn rows(
    records: &dyn Records,
    index: &dyn SearchIndex,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Checked<MessageKey, Finding>> {
    let messages = records.scan_messages(after, limit).await?;
    Ok(Checked {
        checked: messages.len(),
        last: last(messages.iter().map(|message| message.key), limit),
        findings: compare(records, index, &messages).await?,
    })
}

/// Looks for the rows of a page of documents. A row is there before its document, so what is found is wrong for good.
pub async fn documents(
    records: &dyn Records,
    index: &dyn SearchIndex,
    after: Option<MessageKey>,
    limit: usize,
) -> Result<Checked<MessageKey, Finding>> {
    let keys = index.scan(after, limit).await?;
    let rows = records.messages_by_key(&keys).await?;
    let rows: HashSet<MessageKey> = rows.into_iter().map(|message| message.key).collect();
    let dangling = keys.iter().filter(|key| !rows.contains(key));
    Ok(Checked {
        checked: keys.len(),
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

/// Looks once more at rows that seemed to have no document or an older one, when the index has been told all that was
/// stored until now; `None` if it has not within `wait`.
pub async fn once_more(
    records: &dyn Records,
    index: &dyn SearchIndex,
    suspects: &[MessageKey],
    wait: Duration,
) -> Result<Option<Vec<Finding>>> {
    if suspects.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if !catch_up(records, wait).await? {
        return Ok(None);
    }
    let messages = records.messages_by_key(suspects).await?;
    compare(records, index, &messages).await.map(Some)
}

/// Compares messages as they were read with their documents.
async fn compare(
    records: &dyn Records,
    index: &dyn SearchIndex,
    messages: &[Message],
) -> Result<Vec<Finding>> {
    let keys: Vec<MessageKey> = messages.iter().map(|message| message.key).collect();
    let revisions = index.revisions(&keys).await?;
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
    without_updated(records, problems.collect()).await
}

/// Of documents that are ahead leaves out those whose row was updated after it was read. A row is there before its
/// document: one that is read now and still older was set back.
async fn without_updated(records: &dyn Records, findings: Vec<Finding>) -> Result<Vec<Finding>> {
    let ahead = |finding: &&Finding| finding.problem == Problem::Ahead;
    let keys: Vec<MessageKey> = findings.iter().filter(ahead).map(|f| f.key).collect();
    if keys.is_empty() {
        return Ok(findings);
    }
    let rows = records.messages_by_key(&keys).await?;
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

/// Waits until the index has been told of what was stored until now; tells whether it has within `wait`.
async fn catch_up(records: &dyn Records, wait: Duration) -> Result<bool> {
    let Some((_, highest)) = records.outbox_bounds().await? else {
        return Ok(true);
    };
    let deadline = tokio::time::Instant::now() + wait;
    while tokio::time::Instant::now() < deadline {
        match records.outbox_bounds().await? {
            Some((lowest, _)) if lowest <= highest => tokio::time::sleep(CATCH_UP_LOOK).await,
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// Where the next step goes on, if this one filled its page.
fn last(keys: impl ExactSizeIterator<Item = MessageKey>, limit: usize) -> Option<MessageKey> {
    if keys.len() < limit {
        None
    } else {
        keys.last()
    }
}

/// What a recount of everything found.
#[derive(Debug, Default, Serialize)]
pub struct CountsReport {
    /// Applications whose chats were counted.
    pub applications: usize,
    /// Chats whose messages were counted.
    pub chats: usize,
    /// Counts that were wrong.
    pub findings: Vec<WrongCount>,
    /// Whether they were corrected.
    pub fixed: bool,
}

/// Recounts everything, and with `fix` corrects what is wrong.
pub async fn counts(records: &dyn Records, fix: bool, watch: Watch<'_>) -> Result<CountsReport> {
    let mut report = CountsReport {
        fixed: fix,
        ..CountsReport::default()
    };
    let totals = records.totals().await?;
    let total = totals.applications + totals.chats;
    let tell = |report: &CountsReport| {
        let done = (report.applications + report.chats) as u64;
        watch(Progress { done, total });
    };
    let mut after = None;
    loop {
        let step = records.check_chats_counts(after, PAGE, fix).await?;
        report.applications += step.checked;
        tell(&report);
        report.findings.extend(step.findings);
        after = step.last;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let step = records.check_messages_counts(after, PAGE, fix).await?;
        report.chats += step.checked;
        tell(&report);
        report.findings.extend(step.findings);
        after = step.last;
        if after.is_none() {
            break;
        }
    }
    // Corrections wait like any other change; apply them, as no worker may be running.
    if fix {
        while records.apply_chats_counts(PAGE).await? > 0 {}
        while records.apply_messages_counts(PAGE).await? > 0 {}
    }
    Ok(report)
}
