//! Probe of the queue, by a write.

use diesel::prelude::*;

use super::{
    Embedded, QueueSettings,
    enqueue::Transaction,
    error::Outcome,
    new_job::NewJob,
    schema::{app_numbers, jobs},
};
use crate::{
    domain::{AppId, Write},
    stores::{Enqueued, Result, call::call},
};

impl Embedded {
    /// Accepts a write and removes it in the same transaction. So it waits for the same locks as any other, and its commit
    /// needs the same space on the disk. No number or revision is given out.
    pub async fn probe_queue(&self) -> Result<()> {
        let queue = self.queue;
        let check = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| probe(connection, &queue))
        };
        self.writer.run(call!("queue", "ping"), check).await
    }
}

fn probe(connection: &mut SqliteConnection, queue: &QueueSettings) -> Outcome<()> {
    let write = NewJob::new(&Write::create_application(AppId::random(), "probe"), None);
    let mut transaction = Transaction::open(connection, queue)?;
    if let Enqueued::Accepted { .. } = transaction.enqueue(connection, &write)? {
        diesel::delete(jobs::table.find(transaction.revision)).execute(connection)?;
        diesel::delete(app_numbers::table.find(&write.app)).execute(connection)?;
    }
    Ok(())
}
