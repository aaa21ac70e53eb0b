//! Searching the full text, and comparing it with the rows.
//!
//! A message's words are written in the transaction that stores it, so the index has no lag. Putting and removing
//! single documents is for files that were changed by other means.

use diesel::{
    dsl::sql,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded,
    error::{Outcome, failed},
    fts,
    numbers::existing_chat,
    read,
    rows::{MessageRow, signed, span, unsigned},
    store_messages::{TokenizedMessage, tokenize_all},
};
use crate::{
    domain::{AppId, ChatKey, Message, MessageKey, Page, Revision, text::Query},
    stores::{Result, call::call},
};

/// Messages that one transaction puts, so that accepted writes need not wait longer than for a worker's batch.
const PUT: usize = 200;

impl Embedded {
    /// Tells whether an index is in use.
    ///
    /// # Errors
    ///
    /// [`Error::IndexMissing`](crate::stores::Error::IndexMissing) if not.
    pub async fn probe_index(&self) -> Result<()> {
        let probe = |connection: &mut SqliteConnection| fts::named(connection, None).map(drop);
        self.readers.run(call!("search", "ping"), probe).await
    }

    pub(crate) async fn search(
        &self,
        chat: ChatKey,
        query: &Query,
        page: &Page,
    ) -> Result<Vec<Message>> {
        let (query, page) = (query.clone(), *page);
        let search =
            move |connection: &mut SqliteConnection| search(connection, chat, &query, &page);
        self.searches.run(call!("search", "search"), search).await
    }

    pub(crate) async fn put_documents(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>> {
        let mut refused = Vec::new();
        for messages in messages.chunks(PUT) {
            let (target, tokenized) = (
                target.map(str::to_owned),
                tokenize_all(messages.to_vec()).await?,
            );
            let put = move |connection: &mut SqliteConnection| {
                connection.immediate_transaction(|connection| {
                    let index = fts::named(connection, target.as_deref())?;
                    put(connection, &index, &tokenized)
                })
            };
            refused.extend(self.writer.run(call!("search", "put"), put).await?);
        }
        Ok(refused)
    }

    /// Indexes messages immediately. Rejected messages are not stored either.
    pub(crate) async fn reindex(&self, keys: &[MessageKey]) -> Result<()> {
        let messages = self.rows(keys).await?;
        self.put_documents(None, &messages).await.map(drop)
    }

    pub(crate) async fn remove_documents(&self, keys: &[MessageKey]) -> Result<()> {
        let keys = keys.to_vec();
        let remove = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let index = fts::named(connection, None)?;
                for id in read::ids(connection, &keys)?.into_iter().flatten() {
                    sql_query(format!("DELETE FROM {index} WHERE rowid = ?"))
                        .bind::<BigInt, _>(id)
                        .execute(connection)?;
                }
                Ok(())
            })
        };
        self.writer.run(call!("search", "remove"), remove).await
    }

    pub(crate) async fn document_revisions(
        &self,
        keys: &[MessageKey],
    ) -> Result<Vec<Option<Revision>>> {
        let keys = keys.to_vec();
        let read = move |connection: &mut SqliteConnection| {
            let index = fts::named(connection, None)?;
            let mut revisions = Vec::with_capacity(keys.len());
            for id in read::ids(connection, &keys)? {
                let revision = match id {
                    Some(id) => fts::revision(connection, &index, id)?,
                    None => None,
                };
                revisions.push(revision.map(|revision| Revision(unsigned(revision))));
            }
            Ok(revisions)
        };
        self.scans.run(call!("search", "revisions"), read).await
    }

    pub(crate) async fn count_documents(&self) -> Result<u64> {
        let count = |connection: &mut SqliteConnection| {
            let index = fts::named(connection, None)?;
            let count: i64 = diesel::select(sql::<BigInt>(&format!(
                "(SELECT COUNT(*) FROM {index}_docsize)"
            )))
            .get_result(connection)?;
            Ok(unsigned(count))
        };
        self.scans.run(call!("search", "count"), count).await
    }

    pub(crate) async fn scan_documents(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>> {
        let scan = move |connection: &mut SqliteConnection| scan(connection, after, limit);
        self.scans.run(call!("search", "scan"), scan).await
    }
}

fn search(
    connection: &mut SqliteConnection,
    chat: ChatKey,
    query: &Query,
    page: &Page,
) -> Outcome<Vec<Message>> {
    let Some(chat) = existing_chat(connection, chat)? else {
        return Ok(Vec::new());
    };
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let index = fts::named(connection, None)?;
    let expression = fts::expression(connection, &index, chat, query)?;
    let ids = span(chat, page);
    let newest_first = page.after.is_none();
    let order = if newest_first { "DESC" } else { "ASC" };
    let rows: Vec<MessageRow> = sql_query(format!(
        "SELECT m.* FROM {index} CROSS JOIN messages m ON m.id = {index}.rowid \
         WHERE {index} MATCH ? AND {index}.rowid >= ? AND {index}.rowid < ? ORDER BY {index}.rowid {order} LIMIT ?"
    ))
    .bind::<Text, _>(expression)
    .bind::<BigInt, _>(ids.start)
    .bind::<BigInt, _>(ids.end)
    .bind::<BigInt, _>(signed(page.limit as u64))
    .load(connection)?;
    let hits = rows.into_iter().map(MessageRow::read);
    let mut hits = hits.collect::<Result<Vec<_>>>()?;
    if newest_first {
        hits.reverse();
    }
    Ok(hits)
}

/// Rejects messages of chats that were never created. A message whose row was erased since it was read gets no document.
fn put(
    connection: &mut SqliteConnection,
    index: &str,
    messages: &[TokenizedMessage],
) -> Outcome<Vec<(MessageKey, String)>> {
    let keys: Vec<MessageKey> = messages
        .iter()
        .map(|tokenized| tokenized.message.key)
        .collect();
    let mut refused = Vec::new();
    for (TokenizedMessage { message, tokens }, id) in
        messages.iter().zip(read::ids(connection, &keys)?)
    {
        match id {
            Some(id) if !read::has_row(connection, id)? => {}
            Some(id) => fts::put(connection, index, id, tokens, signed(message.revision.0))?,
            None => refused.push((message.key, "there is no such chat".into())),
        }
    }
    Ok(refused)
}

fn scan(
    connection: &mut SqliteConnection,
    after: Option<MessageKey>,
    limit: usize,
) -> Outcome<Vec<MessageKey>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        app: String,
        #[diesel(sql_type = BigInt)]
        chat: i64,
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let index = fts::named(connection, None)?;
    let (app, chat, number) = read::position(after);
    let rows: Vec<Row> = sql_query(format!(
        "SELECT n.app, n.number AS chat, w.rowid & 4294967295 AS number FROM chat_numbers n CROSS JOIN {index} w \
         ON w.rowid > (n.id << 32) + iif((n.app, n.number) = (?1, ?2), ?3, 0) AND w.rowid < (n.id + 1) << 32 \
         WHERE (n.app, n.number) >= (?1, ?2) ORDER BY n.app, n.number, w.rowid LIMIT ?4"
    ))
    .bind::<Text, _>(app)
    .bind::<BigInt, _>(chat)
    .bind::<BigInt, _>(number)
    .bind::<BigInt, _>(signed(limit as u64))
    .load(connection)?;
    let keys = rows.into_iter().map(|row| {
        let app = AppId::parse(&row.app).ok_or_else(|| failed("an application id is none"))?;
        let chat = ChatKey {
            app,
            number: unsigned(row.chat),
        };
        Ok(MessageKey {
            chat,
            number: unsigned(row.number),
        })
    });
    Ok(keys.collect::<Result<_>>()?)
}
