//! A database, a key prefix and an index name on MySQL, Redis and Elasticsearch for one test.

use std::{env, fmt::Display, time::Duration};

use deadpool_redis::redis;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Chat;

/// Timeout of a call to a store.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// The URLs of the three servers, without a database, prefix or index.
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
    /// The servers that all tests share.
    pub fn shared() -> Self {
        let url = |variable, default: &str| env::var(variable).unwrap_or_else(|_| default.into());
        Self {
            mysql: url("CONFAB_TEST_MYSQL_URL", "mysql://root@127.0.0.1:13306"),
            redis: url("CONFAB_TEST_REDIS_URL", "redis://127.0.0.1:16379"),
            elasticsearch: url("CONFAB_TEST_ELASTICSEARCH_URL", "http://127.0.0.1:19200"),
        }
    }
}

/// The part of the three services that belongs to one test.
pub struct Services {
    /// The URL of the test's database.
    pub mysql_url: String,
    /// The URL of the shared Redis server.
    pub redis_url: String,
    /// The URL of the shared Elasticsearch server.
    pub elasticsearch_url: String,
    /// The name of the database, the prefix of the keys and the alias of the index.
    name: String,
    mysql_server: String,
}

impl Services {
    /// Checks that every service answers, and creates the database. The program creates keys and indices.
    pub async fn make(name: &str, servers: Servers) -> Self {
        let mysql_server = servers.mysql.trim_end_matches('/').to_owned();
        let services = Self {
            mysql_url: format!("{mysql_server}/{name}"),
            redis_url: servers.redis,
            elasticsearch_url: servers.elasticsearch,
            name: name.into(),
            mysql_server,
        };
        // The database is last, so that nothing is left behind if another store does not answer.
        let keys = bounded(services.keys()).await;
        require("Redis", "CONFAB_TEST_REDIS_URL", keys);
        let indices = bounded(services.elasticsearch().indices()).await;
        require("Elasticsearch", "CONFAB_TEST_ELASTICSEARCH_URL", indices);
        let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4");
        let created = bounded(services.on_mysql_server(&create)).await;
        require("MySQL", "CONFAB_TEST_MYSQL_URL", created);
        services
    }

    /// Removes everything that the test created, from every store even if one fails.
    pub async fn remove(&self) -> Result<(), String> {
        let results = [
            bounded(self.remove_keys()).await,
            bounded(self.elasticsearch().remove_indices()).await,
            bounded(self.on_mysql_server(&format!("DROP DATABASE {}", self.name))).await,
        ];
        results.into_iter().collect()
    }

    /// The environment variables that configure the program for these stores.
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

    /// The prefix of every key of the test.
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

    /// Every Redis key of the test.
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

    /// Empties Redis at once. The server must not be shared.
    pub async fn empty_redis(&self) -> Result<(), String> {
        let shared = Servers::shared().redis;
        assert_ne!(self.redis_url, shared, "all tests that run now use it");
        redis::cmd("FLUSHALL")
            .query_async(&mut self.redis().await?)
            .await
            .map_err(text)
    }

    /// A connection to the Redis server.
    pub async fn redis(&self) -> Result<redis::aio::MultiplexedConnection, String> {
        redis::Client::open(self.redis_url.as_str())
            .map_err(text)?
            .get_multiplexed_async_connection()
            .await
            .map_err(text)
    }
}

/// Direct access to the index of a test.
pub struct Elasticsearch {
    http: reqwest::Client,
    url: String,
    /// The alias of the index.
    index: String,
}

impl Elasticsearch {
    /// The indices that are or were behind the alias.
    pub async fn indices(&self) -> Result<Vec<String>, String> {
        let path = format!("/_cat/indices/{}*?format=json&h=index", self.index);
        let response = self.send(Method::GET, &path).await?;
        let rows = response.as_array().cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .filter_map(|row| row["index"].as_str().map(str::to_owned))
            .collect())
    }

    /// Deletes every index of the test, including those whose creation a killed process has only requested.
    pub async fn remove_indices(&self) -> Result<(), String> {
        // Index creations have this priority, so pending ones are completed first. A timeout is acceptable.
        let wait = "/_cluster/health?wait_for_events=urgent&timeout=10s";
        self.send(Method::GET, wait).await.ok();
        for index in self.indices().await? {
            self.send(Method::DELETE, &format!("/{index}")).await?;
        }
        Ok(())
    }

    /// Deletes a document, which must exist.
    pub async fn delete(&self, id: &str) {
        let path = format!("/{}/_doc/{id}?refresh=true", self.index);
        let response = self.send(Method::DELETE, &path).await;
        assert!(
            response
                .as_ref()
                .is_ok_and(|done| done["result"] == "deleted"),
            "{response:?}"
        );
    }

    /// Sets the version in the metadata of an index.
    pub async fn set_version(&self, index: &str, version: u64) {
        let mut meta = self.mapping(index).await["_meta"].clone();
        meta["version"] = json!(version);
        self.set_meta(index, &meta).await;
    }

    /// Replaces the metadata of an index.
    pub async fn set_meta(&self, index: &str, meta: &Value) {
        let url = format!("{}/{index}/_mapping", self.url);
        let meta = json!({"_meta": meta});
        let response = self
            .http
            .put(url)
            .json(&meta)
            .send()
            .await
            .expect("a response");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// The mapping of an index.
    pub async fn mapping(&self, index: &str) -> Value {
        let path = format!("/{index}/_mapping");
        let response = self.send(Method::GET, &path).await.expect("a response");
        response[index]["mappings"].clone()
    }

    /// Creates an index whose name is the alias and this suffix, and returns its name.
    pub async fn create_index(&self, suffix: &str, mapping: &Value) -> String {
        let name = format!("{}{suffix}", self.index);
        let url = format!("{}/{name}", self.url);
        let definition = json!({"mappings": mapping});
        let request = self.http.put(url).json(&definition);
        let response = self.read_response(request).await.expect("a response");
        assert_eq!(response["acknowledged"], true, "{response}");
        name
    }

    /// Puts an index into use that the program did not create.
    pub async fn use_index(&self, index: &str) {
        let url = format!("{}/_aliases", self.url);
        let add = json!({"actions": [
            {"add": {"index": index, "alias": self.index, "is_write_index": true}},
            {"add": {"index": index, "alias": format!("{index}.put")}},
        ]});
        let request = self.http.post(url).json(&add);
        let response = self.read_response(request).await.expect("a response");
        assert_eq!(response["acknowledged"], true, "{response}");
    }

    /// Adds a field to the mapping that the program does not know.
    pub async fn add_field(&self, index: &str) {
        let url = format!("{}/{index}/_mapping", self.url);
        let field = serde_json::json!({"properties": {"stray": {"type": "keyword"}}});
        let request = self.http.put(url).json(&field).send();
        let response = request.await.expect("a response");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// The documents of a chat, number and text, in any order.
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
            let response = self.read_response(request).await?;
            let hits = response["hits"]["hits"].as_array();
            let hits = hits.ok_or_else(|| format!("no hits: {response}"))?;
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

    /// All documents as JSON. Fails if there are more than a page of them.
    pub async fn dump(&self) -> Result<String, String> {
        const PAGE: usize = 10_000;
        self.send(Method::POST, &format!("/{}/_refresh", self.index))
            .await?;
        let path = format!("/{}/_search?size={PAGE}", self.index);
        let response = self.send(Method::GET, &path).await?;
        match response["hits"]["hits"].as_array() {
            Some(hits) if hits.len() < PAGE => Ok(Value::from(hits.clone()).to_string()),
            _ => Err(format!("no hits, or too many: {response:.200}")),
        }
    }

    async fn send(&self, method: Method, path: &str) -> Result<Value, String> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        self.read_response(request).await
    }

    async fn read_response(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let http_response = request.send().await.map_err(text)?;
        let status = http_response.status();
        let response: Value = http_response.json().await.map_err(text)?;
        if status.is_success() || status == StatusCode::NOT_FOUND {
            Ok(response)
        } else {
            Err(format!("{status}: {response}"))
        }
    }
}

/// Fails the test with instructions if the store did not answer.
fn require<T>(store: &str, variable: &str, answered: Result<T, String>) {
    if let Err(error) = answered {
        panic!(
            "{store} does not answer ({error}): `make stores` starts the stores, {variable} says where it is"
        );
    }
}

/// Limits the duration of a call.
async fn bounded<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, call).await {
        Ok(result) => result,
        Err(_) => Err(format!("no response within {RESPONSE_TIMEOUT:?}")),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
