//! Applications that are not stored yet, and the numbers of chats of applications.

use super::{Redis, connection::ConnectionClass, failed, read_change, scripts::ScriptCall};
use crate::{
    domain::{
        AppId, Application, Change, Revision,
        application::{ApplicationsPage, Position},
    },
    stores::{Result, call::call},
};

/// What Redis knows of the number of an application's chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatCount {
    /// The number.
    Known(u64),
    /// The number of deleted chats has to be looked up.
    Unknown,
    /// The application has no counter.
    NoCounter,
    /// The application is deleted.
    Deleted,
}

impl Redis {
    /// The applications of a page that are not stored yet, and the revision of the last write that was accepted.
    pub async fn pending_applications(
        &self,
        page: &ApplicationsPage,
    ) -> Result<(Vec<Application>, Revision)> {
        // Of a creation, the revision alone is unique.
        let bound = |bound: Option<Position>, none: &str, mark: char| {
            bound.map_or_else(|| none.to_owned(), |at| format!("{mark}{}", at.revision))
        };
        let mut command = ScriptCall::new(|scripts| &scripts.applications);
        command
            .arg(bound(page.after, "-", '('))
            .arg(bound(page.before, "+", '('))
            .arg(page.limit)
            .arg(u8::from(page.from_the_end()));
        let (call, class) = (call!("queue", "applications"), ConnectionClass::Shared);
        let response = self.call(call, class, &command).await?;
        let Some((last, found)) = response.split_first() else {
            return Err(failed("the list of applications has no revision"));
        };
        let last =
            Revision::parse(last).ok_or_else(|| failed(format!("{last:?} is no revision")))?;
        let mut applications = Vec::with_capacity(found.len() / 2);
        for write in found.chunks_exact(2) {
            let change = read_change(&write[0], &write[1])?;
            applications.extend(Change::into_application(change));
        }
        Ok((applications, last))
    }

    /// The numbers of chats of applications, in their order.
    pub async fn chat_counts(&self, ids: &[AppId]) -> Result<Vec<ChatCount>> {
        let mut command = ScriptCall::new(|scripts| &scripts.chat_counts);
        for id in ids {
            command.arg(id.to_string());
        }
        let (call, class) = (call!("queue", "chat_counts"), ConnectionClass::Shared);
        let counts = self.call(call, class, &command).await?;
        let counts = counts.iter().map(|count| match count.as_str() {
            "" => Ok(ChatCount::NoCounter),
            "unknown" => Ok(ChatCount::Unknown),
            "deleted" => Ok(ChatCount::Deleted),
            count => count.parse().map(ChatCount::Known).map_err(failed),
        });
        counts.collect()
    }
}
