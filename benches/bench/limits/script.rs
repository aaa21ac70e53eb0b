//! The bare handler with one script on one shared connection: the program's script, or a minimal one that increments a
//! number and queues a job.

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    web::{self, Data, Json, Path},
};
use anyhow::{Context as _, Result};
use deadpool_redis::redis::{
    self,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{CHAT, handler};
use crate::stores::NAME;

/// The epoch of [`seed`].
const EPOCH: u8 = 1;

/// The program's script, without its first lines: see [`accept_script`].
const ACCEPT: &str = concat!(
    include_str!("../../../src/stores/services/redis/lua/common.lua"),
    "\n",
    include_str!("../../../src/stores/services/redis/lua/enqueue.lua")
);

/// Only a number and a job.
const INCREMENT: &str = "local n = redis.call('INCR', KEYS[1] .. 'n')\n\
                         redis.call('LPUSH', KEYS[1] .. 'list', ARGV[8])\n\
                         return {'ok', 'ok', tostring(n)}";

struct Bare {
    redis: ConnectionManager,
    sha: String,
}

/// Keys outside the program's prefix.
fn prefix() -> String {
    format!("{NAME}:limit:")
}

pub async fn serve(port: &str, url: &str, is_accept: bool) -> Result<()> {
    let settings = ConnectionManagerConfig::new().set_pipeline_buffer_size(1024);
    let client = redis::Client::open(url)?;
    let mut redis = ConnectionManager::new_with_config(client, settings).await?;
    let text = match is_accept {
        true => accept_script(&mut redis).await?,
        false => INCREMENT.to_owned(),
    };
    let sha: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(text)
        .query_async(&mut redis)
        .await?;
    let bare = Data::new(Bare { redis, sha });
    super::serve(port, move |app| {
        app.app_data(bare.clone())
            .route("/up", web::get().to(HttpResponse::Ok))
            .route(&format!("{CHAT}/message"), web::post().to(create));
    })
    .await
}

/// The program's script for this server, which is the master of the epoch.
async fn accept_script(redis: &mut ConnectionManager) -> Result<String> {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("replication").query_async(redis).await?;
    let server = info
        .lines()
        .find_map(|line| line.strip_prefix("master_replid:"))
        .context("INFO without master_replid")?;
    Ok(format!(
        "#!lua\nlocal EPOCH, SERVER = '{EPOCH}', '{server}'\n{ACCEPT}"
    ))
}

/// Creates the epoch, and the counter that marks the chat as existing.
pub async fn seed(
    redis: &mut redis::aio::MultiplexedConnection,
    app: &str,
    chat: u64,
) -> Result<()> {
    let epoch = redis::cmd("SET")
        .arg(format!("{}epoch", prefix()))
        .arg(EPOCH)
        .query_async(redis)
        .await;
    let () = epoch.context("Redis")?;
    redis::cmd("HSET")
        .arg(format!("{}chat:{app}:{chat}", prefix()))
        .arg(&[("epoch", EPOCH), ("n", 0)])
        .query_async(redis)
        .await
        .context("Redis")
}

async fn create(
    path: Path<(String, u64)>,
    posted: Json<handler::Posted>,
    bare: Data<Bare>,
) -> actix_web::Result<HttpResponse> {
    let (app, chat) = (&path.0, path.1);
    let text = serde_json::to_string(&posted.message)?;
    let draft =
        format!("\"kind\":\"create_message\",\"app\":\"{app}\",\"chat\":{chat},\"text\":{text}}}");
    let mut redis = bare.redis.clone();
    let mut call = redis::cmd("EVALSHA");
    call.arg(&bare.sha).arg(1).arg(prefix());
    // The limits and the payload version, then a group of one write.
    call.arg(&[100_000_000, 10_000, 1])
        .arg(&["create_message", app])
        .arg(chat)
        .arg(0)
        .arg(draft)
        // The offset of the clock.
        .arg(0);
    let response: Vec<String> = call
        .query_async(&mut redis)
        .await
        .map_err(ErrorInternalServerError)?;
    // Arguments of the group, then of the write.
    match response.as_slice() {
        [_, ok, number, ..] if ok == "ok" => {
            let number = number.parse().map_err(ErrorInternalServerError)?;
            Ok(handler::created(app, chat, number, &posted.message))
        }
        refusal => Err(ErrorInternalServerError(format!("{refusal:?}"))),
    }
}
