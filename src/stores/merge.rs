//! Merging of queued writes and stored rows, by the same rule in both backends.
//!
//! The higher revision wins; of equal ones the row. Both sides must have been read queue first, then rows: a write that
//! is stored in between would be seen in neither otherwise.

use std::collections::BTreeMap;

use crate::domain::{
    Chat, Message, Number, Page,
    page::{Item, Part},
};

/// An item that can be queued and stored.
pub trait Merge: Item + Sized {
    /// Merges a queued write and the row of the same item.
    fn merge(pending: Self, stored: Self) -> Self;
}

impl Merge for Chat {
    fn merge(pending: Self, stored: Self) -> Self {
        // A deletion wins over any write, whatever their revisions.
        match (pending.deleted_at, stored.deleted_at) {
            (_, Some(_)) => return stored,
            (Some(_), None) => return pending,
            (None, None) => {}
        }
        let messages_count = stored.messages_count;
        let deleted_up_to = pending.deleted_up_to.max(stored.deleted_up_to);
        // The queued write is the creation itself; a row can be made from its messages.
        let created_at = pending.created_at;
        let newer = if pending.revision > stored.revision {
            pending
        } else {
            stored
        };
        Self {
            messages_count,
            deleted_up_to,
            created_at,
            ..newer
        }
    }
}

impl Merge for Message {
    fn merge(pending: Self, stored: Self) -> Self {
        stored.merge(pending)
    }
}

/// Merges one item.
pub fn one<T: Merge>(pending: Option<T>, stored: Option<T>) -> Option<T> {
    match (pending, stored) {
        (Some(pending), Some(stored)) => Some(T::merge(pending, stored)),
        (pending, stored) => pending.or(stored),
    }
}

/// Merges two parts that were both read for `page` into one. No item of their union is missing between those of the
/// result, and each number is there once.
pub fn list<T: Merge>(page: &Page, pending: Part<T>, stored: Part<T>) -> Part<T> {
    if pending.items.is_empty() {
        return stored;
    }
    let (pending_end, stored_end) = (end(page, &pending), end(page, &stored));
    let more = pending.more || stored.more;
    let by_number = |item: T| (item.number(), item);
    let mut merged: BTreeMap<Number, T> = pending.items.into_iter().map(by_number).collect();
    for item in stored.items {
        let number = item.number();
        if let Some(item) = one(merged.remove(&number), Some(item)) {
            merged.insert(number, item);
        }
    }
    // Beyond the end of a part that is cut, its items are unknown.
    let is_known = |number: &Number| {
        let mut ends = [pending_end, stored_end].into_iter().flatten();
        ends.all(|end| match page.from_the_end() {
            true => *number >= end,
            false => *number <= end,
        })
    };
    merged.retain(|number, _| is_known(number));
    let skipped = match page.from_the_end() {
        true => merged.len().saturating_sub(page.limit),
        false => 0,
    };
    let items = merged.into_values().skip(skipped);
    let items = items.take(page.limit).collect();
    Part { items, more }
}

/// The number at which a part was cut because of its size.
fn end<T: Item>(page: &Page, part: &Part<T>) -> Option<Number> {
    let last = match page.from_the_end() {
        true => part.items.first(),
        false => part.items.last(),
    };
    last.filter(|_| part.more).map(T::number)
}

/// Tells whether a number is missing before or between the items of a page.
pub fn has_hole<T: Item>(page: &Page, items: &[T]) -> bool {
    let first = match page.from_the_end() {
        true => items.first().map_or(0, T::number),
        false => page.after.unwrap_or(0) + 1,
    };
    let numbers = items.iter().map(T::number);
    numbers.zip(first..).any(|(number, due)| number != due)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    impl Merge for u64 {
        fn merge(_pending: Self, stored: Self) -> Self {
            stored
        }
    }

    const FIRST: Page = Page {
        after: None,
        before: None,
        limit: 3,
        bytes: usize::MAX,
    };
    const LAST: Page = Page {
        before: Some(9),
        ..FIRST
    };

    fn merged(page: &Page, pending: &[u64], stored: &[u64]) -> Vec<u64> {
        let [pending, stored] = [pending, stored].map(|items| Part::whole(items.to_vec()));
        let merged = list(page, pending, stored);
        assert!(!merged.more);
        merged.items
    }

    #[test]
    fn pages_are_filled_from_their_own_end() {
        assert_eq!(merged(&FIRST, &[3, 4, 5], &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(merged(&LAST, &[6, 7, 8], &[5, 6, 7]), [6, 7, 8]);
    }

    #[test]
    fn merged_part_ends_where_the_shorter_one_was_cut() {
        let cut = |items: &[u64]| Part {
            items: items.to_vec(),
            more: true,
        };
        let whole = |items: &[u64]| Part::whole(items.to_vec());
        for (page, pending, stored, items) in [
            (&FIRST, cut(&[2]), whole(&[1, 3, 4]), &[1, 2][..]),
            (&FIRST, whole(&[1, 4]), cut(&[2, 3]), &[1, 2, 3]),
            (&FIRST, cut(&[4, 5]), cut(&[1, 2]), &[1, 2]),
            (&LAST, cut(&[7]), whole(&[5, 6, 8]), &[7, 8]),
            (&LAST, whole(&[5, 8]), cut(&[6, 7]), &[6, 7, 8]),
            (&LAST, whole(&[]), cut(&[6, 7]), &[6, 7]),
        ] {
            let merged = list(page, pending, stored);
            assert_eq!((&*merged.items, merged.more), (items, true));
        }
    }
}
