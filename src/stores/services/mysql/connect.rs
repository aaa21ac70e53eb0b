//! How connections to MySQL are made: over TCP, TLS or a Unix socket.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts, UrlError};
use url::Url;

use super::errors::STORE;
use crate::stores::{Error, Result, services::tls::Tls};

/// Prefix of the settings of this store.
pub(super) const SETTINGS: &str = "services.mysql";

/// Session variables set on every new connection. Row locks cover the rows that a statement touches, not the gaps
/// between them, so that batches of several processes do not wait for each other. Error texts are in English,
/// for the log.
const SESSION: &str = "SET SESSION transaction_isolation = 'READ-COMMITTED', lc_messages = 'en_US', \
                       sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', \
                       innodb_lock_wait_timeout = 2";

/// Parameters of a URL that would disable the check of the server's certificate.
const UNCHECKED: [&str; 3] = ["verify_ca", "verify_identity", "built_in_roots"];

/// Address, user and encryption of connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Opts);

impl Connector {
    /// Reads a URL. Connections are encrypted if a file of `tls` is set or if the URL says `require_ssl=true`, and fail
    /// rather than be made without encryption.
    ///
    /// # Errors
    ///
    /// A parameter of the URL that is unknown, has a wrong value, or contradicts the encryption.
    pub fn new(url: &Url, tls: &Tls) -> Result<Self> {
        let has = |name: &str| url.query_pairs().any(|(given, _)| given == name);
        if let Some(name) = UNCHECKED.iter().find(|name| has(name)) {
            return Err(unusable(&format!(
                "{name} is not supported: the server's certificate is always checked"
            )));
        }
        let options = Opts::from_url(url.as_str()).map_err(|error| match error {
            UrlError::InvalidParamValue { param, .. } => {
                unusable(&format!("the parameter {param} has a wrong value"))
            }
            // The name of a parameter can be a part of a password that is not percent-encoded.
            UrlError::UnknownParameter { .. } => {
                unusable(&"it has an unknown parameter: require_ssl and socket are the usual ones")
            }
            error => unusable(&error),
        })?;
        let encrypts = tls.is_set() || options.ssl_opts().is_some();
        let mut builder = OptsBuilder::from_opts(options.clone())
            // Diesel has a cache of its own, and counts rows this way.
            .stmt_cache_size(0)
            .client_found_rows(true);
        if encrypts && options.socket().is_some() {
            return Err(unusable(
                &"the parameter socket excludes TLS: remove it, or require_ssl and the settings mysql_…_file",
            ));
        }
        if encrypts || !has("prefer_socket") {
            // Otherwise the client switches to the server's Unix socket, which is not encrypted and may belong to
            // another server.
            builder = builder.prefer_socket(false);
        }
        if encrypts {
            builder = builder.ssl_opts(encryption(tls));
        }
        Ok(Self(builder.into()))
    }

    /// Opens a connection.
    pub async fn connect(&self) -> ConnectionResult<AsyncMysqlConnection> {
        let connection = Conn::new(self.0.clone()).await.map_err(bad_connection)?;
        let mut connection = AsyncMysqlConnection::try_from(connection).await?;
        connection
            .batch_execute(SESSION)
            .await
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
}

fn encryption(tls: &Tls) -> SslOpts {
    let roots = tls.ca.iter().map(|pem| pem.clone().into());
    let client = tls.client.as_ref().map(|client| {
        ClientIdentity::new(
            client.cert.clone().into(),
            client.key_der.secret_der().to_vec().into(),
        )
    });
    SslOpts::default()
        .with_disable_built_in_roots(tls.ca.is_some())
        .with_root_certs(roots.collect())
        .with_client_identity(client)
}

fn bad_connection(error: mysql_async::Error) -> ConnectionError {
    ConnectionError::BadConnection(match error {
        mysql_async::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

fn unusable(why: &dyn std::fmt::Display) -> Error {
    Error::Failed {
        store: STORE,
        detail: format!("{SETTINGS}_url: {why}"),
    }
}
