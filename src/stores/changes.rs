//! Changes of an application since a cursor, by the same rule in both backends.
//!
//! The rows are the log: each has the revision of its last write, and rows of what is deleted stay. So the changes after a
//! revision are the rows and the queued writes above it, in the order of their revisions.

use std::collections::HashSet;

use super::{Backend, Result};
use crate::domain::{AppId, Changed, Changes, ChangesPage, Number, Revision, Target};

/// Maximum number of rows and queued writes that one request looks at, also if it wants changes of few chats.
pub const EXAMINED: usize = 1000;

/// Maximum number of items whose present state is read at once. With the longest texts these are about 5 MB.
pub const READ_AT_ONCE: usize = 64;

impl Backend {
    /// Changes of an application; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::HistoryLost`](super::Error::HistoryLost) for a cursor with which something may be missed.
    pub async fn changes(&self, app: AppId, page: &ChangesPage) -> Result<Option<Changes>> {
        dispatch!(self.changes(app, page), services: changes)
    }
}

/// Write that is queued or in a row: its revision, and what it wrote.
pub type Entry = (Revision, Target);

/// Entries of one source in the order of their revisions.
pub struct Entries {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Tells whether there are more after them.
    pub is_cut: bool,
}

impl Entries {
    /// Entries of a read with this limit.
    pub fn limited(entries: Vec<Entry>, limit: usize) -> Self {
        let is_cut = entries.len() >= limit;
        Self { entries, is_cut }
    }
}

/// A page of entries.
#[derive(Debug, PartialEq, Eq)]
pub struct Examined {
    /// The wanted entries, each item once, at the last of its revisions that were read.
    pub wanted: Vec<Entry>,
    /// Revision of the last entry that was read, wanted or not; `None` if there is none.
    pub last: Option<Revision>,
}

/// Merges the entries of all sources into a page. It ends where the first source is cut, because that may hold entries before
/// the next one of the others.
pub fn examine(sources: Vec<Entries>, page: &ChangesPage) -> Examined {
    let ends = sources.iter().filter(|source| source.is_cut);
    let end = ends
        .filter_map(|source| Some(source.entries.last()?.0))
        .min();
    let mut all: Vec<Entry> = sources
        .into_iter()
        .flat_map(|source| source.entries)
        .collect();
    all.retain(|(revision, _)| end.is_none_or(|end| *revision <= end));
    all.sort_unstable_by_key(|(revision, _)| *revision);
    all.dedup();
    cut(&mut all, EXAMINED);
    let is_wanted = |(_, target): &Entry| page.holds(chat_of(*target));
    let mut wanted = all.iter().enumerate().filter(|(_, entry)| is_wanted(entry));
    if let Some((index, _)) = wanted.nth(page.limit.saturating_sub(1)) {
        cut(&mut all, index + 1);
    }
    let last = all.last().map(|(revision, _)| *revision);
    let mut seen = HashSet::new();
    let mut wanted: Vec<Entry> = all.into_iter().filter(is_wanted).rev().collect();
    wanted.retain(|(_, target)| seen.insert(*target));
    wanted.reverse();
    Examined { wanted, last }
}

/// Present states of a page, until their texts exceed its size.
#[derive(Default)]
pub struct States {
    /// The states.
    pub items: Vec<Changed>,
    bytes: usize,
    last: Option<Revision>,
}

impl States {
    /// Adds the state of an entry, unless the page is full. Then returns the revision of the last entry that was added. Entries of
    /// the same revision are not cut apart.
    pub fn add(&mut self, revision: Revision, state: Changed, limit: usize) -> Option<Revision> {
        if self.bytes > limit && Some(revision) > self.last {
            return self.last;
        }
        self.bytes += state.size();
        self.items.push(state);
        self.last = Some(revision);
        None
    }
}

/// Cuts entries off after about this number. Entries of the same revision are not cut apart: a cursor would lead past the second.
/// Programs before format 3 gave a chat that they created anew the revision of its first message.
fn cut(all: &mut Vec<Entry>, mut count: usize) {
    while 0 < count && count < all.len() && all[count].0 == all[count - 1].0 {
        count += 1;
    }
    all.truncate(count);
}

/// The chat that changed, or whose message did.
fn chat_of(target: Target) -> Number {
    match target.chat {
        0 => target.number,
        chat => chat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Since;

    fn message(revision: u64, chat: u64, number: u64) -> Entry {
        let app = AppId(1);
        (Revision(revision), Target { app, chat, number })
    }

    fn page(limit: usize, chats: Option<&[u64]>) -> ChangesPage {
        ChangesPage {
            since: Since::Beginning,
            limit,
            bytes: usize::MAX,
            chats: chats.map(|chats| chats.iter().copied().collect()),
        }
    }

    fn whole(entries: &[Entry]) -> Entries {
        Entries {
            entries: entries.to_vec(),
            is_cut: false,
        }
    }

    fn cut(entries: &[Entry]) -> Entries {
        Entries {
            entries: entries.to_vec(),
            is_cut: true,
        }
    }

    #[test]
    fn item_is_returned_once_at_its_last_revision() {
        let queued = whole(&[message(3, 1, 1), message(5, 1, 1), message(6, 0, 2)]);
        let stored = whole(&[message(1, 1, 1), message(4, 1, 2)]);
        let examined = examine(vec![queued, stored], &page(10, None));
        let wanted = vec![message(4, 1, 2), message(5, 1, 1), message(6, 0, 2)];
        assert_eq!(
            examined,
            Examined {
                wanted,
                last: Some(Revision(6))
            }
        );
    }

    #[test]
    fn entries_of_the_same_revision_are_not_cut_apart() {
        let stored = whole(&[message(1, 1, 1), message(2, 1, 2)]);
        let adopted = whole(&[message(1, 0, 1)]);
        let examined = examine(vec![stored, adopted], &page(1, None));
        assert_eq!(examined.wanted.len(), 2);
        assert_eq!(examined.last, Some(Revision(1)));
    }

    #[test]
    fn page_ends_where_a_source_is_cut() {
        let queued = cut(&[message(2, 1, 1), message(5, 1, 2)]);
        let stored = cut(&[message(3, 1, 3), message(4, 1, 4)]);
        let examined = examine(vec![queued, stored], &page(10, None));
        let wanted = vec![message(2, 1, 1), message(3, 1, 3), message(4, 1, 4)];
        assert_eq!(
            examined,
            Examined {
                wanted,
                last: Some(Revision(4))
            }
        );
    }

    #[test]
    fn what_is_not_wanted_is_looked_at_and_does_not_count() {
        let stored = [
            message(1, 1, 1),
            message(2, 2, 1),
            message(3, 0, 2),
            message(4, 1, 2),
        ];
        let examined = examine(vec![whole(&stored)], &page(2, Some(&[2])));
        let wanted = vec![message(2, 2, 1), message(3, 0, 2)];
        assert_eq!(
            examined,
            Examined {
                wanted,
                last: Some(Revision(3))
            }
        );
        let examined = examine(vec![whole(&stored)], &page(9, Some(&[2])));
        assert_eq!(examined.last, Some(Revision(4)));
        let examined = examine(vec![whole(&stored)], &page(9, Some(&[])));
        assert_eq!(
            examined,
            Examined {
                wanted: Vec::new(),
                last: Some(Revision(4))
            }
        );
        let examined = examine(vec![whole(&[])], &page(9, None));
        assert_eq!(
            examined,
            Examined {
                wanted: Vec::new(),
                last: None
            }
        );
    }
}
