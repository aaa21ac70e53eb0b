//! The clean job: slowly, all the time, compares rows, documents and counts, and mends what differs.
//!
//! One process does a step at a time; a step looks at one page of each. An index that does not exist is built.

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
        progress::unwatched,
        rebuild::{REBUILD_LOCK, Rebuilt, rebuild},
        verify::{self, Problem},
    },
    stores::Result,
};

/// See the module. It remembers how far it has come; after a restart it begins anew.
pub struct Reconcile {
    context: Context,
    application: Option<AppId>,
    chat: Option<ChatKey>,
    row: Option<MessageKey>,
    document: Option<MessageKey>,
}

impl Reconcile {
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            application: None,
            chat: None,
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
            warn!(
                key = wrong.key,
                stored = wrong.stored,
                counted = wrong.counted,
                "corrected a count"
            );
        }
        Ok(())
    }

    /// Builds the index if there is none, or if a rebuild left one unfinished. One that is under way keeps its own lock.
    async fn build(&self) -> Result<()> {
        let Context { records, index, .. } = &self.context;
        let unfinished = records.build().await?.is_some()
            && records.lock(REBUILD_LOCK, Duration::ZERO).await?.is_some();
        if unfinished || index.current().await?.is_none() {
            let Rebuilt { messages, .. } = rebuild(&**records, &**index, &unwatched).await?;
            info!(messages, "built the search index");
        }
        Ok(())
    }

    async fn index(&mut self) -> Result<()> {
        let Context { records, index, .. } = &self.context;
        let page = self.context.settings.reconcile_page;
        // What the index has not been told yet would all be found to be missing.
        if records.outbox_bounds().await?.is_none() {
            let rows = verify::rows(&**records, &**index, self.row, page).await?;
            self.row = rows.last;
            let wrong: Vec<MessageKey> = rows
                .findings
                .iter()
                .filter(|finding| finding.problem != Problem::Ahead)
                .map(|finding| finding.key)
                .collect();
            records.requeue_for_index(&wrong).await?;
            // Some may just have been stored; telling the index twice does no harm.
            if !wrong.is_empty() {
                info!(messages = wrong.len(), "telling the search index once more");
            }
        }
        let documents = verify::documents(&**records, &**index, self.document, page).await?;
        self.document = documents.last;
        let dangling: Vec<MessageKey> = documents
            .findings
            .iter()
            .map(|finding| finding.key)
            .collect();
        if !dangling.is_empty() {
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

    async fn step(&mut self) -> Result<Step> {
        let records = &self.context.records;
        let Some(_alone) = records.lock("reconcile", Duration::ZERO).await? else {
            return Ok(Step::Idle);
        };
        self.counts().await?;
        self.build().await?;
        self.index().await?;
        Ok(Step::Idle)
    }
}
