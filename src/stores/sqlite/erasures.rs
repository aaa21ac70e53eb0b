//! Rows of erasures: what a step needs of them, and the list.

use diesel::{dsl::exists, prelude::*};

use super::{
    Embedded,
    error::Outcome,
    rows::{app_id, signed, unsigned},
    schema::erasures,
};
use crate::{
    domain::time::from_millis,
    stores::{Erasure, Result, call::call},
};

/// A row of `erasures`, without what only its steps need.
#[derive(Queryable)]
struct ErasureRow {
    id: i64,
    app: String,
    chat: i64,
    user: Option<String>,
    erased: i64,
    requested_at: i64,
    finished_at: Option<i64>,
}

impl ErasureRow {
    fn read(self) -> Outcome<Erasure> {
        Ok(Erasure {
            id: unsigned(self.id),
            app: app_id(&self.app)?,
            chat: Some(unsigned(self.chat)).filter(|chat| *chat > 0),
            user: self.user,
            erased: unsigned(self.erased),
            requested_at: from_millis(self.requested_at),
            finished_at: self.finished_at.map(from_millis),
        })
    }
}

/// An unfinished erasure.
#[derive(Queryable)]
pub(super) struct Unfinished {
    pub id: i64,
    pub app: String,
    /// 0: the whole application.
    pub chat: i64,
    /// Only messages of this sender.
    pub user: Option<String>,
    /// Messages accepted until then.
    pub until_revision: i64,
    pub requested_at: i64,
    /// Where it continues.
    pub position: String,
}

/// What one step did.
pub(super) struct Progress {
    /// Number of erased messages.
    pub erased: usize,
    /// Where the next step continues; `None` at the end.
    pub position: Option<String>,
}

impl Progress {
    /// A step that erased nothing.
    pub fn to(position: impl Into<String>) -> Self {
        Self {
            erased: 0,
            position: Some(position.into()),
        }
    }
}

impl Embedded {
    pub(crate) async fn is_erasure_finished(&self, id: u64) -> Result<bool> {
        let read = move |connection: &mut SqliteConnection| {
            let unfinished = erasures::table
                .find(signed(id))
                .filter(erasures::finished_at.is_null());
            let unfinished: bool = diesel::select(exists(unfinished)).get_result(connection)?;
            Ok(!unfinished)
        };
        self.scans.run(call!("records", "erasure"), read).await
    }

    pub(crate) async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        let read = move |connection: &mut SqliteConnection| {
            let columns = (
                erasures::id,
                erasures::app,
                erasures::chat,
                erasures::user,
                erasures::erased,
                erasures::requested_at,
                erasures::finished_at,
            );
            let unfinished = erasures::table
                .filter(erasures::finished_at.is_null())
                .order(erasures::id)
                .limit(signed(limit as u64))
                .select(columns);
            let mut rows: Vec<ErasureRow> = unfinished.load(connection)?;
            let finished = erasures::table
                .filter(erasures::finished_at.is_not_null())
                .order((erasures::finished_at.desc(), erasures::id.desc()))
                .limit(signed((limit - rows.len()) as u64))
                .select(columns);
            rows.extend(finished.load::<ErasureRow>(connection)?);
            rows.into_iter().map(ErasureRow::read).collect()
        };
        self.scans.run(call!("records", "erasures"), read).await
    }
}
