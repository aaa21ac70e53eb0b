//! A site's stores, in the hands of the test.

use std::time::Duration;

use confab::{
    config::Settings,
    domain::{
        AppId, ChatKey, Entry, Job, Kind, Message, MessageKey, Page, Revision, Write, text::Query,
    },
    startup::App,
    stores::{Acceptance, Batch, ClaimLimits, Known, Result},
};

use crate::support::Site;

/// A lease that lasts as long as the test.
pub const LONG: Duration = Duration::from_secs(600);

/// The whole list.
pub const ALL: Page = Page {
    after: None,
    before: None,
    limit: 1000,
};

/// The stores of one site, migrated and with an index.
pub struct Rig {
    pub stores: App,
    site: Vec<(String, String)>,
}

impl Rig {
    pub async fn new(site: &Site) -> Self {
        Self::with(site, &[]).await
    }

    /// With settings of the test's own.
    pub async fn with(site: &Site, settings: &[(&str, &str)]) -> Self {
        let mut variables: Vec<(String, String)> = site
            .settings()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        variables.extend(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        let rig = Self {
            stores: open(&variables),
            site: variables,
        };
        rig.stores
            .records
            .migrate()
            .await
            .expect("a migrated database");
        if rig
            .stores
            .index
            .current()
            .await
            .expect("an answer")
            .is_none()
        {
            rig.stores.index.create().await.expect("an index");
        }
        rig
    }

    /// The same stores, as another process sees them.
    pub fn another(&self) -> App {
        open(&self.site)
    }

    /// Stores that some other settings lead to.
    pub fn elsewhere(&self, settings: &[(&str, &str)]) -> App {
        let others = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        open(&self.site.iter().cloned().chain(others).collect::<Vec<_>>())
    }

    pub async fn accept(&self, write: Write) -> Result<Acceptance> {
        self.stores.queue.accept(&write, None).await
    }

    /// The number that an accepted write got.
    pub async fn number(&self, write: Write) -> u64 {
        match self.accept(write).await.expect("an answer") {
            Acceptance::Accepted { number, .. } => number,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub async fn new_app(&self) -> AppId {
        let id = AppId::random();
        let username = "Shetewi".to_owned();
        self.number(Write::CreateApplication { id, username }).await;
        id
    }

    pub async fn new_chat(&self) -> ChatKey {
        let app = self.new_app().await;
        let number = self.number(Write::CreateChat { app }).await;
        ChatKey { app, number }
    }

    pub async fn say(&self, chat: ChatKey, text: &str) -> MessageKey {
        let text = text.to_owned();
        let number = self.number(Write::CreateMessage { chat, text }).await;
        MessageKey { chat, number }
    }

    pub async fn change(&self, message: MessageKey, text: &str) {
        let text = text.to_owned();
        self.number(Write::UpdateMessage { message, text }).await;
    }

    /// Claims at most `jobs` of a kind.
    pub async fn claim_some(&self, kind: Kind, jobs: usize, lease: Duration) -> Option<Batch> {
        let limits = ClaimLimits {
            jobs,
            bytes: 1 << 20,
            lease,
        };
        self.stores
            .queue
            .claim(kind, &limits)
            .await
            .expect("an answer")
    }

    pub async fn claim(&self, kind: Kind) -> Batch {
        let batch = self.claim_some(kind, 1000, LONG).await;
        batch.unwrap_or_else(|| panic!("no {kind:?} waits"))
    }

    /// Stores what a batch holds.
    pub async fn store(&self, batch: &Batch) -> Result<()> {
        let records = &self.stores.records;
        let (mut applications, mut chats, mut messages) = (vec![], vec![], vec![]);
        for job in &batch.jobs {
            match job.entry.clone().expect("a readable payload") {
                Entry::Application(application) => applications.push(application),
                Entry::Chat(chat) => chats.push(chat),
                Entry::Message(message) => messages.push(message),
            }
        }
        match batch.lease.kind {
            Kind::CreateApplication => records.store_applications(batch.epoch, &applications).await,
            Kind::CreateChat => records.store_chats(batch.epoch, &chats).await,
            Kind::CreateMessage | Kind::UpdateMessage => {
                records.store_messages(batch.epoch, &messages).await
            }
        }
    }

    /// Does what the workers would, until nothing waits.
    pub async fn drain(&self) {
        let App {
            records,
            queue,
            index,
            ..
        } = &self.stores;
        for kind in Kind::ALL {
            while let Some(batch) = self.claim_some(kind, 1000, LONG).await {
                self.store(&batch).await.expect("stored");
                queue
                    .acknowledge(&batch.lease, &batch.jobs)
                    .await
                    .expect("acknowledged");
            }
        }
        while records.apply_chats_counts(1000).await.expect("counted") > 0 {}
        while records.apply_messages_counts(1000).await.expect("counted") > 0 {}
        loop {
            let outbox = records.outbox(None, 1000).await.expect("an outbox");
            if outbox.ids.is_empty() {
                break;
            }
            let refused = index.put(None, &outbox.messages).await.expect("indexed");
            assert_eq!(refused, []);
            records.clear_outbox(&outbox.ids).await.expect("cleared");
        }
        index.refresh().await.expect("refreshed");
    }

    /// The numbers of the messages that are found.
    pub async fn found(&self, chat: ChatKey, query: &str, page: &Page) -> Vec<u64> {
        let hits = self
            .stores
            .index
            .search(chat, &Query::parse(query), page)
            .await;
        hits.unwrap_or_else(|error| panic!("{query:?}: {error}"))
            .iter()
            .map(|message| message.key.number)
            .collect()
    }

    /// The newest write to a message that is not stored yet, as the queue tells it of this message alone. One that knows
    /// the row too tells both together; there the list is asked as well.
    pub async fn pending(&self, message: MessageKey) -> Option<Message> {
        let queue = &self.stores.queue;
        match queue.message(message).await.expect("an answer") {
            Known::Pending(pending) => Some(pending),
            Known::Nothing => None,
            Known::All(all) => {
                let page = Page::only(message.number);
                let listed = queue.messages(message.chat, &page).await;
                let pending = listed.expect("an answer").pop();
                let told = all.map(|message| message.revision);
                assert!(told >= pending.as_ref().map(|pending| pending.revision));
                pending
            }
        }
    }

    pub async fn stored(&self, message: MessageKey) -> Option<Message> {
        self.stores
            .records
            .message(message)
            .await
            .expect("an answer")
    }
}

fn open(variables: &[(String, String)]) -> App {
    let settings = Settings::read(None, variables.iter().cloned()).expect("valid settings");
    App::new(&settings).expect("stores can be prepared")
}

pub fn texts(jobs: &[Job]) -> Vec<String> {
    jobs.iter()
        .map(|job| match &job.entry {
            Ok(Entry::Message(message)) => message.text.clone(),
            other => panic!("no message: {other:?}"),
        })
        .collect()
}

/// The revision that is so many writes older or newer.
pub fn revision(of: &Message, difference: i64) -> Revision {
    Revision(
        of.revision
            .0
            .checked_add_signed(difference)
            .expect("a revision"),
    )
}
