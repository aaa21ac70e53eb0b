//! List of chats of a user: only those that the token grants.
//!
//! Each page costs one page of the whole list, and holds at least one chat that is granted and exists, if there is one left.

use std::collections::BTreeSet;

use crate::domain::{
    Number, Page,
    page::{Item, Listing},
};

/// Page of the whole list to read for a page of the granted chats; `None` if nothing is granted there.
pub fn whole(page: &Page, granted: &BTreeSet<Number>) -> Option<Page> {
    let after = page.after.unwrap_or(0);
    let before = page.before.unwrap_or(Page::NOW);
    if after + 1 >= before {
        return None;
    }
    let mut within = granted.range(after + 1..before);
    Some(if page.from_the_end() {
        let last = within.next_back()?;
        Page {
            before: Some(last + 1),
            ..*page
        }
    } else {
        let first = within.next()?;
        Page {
            after: Some(first - 1),
            before: None,
            ..*page
        }
    })
}

/// Keeps the granted chats of the page that was read, and names only neighbours that are granted.
pub fn narrow<T: Item>(
    page: &Page,
    granted: &BTreeSet<Number>,
    read: Option<(Page, Listing<T>)>,
) -> Listing<T> {
    let before = page.before.unwrap_or(Page::NOW);
    // First and last number that was looked at.
    let (items, first, last) = match read {
        None if page.from_the_end() => (Vec::new(), before, before - 1),
        None => {
            let after = page.after.unwrap_or(0);
            (Vec::new(), after + 1, after)
        }
        Some((read, listing)) if read.from_the_end() => {
            let last = read.before.unwrap_or(Page::NOW) - 1;
            (listing.items, listing.previous.unwrap_or(1), last)
        }
        Some((read, listing)) => {
            let last = listing.next.unwrap_or(Page::NOW).min(before - 1);
            (listing.items, read.after.unwrap_or(0) + 1, last)
        }
    };
    let is_kept = |item: &T| granted.contains(&item.number()) && item.number() < before;
    let next = granted.range(last + 1..).next();
    let previous = granted.range(..first).next_back();
    Listing {
        items: items.into_iter().filter(is_kept).collect(),
        next: next.map(|next| next - 1),
        previous: previous.map(|previous| previous + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::page::Part;

    #[derive(Debug, Clone, PartialEq)]
    struct Chat(Number);

    impl Item for Chat {
        fn number(&self) -> Number {
            self.0
        }

        fn size(&self) -> usize {
            10
        }

        fn is_deleted(&self) -> bool {
            false
        }
    }

    fn page(after: Option<Number>, before: Option<Number>, limit: usize) -> Page {
        Page {
            after,
            before,
            limit,
            bytes: usize::MAX,
        }
    }

    /// Lists a page of those among `count` chats that are granted.
    fn list(count: Number, granted: &BTreeSet<Number>, page: &Page) -> Listing<Chat> {
        let read = whole(page, granted).map(|whole| {
            let wide = whole.with_one_more();
            let is_in = |number: &Number| {
                *number > wide.after.unwrap_or(0) && *number < wide.before.unwrap_or(Page::NOW)
            };
            let mut numbers: Vec<_> = (1..=count).filter(is_in).collect();
            if wide.from_the_end() {
                numbers.drain(..numbers.len().saturating_sub(wide.limit));
            } else {
                numbers.truncate(wide.limit);
            }
            let part = Part::whole(numbers.into_iter().map(Chat).collect());
            (whole, Listing::new(&whole, part))
        });
        narrow(page, granted, read)
    }

    #[test]
    fn both_directions_return_each_granted_chat_once() {
        let sets: [&[Number]; 7] = [
            &[],
            &[1],
            &[7],
            &[1, 2, 3, 4, 5, 6, 7],
            &[2, 9, 40],
            &[3, 30, 31, 50, 90],
            &[60, 70],
        ];
        for granted in sets {
            let granted: BTreeSet<_> = granted.iter().copied().collect();
            let right: Vec<_> = granted.range(..=50).copied().map(Chat).collect();
            for limit in 1..6 {
                let (mut forward, mut at) = (Vec::new(), Some(0));
                let mut pages = 0;
                while let Some(after) = at {
                    let listing = list(50, &granted, &page(Some(after), None, limit));
                    assert!(listing.items.len() <= limit);
                    forward.extend(listing.items);
                    at = listing.next;
                    pages += 1;
                    assert!(pages <= granted.len() + 1, "{granted:?} {limit}");
                }
                assert_eq!(forward, right, "{granted:?} {limit}");

                let (mut backward, mut at) = (Vec::new(), Some(Page::NOW));
                while let Some(before) = at {
                    let listing = list(50, &granted, &page(None, Some(before), limit));
                    backward.splice(..0, listing.items);
                    at = listing.previous;
                    pages += 1;
                    assert!(pages <= 2 * granted.len() + 2, "{granted:?} {limit}");
                }
                assert_eq!(backward, right, "{granted:?} {limit}");
            }
        }
    }

    #[test]
    fn neighbours_are_granted_and_bounds_hold() {
        let granted = BTreeSet::from([2, 9, 40]);
        let listed = |after, before| {
            let listing = list(50, &granted, &page(after, before, 5));
            let numbers: Vec<_> = listing.items.iter().map(|chat| chat.0).collect();
            (numbers, listing.previous, listing.next)
        };
        assert_eq!(listed(None, None), (vec![2], None, Some(8)));
        assert_eq!(listed(Some(8), None), (vec![9], Some(3), Some(39)));
        assert_eq!(listed(Some(39), None), (vec![40], Some(10), None));
        assert_eq!(listed(Some(40), None), (vec![], Some(41), None));
        assert_eq!(listed(Some(2), Some(9)), (vec![], Some(3), Some(8)));
        assert_eq!(listed(Some(1), Some(9)), (vec![2], None, Some(8)));
        assert_eq!(listed(None, Some(9)), (vec![2], None, Some(8)));
        assert_eq!(listed(None, Some(Page::NOW)), (vec![40], Some(10), None));
        assert_eq!(listed(None, Some(2)), (vec![], None, Some(1)));
    }
}
