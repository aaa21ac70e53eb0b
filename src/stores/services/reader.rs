//! Reads of the API: the queue first, then the rows, never the other way round and never at the same time: a write that
//! is stored in between would be seen in neither.

use super::{
    Services,
    enqueue::{ATTEMPTS, unsettled},
    redis::{Counter, CounterKey},
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Message, MessageKey, Page,
        page::{Listing, Part},
    },
    stores::{
        Error, Read, Result,
        merge::{self, Merge},
    },
};

impl Services {
    pub(crate) async fn application(&self, id: AppId) -> Result<Read<Option<(Application, u64)>>> {
        match self.counter(CounterKey::Chats(id)).await {
            Ok(None) => Ok(Read::fresh(None)),
            Ok(Some(Counter { number, creation })) => {
                let application = match creation {
                    Some(pending) => Some(pending),
                    None => self.mysql.application(id).await?.map(|(stored, _)| stored),
                };
                Ok(Read::fresh(application.map(|found| (found, number))))
            }
            Err(error) => stale(error, || self.mysql.application(id)).await,
        }
    }

    pub(crate) async fn has_chat(&self, key: ChatKey) -> Result<Read<bool>> {
        match self.counter(CounterKey::Messages(key)).await {
            Ok(counter) => Ok(Read::fresh(counter.is_some())),
            Err(error) => {
                let stored = stale(error, || self.mysql.chat(key)).await?;
                Ok(stored.map(|chat| chat.is_some()))
            }
        }
    }

    pub(crate) async fn chat(&self, key: ChatKey) -> Result<Read<Option<Chat>>> {
        let pending = self
            .redis
            .pending_chats(key.app, &Page::only(key.number))
            .await;
        let pending = pending.map(|chats| chats.items.into_iter().next());
        one(pending, || self.mysql.chat(key)).await
    }

    pub(crate) async fn chats(&self, app: AppId, page: &Page) -> Result<Read<Listing<Chat>>> {
        let pending = async move |page| self.redis.pending_chats(app, &page).await;
        let stored = async move |page| self.mysql.chats(app, &page).await.map(Part::whole);
        list(page, pending, stored).await
    }

    pub(crate) async fn message(&self, key: MessageKey) -> Result<Read<Option<Message>>> {
        let pending = self.newest.call(key).await;
        one(pending, || self.mysql.message(key)).await
    }

    pub(crate) async fn messages(
        &self,
        chat: ChatKey,
        page: &Page,
    ) -> Result<Read<Listing<Message>>> {
        let pending = async move |page| self.redis.pending_messages(chat, &page).await;
        let stored = async move |page| self.mysql.messages(chat, &page).await;
        list(page, pending, stored).await
    }

    /// Raises counters of older epochs to what is stored. Those above that keep their number, and are never evicted.
    pub async fn verify(&self, keys: &[CounterKey]) -> Result<()> {
        let counters = keys.iter().map(|key| self.counter(*key));
        futures_util::future::try_join_all(counters).await.map(drop)
    }

    /// A counter of Redis, raised to what is stored if it is of an older epoch; `None` if its owner does not exist.
    async fn counter(&self, key: CounterKey) -> Result<Option<Counter>> {
        for _ in 0..ATTEMPTS {
            match self.redis.counter(key).await? {
                Ok(counter) => return Ok(Some(counter)),
                Err(fact) => {
                    if !self.facts.learn(fact).await? {
                        return Ok(None);
                    }
                }
            }
        }
        Err(unsettled())
    }
}

/// Reads one item.
async fn one<T: Merge, F>(
    pending: Result<Option<T>>,
    stored: impl FnOnce() -> F,
) -> Result<Read<Option<T>>>
where
    F: Future<Output = Result<Option<T>>>,
{
    match pending {
        // With MySQL unreachable, this is newer than what it holds.
        Ok(Some(pending)) => {
            let stored = match stored().await {
                Err(error @ Error::Newer { .. }) => return Err(error),
                stored => stored.unwrap_or_default(),
            };
            Ok(Read::fresh(merge::one(Some(pending), stored)))
        }
        Ok(None) => Ok(Read::fresh(stored().await?)),
        Err(error) => stale(error, stored).await,
    }
}

/// Reads what is stored, because the queue is unreachable. A missing item may not be stored yet: that returns the
/// outage.
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

/// Reads a page of a list.
async fn list<T: Merge>(
    page: &Page,
    pending: impl AsyncFn(Page) -> Result<Part<T>>,
    stored: impl AsyncFn(Page) -> Result<Part<T>>,
) -> Result<Read<Listing<T>>> {
    let read = async |wide: Page| {
        let (pending, stale) = match pending(wide).await {
            Ok(pending) => (pending, false),
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
            part(looks[(count.get() - 1).min(1)].0, &page)
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
