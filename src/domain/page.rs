//! Pages of a list that is ordered by number.

mod part;

pub use part::{Item, Part};

use super::{Number, number::MAX_NUMBER};

/// Requested part of a list. `after` and `before` are exclusive.
///
/// With `before` alone, the page ends just before it. Otherwise the page starts just after `after`, or at the first
/// item. Items are ascending in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Lower bound of the numbers; 0 for all.
    pub after: Option<Number>,
    /// Upper bound of the numbers. [`Page::NOW`] alone asks for the newest page.
    pub before: Option<Number>,
    /// Maximum number of items, at least 1.
    pub limit: usize,
    /// Maximum size of the items in a response, in bytes; exceeded only by an item that is larger.
    pub bytes: usize,
}

impl Page {
    /// Upper bound that no number reaches.
    pub const NOW: Number = MAX_NUMBER + 1;

    /// The page that holds just one number.
    pub fn only(number: Number) -> Self {
        Self {
            after: Some(number - 1),
            before: Some(number + 1),
            limit: 1,
            bytes: usize::MAX,
        }
    }

    /// Tells whether the page is filled from its upper end.
    pub fn from_the_end(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// Puts items that were read from the page's own end into ascending order.
    pub fn ascending<T>(&self, mut items: Vec<T>) -> Vec<T> {
        if self.from_the_end() {
            items.reverse();
        }
        items
    }

    /// Extends the page by one item, which shows whether there are more.
    pub fn with_one_more(self) -> Self {
        Self {
            limit: self.limit + 1,
            ..self
        }
    }

    /// Limits the page to numbers up to `last`.
    pub fn up_to(self, last: Number) -> Self {
        Self {
            // Set explicitly: otherwise the page would be filled from the other end.
            after: match self.from_the_end() {
                true => None,
                false => Some(self.after.unwrap_or(0)),
            },
            before: Some(last + 1),
            ..self
        }
    }

    /// Cuts ascending `items`, read by [`Page::with_one_more`], to this page. Returns true if there were more.
    fn cut<T: Item>(&self, items: &mut Vec<T>) -> bool {
        let count = items.len();
        let mut bytes = 0;
        let mut fits = |item: &T| {
            let is_first = bytes == 0;
            bytes += item.size();
            is_first || bytes <= self.bytes
        };
        if self.from_the_end() {
            let kept = items.iter().rev().take(self.limit);
            let kept = kept.take_while(|item| fits(item)).count();
            items.drain(..count - kept);
        } else {
            let kept = items.iter().take(self.limit);
            let kept = kept.take_while(|item| fits(item)).count();
            items.truncate(kept);
        }
        items.len() < count
    }
}

/// A page as it is answered. A page without items may have neighbours; only a missing `next` means the end of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// Ascending by number.
    pub items: Vec<T>,
    /// Ask with `after` this number for what follows.
    pub next: Option<Number>,
    /// Ask with `before` this number for what precedes.
    pub previous: Option<Number>,
}

impl<T: Item> Listing<T> {
    /// Makes a page of the items that were read for `page.with_one_more()`. Deleted ones count, so that a page is read at
    /// a bounded cost, and are left out.
    pub fn new(page: &Page, part: Part<T>) -> Self {
        let mut items = part.items;
        let more = page.cut(&mut items) || part.more;
        let (first, last) = (items.first().map(T::number), items.last().map(T::number));
        let (previous, next) = if page.from_the_end() {
            // Without items there is nothing below `before`, so what follows starts at the first item.
            let next = last.unwrap_or(0);
            (
                first.filter(|_| more),
                Some(next).filter(|_| page.before != Some(Page::NOW)),
            )
        } else {
            let after = page.after.unwrap_or(0);
            let more = more || page.before.is_some();
            (
                Some(first.unwrap_or(after + 1)).filter(|_| after > 0),
                Some(last.unwrap_or(after)).filter(|_| more),
            )
        };
        items.retain(|item| !item.is_deleted());
        Self {
            previous: previous.filter(|first| *first > 1),
            next,
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for u64 {
        fn number(&self) -> Number {
            *self
        }

        fn size(&self) -> usize {
            10
        }

        fn is_deleted(&self) -> bool {
            *self >= 1000
        }
    }

    fn listing(after: Option<u64>, before: Option<u64>, items: &[u64]) -> Listing<u64> {
        let page = Page {
            after,
            before,
            limit: 2,
            bytes: 25,
        };
        Listing::new(&page, Part::whole(items.to_vec()))
    }

    #[test]
    fn neighbours_are_named_only_where_there_are_any() {
        let first = listing(None, None, &[1, 2, 3]);
        assert_eq!(
            (first.items, first.previous, first.next),
            (vec![1, 2], None, Some(2))
        );
        let last = listing(Some(2), None, &[3]);
        assert_eq!(
            (last.items, last.previous, last.next),
            (vec![3], Some(3), None)
        );
        let ending = listing(None, Some(4), &[1, 2, 3]);
        assert_eq!(
            (ending.items, ending.previous, ending.next),
            (vec![2, 3], Some(2), Some(3))
        );
        let start = listing(None, Some(3), &[1, 2]);
        assert_eq!(
            (start.items, start.previous, start.next),
            (vec![1, 2], None, Some(2))
        );
        let newest = listing(None, Some(Page::NOW), &[1, 2, 3]);
        assert_eq!(
            (newest.items, newest.previous, newest.next),
            (vec![2, 3], Some(2), None)
        );
        let bounded = listing(Some(2), Some(4), &[3]);
        assert_eq!(
            (bounded.items, bounded.previous, bounded.next),
            (vec![3], Some(3), Some(3))
        );
    }

    #[test]
    fn empty_pages_have_neighbours() {
        let neighbours = |after, before| {
            let empty = listing(after, before, &[]);
            (empty.previous, empty.next)
        };
        assert_eq!(neighbours(None, None), (None, None));
        assert_eq!(neighbours(Some(5), None), (Some(6), None));
        assert_eq!(neighbours(Some(5), Some(6)), (Some(6), Some(5)));
        assert_eq!(neighbours(None, Some(6)), (None, Some(0)));
        assert_eq!(neighbours(None, Some(Page::NOW)), (None, None));
    }

    #[test]
    fn pages_end_before_the_item_that_exceeds_their_size() {
        let cut = |after, before, bytes| {
            let page = Page {
                after,
                before,
                limit: 5,
                bytes,
            };
            let part = Part::whole(vec![1, 2, 3, 4]);
            let listing = Listing::new(&page, part);
            (listing.items, listing.previous, listing.next)
        };
        assert_eq!(cut(None, None, 40), (vec![1, 2, 3, 4], None, None));
        assert_eq!(cut(None, None, 39), (vec![1, 2, 3], None, Some(3)));
        assert_eq!(cut(None, Some(5), 39), (vec![2, 3, 4], Some(2), Some(4)));
        // One item is always there.
        assert_eq!(cut(None, None, 1), (vec![1], None, Some(1)));
        assert_eq!(cut(None, Some(5), 1), (vec![4], Some(4), Some(4)));
    }
}
