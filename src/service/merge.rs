//! Putting together what is stored and what is not yet.

use std::collections::BTreeMap;

use crate::domain::{Number, Page};

/// One ascending list, each number once, of at most one more than the page holds. Both lists must have been read for
/// one more than the page holds: then the page's part of their union is complete.
pub fn merge<T>(
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
    let room = page.limit + 1;
    let skipped = if page.from_the_end() {
        merged.len().saturating_sub(room)
    } else {
        0
    };
    merged.into_values().skip(skipped).take(room).collect()
}

#[cfg(test)]
mod tests {
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
            limit: 2,
        };
        assert_eq!(merged(first, &[3, 4, 5], &[1, 2, 3]), [1, 2, 3]);
        let last = Page {
            before: Some(9),
            ..first
        };
        assert_eq!(merged(last, &[6, 7, 8], &[5, 6, 7]), [6, 7, 8]);
    }
}
