//! Conditions on the version of a message (`If-Match`).

use super::Revision;

/// Condition on the version of a message that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The message exists.
    Exists,
    /// The last accepted write to the message has one of these revisions. An empty list never matches.
    AnyOf(Vec<Revision>),
}

impl Condition {
    /// Tells whether a message whose last accepted write has this revision fulfils the condition.
    pub fn matches(&self, revision: Revision) -> bool {
        match self {
            Self::Exists => true,
            Self::AnyOf(revisions) => revisions.contains(&revision),
        }
    }
}
