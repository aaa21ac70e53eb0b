//! [`SearchIndex`] on SQLite.
//!
//! Words are laid into the index in the transaction that stores their message, so there is nothing to be told later.
//! The rest is for a file that somebody changed otherwise, and for new tables of Unicode: what is wrong can be found
//! and mended one by one, and a second index filled and put into the first one's place while everything goes on.

use async_trait::async_trait;
use diesel::{
    dsl::sql,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    SqliteStores,
    error::{Outcome, failed},
    read,
    rows::{MessageRow, chat_id, signed, span, unsigned},
    schema::search_indexes,
    store::{Worded, find_words},
    words,
};
use crate::{
    domain::{AppId, ChatKey, Message, MessageKey, Page, Revision, text::Query},
    stores::{Check, Result, SearchIndex},
};

/// Messages that one transaction puts, so that accepts need not wait longer than for a worker's batch.
const PUT: usize = 200;

/// What the names of indices begin with; a number follows.
const NAME: &str = "words_";

#[async_trait]
impl SearchIndex for SqliteStores {
    async fn ping(&self) -> Result<()> {
        self.readers
            .run(|connection| words::named(connection, None).map(drop))
            .await
    }

    /// It is the file's, but for whether an index is in use.
    async fn examine(&self) -> Vec<Check> {
        let name = "search index";
        let advice = "run `confab search rebuild`; a running confab with workers does so by itself";
        let current = |connection: &mut SqliteConnection| words::named(connection, None);
        let checked = self.readers.run(current).await;
        vec![Check::or_problem(
            name,
            checked.map(|index| Check::ok(name, index)),
            advice,
        )]
    }

    async fn search(&self, chat: ChatKey, query: &Query, page: &Page) -> Result<Vec<Message>> {
        let (query, page) = (query.clone(), *page);
        self.readers
            .run(move |connection| search(connection, chat, &query, &page))
            .await
    }

    async fn put(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>> {
        let mut refused = Vec::new();
        for messages in messages.chunks(PUT) {
            let (target, worded) = (target.map(str::to_owned), find_words(messages).await?);
            let put = move |connection: &mut SqliteConnection| {
                connection.immediate_transaction(|connection| {
                    let index = words::named(connection, target.as_deref())?;
                    put(connection, &index, &worded)
                })
            };
            refused.extend(self.writer.run(put).await?);
        }
        Ok(refused)
    }

    async fn remove(&self, keys: &[MessageKey]) -> Result<()> {
        let keys = keys.to_vec();
        let remove = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let index = words::named(connection, None)?;
                for id in read::ids(connection, &keys)?.into_iter().flatten() {
                    sql_query(format!("DELETE FROM {index} WHERE rowid = ?"))
                        .bind::<BigInt, _>(id)
                        .execute(connection)?;
                }
                Ok(())
            })
        };
        self.writer.run(remove).await
    }

    async fn revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        let keys = keys.to_vec();
        let read = move |connection: &mut SqliteConnection| {
            let index = words::named(connection, None)?;
            let mut revisions = Vec::with_capacity(keys.len());
            for id in read::ids(connection, &keys)? {
                let revision = match id {
                    Some(id) => words::revision(connection, &index, id)?,
                    None => None,
                };
                revisions.push(revision.map(|revision| Revision(unsigned(revision))));
            }
            Ok(revisions)
        };
        self.readers.run(read).await
    }

    async fn count(&self) -> Result<u64> {
        let count = |connection: &mut SqliteConnection| {
            let index = words::named(connection, None)?;
            let count: i64 = diesel::select(sql::<BigInt>(&format!(
                "(SELECT COUNT(*) FROM {index}_docsize)"
            )))
            .get_result(connection)?;
            Ok(unsigned(count))
        };
        self.readers.run(count).await
    }

    async fn scan(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<MessageKey>> {
        self.readers
            .run(move |connection| scan(connection, after, limit))
            .await
    }

    async fn current(&self) -> Result<Option<String>> {
        self.readers
            .run(|connection| Ok(words::current(connection)?))
            .await
    }

    async fn fits(&self, index: &str) -> Result<bool> {
        let index = index.to_owned();
        let find = move |connection: &mut SqliteConnection| {
            let found = search_indexes::table.find(index).count();
            Ok(found.get_result::<i64>(connection)? > 0)
        };
        self.readers.run(find).await
    }

    /// A migration that changes the index asks for a new one.
    async fn is_outdated(&self, _index: &str) -> Result<bool> {
        Ok(false)
    }

    async fn create(&self) -> Result<String> {
        self.writer.run(create).await
    }

    async fn swap(&self, index: &str) -> Result<()> {
        let index = index.to_owned();
        self.writer
            .run(move |connection| swap(connection, &index))
            .await
    }

    /// What was put is found at once.
    async fn refresh(&self) -> Result<()> {
        Ok(())
    }
}

fn search(
    connection: &mut SqliteConnection,
    chat: ChatKey,
    query: &Query,
    page: &Page,
) -> Outcome<Vec<Message>> {
    let Some(chat) = chat_id(connection, chat)? else {
        return Ok(Vec::new());
    };
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let index = words::named(connection, None)?;
    let expression = words::expression(connection, &index, chat, query)?;
    let (after, before) = span(chat, page);
    let newest_first = page.after.is_none();
    let order = if newest_first { "DESC" } else { "ASC" };
    let rows: Vec<MessageRow> = sql_query(format!(
        "SELECT m.* FROM {index} CROSS JOIN messages m ON m.id = {index}.rowid \
         WHERE {index} MATCH ? AND {index}.rowid > ? AND {index}.rowid < ? ORDER BY {index}.rowid {order} LIMIT ?"
    ))
    .bind::<Text, _>(expression)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(before)
    .bind::<BigInt, _>(signed(page.limit as u64))
    .load(connection)?;
    let mut hits = rows
        .into_iter()
        .map(MessageRow::read)
        .collect::<Result<Vec<_>>>()?;
    if newest_first {
        hits.reverse();
    }
    Ok(hits)
}

/// What belongs to no chat that was ever given out is refused.
fn put(
    connection: &mut SqliteConnection,
    index: &str,
    messages: &[Worded],
) -> Outcome<Vec<(MessageKey, String)>> {
    let keys: Vec<MessageKey> = messages.iter().map(|worded| worded.message.key).collect();
    let mut refused = Vec::new();
    for (Worded { message, words }, id) in messages.iter().zip(read::ids(connection, &keys)?) {
        match id {
            Some(id) => words::put(connection, index, id, words, signed(message.revision.0))?,
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
    let index = words::named(connection, None)?;
    let (app, chat, number) = read::place(after);
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

fn create(connection: &mut SqliteConnection) -> Outcome<String> {
    connection.immediate_transaction(|connection| {
        let names: Vec<String> = search_indexes::table
            .select(search_indexes::name)
            .load(connection)?;
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_prefix(NAME)?.parse::<u64>().ok());
        let name = format!("{NAME}{}", numbers.max().unwrap_or(0) + 1);
        // As in the first migration.
        sql_query(format!(
            "CREATE VIRTUAL TABLE {name} USING fts5 (words, revision UNINDEXED, content = '', \
             contentless_delete = 1, contentless_unindexed = 1, tokenize = 'ascii')"
        ))
        .execute(connection)?;
        let role = words::current(connection)?.is_none().then_some("current");
        diesel::insert_into(search_indexes::table)
            .values((
                search_indexes::name.eq(&name),
                search_indexes::role.eq(role),
            ))
            .execute(connection)?;
        Ok(name)
    })
}

fn swap(connection: &mut SqliteConnection, name: &str) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        let name = words::named(connection, Some(name))?;
        let others: Vec<String> = search_indexes::table
            .filter(search_indexes::name.ne(&name))
            .select(search_indexes::name)
            .load(connection)?;
        for other in &others {
            sql_query(format!("DROP TABLE {other}")).execute(connection)?;
            diesel::delete(search_indexes::table.find(other)).execute(connection)?;
        }
        diesel::update(search_indexes::table.find(&name))
            .set(search_indexes::role.eq("current"))
            .execute(connection)?;
        Ok(())
    })
}
