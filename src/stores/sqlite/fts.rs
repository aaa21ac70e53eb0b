//! The full text: FTS5 tables that hold no text, only where which word is.
//!
//! Every word is indexed with its chat's ID before it, as 8 hexadecimal digits. So a search reads only the occurrences
//! in its own chat, and a prefix is looked up among those: otherwise FTS5 would first collect all occurrences of a
//! prefix in all chats. The row IDs are those of the messages, so a chat's rows are in the order of its messages.
//!
//! FTS5 collects all occurrences of a prefix before it returns the newest, but not those of a word. So a prefix with
//! many occurrences is replaced by its words.

use diesel::{
    connection::SimpleConnection as _,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{error::Outcome, schema::search_indexes};
use crate::{
    domain::text::{Piece, Query},
    stores::Error,
};

/// Number of occurrences below which FTS5 looks up a prefix as fast as its words.
const MAX_OCCURRENCES: usize = 64;

/// Maximum number of words that replace a prefix; more cost more than they save.
const MAX_TERMS: usize = 32;

/// Sorts after every letter, digit and mark.
const AFTER_ALL: char = char::MAX;

/// Sorts before every letter, digit and mark.
const BEFORE_ALL: char = '\u{1}';

/// Prefix of all words of a chat.
fn chat_prefix(chat: i64) -> String {
    format!("{chat:08x}")
}

/// Words as they are written into the index.
fn tokens(chat: i64, words: &str) -> String {
    let chat_prefix = chat_prefix(chat);
    let mut tokens = String::with_capacity(words.len() * 3);
    for word in words.split_ascii_whitespace() {
        if !tokens.is_empty() {
            tokens.push(' ');
        }
        tokens.push_str(&chat_prefix);
        tokens.push_str(word);
    }
    tokens
}

/// A query in the language of FTS5, for one index.
pub(super) fn expression(
    connection: &mut SqliteConnection,
    index: &str,
    chat: i64,
    query: &Query,
) -> QueryResult<String> {
    let mut phrases = Vec::with_capacity(query.pieces.len());
    for piece in &query.pieces {
        let words = match piece.tokens.last() {
            Some(last) if piece.prefix => expand_prefix(connection, index, &tokens(chat, last))?,
            _ => Vec::new(),
        };
        phrases.push(phrase(chat, piece, &words));
    }
    Ok(phrases.join(" AND "))
}

/// A piece as a phrase; as one of several, if the `words` that its last one may be are given. A word holds no quote.
fn phrase(chat: i64, piece: &Piece, words: &[String]) -> String {
    if words.is_empty() {
        let star = if piece.prefix { " *" } else { "" };
        return format!("\"{}\"{star}", tokens(chat, &piece.tokens.join(" ")));
    }
    let before = piece.tokens.len().saturating_sub(1);
    let before = tokens(chat, &piece.tokens[..before].join(" "));
    let phrases: Vec<String> = words
        .iter()
        .map(|word| format!("\"{before} {word}\""))
        .collect();
    format!("({})", phrases.join(" OR "))
}

/// The words in an index that begin so, where it is worth it to ask for them instead.
fn expand_prefix(
    connection: &mut SqliteConnection,
    index: &str,
    prefix: &str,
) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        term: String,
    }
    let vocabulary = vocabulary(connection, index)?;
    let mut from = |from: String, limit: usize| -> QueryResult<Vec<Row>> {
        sql_query(format!(
            "SELECT term FROM {vocabulary} WHERE term >= ? AND term < ? LIMIT ?"
        ))
        .bind::<Text, _>(from)
        .bind::<Text, _>(format!("{prefix}{AFTER_ALL}"))
        .bind::<BigInt, _>(limit as i64)
        .load(connection)
    };
    let occurrences = from(prefix.to_owned(), MAX_OCCURRENCES)?;
    if occurrences.len() < MAX_OCCURRENCES {
        return Ok(Vec::new());
    }
    let mut words = Vec::new();
    let mut next = occurrences.into_iter().next();
    while let Some(Row { term }) = next {
        if words.len() == MAX_TERMS {
            return Ok(Vec::new());
        }
        // Skips the further occurrences of the word.
        next = from(format!("{term}{BEFORE_ALL}"), 1)?.into_iter().next();
        words.push(term);
    }
    Ok(words)
}

/// Creates the table of the occurrences of an index's words, at its first use. It is temporary.
fn vocabulary(connection: &mut SqliteConnection, index: &str) -> QueryResult<String> {
    let name = format!("temp.{index}_vocabulary");
    connection.batch_execute(&format!(
        "PRAGMA query_only = OFF; \
         CREATE VIRTUAL TABLE IF NOT EXISTS {name} USING fts5vocab(main, {index}, instance); \
         PRAGMA query_only = ON;"
    ))?;
    Ok(name)
}

/// The index in use, and the one that a rebuild is filling.
pub(super) struct Targets(Vec<String>);

impl Targets {
    /// Reads which they are.
    pub fn read(connection: &mut SqliteConnection) -> QueryResult<Self> {
        let names = search_indexes::table
            .filter(search_indexes::role.is_not_null())
            .select(search_indexes::name)
            .load(connection)?;
        Ok(Self(names))
    }

    /// Writes a message's words into them.
    pub fn write(
        &self,
        connection: &mut SqliteConnection,
        id: i64,
        words: &str,
        revision: i64,
    ) -> QueryResult<()> {
        let tokens = tokens(id >> 32, words);
        for index in &self.0 {
            write(connection, index, id, &tokens, revision)?;
        }
        Ok(())
    }
}

fn write(
    connection: &mut SqliteConnection,
    index: &str,
    id: i64,
    tokens: &str,
    revision: i64,
) -> QueryResult<()> {
    sql_query(format!(
        "INSERT OR REPLACE INTO {index} (rowid, words, revision) VALUES (?, ?, ?)"
    ))
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(tokens)
    .bind::<BigInt, _>(revision)
    .execute(connection)?;
    Ok(())
}

/// Writes a message's words into one index, unless it holds them of a newer revision, or of this one.
pub(super) fn put(
    connection: &mut SqliteConnection,
    index: &str,
    id: i64,
    words: &str,
    revision: i64,
) -> QueryResult<()> {
    let before = self::revision(connection, index, id)?;
    if before.is_none_or(|before| before < revision) {
        write(connection, index, id, &tokens(id >> 32, words), revision)?;
    }
    Ok(())
}

/// The revision that a message's words in an index are of.
pub(super) fn revision(
    connection: &mut SqliteConnection,
    index: &str,
    id: i64,
) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        revision: i64,
    }
    let row: Option<Row> = sql_query(format!("SELECT revision FROM {index} WHERE rowid = ?"))
        .bind::<BigInt, _>(id)
        .get_result(connection)
        .optional()?;
    Ok(row.map(|row| row.revision))
}

/// The index in use.
pub(super) fn current(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    search_indexes::table
        .filter(search_indexes::role.eq("current"))
        .select(search_indexes::name)
        .first(connection)
        .optional()
}

/// The index in use, where there must be one, or another by its name.
pub(super) fn named(connection: &mut SqliteConnection, name: Option<&str>) -> Outcome<String> {
    let found = match name {
        None => current(connection)?,
        Some(name) => search_indexes::table
            .find(name)
            .select(search_indexes::name)
            .first(connection)
            .optional()?,
    };
    let name = name.unwrap_or("in use");
    found.ok_or_else(|| Error::IndexMissing(name.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_phrases_of_the_chats_own_words() {
        let expression = |text| {
            let query = Query::parse(text);
            let phrases = query.pieces.iter().map(|piece| phrase(0x2a, piece, &[]));
            phrases.collect::<Vec<_>>().join(" AND ")
        };
        assert_eq!(expression("Foo"), "\"0000002afoo\" *");
        assert_eq!(
            expression("\"foo bar\" v1.2"),
            "\"0000002afoo 0000002abar\" AND \"0000002av1 0000002a2\" *"
        );
        assert_eq!(expression("\" AND ("), "\"0000002aand\" *");
    }

    #[test]
    fn a_prefix_may_be_asked_for_by_its_words() {
        let words = ["00000001bar".to_owned(), "00000001bars".to_owned()];
        let query = Query::parse("\"foo\" v1.ba");
        assert_eq!(
            phrase(1, &query.pieces[1], &words),
            "(\"00000001v1 00000001bar\" OR \"00000001v1 00000001bars\")"
        );
    }

    #[test]
    fn chats_do_not_share_words() {
        assert_eq!(tokens(1, "1foo bar"), "000000011foo 00000001bar");
        assert_eq!(tokens(0x11, "foo"), "00000011foo");
        assert_eq!(tokens(1, ""), "");
    }
}
