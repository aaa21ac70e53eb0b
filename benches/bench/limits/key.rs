//! The bare handler with a read of one row by its primary key.

use std::cell::RefCell;

use actix_web::{
    HttpResponse,
    error::{ErrorInternalServerError, ErrorNotFound},
    web::{self, Data, Path},
};
use anyhow::Result;
use diesel::{
    Connection as _, OptionalExtension as _, QueryableByName, RunQueryDsl as _, SqliteConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use mysql_async::{Pool, prelude::Queryable};

use super::{CHAT, handler};

/// As many connections as the program uses.
const CONNECTIONS: usize = 16;

pub async fn serve_mysql(port: &str, url: &str) -> Result<()> {
    let constraints = mysql_async::PoolConstraints::new(CONNECTIONS, CONNECTIONS);
    let pool = mysql_async::PoolOpts::default()
        .with_constraints(constraints.unwrap_or_default())
        // No session variables are changed.
        .with_reset_connection(false);
    let options = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(url)?);
    let pool = Data::new(Pool::new(options.prefer_socket(false).pool_opts(pool)));
    super::serve(port, move |app| {
        app.app_data(pool.clone())
            .route("/up", web::get().to(HttpResponse::Ok))
            .route(
                &format!("{CHAT}/message/{{message}}"),
                web::get().to(from_mysql),
            );
    })
    .await
}

async fn from_mysql(
    path: Path<(String, u64, u64)>,
    pool: Data<Pool>,
) -> actix_web::Result<HttpResponse> {
    let (app, chat, number) = path.into_inner();
    let mut connection = pool.get_conn().await.map_err(ErrorInternalServerError)?;
    let row: Option<(String, String)> = connection
        .exec_first(
            "SELECT text, DATE_FORMAT(created_at, '%Y-%m-%dT%T.%f') FROM messages \
             WHERE app = ? AND chat = ? AND number = ?",
            (&app, chat, number),
        )
        .await
        .map_err(ErrorInternalServerError)?;
    let (text, created_at) = row.ok_or_else(|| ErrorNotFound("no row"))?;
    let created_at = format!("{}Z", &created_at[..23]);
    Ok(handler::shown(&app, chat, number, &text, &created_at))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
}

thread_local! {
    static FILE: RefCell<Option<SqliteConnection>> = const { RefCell::new(None) };
}

pub async fn serve_sqlite(port: &str, file: &str) -> Result<()> {
    let file = Data::new(file.to_owned());
    super::serve(port, move |app| {
        app.app_data(file.clone())
            .route("/up", web::get().to(HttpResponse::Ok))
            .route(
                &format!("{CHAT}/message/{{message}}"),
                web::get().to(from_sqlite),
            );
    })
    .await
}

/// Reads in the server's own thread: a cached row takes microseconds.
async fn from_sqlite(
    path: Path<(String, u64, u64)>,
    file: Data<String>,
) -> actix_web::Result<HttpResponse> {
    let (app, chat, number) = path.into_inner();
    let row = FILE.with_borrow_mut(|slot| {
        let connection = match slot {
            Some(connection) => connection,
            None => {
                slot.insert(SqliteConnection::establish(&file).map_err(ErrorInternalServerError)?)
            }
        };
        // The position of the chat in the file, then the row by its key.
        sql_query(
            "SELECT text, created_at FROM messages WHERE id = \
             (SELECT id << 32 FROM chat_numbers WHERE app = ?1 AND number = ?2) | ?3",
        )
        .bind::<Text, _>(&app)
        .bind::<BigInt, _>(i64::try_from(chat).unwrap_or_default())
        .bind::<BigInt, _>(i64::try_from(number).unwrap_or_default())
        .get_result::<Row>(connection)
        .optional()
        .map_err(ErrorInternalServerError)
    })?;
    let row = row.ok_or_else(|| ErrorNotFound("no row"))?;
    let created_at = chrono::DateTime::from_timestamp_millis(row.created_at).unwrap_or_default();
    let created_at = created_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    Ok(handler::shown(&app, chat, number, &row.text, &created_at))
}
