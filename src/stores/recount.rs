//! Results of a recount, for both databases.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};

use super::{ScanPage, WrongCount};
use crate::domain::{AppId, ChatKey};

/// Stored and actual count of an application or chat.
#[derive(QueryableByName)]
pub struct Recount {
    /// The application.
    #[diesel(sql_type = Text)]
    pub app: String,
    /// The chat; 0 for the application itself.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    /// Stored count, plus deltas that are not applied yet.
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
    /// Number of rows.
    #[diesel(sql_type = BigInt)]
    pub counted: i64,
}

impl Recount {
    /// Tells whether the count is wrong.
    pub fn is_wrong(&self) -> bool {
        self.kept != self.counted
    }

    fn chat(&self) -> Option<ChatKey> {
        Some(ChatKey {
            app: AppId::parse(&self.app)?,
            number: u64::try_from(self.number).ok()?,
        })
    }
}

/// Makes a step of a scan of applications, of at most `limit` rows.
pub fn applications(rows: &[Recount], limit: usize) -> ScanPage<AppId, WrongCount> {
    let last = rows.last().and_then(|row| AppId::parse(&row.app));
    checked(rows, limit, last, |row| row.app.clone())
}

/// Makes a step of a scan of chats, of at most `limit` rows.
pub fn chats(rows: &[Recount], limit: usize) -> ScanPage<ChatKey, WrongCount> {
    let last = rows.last().and_then(Recount::chat);
    checked(rows, limit, last, |row| {
        format!("{}:{}", row.app, row.number)
    })
}

fn checked<K>(
    rows: &[Recount],
    limit: usize,
    last: Option<K>,
    key: impl Fn(&Recount) -> String,
) -> ScanPage<K, WrongCount> {
    let wrong = rows.iter().filter(|row| row.is_wrong());
    ScanPage {
        scanned: rows.len(),
        last: last.filter(|_| rows.len() == limit),
        findings: wrong
            .map(|row| WrongCount {
                key: key(row),
                stored: row.kept,
                counted: row.counted,
            })
            .collect(),
    }
}
