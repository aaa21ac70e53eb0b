//! The search table, on each backend.

use confab::domain::{MessageKey, Page};

use crate::{
    search_table::{self, Group},
    support::{Fixture, apply, on_each_backend},
    test_stores::TestStores,
};

/// The default number of hits.
const DEFAULT_LIMIT: usize = 20;

#[apply(on_each_backend!)]
async fn handwritten_search_table_holds(fixture: &Fixture) {
    holds(fixture, search_table::load()).await;
}

#[apply(on_each_backend!)]
async fn generated_search_table_of_many_hits_and_long_prefixes_holds(fixture: &Fixture) {
    holds(fixture, search_table::generated()).await;
}

/// Stores all groups in one index, each in a chat of its own.
async fn holds(fixture: &Fixture, groups: Vec<Group>) {
    let stores = TestStores::new(fixture).await;
    let mut chats = Vec::new();
    for group in &groups {
        let chat = stores.new_chat().await;
        for text in &group.documents {
            stores.create_message(chat, text).await;
        }
        for update in &group.updates {
            let number = update.number;
            stores
                .update_message(MessageKey { chat, number }, &update.text)
                .await;
        }
        chats.push(chat);
    }
    stores.drain().await;
    let mut wrong = Vec::new();
    for (group, chat) in groups.iter().zip(chats) {
        for query in &group.queries {
            let page = Page {
                after: query.after,
                before: query.before,
                limit: query.limit.unwrap_or(DEFAULT_LIMIT),
                bytes: usize::MAX,
            };
            let found = if confab::domain::text::Query::parse(&query.q).is_empty() {
                vec![]
            } else {
                stores.search_numbers(chat, &query.q, &page).await
            };
            if found != query.hits {
                wrong.push(format!("{}: {query:?} found {found:?}", group.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
