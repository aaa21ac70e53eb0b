//! [`Ledger`]: the epoch, and what is the highest number stored.

use std::time::Duration;

use async_trait::async_trait;
use diesel::{
    dsl::{exists, max, select},
    prelude::*,
};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{
    MysqlRecords,
    build::BuildRow,
    pool::Connection,
    rows::{signed, unsigned},
    schema::{applications, chats, index_build, messages, state},
};
use crate::{
    domain::{AppId, ChatKey, Number},
    stores::{Guard, Ledger, Result},
};

#[async_trait]
impl Ledger for MysqlRecords {
    async fn raise_epoch(&self, at_least: u64) -> Result<u64> {
        let unfinished = self.pool.transaction();
        let mut connection = self.pool.get().await?;
        let raised = connection.transaction(async |connection: &mut Connection| {
            // The row's lock waits for the store transactions that are under way, and those that come wait for it.
            let standing: i64 = state::table
                .select(state::epoch)
                .for_update()
                .first(connection)
                .await?;
            let at_least = signed(at_least);
            if at_least > standing {
                diesel::replace_into(index_build::table)
                    .values(BuildRow::new(""))
                    .execute(connection)
                    .await?;
            }
            let epoch = standing.max(at_least) + 1;
            diesel::update(state::table)
                .set(state::epoch.eq(epoch))
                .execute(connection)
                .await?;
            Ok::<_, diesel::result::Error>(unsigned(epoch))
        });
        unfinished.finish(self.pool.in_time(raised).await)
    }

    async fn epoch(&self) -> Result<u64> {
        self.pool
            .again(async || {
                let mut connection = self.pool.get().await?;
                let epoch: i64 = self
                    .pool
                    .in_time(state::table.select(state::epoch).first(&mut connection))
                    .await?;
                Ok(unsigned(epoch))
            })
            .await
    }

    async fn highest_chat(&self, app: AppId) -> Result<Option<Number>> {
        let mut connection = self.pool.get().await?;
        let id = app.to_string();
        let stored: bool = self
            .pool
            .in_time(select(exists(applications::table.find(&id))).get_result(&mut connection))
            .await?;
        let chat: Option<i64> = self
            .pool
            .in_time(
                chats::table
                    .filter(chats::app.eq(&id))
                    .select(max(chats::number))
                    .first(&mut connection),
            )
            .await?;
        // A chat whose creation was lost with Redis may have messages: its number must not go to another chat.
        let messages_chat: Option<i64> = self
            .pool
            .in_time(
                messages::table
                    .filter(messages::app.eq(&id))
                    .select(max(messages::chat))
                    .first(&mut connection),
            )
            .await?;
        let highest = chat.max(messages_chat);
        Ok((stored || highest.is_some()).then(|| unsigned(highest.unwrap_or(0))))
    }

    async fn highest_message(&self, chat: ChatKey) -> Result<Option<Number>> {
        let mut connection = self.pool.get().await?;
        let (app, number) = (chat.app.to_string(), signed(chat.number));
        let stored: bool = self
            .pool
            .in_time(select(exists(chats::table.find((&app, number)))).get_result(&mut connection))
            .await?;
        let highest: Option<i64> = self
            .pool
            .in_time(
                messages::table
                    .filter(messages::app.eq(&app))
                    .filter(messages::chat.eq(number))
                    .select(max(messages::number))
                    .first(&mut connection),
            )
            .await?;
        Ok((stored || highest.is_some()).then(|| unsigned(highest.unwrap_or(0))))
    }

    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>> {
        let lock = self.named_lock(name, wait).await?;
        Ok(lock.map(|lock| Box::new(lock) as Box<dyn Guard>))
    }
}
