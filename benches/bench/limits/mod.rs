//! Limits: minimal programs that do one thing, to compare the program with. `bench limit NAME …` runs one.

mod bulk;
mod handler;
mod key;
pub mod script;
mod search;
mod upsert;

use std::process::Command;

use actix_web::{App, HttpServer, web::ServiceConfig};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::confab::{Process, free_port, get};

/// Runs the limit that the arguments name.
pub async fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["handler", port] => serve(port, handler::routes).await,
        ["script", port, redis] => script::serve(port, redis, true).await,
        ["increment", port, redis] => script::serve(port, redis, false).await,
        ["key", port, mysql] => key::serve_mysql(port, mysql).await,
        ["file", port, file] => key::serve_sqlite(port, file).await,
        ["search", port, elasticsearch] => search::serve(port, elasticsearch).await,
        ["bulk", elasticsearch, documents] => bulk::run(elasticsearch, documents.parse()?).await,
        ["upsert", mysql, rows] => upsert::run(mysql, rows.parse()?).await,
        _ => bail!("no such limit: {arguments:?}"),
    }
}

/// Serves like the program: the same library, the same number of threads.
async fn serve(
    port: &str,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<()> {
    let server = HttpServer::new(move || App::new().configure(routes.clone()));
    let server = server
        .max_connections(20_000)
        .bind(("127.0.0.1", port.parse()?))?;
    server.run().await.context("the server")
}

/// The path of a chat in routes.
const CHAT: &str = "/application/{app}/chat/{chat}";

/// Starts a limit that serves, and waits for it.
pub async fn launch(name: &str, store: Option<&str>) -> Result<Process> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["limit", name, &port.to_string()]).args(store);
    let mut process = Process::start(command, port)?;
    process.responses(&get("/up")).await?;
    Ok(process)
}

/// Runs a limit that does a fixed amount of work; returns its rate per second.
pub fn measure(name: &str, store: &str, count: u64) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["limit", name, store, &count.to_string()]);
    let output = tokio::task::block_in_place(|| command.output())?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let result: Value = serde_json::from_slice(&output.stdout)?;
    let seconds = result["seconds"].as_f64().context("seconds")?;
    Ok(count as f64 / seconds)
}
