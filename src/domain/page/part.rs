//! Part of a list, as it is read for a page.

use super::Page;
use crate::domain::Number;

/// An item of a list.
pub trait Item {
    /// Number by which the list is ordered.
    fn number(&self) -> Number;

    /// Size in a response, in bytes.
    fn size(&self) -> usize;

    /// Tells whether the item is deleted. It takes part in the making of a page, and is not in it.
    fn is_deleted(&self) -> bool;
}

/// Items that were read for a page, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// The items that were read.
    pub items: Vec<T>,
    /// True if reading stopped because of the size of the items, so that there may be more. Reading stops after the
    /// item that exceeds [`Page::bytes`].
    pub more: bool,
}

impl<T> Part<T> {
    /// Everything that there is for the page.
    pub fn whole(items: Vec<T>) -> Self {
        let more = false;
        Self { items, more }
    }

    /// Converts the items, and leaves out those without a result.
    pub fn filter_map<U>(self, convert: impl FnMut(T) -> Option<U>) -> Part<U> {
        Part {
            items: self.items.into_iter().filter_map(convert).collect(),
            more: self.more,
        }
    }

    /// Reads items in the order of the page, up to the one with which their sizes exceed the size of the page, and puts
    /// them into ascending order.
    ///
    /// # Errors
    ///
    /// Returns the first error of an item.
    pub fn read<E>(
        page: &Page,
        items: impl IntoIterator<Item = Result<(T, usize), E>>,
    ) -> Result<Self, E> {
        let (mut read, mut bytes) = (Vec::new(), 0);
        for item in items {
            let (item, size) = item?;
            read.push(item);
            bytes += size;
            if bytes > page.bytes {
                break;
            }
        }
        let more = bytes > page.bytes;
        Ok(Self {
            items: page.ascending(read),
            more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_with_the_item_that_exceeds_their_size() {
        let read = |before, bytes| {
            let page = Page {
                after: None,
                before,
                limit: 5,
                bytes,
            };
            let items = [1, 2, 3].map(|number| Ok::<_, ()>((number, 10)));
            Part::read(&page, items).map(|part| (part.items, part.more))
        };
        assert_eq!(read(None, 30), Ok((vec![1, 2, 3], false)));
        assert_eq!(read(None, 29), Ok((vec![1, 2, 3], true)));
        assert_eq!(read(None, 19), Ok((vec![1, 2], true)));
        assert_eq!(read(Some(9), 19), Ok((vec![2, 1], true)));
        let page = Page::only(1);
        assert_eq!(
            Part::read(&page, [Err::<(u64, usize), _>("failed")]),
            Err("failed")
        );
    }
}
