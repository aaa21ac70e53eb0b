//! Comparing the rows with the index, and asking the program for its own checks.

use std::collections::HashSet;

use rand::seq::IndexedRandom as _;
use serde_json::Value;

use super::{Texts, chat_of, key};
use crate::{ground::Ground, ledger::Book, plan, texts::word};

/// How many messages are looked for by the word that only they hold.
const SOUGHT: usize = 100;

/// A look of our own at the documents: each row has its one, as it is now.
pub async fn documents(ground: &Ground<'_>, rows: &Texts) {
    for (chat, texts) in rows {
        let index = ground.site.services().elasticsearch();
        let documents = match index.documents(&chat_of(chat)).await {
            Ok(documents) => documents,
            Err(error) => {
                ground.row().add(|row| &mut row.strange, error);
                continue;
            }
        };
        let mut row = ground.row();
        let mut seen = HashSet::new();
        for (number, text) in documents {
            match texts.get(&number) {
                _ if !seen.insert(number) => {
                    let finding = format!("{chat:?} {number} has two documents");
                    row.add(|row| &mut row.dangling, finding);
                }
                None => {
                    let finding = format!("{chat:?} {number} has a document and no row");
                    row.add(|row| &mut row.dangling, finding);
                }
                Some(stored) if *stored != text => {
                    let finding = format!("{chat:?} {number} has a document of {text:.60?}");
                    row.add(|row| &mut row.stale, finding);
                }
                Some(_) => {}
            }
        }
        for number in texts.keys().filter(|number| !seen.contains(number)) {
            let finding = format!("{chat:?} {number} has no document");
            row.add(|row| &mut row.missing, finding);
        }
    }
}

/// Some messages are found by the word that only they hold, and no more by the words that they held before.
pub async fn search(ground: &Ground<'_>, book: &Book, rows: &Texts) {
    let api = ground.api();
    let all: Vec<_> = rows
        .iter()
        .flat_map(|(chat, texts)| {
            texts
                .iter()
                .map(|(number, text)| (key(chat, *number), text))
        })
        .collect();
    let mut dice = plan::dice("sought");
    for (key, text) in all.choose_multiple(&mut dice, SOUGHT) {
        let found = api.found(&key.chat, word(text)).await;
        if found != [key.number] {
            let finding = format!("{key:?}: {} finds {found:?}", word(text));
            ground.row().add(|row| &mut row.missing, finding);
        }
        let before = book.by_key.get(key).into_iter().flatten();
        for old in before.filter(|old| old != text).take(1) {
            let found = api.found(&key.chat, word(old)).await;
            if !found.is_empty() {
                let finding = format!("{key:?}: the old {} finds {found:?}", word(old));
                ground.row().add(|row| &mut row.stale, finding);
            }
        }
    }
}

/// The program's own checks, of everything on the site, and its dead letters.
pub async fn verify(ground: &Ground<'_>) {
    let index = ground.confab(&["search", "verify", "--json"]).await;
    let counts = ground.confab(&["counts", "verify", "--json"]).await;
    let stats = ground.confab(&["jobs", "stats", "--json"]).await;
    let [index_report, counts_report, stats_report] = [&index, &counts, &stats]
        .map(|finished| -> Value { serde_json::from_str(&finished.stdout).unwrap_or_default() });
    let mut row = ground.row();
    for finding in index_report["findings"].as_array().into_iter().flatten() {
        let text = format!("search verify: {finding}");
        match finding["problem"].as_str() {
            Some("missing") => row.add(|row| &mut row.missing, text),
            Some("dangling") => row.add(|row| &mut row.dangling, text),
            _ => row.add(|row| &mut row.stale, text),
        }
    }
    for finding in counts_report["findings"].as_array().into_iter().flatten() {
        row.add(|row| &mut row.counts, format!("counts verify: {finding}"));
    }
    for finished in [&index, &counts, &stats] {
        if finished.code.is_none_or(|code| code > 1) || finished.stdout.is_empty() {
            row.add(|row| &mut row.strange, format!("{finished:?}"));
        }
    }
    for kind in stats_report["kinds"].as_array().into_iter().flatten() {
        for _ in 0..kind["dead"].as_u64().unwrap_or_default() {
            row.add(|row| &mut row.dead, format!("a dead letter: {kind}"));
        }
    }
}
