//! Search text. The words of a message and of a query are found here, by one rule, for every index: an index
//! only ever compares words, so all of them find the same messages. The rule is the contract's ("Search"); the
//! terms are the Unicode standard's: NFKD and NFKC (UAX #15), full case folding (chapter 3.13), general
//! category (UAX #44), script and script extensions (UAX #24).
//!
//! Indexed texts were folded with the Unicode tables of their time. If new tables fold differently, the index must be
//! rebuilt.

mod query;
#[cfg(test)]
mod tests;

pub use query::{MAX_QUERY_CHARS, MAX_QUERY_WORDS, Piece, Query};

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// Maximum length of a token in characters. The contract cuts words here, so every index holds them whole:
/// Elasticsearch's `whitespace` analyzer splits a word only after 255 UTF-16 units, and 64 characters have at most 128.
const MAX_TOKEN_CHARS: usize = 64;

const ALEF: char = '\u{627}';
const HIGH_HAMZA: char = '\u{674}';
const TATWEEL: char = '\u{640}';

/// The words of a text, folded, in their order, separated by single spaces: what goes to the index.
///
/// An index has only to split at spaces: no word holds an ASCII character other than `a-z0-9`, nor any white
/// space. Folding once is folding for good: `tokenize(tokenize(text)) == tokenize(text)`.
pub fn tokenize(text: &str) -> String {
    if text.is_ascii() {
        return tokenize_ascii(text);
    }
    // Composition, the last step of the rule, neither creates letters nor joins words: a character that composes with
    // the one before it is a mark, or the vowel or final of a Hangul syllable. So words can be separated before it. It
    // also puts marks into canonical order between which something was dropped.
    join(fold(text).nfkc(), text.len())
}

/// Tokenizes ASCII text, about eighty times as fast: folding only changes the case.
fn tokenize_ascii(text: &str) -> String {
    let folded = text.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            ' '
        }
    });
    join(folded, text.len())
}

/// Keeps one space between words, and the beginning of a word that is too long.
fn join(folded: impl Iterator<Item = char>, capacity: usize) -> String {
    let mut tokens = String::with_capacity(capacity);
    let mut length = 0;
    for c in folded {
        if c == ' ' {
            length = 0;
        } else if length < MAX_TOKEN_CHARS {
            if length == 0 && !tokens.is_empty() {
                tokens.push(' ');
            }
            tokens.push(c);
            length += 1;
        }
    }
    tokens
}

/// Every step of the rule but the last, with any number of spaces between words.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    // The letter or digit that a mark would belong to: the last one of this run.
    let mut base = None;
    for c in text.chars().nfkd().default_case_fold() {
        if c == TATWEEL || is_variation_selector(c) {
            continue;
        }
        match c.general_category_group() {
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => {
                // NFKD makes U+0675, an alef variant, of these two.
                if c == HIGH_HAMZA && base == Some(ALEF) {
                    continue;
                }
                let c = base_letter(c);
                if is_spaceless(c) || base.is_some_and(is_spaceless) {
                    folded.push(' ');
                }
                folded.push(c);
                base = Some(c);
            }
            GeneralCategoryGroup::Mark => {
                // A mark without a base is no word: the U+20E3 of a keycap, an accent typed alone.
                if base.is_some_and(keeps_its_marks) && !drops_marks(c.script()) {
                    folded.push(c);
                }
            }
            // Format characters too (soft hyphen, ZWNJ, ZWJ): the contract names letters, digits and marks only.
            // A query that is written with them finds the text all the same, as words that follow each other.
            _ => {
                folded.push(' ');
                base = None;
            }
        }
    }
    folded
}

/// The letters that the contract takes for others though Unicode does not decompose them.
fn base_letter(c: char) -> char {
    match c {
        'đ' => 'd',
        'ł' => 'l',
        'ø' => 'o',
        'ı' => 'i',
        // Alef with wasla, wavy hamza, digit two or three above, attached vowel signs, dots and strokes.
        '\u{671}'..='\u{673}' | '\u{773}' | '\u{774}' | '\u{870}'..='\u{882}' => ALEF,
        _ => c,
    }
}

/// Tells whether a character only selects a form of another one (text or emoji, variants of an ideograph). Users do not
/// type them. U+180B to U+180D and U+180F are Mongolian.
fn is_variation_selector(c: char) -> bool {
    matches!(
        c,
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{180B}'..='\u{180D}' | '\u{180F}'
    )
}

/// The scripts whose marks are diacritics: the words are the same without them.
fn drops_marks(script: Script) -> bool {
    matches!(
        script,
        Script::Latin | Script::Greek | Script::Hebrew | Script::Arabic
    )
}

/// Most marks have the script `Inherited`, which is to say their base's, so the base decides. Where the base has
/// none either (`Common`: ASCII digits, modifier letters), a mark is a diacritic.
fn keeps_its_marks(base: char) -> bool {
    match base.script() {
        Script::Common | Script::Inherited => is_spaceless(base),
        script => !drops_marks(script),
    }
}

/// Tells whether a letter or digit belongs to a script written without spaces. `ー` and `〆` are `Common`: their script
/// extensions decide. All must be such scripts, or U+02BC, which Thai shares, would split Ukrainian words.
fn is_spaceless(c: char) -> bool {
    const SPACELESS: [Script; 7] = [
        Script::Han,
        Script::Hiragana,
        Script::Katakana,
        Script::Thai,
        Script::Lao,
        Script::Khmer,
        Script::Myanmar,
    ];
    if c.is_ascii() {
        return false;
    }
    match c.script() {
        Script::Common => {
            let scripts = c.script_extension();
            !scripts.is_common() && scripts.iter().all(|script| SPACELESS.contains(&script))
        }
        script => SPACELESS.contains(&script),
    }
}
