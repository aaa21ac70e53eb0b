//! The reconciler: slowly, all the time, compares rows, documents and counts, repairs what differs, and counts it.
//!
//! One process at a time runs a step, which compares one page of each. It also builds a missing index, and a new one
//! after the database was restored from a backup: then documents are newer than their rows.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::{
    domain::{AppId, ChatKey, MessageKey, Revision},
    maintenance::{Finding, Problem, Rebuilt},
    stores::{Backend, Result, Services},
    telemetry::metrics::drift,
};

/// Time that a step waits for the index workers before it compares suspects again. If the index still lags, the next
/// step retries.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Worker that reconciles. Its position is lost at a restart, and it starts from the beginning.
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
    /// Creates the worker.
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
        let (backend, page) = (&self.context.backend, self.context.settings.reconcile_page);
        let chats = backend.recount_chats(self.application, page, true).await?;
        self.application = chats.last;
        let messages = backend.recount_messages(self.chat, page, true).await?;
        self.chat = messages.last;
        for wrong in chats.findings.iter().chain(&messages.findings) {
            drift("wrong_count").increment(1);
            warn!(
                key = wrong.key,
                stored = wrong.stored,
                counted = wrong.counted,
                "Corrected a wrong count"
            );
        }
        Ok(())
    }

    /// Creates the missing rows of applications that have chats: their creation was lost with the queue's memory.
    async fn orphaned_applications(&mut self, services: &Services) -> Result<()> {
        let page = self.context.settings.reconcile_page;
        let after = self.orphaned_application;
        let found = services.mysql.orphaned_applications(after, page).await?;
        self.orphaned_application = found.last;
        let mut orphans = Vec::new();
        for application in found.findings {
            // A chat may be stored before its application, which then is still on its way.
            let id = application.id;
            if self.context.backend.application(id).await?.value.is_none() {
                warn!(application = %id, "Created the missing row of an application that has chats; its username is lost");
                orphans.push(application);
            }
        }
        drift("orphaned_application").increment(orphans.len() as u64);
        services.mysql.adopt_applications(&orphans).await
    }

    /// Creates the missing rows of chats that have messages.
    async fn orphaned_chats(&mut self, services: &Services) -> Result<()> {
        let page = self.context.settings.reconcile_page;
        let found = services
            .mysql
            .orphaned_chats(self.orphaned_chat, page)
            .await?;
        self.orphaned_chat = found.last;
        let mut orphans = Vec::new();
        for chat in found.findings {
            // A message may be stored before its chat, which then is still on its way.
            if self.context.backend.chat(chat.key).await?.value.is_none() {
                warn!(chat = %chat.key, "Created the missing row of a chat that has messages");
                orphans.push(chat);
            }
        }
        drift("orphaned_chat").increment(orphans.len() as u64);
        services.adopt_chats(&orphans).await
    }

    /// Builds the index where that is needed.
    async fn build(&self) -> Result<()> {
        let maintenance = &self.context.maintenance;
        if maintenance.needs_rebuild().await? {
            let progresses = |_| self.context.process.beat(self.name());
            let Rebuilt { messages, .. } = maintenance.rebuild_index(&progresses).await?;
            info!(messages, "Built the search index");
        }
        Ok(())
    }

    async fn rows(&mut self) -> Result<()> {
        let maintenance = &self.context.maintenance;
        let page = self.context.settings.reconcile_page;
        let rows = maintenance.compare_rows(self.row, page).await?;
        let (ahead, suspects): (Vec<Finding>, Vec<Finding>) = rows
            .findings
            .into_iter()
            .partition(|finding| finding.problem == Problem::Ahead);
        if !ahead.is_empty() {
            return self.set_back(Problem::Ahead.label(), &ahead).await;
        }
        let suspects: Vec<MessageKey> = suspects.iter().map(|finding| finding.key).collect();
        let Some(wrong) = maintenance.confirm(&suspects, CATCH_UP).await? else {
            return Ok(());
        };
        self.row = rows.last;
        if !wrong.is_empty() {
            for finding in &wrong {
                drift(finding.problem.label()).increment(1);
            }
            let wrong: Vec<MessageKey> = wrong.iter().map(|finding| finding.key).collect();
            self.context.backend.reindex(&wrong).await?;
            warn!(
                messages = wrong.len(),
                "Requeued messages whose search document is missing or outdated"
            );
        }
        Ok(())
    }

    /// Recovers from a database that lost rows or changes that documents hold: it was restored from a backup, or failed
    /// over to a replica that lagged. The index would reject new writes as older. Raises the alarm, begins an epoch above
    /// the documents, and builds a new index from the rows. An incomplete one is not resumed, because it may hold such
    /// documents too. If this fails, the next step retries.
    async fn set_back(&self, what: &'static str, newer: &[Finding]) -> Result<()> {
        drift(what).increment(newer.len() as u64);
        let Some(first) = newer.first() else {
            return Ok(());
        };
        error!(
            documents = newer.len(),
            first = %first.key,
            what,
            "The database has lost rows that the search index holds; a new epoch begins and the index is rebuilt. See docs/operating.md"
        );
        self.context.process.raise_alarm(format!(
            "the database has lost rows or changes, for example of {}: it was restored from a backup or failed over to a \
             replica that lagged; see docs/operating.md",
            first.key
        ));
        if let Some(highest) = newer.iter().filter_map(|finding| finding.indexed).max() {
            self.context.backend.set_back(highest).await?;
        }
        self.build().await
    }

    /// Removes documents that have no row. Where their revision is of the current epoch, the database has lost the row
    /// since: such a document may be the only copy, and is not removed as if it were wrong.
    async fn documents(&mut self) -> Result<()> {
        let (backend, page) = (&self.context.backend, self.context.settings.reconcile_page);
        let found = self
            .context
            .maintenance
            .compare_documents(self.document, page)
            .await?;
        if found.findings.is_empty() {
            self.document = found.last;
            return Ok(());
        }
        let epoch = backend.epoch().await?;
        let is_lost_row = |finding: &Finding| {
            let indexed = finding.indexed.map(Revision::epoch);
            finding.problem == Problem::Dangling && epoch.is_some() && indexed >= epoch
        };
        let (lost, wrong): (Vec<Finding>, Vec<Finding>) =
            found.findings.into_iter().partition(is_lost_row);
        if !lost.is_empty() {
            return self.set_back("lost_row", &lost).await;
        }
        self.document = found.last;
        for finding in &wrong {
            drift(finding.problem.label()).increment(1);
        }
        warn!(
            documents = wrong.len(),
            "Removing search documents that have no row"
        );
        self.context.maintenance.repair_documents(&wrong).await
    }
}

#[async_trait]
impl Worker for Reconcile {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn wakeup(&self) -> Option<&Notify> {
        Some(&self.context.backend.wakeups().index_missing)
    }

    fn poll_interval(&self) -> Duration {
        self.context.settings.reconcile_pause
    }

    /// A step counts all rows of its page's owners, and may build an index.
    fn stall_factor(&self) -> u32 {
        10
    }

    fn is_cancelled_at_shutdown(&self) -> bool {
        true
    }

    async fn step(&mut self) -> Result<Step> {
        let backend = self.context.backend.clone();
        let Some(_lock) = backend.lock("reconcile", Duration::ZERO).await? else {
            return Ok(Step::Idle);
        };
        self.counts().await?;
        // Only Redis can lose a creation whose children are stored.
        if let Backend::Services(services) = &backend {
            self.orphaned_chats(services).await?;
            self.orphaned_applications(services).await?;
        }
        self.build().await?;
        self.rows().await?;
        self.documents().await?;
        Ok(Step::Idle)
    }
}
