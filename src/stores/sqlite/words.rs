//! The full text: FTS5 tables that hold no text, only where which word is.
//!
//! Every word is laid with its chat's id before it, 8 hexadecimal digits. So a search meets the words of its own chat
//! only, however many others hold the same, and a prefix is looked up among those: FTS5 would else first collect
//! all places in all chats at which a word begins so. The row ids are the messages' own: a chat's are in their order.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{error::Outcome, schema::search_indexes};
use crate::{
    domain::text::{self, Piece, Query},
    stores::Error,
};

/// The words of a text, separated by spaces.
pub(super) fn of(text: &str) -> String {
    text::words(text)
}

/// What stands before every word of a chat.
fn mark(chat: i64) -> String {
    format!("{chat:08x}")
}

/// Words as they are laid into the index.
fn laid(chat: i64, words: &str) -> String {
    let mark = mark(chat);
    let mut laid = String::with_capacity(words.len() * 3);
    for word in words.split_ascii_whitespace() {
        if !laid.is_empty() {
            laid.push(' ');
        }
        laid.push_str(&mark);
        laid.push_str(word);
    }
    laid
}

/// A query in the language of FTS5: phrases, all of which must be there. A word holds no quote.
pub(super) fn expression(chat: i64, query: &Query) -> String {
    let phrase = |piece: &Piece| {
        let star = if piece.prefix { " *" } else { "" };
        format!("\"{}\"{star}", laid(chat, &piece.words.join(" ")))
    };
    let phrases: Vec<String> = query.pieces.iter().map(phrase).collect();
    phrases.join(" AND ")
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

    /// Lays a message's words into them.
    pub fn lay(
        &self,
        connection: &mut SqliteConnection,
        id: i64,
        words: &str,
        revision: i64,
    ) -> QueryResult<()> {
        let laid = laid(id >> 32, words);
        for index in &self.0 {
            lay(connection, index, id, &laid, revision)?;
        }
        Ok(())
    }
}

fn lay(
    connection: &mut SqliteConnection,
    index: &str,
    id: i64,
    laid: &str,
    revision: i64,
) -> QueryResult<()> {
    sql_query(format!(
        "INSERT OR REPLACE INTO {index} (rowid, words, revision) VALUES (?, ?, ?)"
    ))
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(laid)
    .bind::<BigInt, _>(revision)
    .execute(connection)?;
    Ok(())
}

/// Lays a message's words into one index, unless it holds them of a newer revision, or of this one.
pub(super) fn put(
    connection: &mut SqliteConnection,
    index: &str,
    id: i64,
    words: &str,
    revision: i64,
) -> QueryResult<()> {
    let laid_before = self::revision(connection, index, id)?;
    if laid_before.is_none_or(|before| before < revision) {
        lay(connection, index, id, &laid(id >> 32, words), revision)?;
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
        let expression = |text| expression(0x2a, &Query::parse(text));
        assert_eq!(expression("Foo"), "\"0000002afoo\" *");
        assert_eq!(
            expression("\"foo bar\" v1.2"),
            "\"0000002afoo 0000002abar\" AND \"0000002av1 0000002a2\" *"
        );
        assert_eq!(expression("\" AND ("), "\"0000002aand\" *");
    }

    #[test]
    fn chats_do_not_share_words() {
        assert_eq!(laid(1, "1foo bar"), "000000011foo 00000001bar");
        assert_eq!(laid(0x11, "foo"), "00000011foo");
        assert_eq!(laid(1, ""), "");
    }
}
