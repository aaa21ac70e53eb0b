//! Recounting. Counts change in the transaction that stores what they count, so none is ever waiting to be added.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{Embedded, error::Outcome, rows::signed};
use crate::{
    domain::{AppId, ChatKey},
    stores::{
        Result, ScanPage, WrongCount,
        call::{Call, call},
        recount::{self, Recount},
    },
};

const CHATS: &str = "SELECT o.id AS app, 0 AS number, o.chats_count AS kept, \
                     (SELECT COUNT(*) FROM chats c WHERE c.app = o.id AND c.deleted_at IS NULL) AS counted \
                     FROM applications o WHERE o.id > ?1 AND ?2 = 0 AND o.deleted_at IS NULL ORDER BY o.id LIMIT ?3";

const MESSAGES: &str = "SELECT o.app, o.number, COALESCE(o.messages_count, 0) AS kept, \
                        (SELECT COUNT(*) FROM messages m WHERE m.id > n.id << 32 AND m.id < (n.id + 1) << 32 \
                        AND m.deleted_at IS NULL) AS counted FROM chats o LEFT JOIN chat_numbers n ON n.app = o.app AND n.number = o.number \
                        WHERE (o.app, o.number) > (?1, ?2) AND o.deleted_at IS NULL \
                        AND NOT EXISTS (SELECT 1 FROM app_numbers a WHERE a.app = o.app AND a.deleted) ORDER BY o.app, o.number LIMIT ?3";

/// Counts again, because rows may have changed since they were read.
const CORRECT_CHATS: &str = "UPDATE applications SET chats_count = \
                             (SELECT COUNT(*) FROM chats c WHERE c.app = applications.id AND c.deleted_at IS NULL) \
                             WHERE id = ?1 AND ?2 = 0 AND deleted_at IS NULL";

const CORRECT_MESSAGES: &str = "UPDATE chats SET messages_count = (SELECT NULLIF(COUNT(*), 0) FROM messages m \
                                JOIN chat_numbers n ON m.id > n.id << 32 AND m.id < (n.id + 1) << 32 \
                                WHERE n.app = chats.app AND n.number = chats.number AND m.deleted_at IS NULL) \
                                WHERE app = ?1 AND number = ?2 AND deleted_at IS NULL";

impl Embedded {
    pub(crate) async fn recount_chats(
        &self,
        after: Option<AppId>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<AppId, WrongCount>> {
        let after = (after.map(|id| id.to_string()).unwrap_or_default(), 0);
        let rows = self
            .recount(
                call!("records", "check_chats_counts"),
                CHATS,
                after,
                limit,
                fix.then_some(CORRECT_CHATS),
            )
            .await?;
        Ok(recount::applications(&rows, limit))
    }

    pub(crate) async fn recount_messages(
        &self,
        after: Option<ChatKey>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<ChatKey, WrongCount>> {
        let after = after.map(|key| (key.app.to_string(), signed(key.number)));
        let after = after.unwrap_or_default();
        let correct = fix.then_some(CORRECT_MESSAGES);
        let rows = self
            .recount(
                call!("records", "check_messages_counts"),
                MESSAGES,
                after,
                limit,
                correct,
            )
            .await?;
        Ok(recount::chats(&rows, limit))
    }

    /// Reads counts and rows in one statement, from one snapshot. Only corrections use the writer.
    async fn recount(
        &self,
        call: &Call,
        query: &'static str,
        after: (String, i64),
        limit: usize,
        correct: Option<&'static str>,
    ) -> Result<Vec<Recount>> {
        let count = move |connection: &mut SqliteConnection| -> Outcome<Vec<Recount>> {
            let query = sql_query(query)
                .bind::<Text, _>(after.0)
                .bind::<BigInt, _>(after.1)
                .bind::<BigInt, _>(signed(limit as u64));
            Ok(query.load(connection)?)
        };
        let rows = self.scans.run(call, count).await?;
        if let Some(correct) = correct {
            for row in rows.iter().filter(|row| row.is_wrong()) {
                let (app, number) = (row.app.clone(), row.number);
                let correct = move |connection: &mut SqliteConnection| -> Outcome<usize> {
                    let correct = sql_query(correct)
                        .bind::<Text, _>(app)
                        .bind::<BigInt, _>(number);
                    Ok(correct.execute(connection)?)
                };
                self.writer.run(call, correct).await?;
            }
        }
        Ok(rows)
    }
}
