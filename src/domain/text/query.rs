use super::tokenize;

/// Maximum length of a query in characters, before folding. The HTTP layer checks it.
pub const MAX_QUERY_CHARS: usize = 1000;

/// Maximum number of words of a query. The cost of a search grows with it. The HTTP layer checks it.
pub const MAX_QUERY_WORDS: usize = 128;

/// Parsed query: a message matches if it holds every piece, in any order. Every text is a valid query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Pieces in the order of the query; empty if the query holds no word.
    pub pieces: Vec<Piece>,
}

/// Words that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Never empty.
    pub tokens: Vec<String>,
    /// The last token also matches every word that begins with it. Only the last piece of a query can have this.
    pub prefix: bool,
}

impl Query {
    /// Parses a query by the contract's rule: pieces are separated by spaces or quoted; there are no other operators.
    /// Only the ASCII `"` is a quote; `„“”«»` and similar characters separate words, as they do in a message.
    pub fn parse(text: &str) -> Query {
        let parts: Vec<&str> = text.split('"').collect();
        let mut pieces = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            // Every second part follows an opening quote; the last part of all has no closing one.
            if i % 2 == 1 && i + 1 < parts.len() {
                pieces.extend(Piece::of(part, false));
            } else {
                pieces.extend(part.split_whitespace().filter_map(|s| Piece::of(s, true)));
            }
        }
        // Only now is it known which piece is the last that holds a word.
        if let Some((_last, earlier)) = pieces.split_last_mut() {
            for piece in earlier {
                piece.prefix = false;
            }
        }
        Query { pieces }
    }

    /// Counts the words.
    pub fn words(&self) -> usize {
        self.pieces.iter().map(|piece| piece.tokens.len()).sum()
    }

    /// A query without a word finds nothing.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl Piece {
    fn of(text: &str, prefix: bool) -> Option<Piece> {
        let tokens: Vec<String> = tokenize(text)
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        (!tokens.is_empty()).then_some(Piece { tokens, prefix })
    }
}
