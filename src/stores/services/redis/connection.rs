//! Connections to Redis.

use std::time::Duration;

use deadpool_redis::{
    Config, Pool, PoolConfig, Runtime, Timeouts,
    redis::{
        Client, Cmd, FromRedisValue, Pipeline, RedisError,
        aio::{ConnectionManager, ConnectionManagerConfig},
    },
};
use url::Url;

use crate::stores::{Error, Result, circuit_breaker::CircuitBreaker};

/// Name of this store in errors.
const STORE: &str = "Redis";

/// Two ways to Redis. Requests share one connection that pipelines them all, as a check-out for each would halve what
/// can be accepted. Workers have a small pool, so that the megabytes of a claim do not stand in a request's way.
pub struct Connections {
    shared: ConnectionManager,
    pool: Pool,
    breaker: CircuitBreaker,
}

/// Class of the connection that a call uses.
#[derive(Debug, Clone, Copy)]
pub enum ConnectionClass {
    /// The shared connection: requests.
    Shared,
    /// The pool: workers.
    Pool,
}

impl Connections {
    /// Prepares the connections; they are made when first needed, and again whenever they break.
    pub fn new(url: &Url, pool_size: usize, timeout: Duration) -> Result<Self> {
        // One attempt each: a caller waits no longer than its own timeout, and the next request tries again.
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500))
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(1024);
        let client = Client::open(url.as_str()).map_err(|error| unavailable(&error))?;
        let shared = ConnectionManager::new_lazy_with_config(client, settings)
            .map_err(|error| unavailable(&error))?;
        let pool = Config {
            pool: Some(PoolConfig {
                max_size: pool_size,
                timeouts: Timeouts {
                    wait: Some(timeout),
                    create: Some(timeout),
                    recycle: Some(timeout),
                },
                ..PoolConfig::default()
            }),
            ..Config::from_url(url.as_str())
        }
        .create_pool(Some(Runtime::Tokio1))
        .map_err(|error| unavailable(&error))?;
        Ok(Self {
            shared,
            pool,
            breaker: CircuitBreaker::new(STORE, timeout),
        })
    }

    /// Sends one command. Error replies of Redis are returned as they are; all other errors are outages.
    pub async fn query<T: FromRedisValue>(
        &self,
        class: ConnectionClass,
        command: &Cmd,
    ) -> Result<std::result::Result<T, RedisError>> {
        // Boxed: the client's futures have tens of kilobytes.
        let response = match class {
            ConnectionClass::Shared => {
                let mut shared = self.shared.clone();
                let query = Box::pin(command.query_async(&mut shared));
                self.breaker.call(query).await?
            }
            ConnectionClass::Pool => {
                let connection = self.breaker.call(Box::pin(self.pool.get())).await?;
                let mut connection = connection.map_err(|error| unavailable(&error))?;
                let query = Box::pin(command.query_async(&mut connection));
                let response = self.breaker.call(query).await;
                if !matches!(response, Ok(Ok(_))) {
                    // A late response must not be read by the next borrower.
                    drop(deadpool_redis::Connection::take(connection));
                }
                response?
            }
        };
        match response {
            Err(error) if is_outage(&error) => Err(unavailable(&error)),
            response => Ok(response),
        }
    }

    /// Sends several commands as one transaction.
    pub async fn transaction<T: FromRedisValue>(&self, pipeline: &mut Pipeline) -> Result<T> {
        let mut shared = self.shared.clone();
        let query = Box::pin(pipeline.atomic().query_async(&mut shared));
        self.breaker
            .call(query)
            .await?
            .map_err(|error| unavailable(&error))
    }
}

/// Tells whether an error means that Redis is unreachable or not ready, rather than that it rejects this call.
fn is_outage(error: &RedisError) -> bool {
    match error.code() {
        None => true,
        Some(code) => matches!(
            code,
            "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "MISCONF"
        ),
    }
}

pub(super) fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: error.to_string(),
    }
}
