//! The texts of the messages.

/// A word in every message.
pub const COMMON: &str = "everybody";

/// A word in [`RARE_HITS`] messages of a chat.
pub const RARE: &str = "quetzalcoatl";

/// The number of messages of a chat that contain the rare word.
pub const RARE_HITS: u64 = 10;

const WORDS: [&str; 48] = [
    "about", "after", "again", "apple", "autumn", "before", "better", "bridge", "butter", "candle",
    "castle", "coffee", "corner", "dinner", "doctor", "early", "evening", "family", "flower",
    "forest", "friend", "garden", "guitar", "harbour", "island", "jacket", "kitchen", "ladder",
    "letter", "market", "meeting", "monday", "morning", "number", "office", "orange", "paper",
    "people", "planet", "quiet", "river", "school", "silver", "summer", "ticket", "travel",
    "window", "yellow",
];

/// A message of about 60 characters, different for each `n`.
pub fn message(n: u64) -> String {
    let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        mixed = mixed.rotate_left(17).wrapping_mul(0xff51_afd7_ed55_8ccd);
        WORDS[usize::try_from(mixed >> 40).unwrap_or_default() % WORDS.len()]
    };
    format!(
        "hello {COMMON} {} {} {} {} m{n}",
        word(),
        word(),
        word(),
        word()
    )
}

/// Message `n` of `total`, of which [`RARE_HITS`] contain the rare word.
pub fn of_many(n: u64, total: u64) -> String {
    let text = message(n);
    if n.is_multiple_of((total / RARE_HITS).max(1)) {
        format!("{text} {RARE}")
    } else {
        text
    }
}

/// The body of a request.
pub fn body(text: &str) -> String {
    format!("{{\"message\":\"{text}\"}}")
}
