//! Reading rows back.

use std::collections::HashMap;

use diesel::{
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded,
    error::Outcome,
    rows::{ApplicationRow, ChatRow, MessageRow, chat_id, message_id, signed, span, unsigned},
    schema::{applications, chats, messages, state},
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Message, MessageKey, Page,
        page::{Item, Part},
    },
    stores::{Result, RowCounts, call::call},
};

impl Embedded {
    /// Reads a row that is always there.
    pub async fn probe_rows(&self) -> Result<()> {
        let probe = |connection: &mut SqliteConnection| {
            let _: i64 = state::table.select(state::revision).first(connection)?;
            Ok(())
        };
        self.readers.run(call!("records", "ping"), probe).await
    }

    pub(crate) async fn totals(&self) -> Result<RowCounts> {
        let count = |connection: &mut SqliteConnection| {
            Ok(RowCounts {
                applications: unsigned(applications::table.count().get_result(connection)?),
                chats: unsigned(chats::table.count().get_result(connection)?),
                messages: unsigned(messages::table.count().get_result(connection)?),
            })
        };
        self.scans.run(call!("records", "totals"), count).await
    }

    pub(crate) async fn scan_rows(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let scan = move |connection: &mut SqliteConnection| all_messages(connection, after, limit);
        self.scans
            .run(call!("records", "scan_messages"), scan)
            .await
    }

    pub(crate) async fn rows(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let keys = keys.to_vec();
        let read = move |connection: &mut SqliteConnection| messages_by_key(connection, &keys);
        self.scans
            .run(call!("records", "messages_by_key"), read)
            .await
    }
}

pub(super) fn application(
    connection: &mut SqliteConnection,
    id: AppId,
) -> Outcome<Option<(Application, u64)>> {
    let row = applications::table
        .find(id.to_string())
        .select(ApplicationRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(ApplicationRow::read).transpose()?)
}

pub(super) fn chat(connection: &mut SqliteConnection, key: ChatKey) -> Outcome<Option<Chat>> {
    let row = chats::table
        .find((key.app.to_string(), signed(key.number)))
        .select(ChatRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(ChatRow::read).transpose()?)
}

pub(super) fn chats(
    connection: &mut SqliteConnection,
    app: AppId,
    page: &Page,
) -> Outcome<Vec<Chat>> {
    let rows = chats::table
        .filter(chats::app.eq(app.to_string()))
        .filter(chats::number.gt(signed(page.after.unwrap_or(0))))
        .filter(chats::number.lt(page.before.map_or(i64::MAX, signed)))
        .select(ChatRow::as_select())
        .limit(signed(page.limit as u64));
    let rows: Vec<ChatRow> = if page.from_the_end() {
        rows.order(chats::number.desc()).load(connection)?
    } else {
        rows.order(chats::number.asc()).load(connection)?
    };
    let rows = rows.into_iter().map(ChatRow::read);
    Ok(page.ascending(rows.collect::<Result<_>>()?))
}

/// A message of the chat with this ID.
pub(super) fn message(
    connection: &mut SqliteConnection,
    chat: i64,
    number: u64,
) -> Outcome<Option<Message>> {
    let Some(id) = message_id(chat, number) else {
        return Ok(None);
    };
    let row = messages::table
        .find(id)
        .select(MessageRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(MessageRow::read).transpose()?)
}

/// A page of the messages of the chat with this ID.
pub(super) fn messages(
    connection: &mut SqliteConnection,
    chat: i64,
    page: &Page,
) -> Outcome<Part<Message>> {
    let ids = span(chat, page);
    let rows = messages::table
        .filter(messages::id.ge(ids.start))
        .filter(messages::id.lt(ids.end))
        .select(MessageRow::as_select())
        .limit(signed(page.limit as u64));
    if page.from_the_end() {
        let rows = rows.order(messages::id.desc());
        part(page, rows.load_iter(connection)?)
    } else {
        let rows = rows.order(messages::id.asc());
        part(page, rows.load_iter(connection)?)
    }
}

/// Reads messages until they exceed the size of the page.
pub(super) fn part(
    page: &Page,
    rows: impl Iterator<Item = QueryResult<MessageRow>>,
) -> Outcome<Part<Message>> {
    Part::read(
        page,
        rows.map(|row| {
            let message = row?.read()?;
            let size = message.size();
            Ok((message, size))
        }),
    )
}

fn messages_by_key(
    connection: &mut SqliteConnection,
    keys: &[MessageKey],
) -> Outcome<Vec<Message>> {
    let mut found = Vec::with_capacity(keys.len());
    for id in ids(connection, keys)?.into_iter().flatten() {
        let row = messages::table
            .find(id)
            .select(MessageRow::as_select())
            .first(connection)
            .optional()?;
        if let Some(row) = row {
            found.push(row.read()?);
        }
    }
    Ok(found)
}

/// Tells whether there is a row of a message, deleted or not.
pub(super) fn has_row(connection: &mut SqliteConnection, id: i64) -> QueryResult<bool> {
    diesel::select(exists(messages::table.find(id))).get_result(connection)
}

/// The row ids of messages, in the order of `keys`; `None` where the chat was never given out.
pub(super) fn ids(
    connection: &mut SqliteConnection,
    keys: &[MessageKey],
) -> Outcome<Vec<Option<i64>>> {
    let mut chats = HashMap::new();
    let mut ids = Vec::with_capacity(keys.len());
    for key in keys {
        let chat = match chats.get(&key.chat) {
            Some(chat) => *chat,
            None => {
                let chat = chat_id(connection, key.chat)?;
                chats.insert(key.chat, chat);
                chat
            }
        };
        ids.push(chat.and_then(|chat| message_id(chat, key.number)));
    }
    Ok(ids)
}

/// Scans messages by chat in key order, and within a chat by row ID, so that no sorting is needed.
fn all_messages(
    connection: &mut SqliteConnection,
    after: Option<MessageKey>,
    limit: usize,
) -> Outcome<Vec<Message>> {
    let (app, chat, number) = position(after);
    let rows: Vec<MessageRow> = sql_query(
        "SELECT m.* FROM chat_numbers n CROSS JOIN messages m \
         ON m.id > (n.id << 32) + iif((n.app, n.number) = (?1, ?2), ?3, 0) AND m.id < (n.id + 1) << 32 \
         WHERE (n.app, n.number) >= (?1, ?2) ORDER BY n.app, n.number, m.id LIMIT ?4",
    )
    .bind::<Text, _>(app)
    .bind::<BigInt, _>(chat)
    .bind::<BigInt, _>(number)
    .bind::<BigInt, _>(signed(limit as u64))
    .load(connection)?;
    Ok(rows
        .into_iter()
        .map(MessageRow::read)
        .collect::<Result<_>>()?)
}

/// The columns of the key after which a scan continues.
pub(super) fn position(after: Option<MessageKey>) -> (String, i64, i64) {
    after.map_or((String::new(), 0, 0), |after| {
        (
            after.chat.app.to_string(),
            signed(after.chat.number),
            signed(after.number),
        )
    })
}
