//! Words as they are laid into the index.
//!
//! Elasticsearch finds all words with a prefix, as fast as a word, if it indexes the prefixes (`index_prefixes`), which
//! it does for up to 19 characters. For longer prefixes it collects the matching words, and within a phrase fails above
//! 128 of them (`match_phrase_prefix` silently drops all after the 50th). So no token is that long: a longer word, and
//! each of its prefixes, becomes several consecutive tokens. `abcdefghijklmnopqrstuv` becomes `abcdefghijklmnopqr~`
//! `~stuv`, and is searched as that phrase. The marks distinguish parts of words from words.

/// Maximum length of a word's part in a token, in UTF-16 units, which Elasticsearch counts in a prefix. With [`MARK`]
/// it is 19, the `max_chars` of the mapping.
const PART: usize = 18;

/// Marks where a word continues in the adjacent token. No word contains it, because it is no letter, digit or mark.
const MARK: char = '~';

/// The tokens of a word, in their order. The tokens of a prefix of the word are the same but for the last, which is a
/// prefix of the word's: parts are cut from the front.
pub(super) fn split(word: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    let mut units = 0;
    for c in word.chars() {
        if units + c.len_utf16() > PART {
            token.push(MARK);
            tokens.push(std::mem::replace(&mut token, MARK.into()));
            units = 0;
        }
        token.push(c);
        units += c.len_utf16();
    }
    tokens.push(token);
    tokens
}

/// The tokens of words that are separated by spaces, separated by spaces.
pub(super) fn split_all(words: String) -> String {
    // A UTF-16 unit takes a byte at least.
    if words.split(' ').all(|word| word.len() <= PART) {
        return words;
    }
    let mut tokens = String::with_capacity(words.len() + 16);
    for word in words.split_ascii_whitespace() {
        for token in split(word) {
            if !tokens.is_empty() {
                tokens.push(' ');
            }
            tokens.push_str(&token);
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_words_are_cut() {
        assert_eq!(split_all("foo bar".into()), "foo bar");
        assert_eq!(split_all(String::new()), "");
        assert_eq!(
            split_all("a abcdefghijklmnopqrstuv z".into()),
            "a abcdefghijklmnopqr~ ~stuv z"
        );
        assert_eq!(split("abcdefghijklmnopqr"), ["abcdefghijklmnopqr"]);
        assert_eq!(split(&"я".repeat(18)), ["я".repeat(18)]);
    }

    #[test]
    fn a_prefix_of_a_word_is_a_prefix_of_its_tokens() {
        let words = [
            "abcdefgh".repeat(8),
            "😀".repeat(64),
            "a".to_owned() + &"😀".repeat(63),
            "aя😀語".repeat(16),
        ];
        for word in words {
            let tokens = split(&word);
            assert_eq!(tokens.concat().replace(MARK, ""), word);
            for (end, c) in word.char_indices() {
                let prefix = split(&word[..end + c.len_utf8()]);
                let (last, whole) = prefix.split_last().unwrap();
                assert_eq!(whole, &tokens[..whole.len()]);
                assert!(tokens[whole.len()].starts_with(last));
                assert!(last.encode_utf16().count() <= 19);
            }
        }
    }
}
