//! Discarding dead letters.

use super::{
    Services,
    redis::{EncodedWrite, Limits},
};
use crate::{
    domain::{Action, Condition, Kind, Revision, Target, Write},
    stores::{Enqueued, Error, JobState, Result, merge, payload::Head},
};

impl Services {
    /// Discards a dead letter. What a creation would have created is deleted first, so that its number and idempotency key
    /// stay in use. Readers saw the text of an update: another update, with the text before, is accepted first.
    pub(crate) async fn discard(&self, id: Revision) -> Result<bool> {
        let job = self.redis.job(id).await?;
        let Some(job) = job.filter(|job| job.state == JobState::Dead) else {
            return Ok(false);
        };
        let head = Head::read(&job.payload.unwrap_or_default());
        let write = match Kind::from_name(&head.kind).zip(head.written()) {
            Some((kind, target)) => match kind.action() {
                Action::Delete => return Ok(false),
                Action::Create => Write::deletion_of(kind, target),
                Action::Update => self.update_back(target, id).await?,
            },
            None => None,
        };
        if let Some(write) = write {
            let encoded = EncodedWrite::new(&write, None);
            // A dead letter must be discardable also when there are too many.
            match self.settle(encoded, Limits::None).await? {
                Enqueued::Accepted { .. } => self.wakeups.enqueued(write.kind),
                // It is deleted already, or its application or chat is; or there is a newer update.
                Enqueued::Missing | Enqueued::Changed => {}
                other => {
                    return Err(Error::Failed {
                        store: "Redis",
                        detail: format!("discarding {id} ended with {other:?}"),
                    });
                }
            }
        }
        self.redis.discard(id).await
    }

    /// The update that gives a message the text that it had before the update `id`, if that is its newest version.
    async fn update_back(&self, target: Target, id: Revision) -> Result<Option<Write>> {
        let key = target.message();
        let queued = self.redis.write_before(key, id).await?;
        let before = merge::one(queued, self.mysql.message(key).await?);
        let newest = Condition::AnyOf([id].into_iter().collect());
        Ok(before
            .filter(|before| before.deleted_at.is_none())
            .map(|before| Write::rewrite_message(&before).with_condition(Some(newest))))
    }
}
