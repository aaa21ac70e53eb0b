//! Compares what the queue returns with the reference model.

use std::fmt::Debug;

use confab::{
    domain::{AppId, Change, ChatKey, Kind, MessageKey, Page},
    stores::{JobState, KindStats, Read, Result},
};
use proptest::test_runner::TestCaseError;

use super::Case;
use crate::test_stores::WHOLE_LIST;

/// The result of a check.
pub type CheckResult = std::result::Result<(), TestCaseError>;

/// Fails unless both values are equal.
pub fn same<T: PartialEq + Debug>(what: &str, seen: &T, expected: &T) -> CheckResult {
    if seen == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!(
        "{what}: {seen:?} instead of {expected:?}"
    )))
}

/// The value of a read, which must not be stale.
fn value<T>(read: Result<Read<T>>) -> Result<T> {
    read.map(|read| {
        assert!(!read.stale);
        read.value
    })
}

impl Case<'_> {
    /// Compares the number of jobs by state, and what can be read of the first application.
    pub async fn compare(&self) -> CheckResult {
        let queue = self.queue();
        let app = AppId(0);
        let application = value(queue.application(app).await);
        let expected = self.model.application(app);
        same("the application", &application, &Ok(expected))?;
        for number in [1, 2] {
            let chat = ChatKey { app, number };
            if self.model.has_chat(chat) {
                let expected = self.model.messages(chat);
                let messages = value(queue.messages(chat, &WHOLE_LIST).await);
                same(
                    "the messages",
                    &messages.map(|page| page.items),
                    &Ok(expected),
                )?;
            }
        }
        let expected = Kind::ALL.map(|kind| KindStats {
            kind: kind.name(),
            waiting: self.model.count(kind, JobState::Waiting),
            leased: self.model.count(kind, JobState::Leased),
            delayed: self.model.count(kind, JobState::Delayed),
            dead: self.model.count(kind, JobState::Dead),
            oldest_ms: 0,
            paused: self.model.is_paused(kind),
        });
        let stats = queue.stats().await.map(|kinds| {
            let ageless = kinds.into_iter().map(|kind| KindStats {
                oldest_ms: 0,
                ..kind
            });
            ageless.collect::<Vec<_>>()
        });
        same("the stats", &stats, &Ok(expected.to_vec()))?;
        self.compare_list(JobState::Dead).await
    }

    /// Compares everything that can be read, by every method.
    pub async fn compare_all(&self) -> CheckResult {
        let queue = self.queue();
        for app in [AppId(0), AppId(1)] {
            let chats = value(queue.chats(app, &WHOLE_LIST).await);
            same(
                "the chats",
                &chats.map(|page| page.items),
                &Ok(self.model.chats(app)),
            )?;
            for number in [1, 2] {
                let chat = ChatKey { app, number };
                let has = self.model.has_chat(chat);
                let seen = value(queue.has_chat(chat).await);
                same("is there a chat", &seen, &Ok(has))?;
                let expected = self.model.messages(chat);
                let newest = Page {
                    before: Some(u64::MAX),
                    limit: 1,
                    ..WHOLE_LIST
                };
                let last: Vec<_> = expected.last().cloned().into_iter().collect();
                let seen = value(queue.messages(chat, &newest).await);
                same(
                    "the newest message",
                    &seen.map(|page| page.items),
                    &Ok(last),
                )?;
                let first = MessageKey { chat, number: 1 };
                let expected = expected.into_iter().find(|message| message.key == first);
                // Nothing is stored here, so reads return pending writes only.
                let seen = value(queue.message(first).await);
                same("a message", &seen, &Ok(expected))?;
            }
        }
        for state in JobState::ALL {
            self.compare_list(state).await?;
        }
        Ok(())
    }

    async fn compare_list(&self, state: JobState) -> CheckResult {
        let listed = self.queue().jobs(state, None, None, 1000).await;
        let listed = listed.map(|jobs| {
            let summaries = jobs
                .into_iter()
                .map(|job| (job.id, job.kind, job.target, job.tries, job.crashes));
            summaries.collect::<Vec<_>>()
        });
        let expected = self.model.in_state(state).into_iter().map(|id| {
            let job = &self.model.jobs[&id];
            let target = match &job.change {
                Change::Application(application) => application.id.to_string(),
                Change::Chat(chat) => chat.key.to_string(),
                Change::Message(message) => message.key.to_string(),
            };
            (
                id,
                job.kind.name().to_owned(),
                target,
                job.tries,
                job.crashes,
            )
        });
        same("the list", &listed, &Ok(expected.collect()))
    }
}
