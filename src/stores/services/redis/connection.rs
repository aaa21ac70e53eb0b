//! Connections to Redis.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use deadpool_redis::{
    Manager, Pool, Runtime,
    redis::{
        AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, FromRedisValue, Pipeline, RedisError,
        TlsCertificates,
        aio::{ConnectionManager, ConnectionManagerConfig},
    },
};
use url::Url;

use crate::stores::{Error, Result, circuit_breaker::CircuitBreaker, services::tls::Tls};

/// Name of this store in errors.
pub(super) const STORE: &str = "Redis";

/// Two ways to Redis. Requests share one connection that pipelines them all, as a check-out for each would halve what
/// can be accepted. Workers have a small pool, so that the megabytes of a claim do not stand in a request's way.
pub struct Connections {
    shared: RwLock<ConnectionManager>,
    client: Client,
    settings: ConnectionManagerConfig,
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
    pub fn new(url: &Url, tls: &Tls, pool_size: usize, timeout: Duration) -> Result<Self> {
        // One attempt each: a caller waits no longer than its own timeout, and the next request tries again.
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500))
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(1024);
        let client = client(url, tls).map_err(|error| unavailable(&error))?;
        let shared = ConnectionManager::new_lazy_with_config(client.clone(), settings.clone())
            .map_err(|error| unavailable(&error))?;
        // Without it, the client gives up after 500 ms.
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let manager = Manager::new_with_config(client.get_connection_info().clone(), limits);
        let pool = Pool::builder(manager.map_err(|error| unavailable(&error))?)
            .max_size(pool_size)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| unavailable(&error))?;
        Ok(Self {
            shared: RwLock::new(shared),
            client,
            settings,
            pool,
            breaker: CircuitBreaker::new(STORE, timeout),
        })
    }

    /// Makes calls from now on open new connections: the existing ones may lead to a server that is not the master any
    /// more. Calls in flight keep theirs.
    pub fn reconnect(&self) {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        // It fails only for settings that were accepted before.
        if let Ok(shared) = ConnectionManager::new_lazy_with_config(client, settings) {
            *self.shared.write().unwrap_or_else(PoisonError::into_inner) = shared;
        }
        self.pool.retain(|_, _| false);
    }

    fn shared(&self) -> ConnectionManager {
        let shared = self.shared.read();
        shared.unwrap_or_else(PoisonError::into_inner).clone()
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
                let mut shared = self.shared();
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

    /// Sends several commands together. Not as a transaction: Redis refuses these when it is out of memory.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &mut Pipeline) -> Result<T> {
        let mut shared = self.shared();
        let query = Box::pin(pipeline.query_async(&mut shared));
        self.breaker
            .call(query)
            .await?
            .map_err(|error| unavailable(&error))
    }
}

/// Makes a client of a URL, which decides whether connections are encrypted: `rediss`.
fn client(url: &Url, tls: &Tls) -> std::result::Result<Client, RedisError> {
    if url.scheme() != "rediss" {
        return Client::open(url.as_str());
    }
    let client_tls = tls.client.as_ref().map(|client| ClientTlsConfig {
        client_cert: client.cert.clone(),
        client_key: client.key.clone(),
    });
    let certificates = TlsCertificates {
        client_tls,
        root_cert: tls.ca.clone(),
    };
    Client::build_with_tls(url.as_str(), certificates)
}

/// Tells whether an error means that Redis is unreachable or not ready, rather than that it rejects this call.
fn is_outage(error: &RedisError) -> bool {
    match error.code() {
        None => true,
        Some(code) => matches!(
            code,
            "LOADING" | "BUSY" | "NOREPLICAS" | "TRYAGAIN" | "CLUSTERDOWN" | "MISCONF"
        ),
    }
}

pub(super) fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: error.to_string(),
    }
}
