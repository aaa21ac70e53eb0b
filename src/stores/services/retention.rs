//! Retention: deleting the oldest messages of each chat.

use std::time::Duration;

use super::{Services, mysql::ExpiredChat};
use crate::{
    domain::ChatKey,
    failpoints,
    stores::{Expired, Result, ScanPage},
};

/// Number of chats that one query looks at.
const CHATS: usize = 500;

impl Services {
    pub(crate) async fn expire_messages(
        &self,
        age: Duration,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Expired> {
        let (_, now) = self.redis.last_accepted().await?;
        let cutoff = now - age;
        let ScanPage { last, findings, .. } =
            self.mysql.expired_chats(cutoff, after, CHATS).await?;
        let mut before = after;
        let mut messages = 0;
        for ExpiredChat { key, is_marked } in findings {
            if !is_marked {
                let epoch = self.redis.epoch().await?;
                let revisions = || self.redis.next_revision(key.app, epoch);
                let moved = self.mysql.move_mark(key, cutoff, limit, epoch, revisions);
                moved.await?;
            }
            let marked = self.mysql.marked_messages(key, limit, now).await?;
            if !marked.is_empty() {
                self.empty_documents(&marked).await?;
                failpoints::hit("before_expired_rows_are_removed");
                self.mysql.remove_rows(&marked).await?;
            }
            messages += marked.len();
            if marked.len() == limit {
                // The next step looks at this chat again.
                return Ok(Expired {
                    messages,
                    last: before,
                    is_done: false,
                });
            }
            before = Some(key);
            if messages >= limit {
                return Ok(Expired {
                    messages,
                    last: before,
                    is_done: false,
                });
            }
        }
        Ok(Expired {
            messages,
            last,
            is_done: last.is_none(),
        })
    }
}
