//! Look-ups of idempotency keys.

use std::collections::HashMap;

use diesel::{
    mysql,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Binary, Nullable},
};
use diesel_async::RunQueryDsl;

use super::{Mysql, pool::Connection, rows::unsigned};
use crate::{
    domain::{Hash, Number},
    stores::{Error, Result, call::call},
};

/// Chat or message that was created with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCreation {
    /// The number of the chat or message.
    pub number: Number,
    /// Hash of the body; `None` if what was created is deleted.
    pub body: Option<Hash>,
}

impl Mysql {
    /// Looks up what was created with the idempotency keys of these IDs. A key that is not stored has no entry in the result.
    pub async fn creations(&self, keys: &[Hash]) -> Result<HashMap<Hash, StoredCreation>> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let query = CreationsQuery::new(keys);
        let read =
            async |connection: &mut Connection| query.clone().load::<CreationRow>(connection).await;
        let rows = self.pool.read(call!("records", "creations"), read);
        let rows = rows.await?.into_iter().map(|row| {
            let creation = StoredCreation {
                number: unsigned(row.number),
                body: row.body.map(hash).transpose()?,
            };
            Ok((hash(row.id)?, creation))
        });
        rows.collect()
    }
}

fn hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map(Hash).map_err(|_| Error::Failed {
        store: "MySQL",
        detail: "a hash in idempotency_keys has another length".to_owned(),
    })
}

#[derive(Queryable)]
struct CreationRow {
    id: Vec<u8>,
    number: i64,
    body: Option<Vec<u8>>,
}

/// The query for some keys. The last one is repeated until their number is a power of two, so that a connection prepares only a
/// few statements, and keeps them.
#[derive(Clone)]
struct CreationsQuery(Vec<[u8; Hash::BYTES]>);

impl CreationsQuery {
    fn new(keys: &[Hash]) -> Self {
        let last = keys.last().into_iter().cycle();
        let padded = keys.iter().chain(last).take(keys.len().next_power_of_two());
        Self(padded.map(|key| key.0).collect())
    }
}

impl QueryFragment<mysql::Mysql> for CreationsQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, mysql::Mysql>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, number, IF(number <= COALESCE((SELECT c.deleted_up_to FROM chats c \
             WHERE c.app = idempotency_keys.app AND c.number = idempotency_keys.chat), 0), NULL, body) \
             FROM idempotency_keys WHERE id IN (",
        );
        for (position, id) in self.0.iter().enumerate() {
            if position > 0 {
                out.push_sql(",");
            }
            out.push_bind_param::<Binary, _>(id)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

impl Query for CreationsQuery {
    type SqlType = (Binary, BigInt, Nullable<Binary>);
}

/// Its text depends on the number of keys.
impl QueryId for CreationsQuery {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}
