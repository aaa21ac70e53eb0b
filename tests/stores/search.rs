//! The search table, asked of each index.

use confab::domain::{MessageKey, Page};

use crate::{
    rig::Rig,
    search_table::{self, Group},
    support::{Site, on_each_backing},
};

/// How many hits a search answers when the request does not say.
const DEFAULT_LIMIT: usize = 20;

async fn the_table_written_by_hand_holds(site: &Site) {
    holds(site, search_table::load()).await;
}

async fn the_table_of_many_hits_and_long_prefixes_holds(site: &Site) {
    holds(site, search_table::generated()).await;
}

/// All groups in one index, each in a chat of its own.
async fn holds(site: &Site, groups: Vec<Group>) {
    let rig = Rig::new(site).await;
    let mut chats = Vec::new();
    for group in &groups {
        let chat = rig.new_chat().await;
        for text in &group.documents {
            rig.say(chat, text).await;
        }
        for update in &group.updates {
            let number = update.number;
            rig.change(MessageKey { chat, number }, &update.text).await;
        }
        chats.push(chat);
    }
    rig.drain().await;
    let mut wrong = Vec::new();
    for (group, chat) in groups.iter().zip(chats) {
        for query in &group.queries {
            let page = Page {
                after: query.after,
                before: query.before,
                limit: query.limit.unwrap_or(DEFAULT_LIMIT),
            };
            let found = if confab::domain::text::Query::parse(&query.q).is_empty() {
                vec![]
            } else {
                rig.found(chat, &query.q, &page).await
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

on_each_backing!(
    the_table_written_by_hand_holds,
    the_table_of_many_hits_and_long_prefixes_holds,
);
