//! Reading rows back.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    MysqlRecords, keys,
    pool::{Connection, Pool},
    rows::{ApplicationRow, ChatRow, MessageRow, signed},
    schema::{applications, chats, messages},
};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Page},
    stores::Result,
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

impl MysqlRecords {
    pub(super) async fn read_application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        let mut connection = self.pool.get().await?;
        let query = applications::table
            .find(id.to_string())
            .select(ApplicationRow::as_select());
        let row = self
            .pool
            .in_time(async { query.first(&mut connection).await.optional() })
            .await?;
        row.map(ApplicationRow::read).transpose()
    }

    pub(super) async fn read_chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        let mut connection = self.pool.get().await?;
        let query = chats::table
            .find((key.app.to_string(), signed(key.number)))
            .select(ChatRow::as_select());
        let row = self
            .pool
            .in_time(async { query.first(&mut connection).await.optional() })
            .await?;
        row.map(ChatRow::read).transpose()
    }

    pub(super) async fn read_chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let mut connection = self.pool.get().await?;
        let query = chats::table
            .filter(chats::app.eq(app.to_string()))
            .select(ChatRow::as_select());
        let query = paged!(query, chats::number, page);
        let rows = self.pool.in_time(query.load(&mut connection)).await?;
        ascending(rows.into_iter().map(ChatRow::read), page)
    }

    pub(super) async fn read_messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let mut connection = self.pool.get().await?;
        let query = messages::table
            .filter(messages::app.eq(chat.app.to_string()))
            .filter(messages::chat.eq(signed(chat.number)))
            .select(MessageRow::as_select());
        let query = paged!(query, messages::number, page);
        let rows = self.pool.in_time(query.load(&mut connection)).await?;
        ascending(rows.into_iter().map(MessageRow::read), page)
    }

    pub(super) async fn read_messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let mut connection = self.pool.get().await?;
        load_messages(&self.pool, &mut connection, keys).await
    }

    pub(super) async fn read_all_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Message>> {
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
    }
}

/// What several requests ask for at the same time, in the order of the keys.
pub(super) async fn read_each_message(
    pool: &Pool,
    keys: &[MessageKey],
) -> Result<Vec<Result<Option<Message>>>> {
    let read = pool.again(async || match keys {
        [key] => Ok(Vec::from_iter(read_message(pool, *key).await?)),
        keys => load_messages(pool, &mut pool.get().await?, keys).await,
    });
    let found = read.await?.into_iter().map(|found| (found.key, found));
    let found: HashMap<_, _> = found.collect();
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

/// The messages of these keys, over a connection in hand.
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

fn ascending<T>(rows: impl Iterator<Item = Result<T>>, page: &Page) -> Result<Vec<T>> {
    let mut items = rows.collect::<Result<Vec<T>>>()?;
    if page.from_the_end() {
        items.reverse();
    }
    Ok(items)
}
