//! Reading rows back.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    pool::{Connection, Pool},
    rows::{ApplicationRow, ChatRow, MessageRow, signed},
    schema::{applications, chats, messages},
};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Page},
    stores::{Result, call::call},
};

/// Narrows a query to a page of the list that is ordered by this column, filled from the page's own end.
macro_rules! paged {
    ($query:expr, $number:expr, $page:expr) => {{
        let mut query = $query.into_boxed();
        if let Some(after) = $page.after {
            query = query.filter($number.gt(signed(after)));
        }
        if let Some(before) = $page.before {
            query = query.filter($number.lt(signed(before)));
        }
        query = query.limit(i64::try_from($page.limit).unwrap_or(i64::MAX));
        if $page.from_the_end() {
            query.order($number.desc())
        } else {
            query.order($number.asc())
        }
    }};
}

impl Mysql {
    /// A stored application, and how many of its chats have been counted.
    pub async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        let read = async || {
            let mut connection = self.pool.get().await?;
            let query = applications::table
                .find(id.to_string())
                .select(ApplicationRow::as_select());
            let row = async { query.first(&mut connection).await.optional() };
            let row = self.pool.in_time(row).await?;
            row.map(ApplicationRow::read).transpose()
        };
        self.pool.read(call!("records", "application"), read).await
    }

    /// A stored chat.
    pub async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        let read = async || {
            let mut connection = self.pool.get().await?;
            let query = chats::table
                .find((key.app.to_string(), signed(key.number)))
                .select(ChatRow::as_select());
            let row = async { query.first(&mut connection).await.optional() };
            let row = self.pool.in_time(row).await?;
            row.map(ChatRow::read).transpose()
        };
        self.pool.read(call!("records", "chat"), read).await
    }

    /// The stored chats of a page, ascending.
    pub async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let read = async || {
            let mut connection = self.pool.get().await?;
            let query = chats::table
                .filter(chats::app.eq(app.to_string()))
                .select(ChatRow::as_select());
            let query = paged!(query, chats::number, page);
            let rows = self.pool.in_time(query.load(&mut connection)).await?;
            let rows = rows.into_iter().map(ChatRow::read);
            Ok(page.ascending(rows.collect::<Result<_>>()?))
        };
        self.pool.read(call!("records", "chats"), read).await
    }

    /// A stored message.
    pub async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        self.messages.call(key).await
    }

    /// The stored messages of a page, ascending.
    pub async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let read = async || {
            let mut connection = self.pool.get().await?;
            let query = messages::table
                .filter(messages::app.eq(chat.app.to_string()))
                .filter(messages::chat.eq(signed(chat.number)))
                .select(MessageRow::as_select());
            let query = paged!(query, messages::number, page);
            let rows = self.pool.in_time(query.load(&mut connection)).await?;
            let rows = rows.into_iter().map(MessageRow::read);
            Ok(page.ascending(rows.collect::<Result<_>>()?))
        };
        self.pool.read(call!("records", "messages"), read).await
    }

    /// The stored messages of these keys, in any order.
    pub async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let read = async || load_messages(&self.pool, &mut self.pool.get().await?, keys).await;
        self.pool
            .read(call!("records", "messages_by_key"), read)
            .await
    }

    /// Returns up to `limit` stored messages after `after`, in key order.
    pub async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let read = async || {
            let mut connection = self.pool.get().await?;
            let mut query = messages::table
                .select(MessageRow::as_select())
                .order((messages::app, messages::chat, messages::number))
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .into_boxed();
            if let Some(after) = after {
                let app = after.chat.app.to_string();
                let (chat, number) = (signed(after.chat.number), signed(after.number));
                // Spelt out, as MySQL uses the key for this and scans the table for `(app, chat, number) > (…)`.
                query = query.filter(
                    messages::app.gt(app.clone()).or(messages::app.eq(app).and(
                        messages::chat
                            .gt(chat)
                            .or(messages::chat.eq(chat).and(messages::number.gt(number))),
                    )),
                );
            }
            let rows: Vec<MessageRow> = self.pool.in_time(query.load(&mut connection)).await?;
            rows.into_iter().map(MessageRow::read).collect()
        };
        self.pool
            .read(call!("records", "scan_messages"), read)
            .await
    }
}

/// Reads messages for several requests, in the order of the keys.
pub(super) async fn messages(
    pool: &Pool,
    keys: &[MessageKey],
) -> Result<Vec<Result<Option<Message>>>> {
    let read = async || match keys {
        [key] => Ok(Vec::from_iter(read_message(pool, *key).await?)),
        keys => load_messages(pool, &mut pool.get().await?, keys).await,
    };
    let found = pool.read(call!("records", "message"), read).await?;
    let found: HashMap<_, _> = found.into_iter().map(|found| (found.key, found)).collect();
    Ok(keys.iter().map(|key| Ok(found.get(key).cloned())).collect())
}

async fn read_message(pool: &Pool, key: MessageKey) -> Result<Option<Message>> {
    let mut connection = pool.get().await?;
    let query = messages::table
        .find((
            key.chat.app.to_string(),
            signed(key.chat.number),
            signed(key.number),
        ))
        .select(MessageRow::as_select());
    let row = pool
        .in_time(async { query.first(&mut connection).await.optional() })
        .await?;
    row.map(MessageRow::read).transpose()
}

/// Loads messages by key, on a given connection.
pub(super) async fn load_messages(
    pool: &Pool,
    connection: &mut Connection,
    keys: &[MessageKey],
) -> Result<Vec<Message>> {
    let query = diesel::sql_query(format!(
        "SELECT app, chat, number, text, revision, created_at, updated_at, batch FROM messages WHERE {}",
        keys::messages(keys)
    ));
    let rows: Vec<MessageRow> = pool.in_time(query.load(connection)).await?;
    rows.into_iter().map(MessageRow::read).collect()
}
