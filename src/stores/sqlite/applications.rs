//! The list of applications: queued creations and rows, in one visit of a reader.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded,
    error::{Outcome, failed},
    rows::{ApplicationRow, signed, unsigned},
    schema::app_numbers,
};
use crate::{
    domain::{
        AppId, Application, Change, Revision,
        application::{ApplicationsListing, ApplicationsPage, ListedApplication, Position},
    },
    stores::{Result, call::call, payload},
};

/// Place after all applications.
const END: Position = Position {
    revision: Revision(u64::MAX >> 1),
    id: AppId(0),
};

impl Embedded {
    pub(crate) async fn applications(
        &self,
        page: &ApplicationsPage,
    ) -> Result<ApplicationsListing> {
        let page = *page;
        let read = move |connection: &mut SqliteConnection| {
            let wide = page.with_one_more();
            let (queued, stored) = (queued(connection, &wide)?, stored(connection, &wide)?);
            let mut listing = ApplicationsListing::merge(&page, queued, stored);
            count_chats(connection, &mut listing.items)?;
            Ok(listing)
        };
        self.readers
            .run(call!("records", "applications"), read)
            .await
    }
}

/// Order of the rows of a page.
fn order(page: &ApplicationsPage) -> &'static str {
    if page.from_the_end() { "DESC" } else { "ASC" }
}

fn queued(connection: &mut SqliteConnection, page: &ApplicationsPage) -> Outcome<Vec<Application>> {
    #[derive(QueryableByName)]
    struct Queued {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Text)]
        payload: String,
    }

    // The kind is written out, as a partial index is not used for what is bound. Of a creation, the revision alone is
    // unique.
    let rows: Vec<Queued> = sql_query(format!(
        "SELECT id, payload FROM jobs WHERE kind = 'create_application' AND id > ? AND id < ? \
         AND NOT EXISTS (SELECT 1 FROM app_numbers n WHERE n.app = jobs.app AND n.deleted) \
         ORDER BY id {} LIMIT ?",
        order(page)
    ))
    .bind::<BigInt, _>(signed(page.after.unwrap_or(Position::START).revision.0))
    .bind::<BigInt, _>(signed(page.before.unwrap_or(END).revision.0))
    .bind::<BigInt, _>(signed(page.limit as u64))
    .load(connection)?;
    let mut applications = Vec::with_capacity(rows.len());
    for row in rows {
        let revision = Revision(unsigned(row.id));
        let change = payload::read(revision, &row.payload).map_err(failed)?;
        applications.extend(Change::into_application(change));
    }
    Ok(applications)
}

fn stored(
    connection: &mut SqliteConnection,
    page: &ApplicationsPage,
) -> Outcome<Vec<ListedApplication>> {
    let (after, before) = (
        page.after.unwrap_or(Position::START),
        page.before.unwrap_or(END),
    );
    let order = order(page);
    let rows: Vec<ApplicationRow> = sql_query(format!(
        "SELECT * FROM applications WHERE (revision, id) > (?, ?) AND (revision, id) < (?, ?) \
         AND NOT EXISTS (SELECT 1 FROM app_numbers n WHERE n.app = applications.id AND n.deleted) \
         ORDER BY revision {order}, id {order} LIMIT ?"
    ))
    .bind::<BigInt, _>(signed(after.revision.0))
    .bind::<Text, _>(match page.after {
        Some(after) => after.id.to_string(),
        None => String::new(),
    })
    .bind::<BigInt, _>(signed(before.revision.0))
    .bind::<Text, _>(before.id.to_string())
    .bind::<BigInt, _>(signed(page.limit as u64))
    .load(connection)?;
    let rows = rows.into_iter().map(|row| {
        let (application, chats) = row.read()?;
        Ok(ListedApplication { application, chats })
    });
    Ok(rows.collect::<Result<_>>()?)
}

/// Sets the numbers of chats to those that were given out and not deleted, which include chats that are not stored yet.
fn count_chats(
    connection: &mut SqliteConnection,
    items: &mut [ListedApplication],
) -> QueryResult<()> {
    let ids = items.iter().map(|item| item.application.id.to_string());
    let counts: Vec<(String, i64)> = app_numbers::table
        .filter(app_numbers::app.eq_any(ids))
        .select((
            app_numbers::app,
            app_numbers::chats - app_numbers::deleted_chats,
        ))
        .load(connection)?;
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    for item in items {
        if let Some(count) = counts.get(&item.application.id.to_string()) {
            item.chats = unsigned(*count);
        }
    }
    Ok(())
}
