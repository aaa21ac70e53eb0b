//! Reads of the API: the queue first, then the rows, never the other way round and never at the same time: a write that
//! is stored in between would be seen in neither.

use super::{
    Services,
    enqueue::{ATTEMPTS, unsettled},
    facts::Found,
    redis::{Counter, CounterKey, Queued},
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Message, MessageKey, Page,
        page::{Item, Listing, Part},
    },
    stores::{
        Error, Read, Result,
        merge::{self, Merge},
    },
};

impl Services {
    pub(crate) async fn application(&self, id: AppId) -> Result<Read<Option<(Application, u64)>>> {
        let is_deleted = |(stored, _): &(Application, u64)| stored.deleted_at.is_some();
        match self.counter(CounterKey::Chats(id)).await {
            Ok(None) => Ok(Read::fresh(None)),
            Ok(Some(Counter { number, creation })) => {
                let application = match creation {
                    Some(pending) => Some(pending),
                    None => {
                        let stored = self.mysql.application(id).await?;
                        stored
                            .filter(|found| !is_deleted(found))
                            .map(|(stored, _)| stored)
                    }
                };
                Ok(Read::fresh(application.map(|found| (found, number))))
            }
            Err(error) => {
                let stored = stale(error, || self.mysql.application(id)).await?;
                Ok(stored.map(|found| found.filter(|found| !is_deleted(found))))
            }
        }
    }

    pub(crate) async fn has_chat(&self, key: ChatKey) -> Result<Read<bool>> {
        match self.counter(CounterKey::Messages(key)).await {
            Ok(counter) => Ok(Read::fresh(counter.is_some())),
            Err(error) => {
                let stored = stale(error, || self.mysql.chat(key)).await?;
                Ok(stored.map(|chat| existing(chat).is_some()))
            }
        }
    }

    pub(crate) async fn chat(&self, key: ChatKey) -> Result<Read<Option<Chat>>> {
        let page = Page::only(key.number);
        let pending = self.queued(|| self.redis.pending_chats(key.app, &page));
        let pending = pending.await.map(|queued| {
            let chats = queued?;
            Some(chats.items.into_iter().next())
        });
        one(pending, || self.mysql.chat(key)).await
    }

    pub(crate) async fn chats(&self, app: AppId, page: &Page) -> Result<Read<Listing<Chat>>> {
        let pending = async move |page| self.queued(|| self.redis.pending_chats(app, &page)).await;
        let stored = async move |page| self.mysql.chats(app, &page).await.map(Part::whole);
        list(page, pending, stored).await
    }

    pub(crate) async fn message(&self, key: MessageKey) -> Result<Read<Option<Message>>> {
        let pending = self.queued(|| self.newest.call(key)).await;
        one(pending, || self.mysql.message(key)).await
    }

    pub(crate) async fn messages(
        &self,
        chat: ChatKey,
        page: &Page,
    ) -> Result<Read<Listing<Message>>> {
        let pending = async move |page| {
            self.queued(|| self.redis.pending_messages(chat, &page))
                .await
        };
        let stored = async move |page| self.mysql.messages(chat, &page).await;
        list(page, pending, stored).await
    }

    /// Raises counters of older epochs to what is stored. Those above that keep their number, and are never evicted.
    pub async fn verify(&self, keys: &[CounterKey]) -> Result<()> {
        let counters = keys.iter().map(|key| self.counter(*key));
        futures_util::future::try_join_all(counters).await.map(drop)
    }

    /// A counter of Redis, raised to what is stored if it is of an older epoch; `None` if its owner does not exist.
    pub(super) async fn counter(&self, key: CounterKey) -> Result<Option<Counter>> {
        for _ in 0..ATTEMPTS {
            match self.redis.counter(key).await? {
                Ok(counter) => return Ok(counter),
                Err(fact) => {
                    if self.facts.look_up(fact).await? == Found::Missing {
                        return Ok(None);
                    }
                }
            }
        }
        Err(unsettled())
    }

    /// Reads what is not stored yet; `None` if the application or chat that it belongs to is deleted.
    pub(super) async fn queued<T, F>(&self, read: impl Fn() -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<Queued<T>>>,
    {
        for _ in 0..ATTEMPTS {
            let (fact, items) = match read().await? {
                Queued::Read(items) => return Ok(Some(items)),
                Queued::ParentDeleted => return Ok(None),
                Queued::Needs(fact, items) => (fact, items),
            };
            match self.facts.look_up(fact).await {
                Ok(Found::Missing) => return Ok(None),
                Ok(_) => {}
                // With MySQL unreachable, this is what is known.
                Err(error) if error.is_outage() => return Ok(Some(items)),
                Err(error) => return Err(error),
            }
        }
        Err(unsettled())
    }
}

/// Leaves out an item that is deleted.
fn existing<T: Item>(item: Option<T>) -> Option<T> {
    item.filter(|item| !item.is_deleted())
}

/// Reads one item. `pending` holds `None` if what it belongs to is deleted.
async fn one<T: Merge, F>(
    pending: Result<Option<Option<T>>>,
    stored: impl FnOnce() -> F,
) -> Result<Read<Option<T>>>
where
    F: Future<Output = Result<Option<T>>>,
{
    match pending {
        Ok(None) => Ok(Read::fresh(None)),
        // With MySQL unreachable, this is newer than what it holds.
        Ok(Some(Some(pending))) => {
            let stored = match stored().await {
                Err(error @ Error::Newer { .. }) => return Err(error),
                stored => stored.unwrap_or_default(),
            };
            Ok(Read::fresh(existing(merge::one(Some(pending), stored))))
        }
        Ok(Some(None)) => Ok(Read::fresh(existing(stored().await?))),
        Err(error) => Ok(stale(error, stored).await?.map(existing)),
    }
}

/// Reads what is stored, because the queue is unreachable. A missing item may not be stored yet: that returns the
/// outage. A deleted one is returned.
async fn stale<T, F>(error: Error, stored: impl FnOnce() -> F) -> Result<Read<Option<T>>>
where
    F: Future<Output = Result<Option<T>>>,
{
    if !error.is_outage() {
        return Err(error);
    }
    let value = Some(stored().await?.ok_or(error)?);
    Ok(Read { value, stale: true })
}

/// Reads a page of a list. `pending` returns `None` if what the items belong to is deleted.
async fn list<T: Merge>(
    page: &Page,
    pending: impl AsyncFn(Page) -> Result<Option<Part<T>>>,
    stored: impl AsyncFn(Page) -> Result<Part<T>>,
) -> Result<Read<Listing<T>>> {
    let read = async |wide: Page| {
        let (pending, stale) = match pending(wide).await {
            Ok(Some(pending)) => (pending, false),
            Ok(None) => return Ok((Part::whole(Vec::new()), false)),
            Err(error) if error.is_outage() => (Part::whole(Vec::new()), true),
            Err(error) => return Err(error),
        };
        let part = merge::list(&wide, pending, stored(wide).await?);
        Ok((part, stale))
    };
    let wide = page.with_one_more();
    let (mut part, mut stale) = read(wide).await?;
    // Of writes accepted between the two reads, a later one may be stored before an earlier one, which neither read
    // returned. A client that continues after such a page would miss it. By now all writes up to the last one are
    // visible, so a second read returns them. If the number was lost, the second read is redundant.
    if let Some(last) = part.items.last().map(T::number)
        && !stale
        && merge::has_hole(&wide, &part.items)
    {
        let more = part.more;
        (part, stale) = read(wide.up_to(last)).await?;
        part.more |= more;
    }
    Ok(Read {
        value: Listing::new(page, part),
        stale,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Reads a page of a list, from the pending and stored items of the first read and of the following ones.
    async fn listed(page: Page, looks: [(&[u64], &[u64]); 2]) -> (Vec<u64>, usize) {
        let count = Cell::new(0);
        let part = |all: &[u64], page: &Page| {
            let holds = |n: &u64| {
                page.after.is_none_or(|after| *n > after)
                    && page.before.is_none_or(|before| *n < before)
            };
            let mut part: Vec<u64> = all.iter().copied().filter(holds).collect();
            if page.from_the_end() {
                part.drain(..part.len().saturating_sub(page.limit));
            }
            part.truncate(page.limit);
            Ok(Part::whole(part))
        };
        let pending = async |page: Page| {
            count.set(count.get() + 1);
            part(looks[(count.get() - 1).min(1)].0, &page).map(Some)
        };
        let stored = async |page: Page| part(looks[(count.get() - 1).min(1)].1, &page);
        let read = list(&page, pending, stored).await;
        (read.expect("no store fails").value.items, count.get())
    }

    #[tokio::test]
    async fn a_later_write_that_is_stored_first_does_not_hide_an_earlier_one() {
        let page = Page {
            after: None,
            before: None,
            limit: 4,
            bytes: usize::MAX,
        };
        // 3 and 4 are accepted after the queue was read, 5 too, and only 5 is stored by then.
        let then: (&[u64], &[u64]) = (&[3, 4, 6], &[1, 2, 5]);
        let looks = [(&[][..], &[1, 2, 5][..]), then];
        assert_eq!(listed(page, looks).await, (vec![1, 2, 3, 4], 2));
        let end = Page {
            before: Some(100),
            ..page
        };
        assert_eq!(listed(end, looks).await, (vec![2, 3, 4, 5], 2));
        let rest = Page {
            after: Some(2),
            ..page
        };
        assert_eq!(listed(rest, looks).await, (vec![3, 4, 5], 2));
        // Without a gap there is one read; with a permanent gap there are two.
        let whole = (&[3][..], &[1, 2][..]);
        assert_eq!(listed(page, [whole, whole]).await, (vec![1, 2, 3], 1));
        let lost = (&[][..], &[1, 3][..]);
        assert_eq!(listed(page, [lost, lost]).await, (vec![1, 3], 2));
    }
}
