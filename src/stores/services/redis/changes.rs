//! Writes of an application that are not stored yet, in their order.

use super::{
    CounterKey, Queued, Redis, Stamp, connection::ConnectionClass, failed, pending::read_status,
    read_id, read_number, scripts::ScriptCall,
};
use crate::{
    domain::{AppId, Revision, Target},
    stores::{
        Error, Result,
        call::call,
        changes::{EXAMINED, Entries},
    },
};

/// What Redis holds of an application's changes.
pub struct QueuedChanges {
    /// The last revision given out, which names the epoch.
    pub last: Revision,
    /// The writes.
    pub writes: Entries,
}

impl Redis {
    /// The last revision of each of these applications, in their order; 0 if it is not known.
    pub(crate) async fn last_revisions(&self, apps: &[AppId]) -> Result<Vec<Revision>> {
        let mut command = ScriptCall::new(|scripts| &scripts.last_revisions);
        for app in apps {
            command.arg(app.to_string());
        }
        let call = call!("queue", "last_revisions");
        let last = self.call(call, ConnectionClass::Shared, &command).await?;
        let read = |id: &String| Revision::parse(id).unwrap_or(Revision(0));
        Ok(last.iter().map(read).collect())
    }

    /// The current epoch.
    pub async fn epoch(&self) -> Result<u64> {
        Ok(self.scripts().await?.epoch)
    }

    /// Gives out a revision for a change of an application that needs no job. It never begins an epoch, because the caller may hold locks for
    /// which a new epoch would wait.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the epoch is over.
    pub async fn next_revision(&self, app: AppId, epoch: u64) -> Result<Revision> {
        let scripts = self.known_scripts().filter(|known| known.epoch == epoch);
        let scripts = scripts.ok_or_else(epoch_is_over)?;
        let mut command = ScriptCall::new(|scripts| &scripts.revision);
        command.arg(app.to_string());
        let response = self.eval(ConnectionClass::Shared, &command, &scripts);
        let response = call!("queue", "next_revision").timed(response).await?;
        match response.ok_or_else(epoch_is_over)?.as_slice() {
            [status, revision] if status == "ok" => read_id(revision),
            other => Err(failed(format!("a revision is {other:?}"))),
        }
    }

    /// Reads the writes of an application after a revision that are not stored yet.
    pub async fn queued_changes(
        &self,
        app: AppId,
        after: Revision,
    ) -> Result<Queued<QueuedChanges>> {
        let mut command = ScriptCall::new(|scripts| &scripts.changes);
        command
            .arg(app.to_string())
            .arg(after.to_string())
            .arg(EXAMINED);
        let response = self.run(ConnectionClass::Shared, &command);
        let response = call!("queue", "changes").timed(response).await?;
        let (status, stamp, last, writes) = match &response[..] {
            [status, epoch, at, last, writes @ ..] => {
                (status, Stamp::read(epoch, at), last, writes)
            }
            [missing] if missing == "missing" => return Ok(Queued::ParentDeleted),
            _ => return Err(failed("reading changes returned no epoch")),
        };
        let entry = |write: &[String]| {
            let (chat, number) = (read_number(&write[1])?, read_number(&write[2])?);
            Ok((read_id(&write[0])?, Target { app, chat, number }))
        };
        let entries = writes.chunks_exact(3).map(entry).collect::<Result<_>>()?;
        let changes = QueuedChanges {
            last: read_id(last)?,
            writes: Entries::limited(entries, EXAMINED),
        };
        read_status(status, CounterKey::Chats(app), stamp, changes)
    }
}

fn epoch_is_over() -> Error {
    Error::Fenced("the queue began a new epoch".into())
}
