//! The list of applications.

use diesel::{sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    pool::Connection,
    rows::{ApplicationRow, signed},
};
use crate::{
    domain::{
        Revision,
        application::{ApplicationsPage, ListedApplication, Position},
    },
    stores::{Result, call::call},
};

impl Mysql {
    /// The stored applications of a page, deleted ones too, without those that were accepted after `last`.
    pub async fn applications(
        &self,
        page: &ApplicationsPage,
        last: Revision,
    ) -> Result<Vec<ListedApplication>> {
        let mut conditions = vec!["revision <= ?".to_owned()];
        conditions.extend(page.after.map(|after| beyond(after, '>')));
        conditions.extend(page.before.map(|before| beyond(before, '<')));
        let order = if page.from_the_end() { "DESC" } else { "ASC" };
        let query = format!(
            "SELECT id, user_name AS username, chats_count, revision, created_at, deleted_at FROM applications WHERE {} \
             ORDER BY revision {order}, id {order} LIMIT {}",
            conditions.join(" AND "),
            page.limit
        );
        let read = async |connection: &mut Connection| {
            let query = sql_query(&query).bind::<BigInt, _>(signed(last.0));
            query.load::<ApplicationRow>(connection).await
        };
        let rows = self.pool.read(call!("records", "applications"), read);
        let rows = rows.await?.into_iter().map(|row| {
            let (application, chats) = row.read()?;
            Ok(ListedApplication { application, chats })
        });
        rows.collect()
    }
}

/// Condition of places beyond this one, spelt out, because MySQL uses the index for this and not for `(revision, id) > (…)`.
fn beyond(Position { revision, id }: Position, sign: char) -> String {
    let revision = signed(revision.0);
    format!("(revision {sign} {revision} OR revision = {revision} AND id {sign} '{id}')")
}
