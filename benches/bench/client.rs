//! Loads that wrk cannot make: a fixed number of different requests, or a fixed rate (open loop).

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

use crate::requests::RequestSpec;

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum LoadModel {
    /// As soon as a connection is free (closed loop).
    Closed,
    /// A fixed rate per second, regardless of responses. Latency is measured from the planned time (open loop).
    Open(f64),
}

/// The result of a load.
pub struct Outcome {
    /// From the first request to the last response.
    pub seconds: f64,
    /// In milliseconds, ascending.
    latencies: Vec<f64>,
}

impl Outcome {
    /// A percentile of the latencies in milliseconds; `part` is from 0 to 1.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Sends `count` requests over a number of connections to each port, and checks the status and body of each response.
pub async fn drive(
    ports: &[u16],
    connections: usize,
    count: u64,
    model: LoadModel,
    spec: impl Fn(u64) -> RequestSpec + Send + Sync + 'static,
) -> Result<Outcome> {
    let (spec, next) = (Arc::new(spec), Arc::new(AtomicU64::new(0)));
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let begin = Instant::now() + Duration::from_millis(50);
    let mut tasks = JoinSet::new();
    for port in ports.iter().flat_map(|port| vec![*port; connections]) {
        let (spec, next, latencies) = (spec.clone(), next.clone(), latencies.clone());
        tasks.spawn(async move {
            let mut connection = connect(port).await?;
            let mut taken = Vec::new();
            tokio::time::sleep_until(begin.into()).await;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    break;
                }
                let planned = match model {
                    LoadModel::Closed => Instant::now(),
                    LoadModel::Open(rate) => {
                        let planned = begin + Duration::from_secs_f64(n as f64 / rate);
                        // The timer is exact to a millisecond; smaller delays are ignored.
                        tokio::time::sleep_until(planned.into()).await;
                        planned
                    }
                };
                send(&mut connection, &spec(n)).await?;
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

/// Sends one request on a new connection.
pub async fn once(port: u16, spec: &RequestSpec) -> Result<String> {
    send(&mut connect(port).await?, spec).await
}

async fn send(connection: &mut Connection, spec: &RequestSpec) -> Result<String> {
    let request = Request::builder()
        .method(spec.method)
        .uri(&spec.path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(spec.body.clone())))?;
    connection.ready().await?;
    let response = connection.send_request(request).await;
    let response = response.with_context(|| format!("{spec:?}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8(body.to_vec())?;
    // Responses to writes contain the written resource, responses to reads contain messages.
    let good = match spec.method {
        "POST" => status == 201 && body.starts_with("{\"Application\":"),
        "PUT" => status == 200 && body == "{\"status\":\"success\"}",
        _ => status == 200 && (!spec.path.contains("/chat/") || body.contains("\"hello ")),
    };
    if !good {
        bail!("{spec:?} was answered {status} {body:?}");
    }
    Ok(body)
}
