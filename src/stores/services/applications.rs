//! The list of applications: the queue first, then the rows.

use std::collections::HashSet;

use super::{
    Services,
    redis::{ChatCount, CounterKey},
};
use crate::{
    domain::{
        AppId, Revision,
        application::{ApplicationsListing, ApplicationsPage},
    },
    stores::{Read, Result},
};

/// Revision that no creation reaches.
const ALL: Revision = Revision(u64::MAX >> 1);

impl Services {
    pub(crate) async fn applications(
        &self,
        page: &ApplicationsPage,
    ) -> Result<Read<ApplicationsListing>> {
        let wide = page.with_one_more();
        let (queued, last, stale) = match self.redis.pending_applications(&wide).await {
            Ok((queued, last)) => (queued, last, false),
            Err(error) if error.is_outage() => (Vec::new(), ALL, true),
            Err(error) => return Err(error),
        };
        // A later application may be stored before an earlier one that neither read returns. A client that continues after
        // it would miss the earlier one, so what was accepted after the queue was read is left out.
        let stored = self.mysql.applications(&wide, last).await?;
        let mut listing = ApplicationsListing::merge(page, queued, stored);
        let ids: Vec<AppId> = listing
            .items
            .iter()
            .map(|item| item.application.id)
            .collect();
        // Without its counter, an application is idle, so that all its chats are stored and counted.
        let counts = match stale {
            true => Vec::new(),
            false => self.redis.chat_counts(&ids).await?,
        };
        let counted = listing.items.iter_mut().zip(counts);
        let mut deleted = HashSet::new();
        for (item, count) in counted {
            let id = item.application.id;
            let given = match count {
                ChatCount::Known(given) => given,
                ChatCount::Unknown => match self.counter(CounterKey::Chats(id)).await? {
                    Some(counter) => counter.number,
                    None => item.chats,
                },
                ChatCount::NoCounter => item.chats,
                ChatCount::Deleted => {
                    deleted.insert(id);
                    item.chats
                }
            };
            // A counter of an earlier epoch may be below what is stored.
            item.chats = given.max(item.chats);
        }
        // Deleted ones are read, so that a page is read at a bounded cost, and left out.
        listing.items.retain(|item| {
            let application = &item.application;
            application.deleted_at.is_none() && !deleted.contains(&application.id)
        });
        Ok(Read {
            value: listing,
            stale,
        })
    }
}
