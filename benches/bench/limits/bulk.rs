//! Elasticsearch's `_bulk` of the same documents into an index with the same definition, 1,000 per request, prepared
//! before the clock starts. It ends with a refresh, when all documents are searchable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use confab::domain::text::tokenize;
use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{stores::NAME, texts};

const DEFINITION: &str = include_str!("../../../src/stores/services/elasticsearch/mapping.json");

/// Documents per request.
const BATCH: u64 = 1000;

/// Requests in flight, as in the program's `index_messages`.
const IN_FLIGHT: usize = 2;

pub async fn run(elasticsearch: &str, documents: u64) -> Result<()> {
    let client = Client::builder().no_proxy().build()?;
    let index = format!("{elasticsearch}/{NAME}-limit");
    client.delete(&index).send().await?;
    let definition = client
        .put(&index)
        .header(CONTENT_TYPE, "application/json")
        .body(DEFINITION);
    ensure!(
        definition.send().await?.status().is_success(),
        "the index cannot be made"
    );
    let bodies: Vec<String> = (0..documents.div_ceil(BATCH))
        .map(|batch| {
            (batch * BATCH..((batch + 1) * BATCH).min(documents))
                .map(document)
                .collect()
        })
        .collect();
    let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (bodies, next, client) = (bodies.clone(), next.clone(), client.clone());
        let url = format!("{index}/_bulk?filter_path=errors,items.*.status");
        tasks.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = client
                    .post(&url)
                    .header(CONTENT_TYPE, "application/x-ndjson");
                let response = request.body(body.clone()).send().await?.text().await?;
                let response: Value = serde_json::from_str(&response)?;
                ensure!(
                    response["errors"] == false,
                    "a document was refused: {response}"
                );
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    client
        .post(format!("{index}/_refresh"))
        .send()
        .await?
        .error_for_status()?;
    println!("{}", json!({"seconds": begin.elapsed().as_secs_f64()}));
    client.delete(&index).send().await?;
    Ok(())
}

fn document(n: u64) -> String {
    let text = texts::message(n);
    let number = n + 1;
    let action = json!({"index": {"_id": format!("dec969c6:1:{number}"), "version": (1_u64 << 40) + number, "version_type": "external"}});
    let document = json!({
        "chat": format!("dec969c6:{:016}", 1), "number": number, "words": tokenize(&text), "text": text,
        "created_at": 1_795_000_000_000_u64 + number,
    });
    format!("{action}\n{document}\n")
}
