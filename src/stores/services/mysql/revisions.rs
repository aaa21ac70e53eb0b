//! Revisions of changes that need no job.
//!
//! Readers of changes must not pass such a revision before it is stored. The transaction of the change holds the row of the
//! current part of the history from before the revision is given out until it commits, and readers wait for that row after
//! they asked the queue for the last revision.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{pool::Connection, rows::signed, schema::history, store::hold_epoch};
use crate::{
    domain::Revision,
    stores::{Error, Result},
};

/// Gives out the next revision of an epoch.
pub trait Revisions: Fn() -> Self::Next + Send + Sync {
    /// Future of the revision.
    type Next: Future<Output = Result<Revision>> + Send;
}

impl<F, N> Revisions for F
where
    F: Fn() -> N + Send + Sync,
    N: Future<Output = Result<Revision>> + Send,
{
    type Next = N;
}

/// Takes a revision, as the first step of a transaction. On an error nothing was written.
pub(super) async fn take_revision(
    connection: &mut Connection,
    epoch: u64,
    revisions: &impl Revisions,
) -> QueryResult<Result<Revision>> {
    let over = || Error::Fenced("the queue began a new epoch".into());
    if !hold_epoch(connection, epoch).await? {
        return Ok(Err(over()));
    }
    let part = history::table.find(signed(epoch)).select(history::mark);
    part.for_update().first::<i64>(connection).await?;
    Ok(revisions().await)
}
