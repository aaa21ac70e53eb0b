//! Applications that have chats and no row, and chats that have messages and none.

use chrono::NaiveDateTime;
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text, Timestamp},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    pool::Connection,
    recount::RECOUNT,
    revisions::{Revisions, epoch_is_over, take_revision},
    rows::{app_id, unsigned},
    store::{Origin, hold_epoch, insert_chats},
};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, LOST_USERNAME, Revision},
    stores::{
        Error, Result, ScanPage,
        call::{Call, call},
    },
};

/// An application as its chats know it, or a chat as its messages do: with the first of them.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    app: String,
    /// Chat number; 0 for an application.
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Bool)]
    orphaned: bool,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Timestamp)]
    created_at: NaiveDateTime,
}

impl Row {
    fn application(&self) -> Result<Application> {
        Ok(Application {
            id: app_id(&self.app)?,
            username: LOST_USERNAME.to_owned(),
            revision: Revision(unsigned(self.revision)),
            created_at: self.created_at.and_utc(),
            deleted_at: None,
        })
    }

    fn chat(&self) -> Result<Chat> {
        Ok(Chat {
            key: ChatKey {
                app: app_id(&self.app)?,
                number: unsigned(self.number),
            },
            messages_count: None,
            deleted_up_to: 0,
            revision: Revision(unsigned(self.revision)),
            created_at: self.created_at.and_utc(),
            deleted_at: None,
        })
    }
}

impl Mysql {
    /// Scans up to `limit` applications after `after` that have chats. Returns those without a row, with the creation
    /// time of their first chat and [`LOST_USERNAME`].
    pub async fn orphaned_applications(
        &self,
        after: Option<AppId>,
        limit: usize,
    ) -> Result<ScanPage<AppId, Application>> {
        let after = after.map_or_else(|| "TRUE".to_owned(), |id| format!("app > '{id}'"));
        // Revision 0 is older than any creation that may still be stored.
        let query = format!(
            "SELECT d.app, 0 AS number, a.id IS NULL AS orphaned, 0 AS revision, c.created_at \
             FROM (SELECT DISTINCT app FROM chats WHERE {after} ORDER BY app LIMIT {limit}) d \
             JOIN chats c ON c.app = d.app AND c.number = \
             (SELECT MIN(f.number) FROM chats f WHERE f.app = d.app) \
             LEFT JOIN applications a ON a.id = d.app ORDER BY d.app"
        );
        let call = call!("records", "orphaned_applications");
        self.find_orphans(call, query, limit, Row::application, |application| {
            application.id
        })
        .await
    }

    /// Scans up to `limit` chats after `after` that have messages. Returns those without a row, as old as their first
    /// message. Chats of a deleted application are left out: its erasure removes their messages.
    pub async fn orphaned_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<ScanPage<ChatKey, Chat>> {
        let after = after.map_or_else(
            || "TRUE".to_owned(),
            |ChatKey { app, number }| {
                format!("(app > '{app}' OR app = '{app}' AND chat > {number})")
            },
        );
        let query = format!(
            "SELECT d.app, d.chat AS number, c.number IS NULL AND a.deleted_at IS NULL AS orphaned, m.revision, m.created_at \
             FROM (SELECT DISTINCT app, chat FROM messages WHERE {after} ORDER BY app, chat LIMIT {limit}) d \
             JOIN messages m ON m.app = d.app AND m.chat = d.chat AND m.number = \
             (SELECT MIN(f.number) FROM messages f WHERE f.app = d.app AND f.chat = d.chat) \
             LEFT JOIN chats c ON c.app = d.app AND c.number = d.chat LEFT JOIN applications a ON a.id = d.app \
             ORDER BY d.app, d.chat"
        );
        let call = call!("records", "orphaned_chats");
        self.find_orphans(call, query, limit, Row::chat, |chat| chat.key)
            .await
    }

    async fn find_orphans<K, T>(
        &self,
        call: &Call,
        query: String,
        limit: usize,
        read: fn(&Row) -> Result<T>,
        key: fn(T) -> K,
    ) -> Result<ScanPage<K, T>> {
        let find =
            async |connection: &mut Connection| sql_query(&query).load::<Row>(connection).await;
        let rows = self.pool.read_within(RECOUNT, call, find).await?;
        let last = rows.last().map(read).transpose()?;
        let orphaned = rows.iter().filter(|row| row.orphaned);
        Ok(ScanPage {
            scanned: rows.len(),
            last: last.filter(|_| rows.len() == limit).map(key),
            findings: orphaned.map(read).collect::<Result<_>>()?,
        })
    }

    /// Creates the missing rows of applications. A creation that is stored later replaces them.
    pub async fn adopt_applications(&self, applications: &[Application]) -> Result<()> {
        if applications.is_empty() {
            return Ok(());
        }
        let adopt = async {
            let epoch = self.epoch().await?;
            for one in applications.chunks(1) {
                let adopted = self.insert_applications(epoch, one, Origin::Adoption).await;
                or_log_rejection(adopted)?;
            }
            Ok(())
        };
        call!("records", "adopt_applications").timed(adopt).await
    }

    /// Creates the missing row of a chat, with a new revision, unless its application is deleted.
    pub async fn adopt_chat(
        &self,
        chat: &Chat,
        epoch: u64,
        revisions: impl Revisions,
    ) -> Result<()> {
        let adopt = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(Err(epoch_is_over()));
            }
            let revision = match take_revision(connection, epoch, &revisions).await? {
                Ok(revision) => revision,
                Err(error) => return Ok(Err(error)),
            };
            let chat = Chat {
                revision,
                ..chat.clone()
            };
            insert_chats(connection, &[&chat], &[], Origin::Adoption).await?;
            Ok(Ok(()))
        };
        let adopt = self.pool.transaction(adopt);
        let adopted = call!("records", "adopt_chats").timed(adopt).await;
        or_log_rejection(adopted.flatten())
    }
}

/// Logs the rejection of a row, which must not stop the others.
fn or_log_rejection(adopted: Result<()>) -> Result<()> {
    match adopted {
        Err(error @ Error::Rejected { .. }) => {
            tracing::error!(%error, "Failed to create a missing row; it is missing until MySQL accepts it");
            Ok(())
        }
        adopted => adopted,
    }
}
