//! Detection of a second master.
//!
//! Two servers that both accept writes cannot be reconciled afterwards: both would give out the same numbers. So each
//! process reports to MySQL once a second which server it uses, and an epoch begins on a server only if no other process
//! has reported another one within the last [`REPORT_LIFETIME`]. When a server takes over, all processes report it within
//! a second. If they continue to disagree, those on the server without the current epoch refuse writes, and all of them
//! raise an alarm.

use std::time::{Duration, Instant};

use tracing::{error, info};

use super::{
    Redis,
    connection::{ConnectionClass, unavailable},
    scripts::ScriptCall,
    server::MasterId,
};
use crate::{
    stores::{Result, call::call},
    telemetry::metrics,
};

/// Time for which the report of a process counts. A process that has ended delays a takeover by this time.
pub const REPORT_LIFETIME: Duration = Duration::from_secs(5);

/// State of [`Redis::watch_master`].
#[derive(Debug, Default)]
pub struct Watch {
    /// Server of the last report; `None` if this process does not report.
    reported: Option<MasterId>,
    /// Time since when there have been two masters, and whether it was logged.
    two_since: Option<(Instant, bool)>,
}

impl Redis {
    /// Checks that this process uses the master of the current epoch and that the master takes writes, and reports it.
    /// Raises an alarm if other processes use another master.
    ///
    /// # Errors
    ///
    /// Redis or MySQL is unreachable; or this is not the master of the current epoch, and no epoch may begin on it.
    pub async fn watch_master(&self) -> Result<()> {
        call!("queue", "watch").timed(self.watch()).await
    }

    async fn watch(&self) -> Result<()> {
        let confirmed = self.confirm().await;
        if confirmed.is_err() {
            // Rows of a newer format must not be read either, even if Redis is unreachable.
            self.mysql.epoch().await?;
        }
        let count = self.mysql.count_redis_masters(REPORT_LIFETIME).await?;
        self.alarm(count).await;
        if confirmed.is_err() || count > 1 {
            // A new connection may lead to the master that the other processes use.
            self.connections.reconnect();
        }
        confirmed
    }

    async fn confirm(&self) -> Result<()> {
        let confirm = ScriptCall::new(|scripts| &scripts.confirm);
        let began_here = async {
            self.run(ConnectionClass::Shared, &confirm).await?;
            self.check_epoch().await
        };
        let began_here = began_here.await;
        let server = match &began_here {
            Ok(()) => self.known_scripts().map(|scripts| scripts.server.clone()),
            // A master on which no epoch may begin is reported as well.
            Err(_) => self.server().await?.master(),
        };
        if let Some(server) = server {
            self.watch.lock().await.reported = Some(server.clone());
            self.report_master(&server).await?;
        }
        began_here
    }

    /// Reports the server that this process uses, if it reports at all: commands do not.
    pub(super) async fn report_master(&self, server: &MasterId) -> Result<()> {
        let mut watch = self.watch.lock().await;
        if watch.reported.is_none() {
            return Ok(());
        }
        watch.reported = Some(server.clone());
        drop(watch);
        self.mysql
            .report_redis_master(self.process, server.as_str())
            .await
    }

    /// Fails if another process uses another master.
    pub(super) async fn refuse_second_master(&self, server: &MasterId) -> Result<()> {
        let others = self
            .mysql
            .count_processes_on_other_masters(self.process, server.as_str(), REPORT_LIFETIME)
            .await?;
        if others == 0 {
            return Ok(());
        }
        Err(unavailable(&format!(
            "{others} other processes use another Redis server as master; no writes are accepted here until all processes use the same one"
        )))
    }

    async fn alarm(&self, masters: u64) {
        metrics::redis_masters().set(masters as f64);
        let mut watch = self.watch.lock().await;
        match &mut watch.two_since {
            Some((since, logged)) if masters > 1 => {
                // A process that has ended still counts for a while.
                if !*logged && since.elapsed() > REPORT_LIFETIME {
                    *logged = true;
                    error!(
                        masters,
                        "Two Redis servers are used as master; processes on the one without the current epoch refuse writes until all use the same server"
                    );
                }
            }
            None if masters > 1 => watch.two_since = Some((Instant::now(), false)),
            Some((_, true)) => {
                info!("All processes use the same Redis server again");
                watch.two_since = None;
            }
            _ => watch.two_since = None,
        }
    }
}
