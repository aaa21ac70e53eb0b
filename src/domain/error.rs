//! Errors of the use cases, independent of HTTP.

use std::fmt;

use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};
use thiserror::Error;

/// The outcome of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// Error of a use case. Nothing was changed, except where stated otherwise.
#[derive(Debug, Error)]
pub enum Error {
    /// The input breaks a rule of the contract.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The entity that the request names does not exist.
    #[error("{0} not found")]
    NotFound(Entity),
    /// The key that the request names does not exist, or was revoked.
    #[error("Key not found")]
    KeyNotFound,
    /// The message has another sender than the user who wants to change it.
    #[error("the message has another sender")]
    OtherSender,
    /// The idempotency key was used with another body.
    #[error("Idempotency-Key was used with another body")]
    KeyReused,
    /// The message has another version than `If-Match` requires.
    #[error("Message has changed")]
    Changed,
    /// Something that was seen with a cursor is not part of the history any more, or something may be missed with it. The text
    /// is part of the contract.
    #[error("History was lost: read everything again")]
    HistoryLost,
    /// A store that is needed cannot be reached just now. A write may or may not have been accepted.
    #[error("{store} is unavailable: {detail}")]
    Unavailable {
        /// Name of the store.
        store: &'static str,
        /// Details for the log, not for the client.
        detail: String,
    },
    /// The queue takes no more just now.
    #[error("the queue is full: {detail}")]
    Full {
        /// Bound that was reached; for the log.
        detail: String,
    },
    /// A bug or a broken store: what should not happen.
    #[error("internal error: {detail}")]
    Internal {
        /// Details for the log.
        detail: String,
    },
}

/// Entity that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// An application.
    Application,
    /// A chat.
    Chat,
    /// A message.
    Message,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "Application",
            Self::Chat => "Chat",
            Self::Message => "Message",
        })
    }
}

/// A rule of the contract that an input breaks. The text is what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Invalid {
    /// Missing, null, or without a visible character.
    #[error("{0} is required")]
    Required(&'static str),
    /// Not a JSON string.
    #[error("{0} must be a string")]
    NotAString(&'static str),
    /// Given, but without a character.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A member of the body is no JSON object.
    #[error("{0} must be a JSON object")]
    NotAnObjectMember(&'static str),
    /// Larger than its limit, in bytes.
    #[error("{field} must be at most {limit} bytes as compact JSON")]
    TooLarge {
        /// The field's name.
        field: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Longer than its limit, in characters.
    #[error("{field} must be at most {limit} characters")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A query of more words than its limit.
    #[error("Query must be at most {0} words")]
    TooManyWords(usize),
    /// Holds U+0000, which not every store can keep.
    #[error("{0} must not contain U+0000")]
    Nul(&'static str),
    /// Half of a surrogate pair, which no text in UTF-8 can hold.
    #[error("{0} must not contain an unpaired surrogate")]
    Surrogate(&'static str),
    /// More keys than `limits.keys_per_application`, or than `limits.keys` in all.
    #[error("There are already {0} keys: revoke one first")]
    TooManyKeys(usize),
    /// Revocations of more users of an application than `limits.user_revocations`.
    #[error(
        "Tokens of {0} users were revoked within a day (limits.user_revocations): revoke the key that signs them instead"
    )]
    TooManyRevocations(usize),
    /// A member of the body is neither `true` nor `false`.
    #[error("{0} must be true or false")]
    NotABoolean(&'static str),
    /// A member of the body is no time.
    #[error("{0} must be a time in RFC 3339")]
    NotATime(&'static str),
    /// The chats of a token are neither `"*"` nor up to so many numbers.
    #[error("chats must be \"*\" or an array of up to {0} chat numbers")]
    NotChats(usize),
    /// The actions of a token are no list of known ones.
    #[error("can must be an array of read, write and create_chat")]
    NotActions,
    /// A token would be longer than this number of characters.
    #[error("chats must be fewer: a token has at most {0} characters")]
    TokenTooLong(usize),
    /// The header with an idempotency key is malformed.
    #[error("Idempotency-Key must be 1 to {0} visible ASCII characters")]
    IdempotencyKey(usize),
    /// A header that may be given once is given twice.
    #[error("{0} must be given once")]
    RepeatedHeader(&'static str),
    /// The body is no JSON, or no UTF-8.
    #[error("Body must be valid JSON in UTF-8")]
    NotJson,
    /// The body is JSON, but no object.
    #[error("Body must be a JSON object")]
    NotAnObject,
    /// A query parameter is no whole number in its range.
    #[error("{name} must be a whole number from {min} to {max}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The lowest value.
        min: u64,
        /// The highest value.
        max: u64,
    },
    /// A query parameter is no cursor.
    #[error("{0} must be a cursor from a Link header")]
    NotACursor(&'static str),
    /// A query parameter is no place in the changes of the application.
    #[error("{0} must be 0, now, or a cursor of this application")]
    NotAChangesCursor(&'static str),
    /// A query parameter is given more often than its limit.
    #[error("{name} must be given at most {limit} times")]
    GivenTooOften {
        /// The parameter's name.
        name: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A query parameter is neither a whole number in its range nor `now`.
    #[error("{name} must be a whole number from {min} to {max}, or now")]
    ParameterOrNow {
        /// The parameter's name.
        name: &'static str,
        /// The lowest value.
        min: u64,
        /// The highest value.
        max: u64,
    },
}

/// Checks the rules that usernames and messages share. `field` is the field's name in errors.
pub(super) fn check_text(
    field: &'static str,
    text: &str,
    limit: usize,
) -> std::result::Result<(), Invalid> {
    if !text.chars().any(is_visible) {
        return Err(Invalid::Required(field));
    }
    if text.contains('\0') {
        return Err(Invalid::Nul(field));
    }
    // Bytes bound characters from above, so counting is for long texts only.
    if text.len() > limit && text.chars().count() > limit {
        return Err(Invalid::TooLong { field, limit });
    }
    Ok(())
}

/// Tells whether a character can be seen. White space, controls, default-ignorable characters (joiners, fillers,
/// direction marks, variation selectors) and the blank Braille pattern cannot.
fn is_visible(c: char) -> bool {
    const BLANK_BRAILLE: char = '\u{2800}';
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    !c.is_whitespace() && !c.is_control() && c != BLANK_BRAILLE && !ignorable.contains(c)
}
