//! The same rows into a table with the same definition, by the same upsert, 1,000 per statement on one connection;
//! statements are prepared before the clock starts.

use std::{fmt::Write as _, time::Instant};

use anyhow::Result;
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::{stores, texts};

/// Rows per statement.
const BATCH: u64 = 1000;

const MIGRATION: &str = include_str!("../../../migrations/mysql/2026-11-23-000000_messages/up.sql");

pub async fn run(url: &str, rows: u64) -> Result<()> {
    let mut connection = stores::connect_mysql(url).await?;
    connection
        .query_drop("DROP TABLE IF EXISTS limit_messages")
        .await?;
    let table = MIGRATION
        .split(';')
        .find(|statement| statement.contains("EXISTS messages ("));
    let table = table
        .unwrap_or_default()
        .replace("EXISTS messages", "EXISTS limit_messages");
    connection.query_drop(table).await?;
    let statements: Vec<String> = (0..rows.div_ceil(BATCH))
        .map(|batch| statement(batch * BATCH..((batch + 1) * BATCH).min(rows)))
        .collect();
    let begin = Instant::now();
    for statement in &statements {
        connection.query_drop(statement).await?;
    }
    println!("{}", json!({"seconds": begin.elapsed().as_secs_f64()}));
    connection.query_drop("DROP TABLE limit_messages").await?;
    Ok(())
}

fn statement(rows: std::ops::Range<u64>) -> String {
    let mut sql = String::from(
        "INSERT INTO limit_messages (app, chat, number, text, revision, created_at, updated_at, batch) VALUES ",
    );
    for n in rows.clone() {
        let comma = if n == rows.start { "" } else { "," };
        let (number, text) = (n + 1, texts::message(n));
        let revision = (1_u64 << 40) + number;
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "{comma}('dec969c6',1,{number},'{text}',{revision},'2026-11-24 12:00:00.123',NULL,{})",
            rows.start
        );
    }
    let newer = |column: &str| {
        format!("{column} = IF(VALUES(revision) > revision, VALUES({column}), {column})")
    };
    let _ = write!(
        sql,
        " ON DUPLICATE KEY UPDATE {}, created_at = LEAST(created_at, VALUES(created_at)), {}, {}",
        newer("text"),
        newer("updated_at"),
        newer("revision")
    );
    sql
}
