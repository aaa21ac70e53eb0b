//! Changes of an application since a cursor: queued writes and rows together, in one visit of a reader.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded,
    error::Outcome,
    history,
    numbers::{existing_application, existing_chat},
    reader,
    rows::{signed, unsigned},
};
use crate::{
    domain::{AppId, Changed, Changes, ChangesPage, ChatKey, Cursor, Revision, Since, Target},
    stores::{
        Error, Result,
        call::call,
        changes::{EXAMINED, Entries, Examined, States, examine},
    },
};

/// Queued writes, rows of messages, and rows of chats. Each is read from an index.
const SOURCES: [&str; 3] = [
    "SELECT id AS revision, chat, number FROM jobs WHERE app = ? AND id > ? AND superseded = 0 AND number > 0 \
     ORDER BY id LIMIT ?",
    "SELECT revision, chat, number FROM messages WHERE app = ? AND revision > ? ORDER BY revision LIMIT ?",
    "SELECT revision, 0 AS chat, number FROM chats WHERE app = ? AND revision > ? ORDER BY revision LIMIT ?",
];

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Embedded {
    pub(crate) async fn changes(&self, app: AppId, page: &ChangesPage) -> Result<Option<Changes>> {
        let page = page.clone();
        let read = move |connection: &mut SqliteConnection| changes(connection, app, &page);
        self.readers.run(call!("records", "changes"), read).await
    }

    pub(crate) async fn last_revisions(&self, apps: &[AppId]) -> Result<Vec<Revision>> {
        let apps = apps.to_vec();
        let read = move |connection: &mut SqliteConnection| last_revisions(connection, &apps);
        let call = call!("records", "last_revisions");
        self.readers.run(call, read).await
    }
}

/// Queries of [`SOURCES`] for the last entry alone.
const LAST: &str = "SELECT MAX(COALESCE((SELECT MAX(id) FROM jobs WHERE app = ?1), 0), \
                    COALESCE((SELECT MAX(revision) FROM messages WHERE app = ?1), 0), \
                    COALESCE((SELECT MAX(revision) FROM chats WHERE app = ?1), 0)) AS revision, 0 AS chat, 0 AS number";

fn last_revisions(connection: &mut SqliteConnection, apps: &[AppId]) -> Outcome<Vec<Revision>> {
    let last = apps.iter().map(|app| {
        let query = sql_query(LAST).bind::<Text, _>(app.to_string());
        let last: EntryRow = query.get_result(connection)?;
        Ok(Revision(unsigned(last.revision)))
    });
    last.collect()
}

fn changes(
    connection: &mut SqliteConnection,
    app: AppId,
    page: &ChangesPage,
) -> Outcome<Option<Changes>> {
    if existing_application(connection, app)?.is_none() {
        return Ok(None);
    }
    let (mark, last) = (
        history::current_mark(connection)?,
        history::last_revision(connection)?,
    );
    // All is read from one state of the file.
    let cursor = |revision| {
        Since::After(Cursor {
            app,
            mark,
            revision,
            seen: last,
        })
    };
    let after = match page.since {
        Since::Now => {
            let (items, next) = (Vec::new(), cursor(last));
            return Ok(Some(Changes { items, next }));
        }
        Since::Beginning => Revision(0),
        Since::After(known) => match history::is_valid(connection, &known, last)? {
            true => known.revision,
            false => return Err(Error::HistoryLost.into()),
        },
    };
    let mut sources = Vec::with_capacity(SOURCES.len());
    for query in SOURCES {
        sources.push(entries(connection, query, app, after)?);
    }
    let Examined {
        wanted,
        last: mut examined,
    } = examine(sources, page);
    let mut states = States::default();
    for (revision, target) in wanted {
        if let Some(state) = changed(connection, target)?
            && let Some(last) = states.add(revision, state, page.bytes)
        {
            examined = Some(last);
            break;
        }
    }
    let items = states.items;
    let next = examined.map_or(page.since, cursor);
    Ok(Some(Changes { items, next }))
}

fn entries(
    connection: &mut SqliteConnection,
    query: &str,
    app: AppId,
    after: Revision,
) -> QueryResult<Entries> {
    let rows: Vec<EntryRow> = sql_query(query)
        .bind::<Text, _>(app.to_string())
        .bind::<BigInt, _>(signed(after.0))
        .bind::<BigInt, _>(signed(EXAMINED as u64))
        .load(connection)?;
    let entry = |row: EntryRow| {
        let (chat, number) = (unsigned(row.chat), unsigned(row.number));
        (
            Revision(unsigned(row.revision)),
            Target { app, chat, number },
        )
    };
    let entries = rows.into_iter().map(entry).collect();
    Ok(Entries::limited(entries, EXAMINED))
}

/// Present state of what changed; `None` for a message of a deleted chat.
fn changed(connection: &mut SqliteConnection, target: Target) -> Outcome<Option<Changed>> {
    let Target { app, chat, number } = target;
    if chat == 0 {
        let key = ChatKey { app, number };
        if existing_chat(connection, key)?.is_none() {
            return Ok(Some(Changed::DeletedChat(key)));
        }
        return Ok(reader::chat(connection, key)?.map(Changed::chat));
    }
    let message = reader::message(connection, target.message())?;
    Ok(message.map(Changed::message))
}
