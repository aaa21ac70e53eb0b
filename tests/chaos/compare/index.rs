//! Compares the rows with the index, and runs the program's own checks.

use std::collections::HashSet;

use rand::seq::IndexedRandom as _;
use serde_json::Value;

use super::{Texts, chat_of, key};
use crate::{history::History, plan, texts::word, trial::Trial};

/// The number of messages that are searched for by their unique word.
const SAMPLE: usize = 100;

/// Compares the documents in Elasticsearch with the rows.
pub async fn documents(trial: &Trial<'_>, rows: &Texts) {
    for (chat, texts) in rows {
        let index = trial.fixture.services().elasticsearch();
        let documents = match index.documents(&chat_of(chat)).await {
            Ok(documents) => documents,
            Err(error) => {
                trial.row().add(|row| &mut row.unexpected, error);
                continue;
            }
        };
        let mut row = trial.row();
        let mut seen = HashSet::new();
        for (number, text) in documents {
            match texts.get(&number) {
                // The empty document of a deleted message.
                None if text.is_empty() => {}
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

/// Checks that search finds messages by their unique word, and not by the words of older texts.
pub async fn search(trial: &Trial<'_>, history: &History, rows: &Texts) {
    let api = trial.api();
    let all: Vec<_> = rows
        .iter()
        .flat_map(|(chat, texts)| {
            texts
                .iter()
                .map(|(number, text)| (key(chat, *number), text))
        })
        .collect();
    let mut rng = plan::rng("sought");
    for (key, text) in all.choose_multiple(&mut rng, SAMPLE) {
        let found = api.search_numbers(&key.chat, word(text)).await;
        if found != [key.number] {
            let finding = format!("{key:?}: {} finds {found:?}", word(text));
            trial.row().add(|row| &mut row.missing, finding);
        }
        let before = history.by_key.get(key).into_iter().flatten();
        for old in before.filter(|old| old != text).take(1) {
            let found = api.search_numbers(&key.chat, word(old)).await;
            if !found.is_empty() {
                let finding = format!("{key:?}: the old {} finds {found:?}", word(old));
                trial.row().add(|row| &mut row.stale, finding);
            }
        }
    }
}

/// Runs the program's own checks, and counts dead letters.
pub async fn verify(trial: &Trial<'_>) {
    let index = trial.confab(&["search", "verify", "--json"]).await;
    let counts = trial.confab(&["counts", "verify", "--json"]).await;
    let stats = trial.confab(&["jobs", "stats", "--json"]).await;
    let [index_report, counts_report, stats_report] = [&index, &counts, &stats]
        .map(|finished| -> Value { serde_json::from_str(&finished.stdout).unwrap_or_default() });
    let mut row = trial.row();
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
            row.add(|row| &mut row.unexpected, format!("{finished:?}"));
        }
    }
    for kind in stats_report["kinds"].as_array().into_iter().flatten() {
        for _ in 0..kind["dead"].as_u64().unwrap_or_default() {
            row.add(|row| &mut row.dead, format!("a dead letter: {kind}"));
        }
    }
}
