//! Query bodies for Elasticsearch.
//!
//! All conditions are filters without scores, and hits are sorted by number. The default request, the newest hits, uses
//! the sort order of the index, so Elasticsearch stops at the last hit of the page.

use serde_json::{Value, json};

use super::{document::chat_field, tokens};
use crate::domain::{
    ChatKey, MessageKey, Page,
    text::{Piece, Query},
};

/// The parts that a query may have: Elasticsearch allows 1,024 at least, more where its heap is larger. Each word of
/// a phrase that ends in a prefix is one, each other piece is one.
const PARTS: usize = 1000;

/// Tells whether the page is filled from its lower end: with `after` the hits next after it, else the newest.
pub(super) fn ascending(page: &Page) -> bool {
    page.after.is_some()
}

/// The search for a page of hits.
pub(super) fn search(chat: ChatKey, query: &Query, page: &Page) -> Value {
    let mut filter = vec![json!({"term": {"chat": chat_field(chat)}})];
    if page.after.is_some() || page.before.is_some() {
        let mut range = json!({});
        // Beyond `long` there is no message, and a range may not go there.
        if let Some(after) = page.after {
            range["gt"] = json!(after.min(i64::MAX as u64));
        }
        if let Some(before) = page.before {
            range["lt"] = json!(before.min(i64::MAX as u64));
        }
        filter.push(json!({"range": {"number": range}}));
    }
    let capacity = PARTS.saturating_sub(query.pieces.len()).max(2);
    for piece in &query.pieces {
        push_piece(&mut filter, piece, capacity);
    }
    // Ascending is not the order that the index keeps, so the chat, which is always the same, is not sorted by.
    let sort = if ascending(page) {
        json!([{"number": "asc"}])
    } else {
        json!([{"chat": "asc"}, {"number": "desc"}])
    };
    json!({
        "query": {"bool": {"filter": filter}},
        "sort": sort,
        "size": page.limit,
        "version": true,
        "track_total_hits": false,
    })
}

/// Adds the filter of a piece.
fn push_piece(filter: &mut Vec<Value>, piece: &Piece, capacity: usize) {
    let tokens: Vec<String> = piece
        .tokens
        .iter()
        .flat_map(|word| tokens::split(word))
        .collect();
    match (tokens.as_slice(), piece.prefix) {
        ([], _) => {}
        ([word], false) => filter.push(json!({"term": {"words": word}})),
        ([prefix], true) => filter.push(json!({"prefix": {"words": prefix}})),
        (phrase, false) => filter.push(phrase_query(phrase)),
        ([phrase @ .., prefix], true) => {
            // A query exceeds this limit only if one character expands to several words (`㍿`, `ﷺ`). Then the whole
            // words are one filter, and the last ones that fit, with the prefix, are another. This misses no hit.
            let from = (phrase.len() + 1).saturating_sub(capacity);
            if from > 0 {
                filter.push(phrase_query(phrase));
            }
            filter.push(phrase_and_prefix_query(&phrase[from..], prefix));
        }
    }
}

fn phrase_query(tokens: &[String]) -> Value {
    json!({"match_phrase": {"words": tokens.join(" ")}})
}

/// `match_phrase_prefix` would do the same as long as the prefixes are in the index, and drop hits without a word if
/// ever they were not; this fails then.
fn phrase_and_prefix_query(tokens: &[String], prefix: &str) -> Value {
    json!({"intervals": {"words": {"all_of": {
        "ordered": true,
        "max_gaps": 0,
        "intervals": [
            {"match": {"query": tokens.join(" "), "ordered": true, "max_gaps": 0}},
            {"prefix": {"prefix": prefix}},
        ],
    }}}})
}

/// The search for the keys that follow `after`.
pub(super) fn scan(after: Option<MessageKey>, limit: usize) -> Value {
    let mut body = json!({
        "query": {"match_all": {}},
        "sort": [{"chat": "asc"}, {"number": "asc"}],
        "size": limit,
        "track_total_hits": false,
        "_source": false,
    });
    if let Some(after) = after {
        let chat = chat_field(after.chat);
        body["search_after"] = json!([chat, after.number]);
        // Repeats the condition on chats as a filter, which Elasticsearch can skip documents by.
        body["query"] = json!({"bool": {"filter": [{"range": {"chat": {"gte": chat}}}]}});
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AppId;

    const CHAT: ChatKey = ChatKey {
        app: AppId(7),
        number: 3,
    };

    fn page(after: Option<u64>, before: Option<u64>) -> Page {
        Page {
            after,
            before,
            limit: 20,
            bytes: usize::MAX,
        }
    }

    /// The filter without the chat's.
    fn filter(query: &str) -> Vec<Value> {
        let body = search(CHAT, &Query::parse(query), &page(None, None));
        let filter = body["query"]["bool"]["filter"].as_array().unwrap();
        assert_eq!(
            filter[0],
            json!({"term": {"chat": "00000007:0000000000000003"}})
        );
        filter[1..].to_vec()
    }

    fn intervals(phrase: &str, prefix: &str) -> Value {
        json!({"intervals": {"words": {"all_of": {"ordered": true, "max_gaps": 0, "intervals": [
            {"match": {"query": phrase, "ordered": true, "max_gaps": 0}},
            {"prefix": {"prefix": prefix}},
        ]}}}})
    }

    #[test]
    fn each_piece_is_one_filter() {
        assert_eq!(
            filter("Foo.Bar baz qu"),
            [
                json!({"match_phrase": {"words": "foo bar"}}),
                json!({"term": {"words": "baz"}}),
                json!({"prefix": {"words": "qu"}}),
            ]
        );
        assert_eq!(filter("v1.2"), [intervals("v1", "2")]);
        assert_eq!(filter("\"v1\""), [json!({"term": {"words": "v1"}})]);
    }

    #[test]
    fn long_words_are_phrases() {
        assert_eq!(
            filter("abcdefghijklmnopqrstuv abcdefghijklmnopqrs"),
            [
                json!({"match_phrase": {"words": "abcdefghijklmnopqr~ ~stuv"}}),
                intervals("abcdefghijklmnopqr~", "~s"),
            ]
        );
        assert_eq!(
            filter("abcdefghijklmnopqr"),
            [json!({"prefix": {"words": "abcdefghijklmnopqr"}})]
        );
    }

    #[test]
    fn a_query_has_a_bounded_number_of_parts() {
        // Each of these characters is four words.
        let clauses = filter(&"\u{337f}".repeat(1000));
        let [phrase, end] = clauses.as_slice() else {
            panic!("{} clauses", clauses.len())
        };
        let words = |text: &Value| text.as_str().unwrap().split(' ').count();
        assert_eq!(words(&phrase["match_phrase"]["words"]), 3999);
        let end = &end["intervals"]["words"]["all_of"]["intervals"];
        assert_eq!(words(&end[0]["match"]["query"]), 998);
        // And without such characters never too many.
        assert_eq!(filter(&"\u{4eac}".repeat(999)).len(), 1);
        assert_eq!(filter(&"a ".repeat(500)).len(), 500);
    }

    #[test]
    fn pages_are_filled_from_the_end_unless_a_beginning_is_given() {
        let body = |after, before| search(CHAT, &Query::parse("x"), &page(after, before));
        let newest = json!([{"chat": "asc"}, {"number": "desc"}]);
        let oldest = json!([{"number": "asc"}]);
        let range = |body: &Value| body["query"]["bool"]["filter"][1]["range"]["number"].clone();
        assert_eq!(body(None, None)["sort"], newest);
        assert_eq!(body(None, Some(9))["sort"], newest);
        assert_eq!(range(&body(None, Some(9))), json!({"lt": 9}));
        assert_eq!(body(Some(4), None)["sort"], oldest);
        assert_eq!(range(&body(Some(4), None)), json!({"gt": 4}));
        assert_eq!(body(Some(4), Some(9))["sort"], oldest);
        assert_eq!(range(&body(Some(4), Some(9))), json!({"gt": 4, "lt": 9}));
        assert_eq!(range(&body(Some(u64::MAX), None)), json!({"gt": i64::MAX}));
    }
}
