//! Load that wrk has no means for: a given number of requests, each another, or as many a second as planned (open loop).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::requests::Ask;

/// When the requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// So many a second, whatever becomes of them; how long one took is counted from when it was planned.
    Open(f64),
}

/// What came of a load.
pub struct Outcome {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// In milliseconds, the shortest first.
    latencies: Vec<f64>,
}

impl Outcome {
    /// The latency that this part of the requests did not exceed, in milliseconds.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Sends `count` requests over so many connections to each port, and has each answer's status and body checked.
pub async fn drive(
    ports: &[u16],
    connections: usize,
    count: u64,
    pace: Pace,
    ask: impl Fn(u64) -> Ask + Send + Sync + 'static,
) -> Result<Outcome> {
    let (ask, next) = (Arc::new(ask), Arc::new(AtomicU64::new(0)));
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let begin = Instant::now() + Duration::from_millis(50);
    let mut tasks = JoinSet::new();
    for port in ports.iter().flat_map(|port| vec![*port; connections]) {
        let (ask, next, latencies) = (ask.clone(), next.clone(), latencies.clone());
        tasks.spawn(async move {
            let mut connection = connect(port).await?;
            let mut taken = Vec::new();
            tokio::time::sleep_until(begin.into()).await;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    break;
                }
                let planned = match pace {
                    Pace::Closed => Instant::now(),
                    Pace::Open(rate) => {
                        let planned = begin + Duration::from_secs_f64(n as f64 / rate);
                        // The timer is exact to a millisecond: who is late by less is not held up by it.
                        tokio::time::sleep_until(planned.into()).await;
                        planned
                    }
                };
                send(&mut connection, &ask(n)).await?;
                taken.push(planned.elapsed().as_secs_f64() * 1000.0);
            }
            latencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&mut taken);
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let mut latencies =
        std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    latencies.sort_by(f64::total_cmp);
    ensure!(
        latencies.len() as u64 == count,
        "{} of {count} answers",
        latencies.len()
    );
    Ok(Outcome { seconds, latencies })
}

type Connection = http1::SendRequest<Full<Bytes>>;

async fn connect(port: u16) -> Result<Connection> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request on a connection of its own.
pub async fn once(port: u16, ask: &Ask) -> Result<String> {
    send(&mut connect(port).await?, ask).await
}

async fn send(connection: &mut Connection, ask: &Ask) -> Result<String> {
    let request = Request::builder()
        .method(ask.method)
        .uri(&ask.path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(ask.body.clone())))?;
    connection.ready().await?;
    let answer = connection.send_request(request).await;
    let answer = answer.with_context(|| format!("{ask:?}"))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    let body = String::from_utf8(body.to_vec())?;
    // An answer to a write holds what was written; one that reads holds messages.
    let good = match ask.method {
        "POST" => status == 201 && body.starts_with("{\"Application\":"),
        "PUT" => status == 200 && body == "{\"status\":\"success\"}",
        _ => status == 200 && (!ask.path.contains("/chat/") || body.contains("\"hello ")),
    };
    if !good {
        bail!("{ask:?} was answered {status} {body:?}");
    }
    Ok(body)
}
