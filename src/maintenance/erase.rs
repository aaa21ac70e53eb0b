//! Deletion of applications and of the messages of a sender, and the progress of erasures.

use super::Maintenance;
use crate::{
    domain::{AppId, Write},
    stores::{Enqueued, Erasure, Result},
};

impl Maintenance {
    /// Deletes an application; false if it does not exist.
    pub async fn delete_application(&self, app: AppId) -> Result<bool> {
        let write = Write::delete_application(app);
        let enqueued = self.backend.enqueue(&write, None).await?;
        Ok(matches!(enqueued, Enqueued::Accepted { .. }))
    }

    /// Requests the deletion of all messages of a sender that were accepted until now; false if the application does not
    /// exist.
    pub async fn erase_sender(&self, app: AppId, user: &str) -> Result<bool> {
        if self.backend.application(app).await?.value.is_none() {
            return Ok(false);
        }
        self.backend.erase_sender(app, user).await?;
        Ok(true)
    }

    /// Unfinished erasures and the last finished ones.
    pub async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        self.backend.erasures(limit).await
    }
}
