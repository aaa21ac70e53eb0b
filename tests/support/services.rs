//! MySQL, Redis and Elasticsearch as the tests reach them: a database, a key prefix and an index name for one test.

use std::{env, fmt::Display, time::Duration};

use deadpool_redis::redis;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Chat;

/// How long a store may take to answer before the test fails.
const ANSWER: Duration = Duration::from_secs(20);

/// Where the three servers are: URLs without a database, prefix or index.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `mysql://root@127.0.0.1:13306`
    pub mysql: String,
    /// `redis://127.0.0.1:16379`
    pub redis: String,
    /// `http://127.0.0.1:19200`
    pub elasticsearch: String,
}

impl Servers {
    /// Those that all tests share.
    pub fn shared() -> Self {
        let url = |variable, default: &str| env::var(variable).unwrap_or_else(|_| default.into());
        Self {
            mysql: url("CONFAB_TEST_MYSQL_URL", "mysql://root@127.0.0.1:13306"),
            redis: url("CONFAB_TEST_REDIS_URL", "redis://127.0.0.1:16379"),
            elasticsearch: url("CONFAB_TEST_ELASTICSEARCH_URL", "http://127.0.0.1:19200"),
        }
    }
}

/// One test's share of the three services.
pub struct Services {
    /// The test's own database.
    pub mysql_url: String,
    /// The server that all tests share.
    pub redis_url: String,
    /// The server that all tests share.
    pub elasticsearch_url: String,
    /// The database's name, what every key starts with, and the index's alias, all at once.
    name: String,
    mysql_server: String,
}

impl Services {
    /// Makes sure that every service answers, and makes the database. Keys and indices are made by the program.
    pub async fn make(name: &str, servers: Servers) -> Self {
        let mysql_server = servers.mysql.trim_end_matches('/').to_owned();
        let services = Self {
            mysql_url: format!("{mysql_server}/{name}"),
            redis_url: servers.redis,
            elasticsearch_url: servers.elasticsearch,
            name: name.into(),
            mysql_server,
        };
        // The database last, so that nothing is left behind if another store does not answer.
        let keys = bounded(services.keys()).await;
        require("Redis", "CONFAB_TEST_REDIS_URL", keys);
        let indices = bounded(services.elasticsearch().indices()).await;
        require("Elasticsearch", "CONFAB_TEST_ELASTICSEARCH_URL", indices);
        let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4");
        let created = bounded(services.on_mysql_server(&create)).await;
        require("MySQL", "CONFAB_TEST_MYSQL_URL", created);
        services
    }

    /// Removes all that the test made. Every store is tried, whatever the others say.
    pub async fn remove(&self) -> Result<(), String> {
        let results = [
            bounded(self.remove_keys()).await,
            bounded(self.elasticsearch().remove_indices()).await,
            bounded(self.on_mysql_server(&format!("DROP DATABASE {}", self.name))).await,
        ];
        results.into_iter().collect()
    }

    /// What tells the program where its stores are, as environment variables.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CONFAB_BACKING", "services".into()),
            ("CONFAB_SERVICES__MYSQL_URL", self.mysql_url.clone()),
            ("CONFAB_SERVICES__REDIS_URL", self.redis_url.clone()),
            (
                "CONFAB_SERVICES__ELASTICSEARCH_URL",
                self.elasticsearch_url.clone(),
            ),
            ("CONFAB_SERVICES__REDIS_PREFIX", self.redis_prefix()),
            ("CONFAB_SERVICES__ELASTICSEARCH_INDEX", self.name.clone()),
        ]
    }

    /// What every key of the test starts with.
    pub fn redis_prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// A connection to the test's database.
    pub async fn mysql(&self) -> AsyncMysqlConnection {
        AsyncMysqlConnection::establish(&self.mysql_url)
            .await
            .expect("the test's database can be reached")
    }

    /// The test's index.
    pub fn elasticsearch(&self) -> Elasticsearch {
        Elasticsearch {
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client can be built"),
            url: self.elasticsearch_url.trim_end_matches('/').into(),
            index: self.name.clone(),
        }
    }

    async fn on_mysql_server(&self, sql: &str) -> Result<(), String> {
        let mut connection = AsyncMysqlConnection::establish(&self.mysql_server)
            .await
            .map_err(text)?;
        diesel::sql_query(sql)
            .execute(&mut connection)
            .await
            .map_err(text)?;
        Ok(())
    }

    /// Every key of the test.
    pub async fn keys(&self) -> Result<Vec<String>, String> {
        let mut connection = self.redis().await?;
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg(&["MATCH", &format!("{}*", self.name), "COUNT", "1000"])
                .query_async(&mut connection)
                .await
                .map_err(text)?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }

    /// Removes all keys of the test.
    pub async fn remove_keys(&self) -> Result<(), String> {
        let keys = self.keys().await?;
        if keys.is_empty() {
            return Ok(());
        }
        redis::cmd("UNLINK")
            .arg(keys)
            .query_async(&mut self.redis().await?)
            .await
            .map_err(text)
    }

    /// Forgets everything, at one moment, on a Redis that nobody else uses.
    pub async fn empty_redis(&self) -> Result<(), String> {
        let shared = Servers::shared().redis;
        assert_ne!(self.redis_url, shared, "all tests that run now use it");
        redis::cmd("FLUSHALL")
            .query_async(&mut self.redis().await?)
            .await
            .map_err(text)
    }

    /// A connection to the server that all tests share.
    pub async fn redis(&self) -> Result<redis::aio::MultiplexedConnection, String> {
        redis::Client::open(self.redis_url.as_str())
            .map_err(text)?
            .get_multiplexed_async_connection()
            .await
            .map_err(text)
    }
}

/// One test's index, past the program.
pub struct Elasticsearch {
    http: reqwest::Client,
    url: String,
    /// The alias that the program reads and writes through.
    index: String,
}

impl Elasticsearch {
    /// The indices that stand behind the test's alias, or once did.
    pub async fn indices(&self) -> Result<Vec<String>, String> {
        let path = format!("/_cat/indices/{}*?format=json&h=index", self.index);
        let answer = self.send(Method::GET, &path).await?;
        let rows = answer.as_array().cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .filter_map(|row| row["index"].as_str().map(str::to_owned))
            .collect())
    }

    /// Deletes every index of the test, also one that a killed process has only asked for.
    pub async fn remove_indices(&self) -> Result<(), String> {
        // New indices are events of this priority: those that wait are made first. An answer that says that it took
        // too long is as good as any.
        let wait = "/_cluster/health?wait_for_events=urgent&timeout=10s";
        self.send(Method::GET, wait).await.ok();
        for index in self.indices().await? {
            self.send(Method::DELETE, &format!("/{index}")).await?;
        }
        Ok(())
    }

    /// Removes a document, which must be there.
    pub async fn delete(&self, id: &str) {
        let path = format!("/{}/_doc/{id}?refresh=true", self.index);
        let answer = self.send(Method::DELETE, &path).await;
        assert!(
            answer
                .as_ref()
                .is_ok_and(|done| done["result"] == "deleted"),
            "{answer:?}"
        );
    }

    /// Makes an index look as if the program of another version had made it.
    pub async fn set_version(&self, index: &str, version: u64) {
        let url = format!("{}/{index}/_mapping", self.url);
        let meta = json!({"_meta": {"version": version}});
        let answer = self
            .http
            .put(url)
            .json(&meta)
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Maps a field that the program knows nothing of.
    pub async fn add_field(&self, index: &str) {
        let url = format!("{}/{index}/_mapping", self.url);
        let field = serde_json::json!({"properties": {"stray": {"type": "keyword"}}});
        let request = self.http.put(url).json(&field).send();
        let answer = request.await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The documents of a chat: number and text, in any order.
    pub async fn documents(&self, chat: &Chat) -> Result<Vec<(u64, String)>, String> {
        const PAGE: usize = 5000;
        let refresh = format!("/{}/_refresh", self.index);
        self.send(Method::POST, &refresh).await?;
        let path = format!("/{}/_search", self.index);
        let mut documents: Vec<(u64, String)> = Vec::new();
        loop {
            let mut query = json!({
                "size": PAGE,
                "query": {"term": {"chat": format!("{}:{:016}", chat.app, chat.number)}},
                "sort": [{"number": "desc"}],
                "_source": ["number", "text"],
            });
            if let Some((number, _)) = documents.last() {
                query["search_after"] = json!([number]);
            }
            let request = self.http.post(format!("{}{path}", self.url)).json(&query);
            let answer = self.answer(request).await?;
            let hits = answer["hits"]["hits"].as_array();
            let hits = hits.ok_or_else(|| format!("no hits: {answer}"))?;
            documents.extend(hits.iter().map(|hit| {
                let source = &hit["_source"];
                let text = source["text"].as_str().unwrap_or_default().to_owned();
                (source["number"].as_u64().unwrap_or_default(), text)
            }));
            if hits.len() < PAGE {
                return Ok(documents);
            }
        }
    }

    async fn send(&self, method: Method, path: &str) -> Result<Value, String> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        self.answer(request).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let response = request.send().await.map_err(text)?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(text)?;
        if status.is_success() || status == StatusCode::NOT_FOUND {
            Ok(answer)
        } else {
            Err(format!("{status}: {answer}"))
        }
    }
}

/// Fails the test, with a line that says what to do, unless the store answered.
fn require<T>(store: &str, variable: &str, answered: Result<T, String>) {
    if let Err(error) = answered {
        panic!(
            "{store} does not answer ({error}): `make stores` starts the stores, {variable} says where it is"
        );
    }
}

/// A call to a store that fails, in words, rather than hang.
async fn bounded<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {ANSWER:?}")),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
