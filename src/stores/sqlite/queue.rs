//! [`JobQueue`] on SQLite: a table of jobs, and beside it the numbers that were given out.

use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use diesel::prelude::*;

use super::{
    SqliteStores,
    accept::{self, Draft},
    admin, claim, pending,
    rows::{chat_id, signed, unsigned},
    schema::{app_numbers, state},
    settle,
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Entry, Job, Kind, Message, MessageKey, Page, RequestId,
        Revision, Write,
    },
    stores::{
        Acceptance, Batch, Check, ClaimLimits, JobInfo, JobQueue, JobState, KindStats, Known,
        Lease, Recovered, Result,
    },
};

fn now() -> i64 {
    Utc::now().timestamp_millis()
}

#[async_trait]
impl JobQueue for SqliteStores {
    async fn ping(&self) -> Result<()> {
        let limits = self.limits;
        self.readers
            .run(move |connection| accept::room(connection, &limits))
            .await
    }

    /// It is the file's: the rows' examination looks at it.
    async fn examine(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn accept(&self, write: &Write, request: Option<&RequestId>) -> Result<Acceptance> {
        self.writer.accept(Draft::new(write, request)).await
    }

    async fn application(&self, id: AppId) -> Result<Option<(Option<Application>, u64)>> {
        let read = move |connection: &mut SqliteConnection| {
            let chats: Option<i64> = app_numbers::table
                .find(id.to_string())
                .select(app_numbers::chats)
                .first(connection)
                .optional()?;
            let Some(chats) = chats else {
                return Ok(None);
            };
            let application =
                pending::application(connection, id)?.and_then(Entry::into_application);
            Ok(Some((application, unsigned(chats))))
        };
        self.readers.run(read).await
    }

    async fn has_chat(&self, key: ChatKey) -> Result<bool> {
        self.readers
            .run(move |connection| Ok(chat_id(connection, key)?.is_some()))
            .await
    }

    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        Ok(JobQueue::chats(self, key.app, &Page::only(key.number))
            .await?
            .pop())
    }

    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let page = *page;
        let entries = self
            .readers
            .run(move |connection| pending::entries(connection, app, 0, &page))
            .await?;
        Ok(entries.into_iter().filter_map(Entry::into_chat).collect())
    }

    async fn message(&self, key: MessageKey) -> Result<Known<Message>> {
        Ok(Known::All(self.messages.ask(key).await?))
    }

    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let page = *page;
        let entries = self
            .readers
            .run(move |connection| pending::entries(connection, chat.app, chat.number, &page))
            .await?;
        Ok(entries
            .into_iter()
            .filter_map(Entry::into_message)
            .collect())
    }

    async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        let (claimer, limits) = (self.claimer.clone(), *limits);
        self.writer
            .run(move |connection| claim::claim(connection, &claimer, kind, &limits, now()))
            .await
    }

    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        let (lease, until) = (lease.clone(), now().saturating_add(claim::time(time)));
        self.writer
            .run(move |connection| settle::extend(connection, &lease, until))
            .await
    }

    async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        let (lease, jobs) = (lease.clone(), settle::stored(jobs));
        self.writer
            .run(move |connection| settle::acknowledge(connection, &lease, &jobs))
            .await
    }

    async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        let (lease, job, error) = (lease.clone(), job.revision, error.to_owned());
        let due = retry_after.map(|after| now().saturating_add(claim::time(after)));
        self.writer
            .run(move |connection| settle::fail(connection, &lease, job, &error, due, now()))
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.writer
            .run(move |connection| settle::release(connection, &lease))
            .await
    }

    async fn recover(&self) -> Result<Vec<Recovered>> {
        let (claimer, sole) = (self.claimer.clone(), self.place.is_ours());
        self.writer
            .run(move |connection| claim::recover(connection, &claimer, sole, now()))
            .await
    }

    async fn raise_revisions(&self, above: Revision) -> Result<()> {
        let raise = move |connection: &mut SqliteConnection| {
            let above = signed(above.0);
            diesel::update(state::table.filter(state::revision.lt(above)))
                .set(state::revision.eq(above))
                .execute(connection)?;
            Ok(())
        };
        self.writer.run(raise).await
    }

    async fn stats(&self) -> Result<Vec<KindStats>> {
        self.readers
            .run(|connection| pending::stats(connection, now()))
            .await
    }

    async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        self.readers
            .run(move |connection| admin::list(connection, state, kind, after, limit))
            .await
    }

    async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        self.readers
            .run(move |connection| admin::job(connection, id))
            .await
    }

    async fn retry(&self, id: Revision) -> Result<bool> {
        self.writer
            .run(move |connection| admin::retry(connection, id))
            .await
    }

    async fn kill(&self, id: Revision) -> Result<bool> {
        self.writer
            .run(move |connection| admin::kill(connection, id))
            .await
    }

    async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        self.writer
            .run(move |connection| admin::pause(connection, kind, paused))
            .await
    }
}
