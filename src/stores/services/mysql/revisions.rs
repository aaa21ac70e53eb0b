//! Revisions of changes that need no job.
//!
//! Readers of changes must not pass such a revision before it is stored. The transaction of the change holds the row of the
//! current part of the history from before the revision is given out until it commits, and readers wait for that row after
//! they asked the queue for the last revision.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{pool::Connection, rows::signed, schema::history};
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

/// The error of a transaction that could not hold its epoch.
pub(super) fn epoch_is_over() -> Error {
    Error::Fenced("the queue began a new epoch".into())
}

/// Takes a revision in a transaction that holds the epoch. Rows that may be busy must be locked before, because all readers of
/// changes wait from here until the transaction ends.
pub(super) async fn take_revision(
    connection: &mut Connection,
    epoch: u64,
    revisions: &impl Revisions,
) -> QueryResult<Result<Revision>> {
    let part = history::table.find(signed(epoch)).select(history::mark);
    part.for_update().first::<i64>(connection).await?;
    Ok(revisions().await)
}
