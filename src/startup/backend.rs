//! The stores that the settings name.

use std::sync::Arc;

use crate::{
    auth::Keys,
    config::{BackendKind, Settings},
    domain::time::Clock,
    failpoints,
    maintenance::Maintenance,
    stores::{
        self, Backend, Embedded, Services,
        services::{
            elasticsearch::{ElasticsearchAccess, SearchIndex},
            mysql::Mysql,
            redis::{Redis, RedisSettings},
        },
        sqlite::{SqliteSettings, default_file},
    },
};

/// Prepares the stores of the chosen backend; nothing is reached or opened yet.
///
/// # Errors
///
/// Settings that a store cannot use.
pub fn maintenance(settings: &Settings) -> stores::Result<Maintenance> {
    backend(settings).map(Maintenance::new)
}

/// The stores of the chosen backend.
///
/// # Errors
///
/// Same as [`maintenance`].
pub fn backend(settings: &Settings) -> stores::Result<Backend> {
    backend_with_clock(settings, failpoints::clock())
}

/// The stores of the chosen backend, whose leases, retries and dates follow a clock.
///
/// # Errors
///
/// Same as [`maintenance`].
pub fn backend_with_clock(settings: &Settings, clock: Clock) -> stores::Result<Backend> {
    Ok(match settings.backend {
        BackendKind::Embedded => Backend::Embedded(Arc::new(embedded(settings, clock)?)),
        BackendKind::Services => Backend::Services(Arc::new(services(settings, clock)?)),
    })
}

/// Keys and revocations in the stores of the chosen backend.
///
/// # Errors
///
/// Same as [`maintenance`].
pub fn keys(settings: &Settings) -> stores::Result<Keys> {
    backend(settings).map(|backend| keys_in(settings, &backend))
}

/// Keys and revocations in these stores.
pub(super) fn keys_in(settings: &Settings, backend: &Backend) -> Keys {
    Keys::new(backend.clone(), &settings.limits, failpoints::clock())
}

fn embedded(settings: &Settings, clock: Clock) -> stores::Result<Embedded> {
    let configured = &settings.embedded.path;
    let file = match configured.as_os_str().is_empty() {
        true => default_file(|name| std::env::var_os(name)),
        false => Some(configured.clone()),
    };
    Embedded::new(SqliteSettings {
        file: file.ok_or_else(|| stores::Error::Unavailable {
            store: "SQLite",
            detail: "there is no home folder for the file: set embedded.path".into(),
        })?,
        timeout: settings.embedded.timeout,
        queue_depth: settings.limits.queue_depth,
        dead_letters: settings.limits.dead_letters,
        clock,
    })
}

fn services(settings: &Settings, clock: Clock) -> stores::Result<Services> {
    let services = &settings.services;
    let mysql = Arc::new(Mysql::new(
        services.mysql_url.expose(),
        &services.mysql_files().into(),
        services.mysql_connections,
        services.timeout,
    )?);
    let redis = RedisSettings {
        prefix: services.redis_prefix.clone(),
        pool_size: services.redis_connections,
        timeout: services.timeout,
        queue_depth: settings.limits.queue_depth,
        dead_letters: settings.limits.dead_letters,
        clock,
        idle: services.redis_idle,
    };
    let redis = Redis::new(
        services.redis_url.expose(),
        &services.redis_files().into(),
        redis,
        mysql.clone(),
    )?;
    let elasticsearch = SearchIndex::new(
        &ElasticsearchAccess {
            url: services.elasticsearch_url.expose(),
            files: &services.elasticsearch_files().into(),
            api_key: services.elasticsearch_api_key.expose(),
        },
        &services.elasticsearch_index,
        services.timeout,
        services.elasticsearch_write_timeout,
    )?;
    Ok(Services::new(mysql, redis, elasticsearch))
}
