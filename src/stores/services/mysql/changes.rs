//! Rows of an application in the order of their revisions, and the parts of the history.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    pool::Connection,
    rows::{signed, unsigned},
};
use crate::{
    domain::{AppId, Cursor, HistoryMark, HistoryPart, Revision, Target},
    stores::{
        Result,
        call::call,
        changes::{EXAMINED, Entries},
    },
};

/// What MySQL holds of an application's changes.
pub struct StoredChanges {
    /// Part of the history that the epoch is; `None` if it is not known.
    pub current: Option<HistoryPart>,
    /// The part of the cursor and all later ones, up to the epoch.
    pub parts: Vec<HistoryPart>,
    /// Rows of messages, and of chats.
    pub rows: [Entries; 2],
}

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = BigInt)]
    mark: i64,
    #[diesel(sql_type = BigInt)]
    start: i64,
    #[diesel(sql_type = Bool)]
    continues: bool,
}

impl PartRow {
    fn read(self) -> HistoryPart {
        HistoryPart {
            mark: HistoryMark(unsigned(self.mark)),
            start: Revision(unsigned(self.start)),
            continues: self.continues,
        }
    }
}

impl Mysql {
    /// Reads the rows of an application whose revisions are above `after` and not above `last`, and the history of the cursor.
    pub async fn changes(
        &self,
        app: AppId,
        cursor: Option<&Cursor>,
        after: Revision,
        last: Revision,
    ) -> Result<StoredChanges> {
        let epoch = last.epoch();
        let mark = cursor.map(|cursor| signed(cursor.mark.0));
        let from = match mark {
            Some(mark) => format!("(SELECT own.epoch FROM history own WHERE own.mark = {mark})"),
            None => epoch.to_string(),
        };
        let parts = format!(
            "SELECT mark, start, continues FROM history WHERE epoch >= {from} AND epoch <= {epoch} ORDER BY epoch"
        );
        // Waits for the changes that take a revision without a job: see `restamp`.
        let current =
            format!("SELECT mark, start, continues FROM history WHERE epoch = {epoch} FOR SHARE");
        let rows = |columns: &str, table: &str| {
            format!(
                "SELECT revision, {columns} FROM {table} WHERE app = '{app}' AND revision > {} AND revision <= {} \
                 ORDER BY revision LIMIT {EXAMINED}",
                after.0, last.0
            )
        };
        let (messages, chats) = (
            rows("chat, number", "messages"),
            rows("0 AS chat, number", "chats"),
        );
        let read = async |connection: &mut Connection| {
            let current: Option<PartRow> = sql_query(&current)
                .get_result(connection)
                .await
                .optional()?;
            let parts: Vec<PartRow> = sql_query(&parts).load(connection).await?;
            let messages: Vec<EntryRow> = sql_query(&messages).load(connection).await?;
            let chats: Vec<EntryRow> = sql_query(&chats).load(connection).await?;
            Ok((current, parts, messages, chats))
        };
        let read = self.pool.read(call!("records", "changes"), read);
        let (current, parts, messages, chats) = read.await?;
        let entry = |row: EntryRow| {
            let (chat, number) = (unsigned(row.chat), unsigned(row.number));
            (
                Revision(unsigned(row.revision)),
                Target { app, chat, number },
            )
        };
        let entries =
            |rows: Vec<EntryRow>| Entries::limited(rows.into_iter().map(entry).collect(), EXAMINED);
        Ok(StoredChanges {
            current: current.map(PartRow::read),
            parts: parts.into_iter().map(PartRow::read).collect(),
            rows: [entries(messages), entries(chats)],
        })
    }
}
