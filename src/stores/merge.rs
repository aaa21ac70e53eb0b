//! Merging of queued writes and stored rows, by the same rule in both backends.
//!
//! The higher revision wins; of equal ones the row. Both sides must have been read queue first, then rows: a write that
//! is stored in between would be seen in neither otherwise.

use std::collections::BTreeMap;

use crate::domain::{Chat, Message, Number, Page};

/// An item of a list that is ordered by number.
pub trait Item: Sized {
    /// Returns its number.
    fn number(&self) -> Number;

    /// Merges a queued write and the row of the same item.
    fn merge(pending: Self, stored: Self) -> Self;
}

impl Item for Chat {
    fn number(&self) -> Number {
        self.key.number
    }

    fn merge(pending: Self, stored: Self) -> Self {
        let messages_count = stored.messages_count;
        // What is queued is the creation itself; a row can be made from its messages.
        let created_at = pending.created_at;
        let newer = if pending.revision > stored.revision {
            pending
        } else {
            stored
        };
        Self {
            messages_count,
            created_at,
            ..newer
        }
    }
}

impl Item for Message {
    fn number(&self) -> Number {
        self.key.number
    }

    fn merge(pending: Self, stored: Self) -> Self {
        stored.merge(pending)
    }
}

/// Merges one item.
pub fn one<T: Item>(pending: Option<T>, stored: Option<T>) -> Option<T> {
    match (pending, stored) {
        (Some(pending), Some(stored)) => Some(T::merge(pending, stored)),
        (pending, stored) => pending.or(stored),
    }
}

/// Merges two ascending lists that were both read for `page` into that page, ascending, each number once. No item of
/// their union is missing.
pub fn list<T: Item>(page: &Page, pending: Vec<T>, stored: Vec<T>) -> Vec<T> {
    if pending.is_empty() {
        return stored;
    }
    let by_number = |item: T| (item.number(), item);
    let mut merged: BTreeMap<Number, T> = pending.into_iter().map(by_number).collect();
    for item in stored {
        let number = item.number();
        if let Some(item) = one(merged.remove(&number), Some(item)) {
            merged.insert(number, item);
        }
    }
    let skipped = match page.from_the_end() {
        true => merged.len().saturating_sub(page.limit),
        false => 0,
    };
    let items = merged.into_values().skip(skipped);
    items.take(page.limit).collect()
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

    impl Item for u64 {
        fn number(&self) -> Number {
            *self
        }

        fn merge(_pending: Self, stored: Self) -> Self {
            stored
        }
    }

    #[test]
    fn pages_are_filled_from_their_own_end() {
        let first = Page {
            after: None,
            before: None,
            limit: 3,
        };
        assert_eq!(list(&first, vec![3, 4, 5], vec![1, 2, 3]), [1, 2, 3]);
        let last = Page {
            before: Some(9),
            ..first
        };
        assert_eq!(list(&last, vec![6, 7, 8], vec![5, 6, 7]), [6, 7, 8]);
    }
}
