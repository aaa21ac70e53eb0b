//! Reading rows back.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::{
    dsl::sql,
    expression::SqlLiteral,
    prelude::*,
    sql_types::{BigInt, Bool},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    pool::{Connection, Pool},
    rows::{ApplicationRow, ChatRow, MessageRow, signed, unsigned},
    schema::{applications, chats, messages},
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Message, MessageKey, Page,
        message::{MAX_DATA_BYTES, MAX_SENDER_CHARS},
        page::Part,
    },
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

/// Maximum size in bytes of what authors put into a message: text (that of the column), data and sender.
const MAX_BYTES: usize = 65_535 + MAX_DATA_BYTES + 4 * MAX_SENDER_CHARS;

/// Size in bytes of what authors put into a message.
fn content_length() -> SqlLiteral<BigInt> {
    sql(
        "OCTET_LENGTH(messages.text) + OCTET_LENGTH(COALESCE(messages.data, '')) + OCTET_LENGTH(COALESCE(messages.sender, ''))",
    )
}

/// Number of messages of these lengths to read for a page: up to the one that exceeds its size, and whether one does.
fn fitting(lengths: &[i64], page: Page) -> (usize, bool) {
    let mut bytes = 0;
    let exceeding = lengths.iter().position(|length| {
        bytes += unsigned(*length) as usize;
        bytes > page.bytes
    });
    match exceeding {
        Some(index) => (index + 1, true),
        None => (page.limit, false),
    }
}

impl Mysql {
    /// A stored application, and how many of its chats have been counted.
    pub async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        let read = async |connection: &mut Connection| {
            let query = applications::table
                .find(id.to_string())
                .select(ApplicationRow::as_select());
            query.first(connection).await.optional()
        };
        let row = self.pool.read(call!("records", "application"), read);
        row.await?.map(ApplicationRow::read).transpose()
    }

    /// A stored chat. It is deleted if its application is.
    pub async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        let read = async |connection: &mut Connection| {
            let query = chats::table
                .left_join(applications::table.on(applications::id.eq(chats::app)))
                .filter(chats::app.eq(key.app.to_string()))
                .filter(chats::number.eq(signed(key.number)))
                .select((ChatRow::as_select(), applications::deleted_at.nullable()));
            let row: Option<(ChatRow, Deletion)> = query.first(connection).await.optional()?;
            Ok(row)
        };
        let row = self.pool.read(call!("records", "chat"), read).await?;
        let Some((row, deleted_with)) = row else {
            return Ok(None);
        };
        let chat = row.read()?;
        let deleted_with = deleted_with.map(|time| time.and_utc());
        Ok(Some(Chat {
            deleted_at: chat.deleted_at.or(deleted_with),
            ..chat
        }))
    }

    /// The stored chats of a page, ascending, deleted ones too; none if the application is deleted.
    pub async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let read = async |connection: &mut Connection| {
            let query = chats::table
                .left_join(applications::table.on(applications::id.eq(chats::app)))
                .filter(chats::app.eq(app.to_string()))
                .filter(applications::deleted_at.is_null())
                .select(ChatRow::as_select());
            paged!(query, chats::number, page).load(connection).await
        };
        let rows = self.pool.read(call!("records", "chats"), read).await?;
        let rows = rows.into_iter().map(ChatRow::read);
        Ok(page.ascending(rows.collect::<Result<_>>()?))
    }

    /// A stored message. It is deleted if its chat or application is.
    pub async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        self.messages.call(key).await
    }

    /// The stored messages of a page, until they exceed its size, deleted ones too; none if the chat or application is
    /// deleted.
    pub async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Part<Message>> {
        let read = async |connection: &mut Connection| {
            let of_chat = || {
                messages::table
                    .left_join(chats::table.on(of_its_chat()))
                    .left_join(applications::table.on(applications::id.eq(messages::app)))
                    .filter(messages::app.eq(chat.app.to_string()))
                    .filter(messages::chat.eq(signed(chat.number)))
                    .filter(chats::deleted_at.is_null())
                    .filter(applications::deleted_at.is_null())
                    // A chat whose creation was lost has no row.
                    .filter((messages::number.gt(chats::deleted_up_to)).or(chats::app.is_null()))
            };
            let mut page = *page;
            let mut more = false;
            // The lengths decide how many messages are read. MySQL would send the others, too, if the query stopped early.
            if page.limit.saturating_mul(MAX_BYTES) > page.bytes {
                let query = of_chat().select(content_length());
                let query = paged!(query, messages::number, page);
                let lengths: Vec<i64> = query.load(connection).await?;
                (page.limit, more) = fitting(&lengths, page);
            }
            let query = of_chat().select(MessageRow::as_select());
            let query = paged!(query, messages::number, page);
            let rows: Vec<MessageRow> = query.load(connection).await?;
            Ok::<_, diesel::result::Error>((rows, more))
        };
        let (rows, more) = self.pool.read(call!("records", "messages"), read).await?;
        let rows = rows.into_iter().map(MessageRow::read);
        let items = page.ascending(rows.collect::<Result<_>>()?);
        Ok(Part { items, more })
    }

    /// The stored messages of these keys, in any order.
    pub async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let read = async |connection: &mut Connection| load(connection, keys).await;
        let rows = self.pool.read(call!("records", "messages_by_key"), read);
        rows.await?.into_iter().map(MessageRow::read).collect()
    }

    /// Returns up to `limit` stored messages after `after`, in key order.
    pub async fn scan_messages(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let read = async |connection: &mut Connection| {
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
            query.load(connection).await
        };
        let rows = self.pool.read(call!("records", "scan_messages"), read);
        rows.await?.into_iter().map(MessageRow::read).collect()
    }
}

/// Reads messages for several requests, in the order of the keys.
pub(super) async fn messages(
    pool: &Pool,
    keys: &[MessageKey],
) -> Result<Vec<Result<Option<Message>>>> {
    let read = async |connection: &mut Connection| match keys {
        [key] => {
            let MessageKey { chat, number } = key;
            let query = messages::table
                .left_join(chats::table.on(of_its_chat()))
                .left_join(applications::table.on(applications::id.eq(messages::app)))
                .filter(messages::app.eq(chat.app.to_string()))
                .filter(messages::chat.eq(signed(chat.number)))
                .filter(messages::number.eq(signed(*number)))
                .select((
                    MessageRow::as_select(),
                    chats::deleted_at.nullable(),
                    applications::deleted_at.nullable(),
                    chats::deleted_up_to.nullable(),
                ));
            let row: Option<(MessageRow, Deletion, Deletion, Option<i64>)> =
                query.first(connection).await.optional()?;
            Ok(Vec::from_iter(row.map(
                |(message, chat, application, up_to)| ReadMessage {
                    deleted: chat.is_some()
                        || application.is_some()
                        || up_to.is_some_and(|up_to| signed(*number) <= up_to),
                    message,
                },
            )))
        }
        keys => {
            // A join reads the chat and the application of adjacent rows once; subqueries would read them for each row.
            let query = diesel::sql_query(format!(
                "SELECT m.*, COALESCE(c.deleted_at IS NOT NULL OR m.number <= c.deleted_up_to, FALSE) \
                 OR a.deleted_at IS NOT NULL AS deleted \
                 FROM (SELECT {COLUMNS} FROM messages WHERE {}) m \
                 LEFT JOIN chats c ON c.app = m.app AND c.number = m.chat LEFT JOIN applications a ON a.id = m.app",
                keys::messages(keys)
            ));
            query.load(connection).await
        }
    };
    let rows: Vec<ReadMessage> = pool.read(call!("records", "message"), read).await?;
    let found = rows.into_iter().map(|row| {
        let message = row.message.read()?;
        let deleted_with = row.deleted.then_some(message.created_at);
        let message = Message {
            deleted_at: message.deleted_at.or(deleted_with),
            ..message
        };
        Ok((message.key, message))
    });
    let found: HashMap<MessageKey, Message> = found.collect::<Result<_>>()?;
    Ok(keys.iter().map(|key| Ok(found.get(key).cloned())).collect())
}

/// Columns of [`MessageRow`].
const COLUMNS: &str = "app, chat, number, text, revision, created_at, updated_at, inserted_by, sender, data, deleted_at";

/// Time of the deletion of an application or chat, if there is a row and it is deleted.
type Deletion = Option<NaiveDateTime>;

/// A message, and whether its chat or application is deleted.
#[derive(QueryableByName)]
struct ReadMessage {
    #[diesel(embed)]
    message: MessageRow,
    #[diesel(sql_type = Bool)]
    deleted: bool,
}

/// Condition that joins a message with its chat.
#[diesel::dsl::auto_type]
fn of_its_chat() -> _ {
    chats::app
        .eq(messages::app)
        .and(chats::number.eq(messages::chat))
}

/// Loads the rows of messages by key.
async fn load(connection: &mut Connection, keys: &[MessageKey]) -> QueryResult<Vec<MessageRow>> {
    let query = diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM messages WHERE {}",
        keys::messages(keys)
    ));
    query.load(connection).await
}
