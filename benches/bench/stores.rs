//! The benchmark's part of the three services: a database, a key prefix and an index.

use anyhow::{Context as _, Result, ensure};
use deadpool_redis::redis::{self, aio::MultiplexedConnection};
use mysql_async::{Conn, prelude::Queryable};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::resources;

/// The name of the database, the prefix of the keys, and the alias of the index.
pub const NAME: &str = "confab_bench";

/// The URLs of the services.
#[derive(Debug, Clone)]
pub struct Stores {
    mysql: String,
    redis: String,
    elasticsearch: String,
}

fn port(url: &str) -> Option<u16> {
    url::Url::parse(url).ok()?.port()
}

impl Stores {
    /// Reads the URLs from the environment.
    pub fn from_environment() -> Result<Self> {
        let url = |name: &str| {
            let url = std::env::var(name);
            let url =
                url.with_context(|| format!("{name} is not set: run this by `make bench`"))?;
            anyhow::Ok(url.trim_end_matches('/').to_owned())
        };
        Ok(Self {
            mysql: url("CONFAB_TEST_MYSQL_URL")?,
            redis: url("CONFAB_TEST_REDIS_URL")?,
            elasticsearch: url("CONFAB_TEST_ELASTICSEARCH_URL")?,
        })
    }

    /// The environment variables that configure the program for these stores.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CONFAB_BACKING", "services".into()),
            ("CONFAB_SERVICES__MYSQL_URL", self.database()),
            ("CONFAB_SERVICES__REDIS_URL", self.redis.clone()),
            (
                "CONFAB_SERVICES__ELASTICSEARCH_URL",
                self.elasticsearch.clone(),
            ),
            ("CONFAB_SERVICES__REDIS_PREFIX", format!("{NAME}:")),
            ("CONFAB_SERVICES__ELASTICSEARCH_INDEX", NAME.into()),
        ]
    }

    /// The URL of the benchmark's database.
    pub fn database(&self) -> String {
        format!("{}/{NAME}", self.mysql)
    }

    /// The URL of the Redis server.
    pub fn redis_url(&self) -> &str {
        &self.redis
    }

    /// The URL of the Elasticsearch server.
    pub fn elasticsearch_url(&self) -> &str {
        &self.elasticsearch
    }

    /// The processes of the stores on this machine.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let stores = [
            ("mysql", &self.mysql),
            ("redis", &self.redis),
            ("elasticsearch", &self.elasticsearch),
        ];
        let found = stores
            .iter()
            .filter_map(|(name, url)| Some(((*name).to_owned(), resources::listener(port(url)?)?)));
        found.collect()
    }

    /// Removes all data of a benchmark, and creates the database again.
    pub async fn wipe(&self) -> Result<()> {
        self.remove().await?;
        let mut mysql = connect_mysql(&self.mysql).await?;
        mysql
            .query_drop(format!("CREATE DATABASE {NAME} CHARACTER SET utf8mb4"))
            .await?;
        Ok(())
    }

    /// Removes all data of a benchmark.
    pub async fn remove(&self) -> Result<()> {
        let mut redis = self.redis().await?;
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg(&["MATCH", &format!("{NAME}:*"), "COUNT", "5000"])
                .query_async(&mut redis)
                .await?;
            if !keys.is_empty() {
                let _: u64 = redis::cmd("UNLINK")
                    .arg(keys)
                    .query_async(&mut redis)
                    .await?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let path = format!("/_cat/indices/{NAME}-*?format=json&h=index");
        for index in self
            .call(Method::GET, &path)
            .await?
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = index["index"].as_str().unwrap_or_default();
            self.call(Method::DELETE, &format!("/{name}")).await?;
        }
        let mut mysql = connect_mysql(&self.mysql).await?;
        mysql
            .query_drop(format!("DROP DATABASE IF EXISTS {NAME}"))
            .await?;
        Ok(())
    }

    /// A connection to Redis.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.redis.as_str())?;
        client
            .get_multiplexed_async_connection()
            .await
            .context("Redis")
    }

    /// A connection to the benchmark's database.
    pub async fn mysql(&self) -> Result<Conn> {
        connect_mysql(&self.database()).await
    }

    /// The number of documents, after a refresh.
    pub async fn documents(&self) -> Result<u64> {
        self.call(Method::POST, &format!("/{NAME}/_refresh"))
            .await?;
        let counted = self.call(Method::GET, &format!("/{NAME}/_count")).await?;
        Ok(counted["count"].as_u64().unwrap_or_default())
    }

    async fn call(&self, method: Method, path: &str) -> Result<Value> {
        let client = Client::builder().no_proxy().build()?;
        let request = client.request(method, format!("{}{path}", self.elasticsearch));
        let response = request.send().await.context("Elasticsearch")?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(
            status.is_success() || status == StatusCode::NOT_FOUND,
            "{path}: {status} {body}"
        );
        Ok(serde_json::from_str(&body)?)
    }
}

/// Opens a connection over TCP, never over a Unix socket.
pub async fn connect_mysql(url: &str) -> Result<Conn> {
    let options = mysql_async::Opts::from_url(url)?;
    let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
    Conn::new(options).await.context("MySQL")
}
