//! A site's stores, in the hands of the test.

use std::time::Duration;

use confab::{
    config::Settings,
    domain::{
        AppId, Change, ChatKey, Job, Kind, Message, MessageKey, Page, Revision, Write, text::Query,
    },
    maintenance::Maintenance,
    startup,
    stores::{
        Backend, Batch, ClaimLimits, Enqueued, IndexState, Lease, Result, Services,
        services::mysql::{CHATS, MESSAGES},
    },
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
    pub backend: Backend,
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
            backend: open(&variables),
            site: variables,
        };
        rig.backend.migrate().await.expect("a migrated database");
        let state = rig.backend.index_state().await.expect("an answer");
        if state == IndexState::Missing {
            let index = rig.backend.begin_build().await.expect("an index");
            rig.backend
                .abandon_build(&index)
                .await
                .expect("it is empty");
        }
        rig
    }

    /// The same stores, as another process sees them.
    pub fn another(&self) -> Backend {
        open(&self.site)
    }

    /// Stores that some other settings lead to.
    pub fn elsewhere(&self, settings: &[(&str, &str)]) -> Backend {
        let others = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        open(&self.site.iter().cloned().chain(others).collect::<Vec<_>>())
    }

    /// The services; `None` on the embedded backend.
    pub fn services(&self) -> Option<&Services> {
        services(&self.backend)
    }

    pub fn maintenance(&self) -> Maintenance {
        Maintenance::new(self.backend.clone())
    }

    pub async fn enqueue(&self, write: Write) -> Result<Enqueued> {
        self.backend.enqueue(&write, None).await
    }

    /// The number that an accepted write got.
    pub async fn number(&self, write: Write) -> u64 {
        match self.enqueue(write).await.expect("an answer") {
            Enqueued::Accepted { number, .. } => number,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub async fn new_app(&self) -> AppId {
        let id = AppId::random();
        let username = "Shetewi".to_owned();
        self.number(Write::create_application(id, username)).await;
        id
    }

    pub async fn new_chat(&self) -> ChatKey {
        let app = self.new_app().await;
        let number = self.number(Write::create_chat(app)).await;
        ChatKey { app, number }
    }

    pub async fn say(&self, chat: ChatKey, text: &str) -> MessageKey {
        let text = text.to_owned();
        let number = self.number(Write::create_message(chat, text)).await;
        MessageKey { chat, number }
    }

    pub async fn change(&self, message: MessageKey, text: &str) {
        let text = text.to_owned();
        self.number(Write::update_message(message, text)).await;
    }

    /// Claims at most `jobs` of a kind.
    pub async fn claim_some(&self, kind: Kind, jobs: usize, lease: Duration) -> Option<Batch> {
        let limits = ClaimLimits {
            jobs,
            bytes: 1 << 20,
            lease,
        };
        self.backend.claim(kind, &limits).await.expect("an answer")
    }

    pub async fn claim(&self, kind: Kind) -> Batch {
        let batch = self.claim_some(kind, 1000, LONG).await;
        batch.unwrap_or_else(|| panic!("no {kind:?} waits"))
    }

    /// Stores what a batch holds.
    pub async fn store(&self, batch: &Batch) -> Result<()> {
        let changes = batch.jobs.iter().map(|job| job.change.clone());
        let changes = changes.map(|change| change.expect("readable")).collect();
        self.backend.store(&batch.lease, changes).await
    }

    /// Stores messages as if the lease's jobs held them.
    pub async fn store_messages(&self, lease: &Lease, messages: &[Message]) -> Result<()> {
        let changes = messages.iter().cloned().map(Change::Message);
        self.backend.store(lease, changes.collect()).await
    }

    /// Does what the workers would, until nothing waits.
    pub async fn drain(&self) {
        for kind in Kind::ALL {
            while let Some(batch) = self.claim_some(kind, 1000, LONG).await {
                self.store(&batch).await.expect("stored");
                self.backend
                    .acknowledge(&batch.lease, &batch.jobs)
                    .await
                    .expect("acknowledged");
            }
        }
        self.feed().await;
    }

    /// Does what the workers do that only the services have.
    pub async fn feed(&self) {
        let Some(services) = self.services() else {
            return;
        };
        let (mysql, index) = (&services.mysql, &services.elasticsearch);
        for count in [&CHATS, &MESSAGES] {
            while mysql.apply_counts(count, 1000).await.expect("counted") > 0 {}
        }
        loop {
            let outbox = mysql.outbox(None, 1000).await.expect("an outbox");
            if outbox.ids.is_empty() {
                break;
            }
            let refused = index.put(None, &outbox.messages).await.expect("indexed");
            assert_eq!(refused, []);
            mysql.clear_outbox(&outbox.ids).await.expect("cleared");
        }
        index.refresh().await.expect("refreshed");
    }

    /// Waits until what was put into the index can be found.
    pub async fn refresh(&self) {
        if let Some(services) = self.services() {
            services.elasticsearch.refresh().await.expect("refreshed");
        }
    }

    /// The numbers of the messages that are found.
    pub async fn found(&self, chat: ChatKey, query: &str, page: &Page) -> Vec<u64> {
        let hits = self.backend.search(chat, &Query::parse(query), page).await;
        hits.unwrap_or_else(|error| panic!("{query:?}: {error}"))
            .iter()
            .map(|message| message.key.number)
            .collect()
    }

    /// A message as a reader sees it.
    pub async fn read(&self, message: MessageKey) -> Option<Message> {
        let read = self.backend.message(message).await.expect("an answer");
        assert!(!read.stale);
        read.value
    }

    /// A message as a reader sees it, if that is more than what is stored. The list must tell the same of it.
    pub async fn pending(&self, message: MessageKey) -> Option<Message> {
        let read = self.read(message).await;
        let page = Page::only(message.number);
        let listed = self.backend.messages(message.chat, &page).await;
        let mut listed = listed.expect("an answer").value.items;
        assert_eq!(listed.pop(), read);
        let stored = self.stored(message).await;
        read.filter(|read| stored.as_ref() != Some(read))
    }

    pub async fn stored(&self, message: MessageKey) -> Option<Message> {
        self.backend
            .rows(&[message])
            .await
            .expect("an answer")
            .pop()
    }
}

/// The services behind a backend; `None` if it is the embedded one.
pub fn services(backend: &Backend) -> Option<&Services> {
    match backend {
        Backend::Services(services) => Some(services),
        Backend::Embedded(_) => None,
    }
}

fn open(variables: &[(String, String)]) -> Backend {
    let settings = Settings::read(None, variables.iter().cloned()).expect("valid settings");
    startup::backend(&settings).expect("stores can be prepared")
}

pub fn texts(jobs: &[Job]) -> Vec<String> {
    jobs.iter()
        .map(|job| match &job.change {
            Ok(Change::Message(message)) => message.text.clone(),
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
