//! [`Records`] on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;

use super::{
    SqliteStores, build, read,
    rows::unsigned,
    schema::{applications, chats, messages},
    store,
};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Page},
    stores::{
        Build, Check, Checked, Guard, IndexLag, Outbox, Records, Result, SearchIndex, Totals,
        WrongCount,
    },
};

#[async_trait]
impl Records for SqliteStores {
    async fn ping(&self) -> Result<()> {
        self.look().await
    }

    async fn examine(&self, _batch_bytes: usize) -> Vec<Check> {
        self.checks().await
    }

    async fn migrate(&self) -> Result<()> {
        self.run_migrations().await
    }

    async fn store_applications(&self, epoch: u64, applications: &[Application]) -> Result<()> {
        store::check_epoch(epoch)?;
        let new = applications.to_vec();
        self.writer
            .run(move |connection| store::applications(connection, &new))
            .await
    }

    async fn store_chats(&self, epoch: u64, chats: &[Chat]) -> Result<()> {
        store::check_epoch(epoch)?;
        let new = chats.to_vec();
        self.writer
            .run(move |connection| store::chats(connection, &new))
            .await
    }

    async fn store_messages(&self, epoch: u64, messages: &[Message]) -> Result<()> {
        store::check_epoch(epoch)?;
        let new = store::find_words(messages).await?;
        self.writer
            .run(move |connection| store::messages(connection, &new))
            .await
    }

    async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        self.readers
            .run(move |connection| read::application(connection, id))
            .await
    }

    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        self.readers
            .run(move |connection| read::chat(connection, key))
            .await
    }

    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let page = *page;
        self.readers
            .run(move |connection| read::chats(connection, app, &page))
            .await
    }

    async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        self.readers
            .run(move |connection| read::message(connection, key))
            .await
    }

    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let page = *page;
        self.readers
            .run(move |connection| read::messages(connection, chat, &page))
            .await
    }

    /// Counts are never behind.
    async fn apply_chats_counts(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }

    async fn apply_messages_counts(&self, _limit: usize) -> Result<usize> {
        Ok(0)
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

    /// A file holds all or nothing.
    async fn orphaned_applications(
        &self,
        _after: Option<AppId>,
        _limit: usize,
    ) -> Result<Checked<AppId, Application>> {
        Ok(Checked::nothing())
    }

    async fn adopt_applications(&self, _applications: &[Application]) -> Result<()> {
        Ok(())
    }

    /// Neither.
    async fn orphaned_chats(
        &self,
        _after: Option<ChatKey>,
        _limit: usize,
    ) -> Result<Checked<ChatKey, Chat>> {
        Ok(Checked::nothing())
    }

    async fn adopt_chats(&self, _chats: &[Chat]) -> Result<()> {
        Ok(())
    }

    /// The index is never behind.
    async fn outbox(&self, _after: Option<u64>, _limit: usize) -> Result<Outbox> {
        Ok(Outbox::default())
    }

    async fn clear_outbox(&self, _ids: &[u64]) -> Result<()> {
        Ok(())
    }

    /// Tells it at once.
    async fn requeue_for_index(&self, keys: &[MessageKey]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let messages = self.messages_by_key(keys).await?;
        // Of what is refused, nothing is stored either.
        SearchIndex::put(self, None, &messages).await?;
        Ok(())
    }

    async fn outbox_bounds(&self) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }

    async fn index_lag(&self) -> Result<IndexLag> {
        Ok(IndexLag::default())
    }

    async fn scan_messages(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>> {
        self.readers
            .run(move |connection| read::all_messages(connection, after, limit))
            .await
    }

    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let keys = keys.to_vec();
        self.readers
            .run(move |connection| read::messages_by_key(connection, &keys))
            .await
    }

    async fn build(&self) -> Result<Option<Build>> {
        self.readers.run(build::read).await
    }

    async fn want_build(&self) -> Result<()> {
        self.writer
            .run(|connection| build::begin(connection, None))
            .await
    }

    async fn begin_build(&self, target: &str) -> Result<()> {
        let target = target.to_owned();
        self.writer
            .run(move |connection| build::begin(connection, Some(&target)))
            .await
    }

    async fn advance_build(&self, target: &str, last: MessageKey, done: u64) -> Result<bool> {
        let target = target.to_owned();
        self.writer
            .run(move |connection| build::advance(connection, &target, last, done))
            .await
    }

    async fn end_build(&self, target: &str) -> Result<()> {
        let target = target.to_owned();
        self.writer
            .run(move |connection| build::end(connection, &target))
            .await
    }

    async fn totals(&self) -> Result<Totals> {
        let count = |connection: &mut SqliteConnection| {
            Ok(Totals {
                applications: unsigned(applications::table.count().get_result(connection)?),
                chats: unsigned(chats::table.count().get_result(connection)?),
                messages: unsigned(messages::table.count().get_result(connection)?),
            })
        };
        self.readers.run(count).await
    }

    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>> {
        let lock = self.named_lock(name, wait).await?;
        Ok(lock.map(|lock| Box::new(lock) as Box<dyn Guard>))
    }
}
