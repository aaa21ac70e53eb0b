//! Lists: putting together what is stored and what is not yet.

use std::collections::BTreeMap;

use super::{Read, is_outage};
use crate::{
    domain::{Number, Page, Result, page::Listing},
    stores,
};

/// Reads a page of a list from the queue, then from the database; what is in both is put together by `newer`, which is
/// given what is pending and what is stored.
///
/// # Errors
///
/// Those of `stored`, and of `pending` all but an outage: without the queue, what is stored is the answer.
pub async fn list<T>(
    page: &Page,
    pending: impl AsyncFn(&Page) -> stores::Result<Vec<T>>,
    stored: impl AsyncFn(&Page) -> stores::Result<Vec<T>>,
    number: impl Fn(&T) -> Number + Copy,
    newer: impl Fn(T, T) -> T,
) -> Result<Read<Listing<T>>> {
    // In this order, or what is stored in between would be seen in neither.
    let read = async |wide: &Page| {
        let (pending, stale) = match pending(wide).await {
            Ok(pending) => (pending, false),
            Err(outage) if is_outage(&outage) => (Vec::new(), true),
            Err(error) => return Err(error),
        };
        let items = merge(wide, pending, stored(wide).await?, number, &newer);
        Ok((items, stale))
    };
    let wide = page.with_one_more();
    let (mut items, mut stale) = read(&wide).await?;
    // Of writes that were accepted in between a later one may be stored before an earlier one, which is seen in neither
    // then: who goes on from such a page would miss it. By now there are all up to the last one, so they are found. Where
    // a number was lost, this is one look more.
    if let Some(last) = items.last().map(number)
        && !stale
        && has_hole(&wide, &items, number)
    {
        (items, stale) = read(&wide.up_to(last)).await?;
    }
    Ok(Read {
        value: Listing::new(page, items, number),
        stale,
    })
}

/// Whether a number is left out before or between these, which are a page's.
fn has_hole<T>(page: &Page, items: &[T], number: impl Fn(&T) -> Number) -> bool {
    let first = match page.from_the_end() {
        true => items.first().map_or(0, &number),
        false => page.after.unwrap_or(0) + 1,
    };
    let numbers = items.iter().map(number);
    numbers.zip(first..).any(|(number, due)| number != due)
}

/// One ascending list, each number once, of what the page holds at most. Both lists must have been read for that page:
/// then the page's part of their union is complete.
fn merge<T>(
    page: &Page,
    pending: Vec<T>,
    stored: Vec<T>,
    number: impl Fn(&T) -> Number,
    newer: impl Fn(T, T) -> T,
) -> Vec<T> {
    if pending.is_empty() {
        return stored;
    }
    let mut merged: BTreeMap<Number, T> = pending
        .into_iter()
        .map(|item| (number(&item), item))
        .collect();
    for item in stored {
        let key = number(&item);
        let item = match merged.remove(&key) {
            Some(pending) => newer(pending, item),
            None => item,
        };
        merged.insert(key, item);
    }
    let room = page.limit;
    let skipped = if page.from_the_end() {
        merged.len().saturating_sub(room)
    } else {
        0
    };
    merged.into_values().skip(skipped).take(room).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn merged(page: Page, pending: &[u64], stored: &[u64]) -> Vec<u64> {
        merge(
            &page,
            pending.to_vec(),
            stored.to_vec(),
            |n| *n,
            |_, stored| stored,
        )
    }

    #[test]
    fn pages_are_filled_from_their_own_end() {
        let first = Page {
            after: None,
            before: None,
            limit: 3,
        };
        assert_eq!(merged(first, &[3, 4, 5], &[1, 2, 3]), [1, 2, 3]);
        let last = Page {
            before: Some(9),
            ..first
        };
        assert_eq!(merged(last, &[6, 7, 8], &[5, 6, 7]), [6, 7, 8]);
    }

    /// Reads a page of a list: what is pending and stored at the first look, and at those that follow.
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
            Ok(part)
        };
        let pending = async |page: &Page| {
            count.set(count.get() + 1);
            part(looks[(count.get() - 1).min(1)].0, page)
        };
        let stored = async |page: &Page| part(looks[(count.get() - 1).min(1)].1, page);
        let read = list(&page, pending, stored, |n| *n, |_, stored| stored).await;
        (read.expect("no store fails").value.items, count.get())
    }

    #[tokio::test]
    async fn a_later_write_that_is_stored_first_does_not_hide_an_earlier_one() {
        let page = Page {
            after: None,
            before: None,
            limit: 4,
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
        // Without a hole there is one look; with one that stays there are two.
        let whole = (&[3][..], &[1, 2][..]);
        assert_eq!(listed(page, [whole, whole]).await, (vec![1, 2, 3], 1));
        let lost = (&[][..], &[1, 3][..]);
        assert_eq!(listed(page, [lost, lost]).await, (vec![1, 3], 2));
    }
}
