//! Overwriting the unused part of pages.
//!
//! `secure_delete` overwrites what is deleted, but not what SQLite leaves behind when it splits a page: a copy of the rows that
//! moved to another page stays in the space between the page's cell pointers and its cells. No statement reaches that space, so
//! it is overwritten page by page (`sqlite_dbpage`). SQLite never reads it.
//!
//! The format of pages: <https://www.sqlite.org/fileformat2.html#b_tree_pages>.

use std::ops::Range;

use diesel::{
    dsl::sql,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Binary},
};

use super::error::Outcome;

/// Pages that one step reads: 1 MB.
const PAGES: i64 = 256;

/// Number of pages from which on the first byte of an overflow page, which belongs to a page number, can look like the type of a
/// b-tree page. No page of such a file (128 GB) is overwritten.
const MAX_PAGES: i64 = 1 << 25;

/// A page of the file.
#[derive(QueryableByName)]
struct Page {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    data: Vec<u8>,
}

/// Overwrites the unused parts of the pages after `last`. Returns the last page that was read; `None` at the end of the file.
pub(super) fn step(connection: &mut SqliteConnection, last: i64) -> Outcome<Option<i64>> {
    let count = sql::<BigInt>("(SELECT page_count FROM pragma_page_count)");
    let vacuum = sql::<BigInt>("(SELECT auto_vacuum FROM pragma_auto_vacuum)");
    let (count, vacuum): (i64, i64) = diesel::select((count, vacuum)).get_result(connection)?;
    // A file that an operator set to vacuum itself has pages of pointers, which look like b-tree pages.
    if vacuum != 0 {
        return Ok(None);
    }
    // The first page holds the schema.
    let (first, end) = (last.max(1) + 1, count.min(last.max(1) + PAGES));
    if first > end || count >= MAX_PAGES {
        return Ok(None);
    }
    let pages: Vec<Page> = sql_query(
        "WITH RECURSIVE numbers(number) AS (SELECT ?1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?2) \
         SELECT number, data FROM numbers CROSS JOIN sqlite_dbpage ON pgno = number",
    )
    .bind::<BigInt, _>(first)
    .bind::<BigInt, _>(end)
    .load(connection)?;
    for Page { number, mut data } in pages {
        let Some(unused) = unused(&data) else {
            continue;
        };
        if data[unused.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        data[unused].fill(0);
        sql_query("UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?")
            .bind::<Binary, _>(data)
            .bind::<BigInt, _>(number)
            .execute(connection)?;
    }
    Ok(Some(end))
}

/// The unused part of a b-tree page; `None` if it is another page.
fn unused(page: &[u8]) -> Option<Range<usize>> {
    let header = match page.first()? {
        0x02 | 0x05 => 12,
        0x0a | 0x0d => 8,
        _ => return None,
    };
    let number = |at: usize| {
        Some(usize::from(u16::from_be_bytes([
            *page.get(at)?,
            *page.get(at + 1)?,
        ])))
    };
    let (cells, content) = (number(3)?, number(5)?);
    let start = header + 2 * cells;
    // 65536 does not fit into the field.
    let end = if content == 0 { 1 << 16 } else { content };
    (start <= end && end <= page.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_space_between_pointers_and_cells_of_a_b_tree_page_is_unused() {
        let page = |kind: u8, cells: u8, content: [u8; 2]| {
            let mut page = vec![0xff; 4096];
            page[..7].copy_from_slice(&[kind, 0, 0, 0, cells, content[0], content[1]]);
            unused(&page)
        };
        assert_eq!(page(0x0d, 3, [0x0f, 0]), Some(14..0xf00));
        assert_eq!(page(0x0a, 0, [0x10, 0]), Some(8..4096));
        assert_eq!(page(0x05, 1, [0x0f, 0xff]), Some(14..0xfff));
        // An overflow page, and no valid page.
        assert_eq!(page(0, 3, [0x0f, 0]), None);
        assert_eq!(page(0x0d, 3, [0, 9]), None);
        assert_eq!(page(0x0d, 3, [0x20, 0]), None);
        assert_eq!(page(0x0d, 3, [0, 0]), None);
        assert_eq!(unused(&[0x0d]), None);
    }
}
