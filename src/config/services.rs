//! Checks of the section `services`: addresses, encryption and credentials of the stores.

use std::path::Path;

use url::Url;

use super::{
    layers::{ConfigError, Layers},
    sections::ServicesSettings,
};

/// Address of a store, and the files for TLS to it.
struct Store<'a> {
    /// Begins the names of its settings.
    name: &'static str,
    url: &'a Url,
    /// Schemes of the URL.
    schemes: &'static [&'static str],
    /// The part of the URL that is missing, without which the files would not be used; `None` if none is.
    missing_tls: Option<&'static str>,
    files: [&'a Path; 3],
}

impl ServicesSettings {
    /// Files for TLS to MySQL: authorities, certificate and key of the client.
    pub fn mysql_files(&self) -> [&Path; 3] {
        [
            &self.mysql_ca_file,
            &self.mysql_cert_file,
            &self.mysql_key_file,
        ]
    }

    /// Same as [`Self::mysql_files`], for Redis.
    pub fn redis_files(&self) -> [&Path; 3] {
        [
            &self.redis_ca_file,
            &self.redis_cert_file,
            &self.redis_key_file,
        ]
    }

    /// Same as [`Self::mysql_files`], for Elasticsearch.
    pub fn elasticsearch_files(&self) -> [&Path; 3] {
        [
            &self.elasticsearch_ca_file,
            &self.elasticsearch_cert_file,
            &self.elasticsearch_key_file,
        ]
    }

    pub(super) fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        for store in self.stores() {
            store.check(layers)?;
        }
        let redis = self.redis_url.expose();
        if redis.fragment().is_some() {
            let rule =
                "a fragment (#) is not supported: the server's certificate is always checked";
            return Err(layers.error("services.redis_url", rule));
        }
        self.check_api_key(layers)
    }

    fn stores(&self) -> [Store<'_>; 3] {
        let mysql = self.mysql_url.expose();
        let (redis, elasticsearch) = (self.redis_url.expose(), self.elasticsearch_url.expose());
        [
            Store {
                name: "mysql",
                url: mysql,
                schemes: &["mysql"],
                missing_tls: mysql
                    .query_pairs()
                    .any(|(name, _)| name == "socket")
                    .then_some("no parameter socket, because a Unix socket is not encrypted"),
                files: self.mysql_files(),
            },
            Store {
                name: "redis",
                url: redis,
                schemes: &["redis", "rediss", "redis+unix"],
                missing_tls: (redis.scheme() != "rediss").then_some("the scheme rediss://"),
                files: self.redis_files(),
            },
            Store {
                name: "elasticsearch",
                url: elasticsearch,
                schemes: &["http", "https"],
                missing_tls: (elasticsearch.scheme() != "https").then_some("the scheme https://"),
                files: self.elasticsearch_files(),
            },
        ]
    }

    fn check_api_key(&self, layers: &Layers) -> Result<(), ConfigError> {
        let key = self.elasticsearch_api_key.expose();
        let url = self.elasticsearch_url.expose();
        let rule = if key.is_empty() {
            return Ok(());
        } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            "must be ASCII without spaces: the key in its encoded form"
        } else if !url.username().is_empty() || url.password().is_some() {
            "excludes a user and a password in services.elasticsearch_url"
        } else {
            return Ok(());
        };
        Err(layers.error("services.elasticsearch_api_key", rule))
    }
}

impl Store<'_> {
    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let error = |end: &str, rule: &str| {
            Err(layers.error(&format!("services.{}_{end}", self.name), rule))
        };
        let scheme = self.url.scheme();
        if !self.schemes.contains(&scheme) {
            let schemes = self.schemes.join(":// or ");
            return error("url", &format!("must begin with {schemes}://"));
        }
        if scheme == "redis+unix" {
            if self.url.has_host() || self.url.path().len() < 2 {
                return error("url", "must be redis+unix:/// and the path of the socket");
            }
        } else if self.url.host_str().unwrap_or_default().is_empty() {
            return error("url", "the URL has no host");
        }
        let [ca, cert, key] = self.files.map(|path| !path.as_os_str().is_empty());
        let set = [(ca, "ca_file"), (cert, "cert_file"), (key, "key_file")];
        if let Some(missing) = self.missing_tls
            && let Some((_, end)) = set.iter().find(|(set, _)| *set)
        {
            let rule = format!("services.{}_url must have {missing}", self.name);
            return error(end, &rule);
        }
        match (cert, key) {
            (true, false) => error("key_file", "must be set, because the certificate is"),
            (false, true) => error("cert_file", "must be set, because the key is"),
            _ => Ok(()),
        }
    }
}
