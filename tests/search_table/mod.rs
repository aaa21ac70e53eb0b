//! Search cases as data: one group for each sentence of the contract's section "Search". Every index must pass the whole
//! table. Each group has its own chat, all in one index, so the table also reveals hits from another chat.

use serde::Deserialize;

/// Documents of one chat, and what is found in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The sentence that the group covers.
    pub name: String,
    /// The messages, numbered from 1 on.
    pub documents: Vec<String>,
    /// Written after all documents and before the first query.
    #[serde(default)]
    pub updates: Vec<Update>,
    pub queries: Vec<Query>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub number: u64,
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// May be empty, and may hold a `/`: to be sent as the parameter.
    pub q: String,
    pub limit: Option<usize>,
    pub before: Option<u64>,
    pub after: Option<u64>,
    /// The numbers of the messages in the response, in its order.
    pub hits: Vec<u64>,
}

/// The groups written by hand, in `table.json`.
pub fn load() -> Vec<Group> {
    serde_json::from_str(include_str!("table.json")).expect("table.json is a list of groups")
}

/// Groups too big to write by hand: more hits than a page holds, and more words behind a prefix than an index
/// that expands it into words might be willing to.
pub fn generated() -> Vec<Group> {
    vec![
        pages(),
        a_prefix_of_few_words(),
        prefixes_alone(),
        prefixes_in_a_phrase(),
    ]
}

/// A prefix of four words, each in many messages.
pub fn a_prefix_of_few_words() -> Group {
    const TEXTS: [&str; 4] = [
        "release need",
        "release needle",
        "needles, release",
        "release nee",
    ];
    let documents = (0..600).map(|n| format!("{} {n}", TEXTS[n % TEXTS.len()]));
    let mut group = Group {
        name: "A prefix of few words in many messages".to_owned(),
        documents: documents.collect(),
        updates: vec![],
        queries: vec![],
    };
    for (q, texts) in [
        ("nee", &[0, 1, 2, 3][..]),
        ("need", &[0, 1, 2]),
        ("\"need\"", &[0]),
        ("needle", &[1, 2]),
        ("needles", &[2]),
        ("release need", &[0, 1, 2]),
        ("release-need", &[0, 1]),
        ("release-nee", &[0, 1, 3]),
        ("need release", &[0]),
        ("needed", &[]),
    ] {
        let hits = (1..=600).filter(|n| texts.contains(&((n - 1) % 4)));
        let hits: Vec<u64> = hits.collect();
        group.query(q, &hits, Some(100), None, None);
        group.query(q, &hits, Some(7), Some(300), None);
        group.query(q, &hits, Some(7), None, Some(300));
    }
    group
}

const LETTERS: &str = "qwertyuiopasdfghjklzxcvbnmqwer";
const WORDS: u64 = 1000;

/// A prefix of every length from 1 to 30, each of 1,000 words and more.
pub fn prefixes_alone() -> Group {
    prefixes("A prefix of any number of words: alone", "", "")
}

/// The same as the end of a piece of several words.
pub fn prefixes_in_a_phrase() -> Group {
    prefixes(
        "A prefix of any number of words: the last of a piece",
        "release ",
        "release-",
    )
}

/// 1,000 different words share all the letters. The newest messages hold words that share only the first of
/// them, so that a prefix that some index cuts short would find these.
fn prefixes(name: &str, before_word: &str, before_prefix: &str) -> Group {
    let shared = (0..WORDS).map(|i| format!("{before_word}{LETTERS}{i:03}"));
    let differing = (1..LETTERS.len()).map(|n| format!("{before_word}{}0", &LETTERS[..n]));
    let mut group = Group {
        name: name.to_owned(),
        documents: shared.chain(differing).collect(),
        updates: vec![],
        queries: vec![],
    };
    if !before_word.is_empty() {
        // Newer still, and never a hit: the words apart, and the other way round.
        group.documents.push(format!("release of {LETTERS}000"));
        group.documents.push(format!("{LETTERS}000 release"));
    }
    for length in 1..=LETTERS.len() {
        let q = format!("{before_prefix}{}", &LETTERS[..length]);
        // Document 1000 + n shares exactly n letters.
        let hits = (1..=WORDS).chain(WORDS + length as u64..WORDS + LETTERS.len() as u64);
        let hits: Vec<u64> = hits.collect();
        group.query(&q, &hits, Some(100), None, None);
        group.query(&q, &hits, Some(100), Some(WORDS / 2), None);
        group.query(&q, &hits, Some(3), None, Some(WORDS - 1));
        // The same letters as a whole word are not there.
        let whole = format!("\"{before_word}{}\"", &LETTERS[..length]);
        group.query(&whole, &[], None, None, None);
    }
    for number in [1, WORDS / 2, WORDS] {
        let q = format!("{before_prefix}{LETTERS}{:03}", number - 1);
        group.query(&q, &[number], None, None, None);
    }
    group
}

/// Hits far beyond the first page, every one of which can be reached.
pub fn pages() -> Group {
    // Every third is a hit.
    let documents = (1..=1000).map(|n| match n % 3 {
        0 => format!("needle {n}"),
        _ => format!("hay {n}"),
    });
    let mut group = Group {
        name: "All hits can be reached".to_owned(),
        documents: documents.collect(),
        updates: vec![],
        queries: vec![],
    };
    let hits: Vec<u64> = (1..=1000).filter(|n| n % 3 == 0).collect();
    for q in ["needle", "\"needle\"", "nee"] {
        for limit in [None, Some(1), Some(7), Some(99), Some(100)] {
            group.query(q, &hits, limit, None, None);
            group.query(q, &hits, limit, Some(500), None);
            group.query(q, &hits, limit, None, Some(500));
            group.query(q, &hits, limit, Some(600), Some(500));
        }
    }
    // From the newest page to the oldest, and back.
    for start in (3..=1000).step_by(300) {
        group.query("needle", &hits, Some(100), Some(start), None);
        group.query("needle", &hits, Some(100), None, Some(start));
    }
    group
}

impl Group {
    /// Adds a query of which all hits are known: its response is the page of them that is asked for.
    fn query(
        &mut self,
        q: &str,
        hits: &[u64],
        limit: Option<usize>,
        before: Option<u64>,
        after: Option<u64>,
    ) {
        let asked = |n: &u64| after.is_none_or(|a| *n > a) && before.is_none_or(|b| *n < b);
        let mut hits: Vec<u64> = hits.iter().copied().filter(asked).collect();
        let limit_or_default = limit.unwrap_or(20);
        if after.is_some() {
            hits.truncate(limit_or_default);
        } else {
            hits.drain(..hits.len().saturating_sub(limit_or_default));
        }
        self.queries.push(Query {
            q: q.to_owned(),
            limit,
            before,
            after,
            hits,
        });
    }
}
