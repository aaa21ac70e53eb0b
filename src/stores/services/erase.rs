//! Erasing the content of deleted chats and applications, and the messages of a sender.
//!
//! A step first empties the documents of some messages, then removes their rows. A rebuild and the index worker read no
//! content of deleted messages, so an index that is not known here gets none from them.

use super::{
    Services,
    mysql::UnfinishedErasure,
    redis::{ErasedJobs, JobScan},
};
use crate::{
    domain::{AppId, Kind, MessageKey, Write},
    failpoints,
    stores::{Enqueued, Erasure, Result},
};

/// Position of an erasure, as its row keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// At the beginning.
    Start,
    /// In the queue.
    Queue(JobScan),
    /// In the rows of messages, after this one.
    Rows(Option<MessageKey>),
    /// In the other rows of a chat or application.
    Rest,
}

impl Position {
    /// Reads what [`Self::write`] writes. An erasure whose position cannot be read begins again, which is harmless.
    fn read(text: &str) -> Self {
        let (phase, detail) = text.split_once(' ').unwrap_or((text, ""));
        match phase {
            "queue" => JobScan::parse(detail).map_or(Self::Start, Self::Queue),
            "rows" => Self::Rows(MessageKey::parse(detail)),
            "rest" => Self::Rest,
            _ => Self::Start,
        }
    }

    fn write(self) -> String {
        match self {
            Self::Start => String::new(),
            Self::Queue(scan) => format!("queue {scan}"),
            Self::Rows(None) => "rows".into(),
            Self::Rows(Some(after)) => format!("rows {after}"),
            Self::Rest => "rest".into(),
        }
    }
}

impl Services {
    pub(crate) async fn erase_sender(&self, app: AppId, user: &str) -> Result<u64> {
        let (until, now) = self.redis.last_accepted().await?;
        self.mysql.request_erasure(app, user, until, now).await
    }

    pub(crate) async fn erase_step(&self, limit: usize) -> Result<bool> {
        let Some(unfinished) = self.mysql.unfinished_erasure().await? else {
            return Ok(false);
        };
        match unfinished.erasure.user.clone() {
            Some(user) => self.erase_sender_step(&unfinished, &user, limit).await?,
            None => self.erase_deleted_step(&unfinished, limit).await?,
        }
        failpoints::hit("between_erase_steps");
        Ok(true)
    }

    /// Erases some of a deleted chat or application.
    async fn erase_deleted_step(&self, unfinished: &UnfinishedErasure, limit: usize) -> Result<()> {
        let Erasure { id, app, chat, .. } = unfinished.erasure;
        let next = match Position::read(&unfinished.position) {
            Position::Start => {
                self.mysql.wait_for_store_transactions().await?;
                Position::Queue(JobScan::default())
            }
            // Jobs that wait are dropped when they are stored.
            Position::Queue(scan) => match self.redis.erase_jobs(app, chat, scan).await? {
                Some(scan) => Position::Queue(scan),
                None => Position::Rows(None),
            },
            Position::Rows(after) => return self.erase_rows(unfinished, after, limit).await,
            Position::Rest if self.mysql.erase_rest(app, chat, limit).await? => {
                return self.mysql.finish_erasure(id).await;
            }
            Position::Rest => Position::Rest,
        };
        self.mysql.advance_erasure(id, &next.write(), 0).await
    }

    async fn erase_rows(
        &self,
        unfinished: &UnfinishedErasure,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<()> {
        let Erasure {
            id,
            app,
            chat,
            requested_at,
            ..
        } = unfinished.erasure;
        let page = self
            .mysql
            .messages_to_erase(app, chat, after, limit, requested_at);
        let page = page.await?;
        let Some(last) = page.last() else {
            let next = match after {
                // Once more from the beginning, until nothing is found.
                Some(_) => Position::Rows(None),
                None => Position::Rest,
            };
            return self.mysql.advance_erasure(id, &next.write(), 0).await;
        };
        self.empty_documents(&page).await?;
        let next = Position::Rows(Some(last.key)).write();
        self.mysql.erase_messages(id, &page, &next).await
    }

    /// Deletes some messages of a sender. The queue is scanned first, because what is stored meanwhile is in the rows then.
    async fn erase_sender_step(
        &self,
        unfinished: &UnfinishedErasure,
        user: &str,
        limit: usize,
    ) -> Result<()> {
        let Erasure { id, app, .. } = unfinished.erasure;
        let (found, next) = match Position::read(&unfinished.position) {
            Position::Start | Position::Rest => (Vec::new(), Position::Queue(JobScan::default())),
            Position::Queue(scan) => {
                let jobs = self.redis.jobs_of_sender(app, user, unfinished.until, scan);
                let ErasedJobs { messages, next } = jobs.await?;
                (messages, next.map_or(Position::Rows(None), Position::Queue))
            }
            Position::Rows(after) => {
                let page = self
                    .mysql
                    .messages_of_sender(unfinished, user, after, limit);
                let page = page.await?;
                if page.last.is_none() {
                    return self.mysql.finish_erasure(id).await;
                }
                (page.found, Position::Rows(page.last))
            }
        };
        let mut erased = 0;
        for message in found {
            if let Enqueued::Accepted { .. } =
                self.enqueue(&Write::delete_message(message), None).await?
            {
                erased += 1;
            }
        }
        if erased > 0 {
            self.wakeups.enqueued(Kind::DeleteMessage);
        }
        self.mysql.advance_erasure(id, &next.write(), erased).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ChatKey;

    #[test]
    fn positions_are_read_back() {
        let chat = ChatKey {
            app: AppId(7),
            number: 3,
        };
        for position in [
            Position::Start,
            Position::Queue(JobScan::default()),
            Position::Queue(JobScan {
                epoch: 5,
                cursor: u64::MAX,
            }),
            Position::Rows(None),
            Position::Rows(Some(MessageKey { chat, number: 9 })),
            Position::Rest,
        ] {
            assert_eq!(Position::read(&position.write()), position);
        }
        assert_eq!(Position::read("unknown"), Position::Start);
        assert_eq!(Position::read("queue x"), Position::Start);
    }
}
