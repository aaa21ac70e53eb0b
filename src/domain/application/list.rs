//! The list of all applications, in the order in which their creations were accepted.

use std::fmt;

use super::{AppId, Application};
use crate::domain::Revision;

/// Place of an application in the list. Its text is the cursor of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Revision of the creation; 0 if it was lost.
    pub revision: Revision,
    /// The application, because several may have lost their creation.
    pub id: AppId,
}

impl Position {
    /// Place before all applications.
    pub const START: Self = Self {
        revision: Revision(0),
        id: AppId(0),
    };

    /// Reads the text that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (revision, id) = text.split_at_checked(16)?;
        let is_hex = revision
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(Self {
            revision: Revision::parse(revision).filter(|_| is_hex)?,
            id: AppId::parse(id)?,
        })
    }

    /// The place after this one and all of its revision.
    fn following(self) -> Self {
        Self {
            revision: Revision(self.revision.0.saturating_add(1)),
            id: AppId(0),
        }
    }
}

/// 24 hexadecimal digits.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.revision, self.id)
    }
}

/// Requested part of the list. `after` and `before` are exclusive. With `before` alone, the page ends just before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplicationsPage {
    /// Lower bound.
    pub after: Option<Position>,
    /// Upper bound.
    pub before: Option<Position>,
    /// Maximum number of items, at least 1.
    pub limit: usize,
}

impl ApplicationsPage {
    /// Tells whether the page is filled from its upper end.
    pub fn from_the_end(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// Extends the page by one item, which shows whether there are more.
    pub fn with_one_more(self) -> Self {
        Self {
            limit: self.limit + 1,
            ..self
        }
    }
}

/// An application in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedApplication {
    /// The application.
    pub application: Application,
    /// Number of its chats.
    pub chats: u64,
}

impl ListedApplication {
    /// Its place.
    pub fn position(&self) -> Position {
        Position {
            revision: self.application.revision,
            id: self.application.id,
        }
    }
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationsListing {
    /// In ascending order.
    pub items: Vec<ListedApplication>,
    /// Ask with `after` this place for what follows.
    pub next: Option<Position>,
    /// Ask with `before` this place for what precedes.
    pub previous: Option<Position>,
}

impl ApplicationsListing {
    /// Makes a page of queued and stored applications, each read for `page.with_one_more()`, in any order. Of an
    /// application that is in both, the stored one is taken.
    pub fn merge(
        page: &ApplicationsPage,
        queued: Vec<Application>,
        stored: Vec<ListedApplication>,
    ) -> Self {
        let queued = queued.into_iter().map(|application| ListedApplication {
            application,
            chats: 0,
        });
        let mut items: Vec<ListedApplication> = stored.into_iter().chain(queued).collect();
        // The sort is stable, so the stored one of two equal places comes first.
        items.sort_by_key(ListedApplication::position);
        items.dedup_by_key(|item| item.position());
        let more = items.len() > page.limit;
        if page.from_the_end() {
            items.drain(..items.len().saturating_sub(page.limit));
        } else {
            items.truncate(page.limit);
        }
        let first = items.first().map(ListedApplication::position);
        let last = items.last().map(ListedApplication::position);
        let (previous, next) = if page.from_the_end() {
            // Without items there is nothing below `before`, so what follows starts at the first item.
            (
                first.filter(|_| more),
                Some(last.unwrap_or(Position::START)),
            )
        } else {
            let more = more || page.before.is_some();
            let after = page.after.filter(|after| *after != Position::START);
            (
                after.map(|after| first.unwrap_or(after.following())),
                last.or(page.after).filter(|_| more),
            )
        };
        Self {
            items,
            next,
            previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::from_millis;

    fn application(number: u32) -> Application {
        Application {
            id: AppId(number),
            username: String::new(),
            revision: Revision(u64::from(number)),
            created_at: from_millis(0),
            deleted_at: None,
        }
    }

    fn position(number: u32) -> Position {
        Position {
            revision: Revision(u64::from(number)),
            id: AppId(number),
        }
    }

    fn listing(
        page: &ApplicationsPage,
        queued: &[u32],
        stored: &[u32],
    ) -> (Vec<u32>, [Option<Position>; 2]) {
        let queued = queued.iter().copied().map(application).collect();
        let stored = stored.iter().map(|number| ListedApplication {
            application: application(*number),
            chats: 1,
        });
        let listing = ApplicationsListing::merge(page, queued, stored.collect());
        let items = listing.items.iter().map(|item| item.application.id.0);
        (items.collect(), [listing.previous, listing.next])
    }

    #[test]
    fn a_cursor_is_written_and_read() {
        let cursor = Position {
            revision: Revision(3 << 40 | 77),
            id: AppId(0xdec9_69c6),
        };
        assert_eq!(cursor.to_string(), "000003000000004ddec969c6");
        assert_eq!(Position::parse(&cursor.to_string()), Some(cursor));
        for wrong in [
            "",
            "0",
            "000003000000004ddec969c",
            "000003000000004DDEC969C6",
            "+00003000000004ddec969c6",
            "000003000000004éec969c6",
        ] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pages_join_queued_and_stored_applications_in_order() {
        let page = |after: Option<u32>, before: Option<u32>| ApplicationsPage {
            after: after.map(position),
            before: before.map(position),
            limit: 2,
        };
        let at = |number| Some(position(number));
        assert_eq!(
            listing(&page(None, None), &[3, 2], &[1, 2]),
            (vec![1, 2], [None, at(2)])
        );
        assert_eq!(
            listing(&page(Some(2), None), &[3], &[]),
            (vec![3], [at(3), None])
        );
        assert_eq!(
            listing(&page(None, Some(4)), &[3], &[1, 2]),
            (vec![2, 3], [at(2), at(3)])
        );
        assert_eq!(
            listing(&page(None, Some(3)), &[], &[1, 2]),
            (vec![1, 2], [None, at(2)])
        );
        assert_eq!(
            listing(&page(Some(1), Some(3)), &[2], &[2]),
            (vec![2], [at(2), at(2)])
        );
        assert_eq!(listing(&page(None, None), &[], &[]), (vec![], [None, None]));
        // The place does not lie within a revision: stores compare queued applications by revision only.
        let after_two = Position {
            revision: Revision(3),
            id: AppId(0),
        };
        assert_eq!(
            listing(&page(Some(2), None), &[], &[]),
            (vec![], [Some(after_two), None])
        );
        assert_eq!(
            listing(&page(None, Some(1)), &[], &[]),
            (vec![], [None, Some(Position::START)])
        );
    }
}
