//! The use case of changes.

use std::collections::BTreeSet;

use super::{Result, Service};
use crate::{
    domain::{AppId, Changes, ChangesPage, Entity, Error, Number},
    stores::Follower,
};

impl Service {
    /// Follows an application: see [`Followers`](crate::stores::Followers).
    pub fn follow(&self, app: AppId) -> Follower {
        self.backend.followers().follow(app)
    }

    /// Changes of an application; with `granted` only of these chats.
    ///
    /// # Errors
    ///
    /// [`Error::HistoryLost`] for a cursor with which something may be missed.
    pub async fn changes(
        &self,
        app: AppId,
        page: ChangesPage,
        granted: Option<&BTreeSet<Number>>,
    ) -> Result<Changes> {
        let chats = match (page.chats, granted) {
            (Some(chats), Some(granted)) => Some(&chats & granted),
            (chats, granted) => chats.or_else(|| granted.cloned()),
        };
        let page = ChangesPage { chats, ..page };
        let changes = self.backend.changes(app, &page).await?;
        changes.ok_or(Error::NotFound(Entity::Application))
    }
}
