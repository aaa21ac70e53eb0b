//! Rows of an application in the order of their revisions, and the parts of the history.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Nullable},
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
    /// Mark of the epoch; `None` if it is not in the history.
    pub mark: Option<HistoryMark>,
    /// The cursor's epoch, and the part of the history that it is; `None` if it is not in the history.
    pub part: Option<(u64, HistoryPart)>,
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
struct MarkRow {
    #[diesel(sql_type = BigInt)]
    mark: i64,
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    kept: Option<i64>,
    #[diesel(sql_type = Bool)]
    continues: bool,
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
        // Waits for the changes that take a revision without a job: see `revisions`.
        let current = format!("SELECT mark FROM history WHERE epoch = {epoch} FOR SHARE");
        let part = cursor.map(|cursor| {
            format!(
                "SELECT own.epoch, (SELECT start FROM history WHERE epoch > own.epoch AND epoch <= {epoch} \
                 ORDER BY epoch LIMIT 1) AS kept, NOT EXISTS (SELECT 1 FROM history WHERE epoch > own.epoch \
                 AND epoch <= {epoch} AND NOT continues) AS continues FROM history own WHERE own.mark = {}",
                signed(cursor.mark.0)
            )
        });
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
            let current = sql_query(&current).get_result::<MarkRow>(connection);
            let current = current.await.optional()?;
            let part = match &part {
                Some(part) => {
                    let part = sql_query(part).get_result::<PartRow>(connection);
                    part.await.optional()?
                }
                None => None,
            };
            let messages: Vec<EntryRow> = sql_query(&messages).load(connection).await?;
            let chats: Vec<EntryRow> = sql_query(&chats).load(connection).await?;
            Ok((current, part, messages, chats))
        };
        let read = self.pool.read(call!("records", "changes"), read);
        let (current, part, messages, chats) = read.await?;
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
            mark: current.map(|row| HistoryMark(unsigned(row.mark))),
            part: part.map(|row| {
                let part = HistoryPart {
                    kept: row.kept.map(|start| Revision(unsigned(start))),
                    continues: row.continues,
                };
                (unsigned(row.epoch), part)
            }),
            rows: [entries(messages), entries(chats)],
        })
    }
}
