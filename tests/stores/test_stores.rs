//! The stores of a fixture, opened in the test process.

use std::{sync::Arc, time::Duration};

use confab::{
    auth::Auth,
    config::Settings,
    domain::{
        AppId, Change, ChatKey, Job, KeyText, Kind, Message, MessageKey, Page, Revision, Write,
        text::Query, time::Clock,
    },
    maintenance::Maintenance,
    startup,
    stores::{
        Backend, Batch, ClaimLimits, Enqueued, IndexState, Lease, Result, Services,
        services::mysql::{CHATS, MESSAGES},
    },
    telemetry::metrics,
};

use crate::support::Fixture;

/// A lease that does not expire during a test.
pub const LONG_LEASE: Duration = Duration::from_secs(600);

/// A page that holds the whole list.
pub const WHOLE_LIST: Page = Page {
    after: None,
    before: None,
    limit: 1000,
    bytes: usize::MAX,
};

/// The stores of a fixture, migrated and with an index.
pub struct TestStores {
    pub backend: Backend,
    fixture: Vec<(String, String)>,
}

impl TestStores {
    pub async fn new(fixture: &Fixture) -> Self {
        Self::with(fixture, &[]).await
    }

    /// Opens the stores with additional settings.
    pub async fn with(fixture: &Fixture, settings: &[(&str, &str)]) -> Self {
        // Before the first call, whose metrics are lost otherwise.
        metrics::start();
        let mut variables: Vec<(String, String)> = fixture
            .settings()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        variables.extend(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        let stores = Self {
            backend: open(&variables, Clock::default()),
            fixture: variables,
        };
        stores.backend.migrate().await.expect("a migrated database");
        if let Backend::Embedded(file) = &stores.backend {
            file.begin_history().await.expect("begun");
        }
        let state = stores.backend.index_state().await.expect("a response");
        if state == IndexState::Missing {
            let index = stores.backend.begin_build().await.expect("an index");
            stores
                .backend
                .abandon_build(&index)
                .await
                .expect("it is empty");
        }
        stores
    }

    /// Opens the same stores again, as another process does.
    pub fn open_again(&self) -> Backend {
        open(&self.fixture, Clock::default())
    }

    /// Opens the same stores again, as another process does whose clock is this much ahead.
    pub fn open_ahead(&self, ahead: Duration) -> Backend {
        let offset = ahead.as_millis().try_into().expect("a short time");
        open(&self.fixture, Clock { offset })
    }

    /// Opens the stores again with additional settings.
    pub fn open_with(&self, settings: &[(&str, &str)]) -> Backend {
        let others = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        open(
            &self
                .fixture
                .iter()
                .cloned()
                .chain(others)
                .collect::<Vec<_>>(),
            Clock::default(),
        )
    }

    /// Credentials as another process knows them, with additional settings.
    pub fn auth(&self, settings: &[(&str, &str)]) -> Arc<Auth> {
        let others = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let variables: Vec<_> = self.fixture.iter().cloned().chain(others).collect();
        auth(&variables, None)
    }

    /// Credentials as another process knows them, which starts with an `auth.first_key_file`.
    pub fn auth_with_first_key(&self, text: &KeyText) -> Arc<Auth> {
        auth(&self.fixture, Some(text.clone()))
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

    /// Enqueues a write, which must be accepted, and returns its number.
    pub async fn number(&self, write: Write) -> u64 {
        match self.enqueue(write).await.expect("a response") {
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

    pub async fn create_message(&self, chat: ChatKey, text: &str) -> MessageKey {
        let text = text.to_owned();
        let number = self.number(Write::create_message(chat, text)).await;
        MessageKey { chat, number }
    }

    pub async fn update_message(&self, message: MessageKey, text: &str) {
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
        self.backend.claim(kind, &limits).await.expect("a response")
    }

    pub async fn claim(&self, kind: Kind) -> Batch {
        let batch = self.claim_some(kind, 1000, LONG_LEASE).await;
        batch.unwrap_or_else(|| panic!("no {kind:?} waits"))
    }

    /// Stores the changes of a batch.
    pub async fn store(&self, batch: &Batch) -> Result<()> {
        let changes = batch.jobs.iter().map(|job| job.change.clone());
        let changes = changes.map(|change| change.expect("readable")).collect();
        let keys = batch.jobs.iter().filter_map(Job::keyed_creation).collect();
        self.backend.store(&batch.lease, changes, keys).await
    }

    /// Stores messages under a lease.
    pub async fn store_messages(&self, lease: &Lease, messages: &[Message]) -> Result<()> {
        let changes = messages.iter().cloned().map(Change::Message);
        self.backend
            .store(lease, changes.collect(), Vec::new())
            .await
    }

    /// Processes all waiting jobs, as the workers do.
    pub async fn drain(&self) {
        for kind in Kind::ALL {
            while let Some(batch) = self.claim_some(kind, 1000, LONG_LEASE).await {
                self.store(&batch).await.expect("stored");
                self.backend
                    .acknowledge(&batch.lease, &batch.jobs)
                    .await
                    .expect("acknowledged");
            }
        }
        self.apply_counts_and_outbox().await;
    }

    /// Applies count deltas and indexes the outbox, as the workers of the services do.
    pub async fn apply_counts_and_outbox(&self) {
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

    /// Makes indexed documents searchable.
    pub async fn refresh(&self) {
        if let Some(services) = self.services() {
            services.elasticsearch.refresh().await.expect("refreshed");
        }
    }

    /// The numbers of the messages that a search returns.
    pub async fn search_numbers(&self, chat: ChatKey, query: &str, page: &Page) -> Vec<u64> {
        let hits = self.backend.search(chat, &Query::parse(query), page).await;
        hits.unwrap_or_else(|error| panic!("{query:?}: {error}"))
            .iter()
            .map(|message| message.key.number)
            .collect()
    }

    /// Reads a message.
    pub async fn read(&self, message: MessageKey) -> Option<Message> {
        let read = self.backend.message(message).await.expect("a response");
        assert!(!read.stale);
        read.value
    }

    /// Reads a message; `None` if it is the same as the stored one. The list must return the same.
    pub async fn pending(&self, message: MessageKey) -> Option<Message> {
        let read = self.read(message).await;
        let page = Page::only(message.number);
        let listed = self.backend.messages(message.chat, &page).await;
        let mut listed = listed.expect("a response").value.items;
        assert_eq!(listed.pop(), read);
        let stored = self.stored(message).await;
        read.filter(|read| stored.as_ref() != Some(read))
    }

    pub async fn stored(&self, message: MessageKey) -> Option<Message> {
        self.backend
            .rows(&[message])
            .await
            .expect("a response")
            .pop()
    }
}

/// The services of a backend; `None` on the embedded backend.
pub fn services(backend: &Backend) -> Option<&Services> {
    match backend {
        Backend::Services(services) => Some(services),
        Backend::Embedded(_) => None,
    }
}

fn read(variables: &[(String, String)]) -> Settings {
    let environment = variables.iter().cloned().collect();
    Settings::read(None, &environment).expect("valid settings")
}

fn auth(variables: &[(String, String)], first_key: Option<KeyText>) -> Arc<Auth> {
    let settings = read(variables);
    let keys = startup::keys(&settings).expect("stores can be prepared");
    Arc::new(Auth::new(&settings.auth, keys, first_key))
}

fn open(variables: &[(String, String)], clock: Clock) -> Backend {
    startup::backend_with_clock(&read(variables), clock).expect("stores can be prepared")
}

pub fn texts(jobs: &[Job]) -> Vec<String> {
    jobs.iter()
        .map(|job| match &job.change {
            Ok(Change::Message(message)) => message.text.clone(),
            other => panic!("no message: {other:?}"),
        })
        .collect()
}

/// The revision `difference` writes after that of a message.
pub fn revision(of: &Message, difference: i64) -> Revision {
    Revision(
        of.revision
            .0
            .checked_add_signed(difference)
            .expect("a revision"),
    )
}
