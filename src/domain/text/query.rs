use super::tokenize;

/// The longest query the contract takes, in characters as they came. Who reads the request checks it.
pub const MAX_QUERY_CHARS: usize = 1000;

/// What a message must hold to be found: every piece, in any order. No text is a syntax error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// In the order of the query; none if it holds no word.
    pub pieces: Vec<Piece>,
}

/// Words that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Never empty.
    pub tokens: Vec<String>,
    /// The last of the words also stands for every word that begins with it. At most the last piece of a query
    /// has this.
    pub prefix: bool,
}

impl Query {
    /// Reads a query by the contract's rule: pieces stand between spaces or between quotes, and nothing else is
    /// an operator. Only the ASCII `"` is a quote; `„“”«»` and their like part words, as they do in a message.
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
