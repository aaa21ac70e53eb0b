use super::*;
use unicode_normalization::is_nfkc;

/// The pieces of a query as a test reads them best: one that matches as a prefix ends in `*`.
fn pieces(query: &str) -> Vec<String> {
    let pieces = Query::parse(query).pieces.into_iter();
    pieces
        .map(|p| p.tokens.join(" ") + if p.prefix { "*" } else { "" })
        .collect()
}

/// Every character there is, less the ideographs and Hangul syllables: two thirds of all, and alike.
fn characters() -> impl Iterator<Item = char> {
    let alike = |c: &char| matches!(c, '\u{3400}'..'\u{A000}' | '\u{AC00}'..'\u{D7A4}' | '\u{20000}'..'\u{E0000}');
    ('\0'..=char::MAX)
        .filter(move |c| !alike(c))
        .filter(|c| c.general_category_group() != GeneralCategoryGroup::Other)
}

/// Texts of up to 40 characters that collide where the rules do: bases, marks, what is dropped, what
/// separates. The same texts on every run.
fn texts() -> impl Iterator<Item = String> {
    const POOL: &str = "aZ9 .\"\u{AD}\u{200D}éßİıłœſﬁ①ⅷ™ά\u{345}Σςйеשאלا\u{671}\u{675}\u{674}\u{640}ﷺﹱक़की한ᄒㅏ\
        \u{11AB}漢々〇かがｶﾞー〆กำแ\u{E49}ລຳខ\u{17D2}မ\u{103A}😀\u{FE0F}\u{180B}\u{E0100}\u{20E3}\u{300}\u{301}\
        \u{306}\u{323}\u{328}\u{338}\u{34F}\u{5B8}\u{64B}\u{670}\u{93C}\u{3099}\u{309A}𝔘\u{10FFFF}";
    let pool: Vec<char> = POOL.chars().collect();
    let mut seed: u64 = 1;
    let mut below = move |n: usize| {
        // Knuth's MMIX generator; its high bits are the good ones.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    (0..5_000).map(move |_| (0..below(41)).map(|_| pool[below(pool.len())]).collect())
}

/// Properties that every index relies on.
fn assert_well_formed(text: &str) {
    let words_of_text = tokenize(text);
    assert_eq!(
        tokenize(&words_of_text),
        words_of_text,
        "again, of {text:?}"
    );
    assert!(is_nfkc(&words_of_text), "NFKC of {text:?}");
    for word in words_of_text.split_ascii_whitespace() {
        assert!((1..=64).contains(&word.chars().count()), "of {text:?}");
        for (i, c) in word.chars().enumerate() {
            let good = match c.general_category_group() {
                GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => true,
                GeneralCategoryGroup::Mark => i > 0,
                _ => false,
            };
            assert!(good && !c.is_ascii_uppercase(), "{c:?} of {text:?}");
        }
    }
}

#[test]
fn ascii_takes_the_short_way_to_the_same_words() {
    let ascii: String = ('\0'..='\x7F').collect();
    assert_eq!(
        tokenize(&ascii),
        "0123456789 abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz"
    );
    for text in [ascii.as_str(), "", " ", "Foo_bar  baz.", &"x".repeat(70)] {
        // An emoji is no word, so it changes nothing but the way.
        assert_eq!(tokenize(text), tokenize(&format!("😀{text}")));
    }
}

#[test]
fn characters_alone_and_after_others() {
    for c in '\0'..=char::MAX {
        // Most are assigned to nothing, and without words there is nothing more to look at.
        if !tokenize(c.encode_utf8(&mut [0; 4])).is_empty() {
            assert_well_formed(c.encode_utf8(&mut [0; 4]));
        }
    }
    for c in characters() {
        assert_well_formed(&format!("x{c} и{c}\u{306} か{c} ا{c}"));
    }
}

#[test]
fn any_text() {
    for text in texts() {
        assert_well_formed(&text);
        let expected = tokenize(&text);
        let forms: [String; 4] = [
            text.nfc().collect(),
            text.nfd().collect(),
            text.nfkc().collect(),
            text.nfkd().collect(),
        ];
        for form in forms {
            assert_eq!(tokenize(&form), expected, "{form:?} for {text:?}");
        }
        // However a query is cut into pieces, no word is lost.
        let query = Query::parse(&text.replace('"', " "));
        let found: Vec<String> = query.pieces.iter().flat_map(|p| p.tokens.clone()).collect();
        assert_eq!(found.join(" "), expected);
        assert_eq!(query.is_empty(), expected.is_empty());
        let query = Query::parse(&text);
        assert!(query.pieces.iter().all(|p| !p.tokens.is_empty()));
        assert!(query.pieces.iter().rev().skip(1).all(|p| !p.prefix));
    }
}

#[test]
fn case_makes_no_difference() {
    for c in characters() {
        let upper: String = c.to_uppercase().collect();
        let lower: String = c.to_lowercase().collect();
        // Letters of a newer Unicode than the folding table's have a case in `std` only.
        let folds = |s: &str| caseless::default_case_fold_str(s) != s;
        if upper != lower && (folds(&upper) || folds(&lower)) {
            let expected = tokenize(c.encode_utf8(&mut [0; 4]));
            assert_eq!(tokenize(&upper), expected, "upper case of {c:?}");
            assert_eq!(tokenize(&lower), expected, "lower case of {c:?}");
        }
    }
}

#[test]
fn what_is_dropped_leaves_no_gap() {
    for dropped in ['\u{FE0F}', '\u{E0100}', '\u{180B}', '\u{640}'] {
        for text in [
            "straße",
            "и\u{306}ог",
            "한국",
            "שלום",
            "が",
            "कि",
            "\u{301}a",
        ] {
            let with: String = text.chars().flat_map(|c| [c, dropped]).collect();
            assert_eq!(tokenize(&with), tokenize(text), "{dropped:?} in {text}");
        }
        assert_eq!(tokenize(&dropped.to_string()), "");
    }
}

#[test]
fn letters_taken_for_others() {
    assert_eq!(tokenize("ĐŁØIİ đłøı Ǿ"), "dloii dloi o");
    let alefs =
        "\u{622}\u{623}\u{625}\u{627}\u{671}\u{672}\u{673}\u{675}\u{773}\u{774}\u{870}\u{882}";
    assert_eq!(tokenize(alefs), "\u{627}".repeat(12));
    // A high hamza that belongs to no alef is a letter.
    assert_eq!(tokenize("\u{674}ب"), "\u{674}ب");
}

#[test]
fn a_mark_goes_by_its_letter() {
    for (text, expected) in [
        (
            "e\u{301} \u{3B5}\u{301} 1\u{301} \u{2BC}\u{301}",
            "e ε 1 \u{2BC}",
        ),
        ("и\u{306} а\u{301}", "й а\u{301}"),
        // Its own script decides too: Hebrew and Arabic points mean nothing on another letter.
        ("и\u{5B8}\u{610}\u{301}", "и\u{301}"),
        (
            "か\u{3099} ー\u{3099} ｶﾞ 〆\u{301}",
            "が ー\u{3099} ガ 〆\u{301}",
        ),
        ("\u{301} .\u{301}a 😀\u{FE0F} *\u{20E3}", "a"),
        ("1\u{FE0F}\u{20E3}", "1"),
    ] {
        assert_eq!(tokenize(text), expected);
    }
}

#[test]
fn words_of_their_own() {
    for (text, expected) in [
        ("日本語abcテスト1", "日 本 語 abc テ ス ト 1"),
        ("人々〇ー〆ゝ", "人 々 〇 ー 〆 ゝ"),
        ("น้ำ๑", "น\u{E49}\u{E4D} า ๑"),
        ("ខ្មែរ", "ខ្ មែ រ"),
        ("한국어 ㄱㅏ", "한국어 가"),
        ("об\u{2BC}єкт", "об\u{2BC}єкт"),
    ] {
        assert_eq!(tokenize(text), expected);
    }
}

#[test]
fn a_long_word_is_cut() {
    let cut = |c: &str| c.repeat(64);
    assert_eq!(tokenize(&"x".repeat(65)), cut("x"));
    assert_eq!(tokenize(&"ß".repeat(33)), cut("s"));
    assert_eq!(tokenize(&"и\u{306}".repeat(65)), cut("й"));
    assert_eq!(tokenize(&format!("{} y", "é".repeat(99))), cut("e") + " y");
    assert_eq!(
        tokenize(&format!("か{}い", "\u{302}".repeat(99))),
        format!("か{} い", "\u{302}".repeat(63))
    );
}

#[test]
fn pieces_of_a_query() {
    for (query, expected) in [
        ("", &[][..]),
        (" * \" . ", &[]),
        ("foo bar", &["foo", "bar*"]),
        (
            "Foo.Bar@example.com x\u{3000}y\u{A0}z",
            &["foo bar example com", "x", "y", "z*"],
        ),
        ("cafe *", &["cafe*"]),
        ("cafe \"\" \"*\"", &["cafe*"]),
        ("\"foo\" *", &["foo"]),
        ("\"foo bar\" baz", &["foo bar", "baz*"]),
        ("baz \"foo bar\"", &["baz", "foo bar"]),
        ("a\"b c\"d", &["a", "b c", "d*"]),
        ("foo \"bar", &["foo", "bar*"]),
        ("\"foo bar\" \"baz qux", &["foo bar", "baz", "qux*"]),
        ("foo\"", &["foo*"]),
        ("“foo bar”", &["foo", "bar*"]),
        ("C++ AND (", &["c", "and*"]),
        ("北京", &["北 京*"]),
    ] {
        assert_eq!(pieces(query), expected, "{query}");
    }
}
