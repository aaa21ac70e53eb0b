//! ID of the installation, by which it knows its search indices.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{Mysql, pool::Connection};
use crate::stores::{Result, call::call};

/// An installation: the processes that share this database.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Installation {
    /// 32 hexadecimal digits.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Tells whether indices that older programs made without a mark have been adopted.
    #[diesel(sql_type = Bool)]
    pub indices_adopted: bool,
}

impl Mysql {
    /// Returns this installation; the first call gives it its ID.
    pub async fn installation(&self) -> Result<Installation> {
        let name = format!("{:032x}", rand::random::<u128>());
        let read = async |connection: &mut Connection| {
            // The first of several processes wins.
            sql_query("INSERT IGNORE INTO installation (id, name) VALUES (1, ?)")
                .bind::<Text, _>(&name)
                .execute(connection)
                .await?;
            sql_query("SELECT name, indices_adopted FROM installation WHERE id = 1")
                .get_result(connection)
                .await
        };
        let read = self.pool.write(read);
        call!("records", "installation").timed(read).await
    }

    /// Records that the indices of older programs have been adopted.
    pub async fn end_adoption(&self) -> Result<()> {
        let write = async |connection: &mut Connection| {
            sql_query("UPDATE installation SET indices_adopted = TRUE")
                .execute(connection)
                .await
        };
        let write = self.pool.write(write);
        call!("records", "end_adoption")
            .timed(write)
            .await
            .map(drop)
    }
}
