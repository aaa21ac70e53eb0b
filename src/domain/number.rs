//! The numbers that are given out: of chats, of messages, and of writes.

use std::fmt;

/// The number of a chat within its application or of a message within its chat: 1, 2, 3 …
pub type Number = u64;

/// The highest number that can exist: Redis keeps sorted-set scores and Lua numbers as doubles, exact up to 2^53.
pub const MAX_NUMBER: Number = (1 << 53) - 1;

/// Reads a number from a path: plain decimal from 1 on, no sign, no leading zero.
///
/// Returns `None` for any other text and for numbers above [`MAX_NUMBER`]: nothing with such a number can exist.
pub fn parse_number(text: &str) -> Option<Number> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= MAX_NUMBER)
}

/// The place of an accepted write in the order of all writes: `epoch << 40 | counter`.
///
/// The write with the higher revision is the newer one, whatever the order in which writes are stored. A revision has at
/// most 63 bits, so that a revision fits a signed integer and Elasticsearch's external version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The epoch that it was given in.
    pub fn epoch(self) -> u64 {
        self.0 >> 40
    }

    /// Reads the 16 hexadecimal digits that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// 16 hexadecimal digits, so that revisions sort as text in their own order: the id of the write's job.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_from_one_on_are_numbers() {
        for (text, number) in [("1", 1), ("42", 42), ("9007199254740991", MAX_NUMBER)] {
            assert_eq!(parse_number(text), Some(number));
        }
        for text in [
            "",
            "0",
            "007",
            "-1",
            "+1",
            "1.0",
            "1e3",
            " 1",
            "١",
            "9007199254740992",
            "18446744073709551616",
        ] {
            assert_eq!(parse_number(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_revision_is_written_and_read_as_its_job_id() {
        let revision = Revision(3 << 40 | 77);
        assert_eq!(revision.to_string(), "000003000000004d");
        assert_eq!(Revision::parse(&revision.to_string()), Some(revision));
        assert_eq!(Revision::parse("3"), None);
    }
}
