//! [`Records`] and [`Ledger`] on MySQL.

mod build;
mod counts;
mod epoch;
mod examine;
mod keys;
mod lock;
mod migrate;
mod orphans;
mod outbox;
mod pool;
mod read;
mod rows;
mod schema;
mod store;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use url::Url;

use self::{pool::Pool, read::read_each_message};
use super::{
    Build, Check, Checked, Guard, IndexLag, Ledger, Outbox, Records, Result, Totals, WrongCount,
    gather::Gather,
};
use crate::domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Page};

/// Messages that one statement reads for several requests, at most.
const GROUP: usize = 64;

/// Such statements under way at once, at most.
const FLIGHTS: usize = 4;

/// The rows, in MySQL.
pub struct MysqlRecords {
    pool: Arc<Pool>,
    messages: Gather<MessageKey, Option<Message>>,
}

impl MysqlRecords {
    /// Prepares at most `pool_size` connections, whose calls take at most `timeout` each; MySQL is reached when first
    /// needed.
    pub fn new(url: &Url, pool_size: usize, timeout: Duration) -> Result<Self> {
        let pool = Arc::new(Pool::new(url, pool_size, timeout)?);
        let reading = pool.clone();
        Ok(Self {
            pool,
            messages: Gather::new("MySQL", GROUP, FLIGHTS, move |keys| {
                let pool = reading.clone();
                async move { read_each_message(&pool, &keys).await }
            }),
        })
    }
}

#[async_trait]
impl Records for MysqlRecords {
    async fn ping(&self) -> Result<()> {
        self.epoch().await.map(drop)
    }

    async fn examine(&self, batch_bytes: usize) -> Vec<Check> {
        let checked = self.checks(batch_bytes).await;
        checked.unwrap_or_else(|error| {
            let advice = "see that MySQL runs, and that services.mysql_url leads to it, with a user and a database that exist";
            vec![Check::problem("mysql", error.to_string(), advice)]
        })
    }

    async fn migrate(&self) -> Result<()> {
        self.run_migrations().await
    }

    async fn store_applications(&self, epoch: u64, applications: &[Application]) -> Result<()> {
        self.insert_applications(epoch, applications).await
    }

    async fn store_chats(&self, epoch: u64, chats: &[Chat]) -> Result<()> {
        self.insert_chats(epoch, chats).await
    }

    async fn store_messages(&self, epoch: u64, messages: &[Message]) -> Result<()> {
        self.upsert_messages(epoch, messages).await
    }

    async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        self.pool.again(|| self.read_application(id)).await
    }

    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        self.pool.again(|| self.read_chat(key)).await
    }

    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        self.pool.again(|| self.read_chats(app, page)).await
    }

    async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        self.messages.ask(key).await
    }

    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        self.pool.again(|| self.read_messages(chat, page)).await
    }

    async fn apply_chats_counts(&self, limit: usize) -> Result<usize> {
        self.apply_chats_deltas(limit).await
    }

    async fn apply_messages_counts(&self, limit: usize) -> Result<usize> {
        self.apply_messages_deltas(limit).await
    }

    async fn check_chats_counts(
        &self,
        after: Option<AppId>,
        limit: usize,
        fix: bool,
    ) -> Result<Checked<AppId, WrongCount>> {
        self.recount_chats(after, limit, fix).await
    }

    async fn check_messages_counts(
        &self,
        after: Option<ChatKey>,
        limit: usize,
        fix: bool,
    ) -> Result<Checked<ChatKey, WrongCount>> {
        self.recount_messages(after, limit, fix).await
    }

    async fn orphaned_applications(
        &self,
        after: Option<AppId>,
        limit: usize,
    ) -> Result<Checked<AppId, Application>> {
        self.find_orphaned_applications(after, limit).await
    }

    async fn adopt_applications(&self, applications: &[Application]) -> Result<()> {
        self.insert_orphaned_applications(applications).await
    }

    async fn orphaned_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Checked<ChatKey, Chat>> {
        self.find_orphaned_chats(after, limit).await
    }

    async fn adopt_chats(&self, chats: &[Chat]) -> Result<()> {
        self.insert_orphaned_chats(chats).await
    }

    async fn outbox(&self, after: Option<u64>, limit: usize) -> Result<Outbox> {
        self.pool.again(|| self.read_outbox(after, limit)).await
    }

    async fn clear_outbox(&self, ids: &[u64]) -> Result<()> {
        self.delete_outbox(ids).await
    }

    async fn requeue_for_index(&self, keys: &[MessageKey]) -> Result<()> {
        self.add_to_outbox(keys).await
    }

    async fn outbox_bounds(&self) -> Result<Option<(u64, u64)>> {
        self.pool.again(|| self.read_outbox_bounds()).await
    }

    async fn index_lag(&self) -> Result<IndexLag> {
        self.pool.again(|| self.read_index_lag()).await
    }

    async fn scan_messages(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>> {
        self.pool
            .again(|| self.read_all_messages(after, limit))
            .await
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        self.pool.again(|| self.read_messages_by_key(keys)).await
    }

    async fn build(&self) -> Result<Option<Build>> {
        self.pool.again(|| self.read_build()).await
    }

    async fn want_build(&self) -> Result<()> {
        self.write_build(None).await
    }

    async fn begin_build(&self, target: &str) -> Result<()> {
        self.write_build(Some(target)).await
    }

    async fn advance_build(&self, target: &str, last: MessageKey, done: u64) -> Result<bool> {
        self.write_progress(target, last, done).await
    }

    async fn end_build(&self, target: &str) -> Result<()> {
        self.delete_build(target).await
    }

    async fn totals(&self) -> Result<Totals> {
        self.pool.again(|| self.count_rows()).await
    }

    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>> {
        Ledger::lock(self, name, wait).await
    }
}
