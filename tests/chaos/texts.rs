//! Texts that the clients write: all sizes, several scripts, each with a unique word.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

/// The limit of the API.
const LONGEST: usize = 16_000;

/// Prefix of the texts that the database refuses.
pub const REFUSED: &str = "refused ";

const PIECES: [&str; 14] = [
    "hello",
    "Alhamdulilah",
    "Grüße",
    "Ελλάδα",
    "Привет",
    "السلام عليكم",
    "नमस्ते",
    "你好世界",
    "ありがとう",
    "สวัสดี",
    "👩‍👩‍👧‍👦",
    "🦀🎉",
    "cafe\u{301}",
    "\"quoted\" \\ 'text'\t\n",
];

/// A word that no other text of this run contains and that is no prefix of another.
fn new_word() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("u{:08x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The unique word of a text.
pub fn word(text: &str) -> &str {
    let is_own = |word: &&str| {
        let digits = word.strip_prefix('u').unwrap_or_default();
        digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    text.split(' ').find(is_own).unwrap_or_default()
}

/// A text that the database refuses: [`REFUSED`] and a word.
pub fn refused_text() -> String {
    format!("{REFUSED}{}", new_word())
}

/// A random text: mostly short, sometimes of the maximum length.
pub fn new_text(rng: &mut StdRng) -> String {
    let length = match rng.random_range(0..100) {
        0..80 => rng.random_range(9..80),
        80..97 => rng.random_range(80..1_500),
        97..99 => rng.random_range(1_500..LONGEST),
        _ => LONGEST,
    };
    let word = new_word();
    let mut room = length - word.chars().count();
    let at = rng.random_range(0..=room);
    let mut text = String::new();
    let mut placed = false;
    loop {
        if !placed && room <= at {
            // The word must stand between spaces.
            if !text.is_empty() {
                text.push(' ');
                room = room.saturating_sub(1);
            }
            text.push_str(&word);
            placed = true;
        }
        let piece = PIECES.choose(rng).expect("there are pieces");
        let needs = piece.chars().count() + 2;
        if needs > room {
            if placed {
                return text;
            }
            room = at;
            continue;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(piece);
        room -= needs - 1;
    }
}
