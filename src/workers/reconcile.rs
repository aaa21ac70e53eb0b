//! The clean job: slowly, all the time, compares rows, documents and counts, mends what differs, and counts it.
//!
//! One process does a step at a time; a step looks at one page of each. An index that does not exist is built, and so is
//! a new one when the database was set back: then documents are newer than their rows, and would stay so.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::{
    domain::{AppId, ChatKey, MessageKey},
    service::{
        rebuild::{REBUILD_LOCK, Rebuilt, rebuild},
        verify::{self, Finding, Problem},
    },
    stores::Result,
};

/// How long a step waits for the index workers before it looks a second time at what seems to be wrong. If they are
/// further behind, the next step looks at the same page again.
const CATCH_UP: Duration = Duration::from_secs(5);

/// See the module. It remembers how far it has come; after a restart it begins anew.
pub struct Reconcile {
    context: Context,
    application: Option<AppId>,
    chat: Option<ChatKey>,
    orphaned_application: Option<AppId>,
    orphaned_chat: Option<ChatKey>,
    row: Option<MessageKey>,
    document: Option<MessageKey>,
}

impl Reconcile {
    /// Begins with nothing in hand.
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            application: None,
            chat: None,
            orphaned_application: None,
            orphaned_chat: None,
            row: None,
            document: None,
        }
    }

    async fn counts(&mut self) -> Result<()> {
        let (records, page) = (&self.context.records, self.context.settings.reconcile_page);
        let chats = records
            .check_chats_counts(self.application, page, true)
            .await?;
        self.application = chats.last;
        let messages = records.check_messages_counts(self.chat, page, true).await?;
        self.chat = messages.last;
        for wrong in chats.findings.iter().chain(&messages.findings) {
            self.context.drift.counts.increment(1);
            warn!(
                key = wrong.key,
                stored = wrong.stored,
                counted = wrong.counted,
                "corrected a count"
            );
        }
        Ok(())
    }

    /// Gives applications a row that have chats and none: their creation was lost with the queue's memory.
    async fn orphaned_applications(&mut self) -> Result<()> {
        let Context { records, queue, .. } = &self.context;
        let page = self.context.settings.reconcile_page;
        let applications = records
            .orphaned_applications(self.orphaned_application, page)
            .await?;
        self.orphaned_application = applications.last;
        let mut orphans = Vec::new();
        for application in applications.findings {
            // A chat may be stored before its application, which then is still on its way.
            let known = queue.application(application.id).await?;
            if known.and_then(|(pending, _)| pending).is_none() {
                warn!(application = %application.id, "an application has chats and no row: it gets one, but its username is lost");
                orphans.push(application);
            }
        }
        let found = &self.context.drift.orphaned_applications;
        found.increment(orphans.len() as u64);
        records.adopt_applications(&orphans).await
    }

    /// The same for chats that have messages.
    async fn orphaned_chats(&mut self) -> Result<()> {
        let Context { records, queue, .. } = &self.context;
        let page = self.context.settings.reconcile_page;
        let chats = records.orphaned_chats(self.orphaned_chat, page).await?;
        self.orphaned_chat = chats.last;
        let mut orphans = Vec::new();
        for chat in chats.findings {
            // A message may be stored before its chat, which then is still on its way.
            if queue.chat(chat.key).await?.is_none() {
                warn!(chat = %chat.key, "a chat has messages and no row: it gets one");
                orphans.push(chat);
            }
        }
        let found = &self.context.drift.orphaned_chats;
        found.increment(orphans.len() as u64);
        records.adopt_chats(&orphans).await
    }

    /// Builds the index if there is none, if a new one is wanted, if an older program made it, or if a rebuild left one
    /// unfinished. One that is under way keeps its own lock.
    async fn build(&self) -> Result<()> {
        let Context { records, index, .. } = &self.context;
        let unfinished = records.build().await?.is_some()
            && records.lock(REBUILD_LOCK, Duration::ZERO).await?.is_some();
        let wanted = match index.current().await? {
            None => true,
            Some(current) => unfinished || index.is_outdated(&current).await?,
        };
        if wanted {
            let goes_on = |_| self.context.health.beat(self.name());
            let Rebuilt { messages, .. } = rebuild(&**records, &**index, &goes_on).await?;
            info!(messages, "built the search index");
        }
        Ok(())
    }

    async fn rows(&mut self) -> Result<()> {
        let Context { records, index, .. } = &self.context;
        let page = self.context.settings.reconcile_page;
        let rows = verify::rows(&**records, &**index, self.row, page).await?;
        let (ahead, suspects): (Vec<Finding>, Vec<Finding>) = rows
            .findings
            .into_iter()
            .partition(|finding| finding.problem == Problem::Ahead);
        if !ahead.is_empty() {
            return self.was_set_back(&ahead).await;
        }
        let suspects: Vec<MessageKey> = suspects.iter().map(|finding| finding.key).collect();
        let confirmed = verify::once_more(&**records, &**index, &suspects, CATCH_UP).await?;
        let Some(wrong) = confirmed else {
            return Ok(());
        };
        self.row = rows.last;
        if !wrong.is_empty() {
            for finding in &wrong {
                self.context.drift.found(finding.problem, 1);
            }
            let wrong: Vec<MessageKey> = wrong.iter().map(|finding| finding.key).collect();
            records.requeue_for_index(&wrong).await?;
            warn!(messages = wrong.len(), "telling the search index once more");
        }
        Ok(())
    }

    /// The database was set back: documents hold what the rows have forgotten, and would refuse what is written from now
    /// on as older. So revisions go on above theirs, and a new index is built from the rows; not an unfinished one, as
    /// that may hold such documents too. If this ends half way, the documents are found once more.
    async fn was_set_back(&self, ahead: &[Finding]) -> Result<()> {
        for finding in ahead {
            self.context.drift.found(finding.problem, 1);
        }
        warn!(
            documents = ahead.len(),
            first = %ahead[0].key,
            "documents are newer than their rows, so the database was set back: revisions go on above theirs, and the index is built anew"
        );
        let Context { records, queue, .. } = &self.context;
        if let Some(highest) = ahead.iter().filter_map(|finding| finding.indexed).max() {
            queue.raise_revisions(highest).await?;
        }
        records.want_build().await?;
        self.build().await
    }

    async fn documents(&mut self) -> Result<()> {
        let Context { records, index, .. } = &self.context;
        let page = self.context.settings.reconcile_page;
        let documents = verify::documents(&**records, &**index, self.document, page).await?;
        self.document = documents.last;
        let dangling: Vec<MessageKey> = documents
            .findings
            .iter()
            .map(|finding| finding.key)
            .collect();
        if !dangling.is_empty() {
            let drift = &self.context.drift;
            drift.found(Problem::Dangling, dangling.len());
            warn!(
                documents = dangling.len(),
                "removing documents that have no row"
            );
            index.remove(&dangling).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Worker for Reconcile {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn bell(&self) -> Option<&Notify> {
        Some(&self.context.wake.index_missing)
    }

    fn rest(&self) -> Duration {
        self.context.settings.reconcile_pause
    }

    /// It reads all the rows that its page counts, and may build an index.
    fn patience(&self) -> u32 {
        10
    }

    fn is_given_up(&self) -> bool {
        true
    }

    async fn step(&mut self) -> Result<Step> {
        let records = &self.context.records;
        let Some(_alone) = records.lock("reconcile", Duration::ZERO).await? else {
            return Ok(Step::Idle);
        };
        self.counts().await?;
        self.orphaned_chats().await?;
        self.orphaned_applications().await?;
        self.build().await?;
        self.rows().await?;
        self.documents().await?;
        Ok(Step::Idle)
    }
}
