//! What is seen of a queue has to be what plain data say.

use std::fmt::Debug;

use confab::{
    domain::{AppId, Change, ChatKey, Kind, MessageKey, Page},
    stores::{JobState, KindStats, Read, Result},
};
use proptest::test_runner::TestCaseError;

use super::Case;
use crate::rig::ALL;

/// Whether a step went as it is to.
pub type Checked = std::result::Result<(), TestCaseError>;

/// Fails unless both are the same.
pub fn same<T: PartialEq + Debug>(what: &str, seen: &T, expected: &T) -> Checked {
    if seen == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!(
        "{what}: {seen:?} instead of {expected:?}"
    )))
}

/// What was read, which must not lack anything.
fn value<T>(read: Result<Read<T>>) -> Result<T> {
    read.map(|read| {
        assert!(!read.stale);
        read.value
    })
}

impl Case<'_> {
    /// Compares what is where, and what can be read of the application with which all begins.
    pub async fn compare(&self) -> Checked {
        let queue = self.queue();
        let app = AppId(0);
        let application = value(queue.application(app).await);
        let expected = self.plain.application(app);
        same("the application", &application, &Ok(expected))?;
        for number in [1, 2] {
            let chat = ChatKey { app, number };
            if self.plain.has_chat(chat) {
                let expected = self.plain.messages(chat);
                let messages = value(queue.messages(chat, &ALL).await);
                same(
                    "the messages",
                    &messages.map(|page| page.items),
                    &Ok(expected),
                )?;
            }
        }
        let expected = Kind::ALL.map(|kind| KindStats {
            kind: kind.name(),
            waiting: self.plain.count(kind, JobState::Waiting),
            leased: self.plain.count(kind, JobState::Leased),
            delayed: self.plain.count(kind, JobState::Delayed),
            dead: self.plain.count(kind, JobState::Dead),
            oldest_ms: 0,
            paused: self.plain.is_paused(kind),
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

    /// Compares all that can be read, in all the ways there are.
    pub async fn compare_all(&self) -> Checked {
        let queue = self.queue();
        for app in [AppId(0), AppId(1)] {
            let chats = value(queue.chats(app, &ALL).await);
            same(
                "the chats",
                &chats.map(|page| page.items),
                &Ok(self.plain.chats(app)),
            )?;
            for number in [1, 2] {
                let chat = ChatKey { app, number };
                let has = self.plain.has_chat(chat);
                let seen = value(queue.has_chat(chat).await);
                same("is there a chat", &seen, &Ok(has))?;
                let expected = self.plain.messages(chat);
                let newest = Page {
                    before: Some(u64::MAX),
                    limit: 1,
                    ..ALL
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
                // Nothing is stored here, so all that is read is what waits.
                let seen = value(queue.message(first).await);
                same("a message", &seen, &Ok(expected))?;
            }
        }
        for state in JobState::ALL {
            self.compare_list(state).await?;
        }
        Ok(())
    }

    async fn compare_list(&self, state: JobState) -> Checked {
        let listed = self.queue().jobs(state, None, None, 1000).await;
        let listed = listed.map(|jobs| {
            let told = jobs
                .into_iter()
                .map(|job| (job.id, job.kind, job.target, job.tries, job.crashes));
            told.collect::<Vec<_>>()
        });
        let expected = self.plain.in_state(state).into_iter().map(|id| {
            let job = &self.plain.jobs[&id];
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
