//! Detection of data loss in Redis, and the start of a new epoch from the database.
//!
//! A Redis that restarted or failed over has forgotten the scripts; one that was emptied has no epoch. Either way its
//! counters may be older than what is stored. So the epoch is raised in the database, which bars every batch claimed
//! before from being stored; then it is set in Redis; and only then are the scripts loaded, so that no step can be
//! taken under the old epoch in between. A counter that is still of an older epoch is raised to what is stored at its
//! next use.

use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, cmd};
use tracing::warn;

use super::{Redis, connection::ConnectionClass, failed, scripts::Script};
use crate::{
    domain::Revision,
    stores::{
        Error, Result,
        call::{Call, call},
    },
};

/// Time to wait for another process that begins an epoch, which takes a few round trips.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Number of attempts of a call while Redis loses its data or another epoch begins, before it counts as an outage.
const ATTEMPTS: usize = 4;

impl Redis {
    /// The call of a script, to which its arguments are to be added.
    pub(super) fn command(&self, script: &Script) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&script.sha).arg(1).arg(&self.settings.prefix);
        command
    }

    /// Calls a script; returns its response without the leading `ok`.
    pub(super) async fn call(
        &self,
        call: &Call,
        class: ConnectionClass,
        command: &Cmd,
    ) -> Result<Vec<String>> {
        let mut response = call.timed(self.run(class, command)).await?;
        match response.first().map(String::as_str) {
            Some("ok") => Ok(response.split_off(1)),
            status => Err(failed(format!("a script returned {status:?}"))),
        }
    }

    /// Runs a script, and begins an epoch where that is called for.
    pub(super) async fn run(&self, class: ConnectionClass, command: &Cmd) -> Result<Vec<String>> {
        for _ in 0..ATTEMPTS {
            let Some(response) = self.eval(class, command).await? else {
                self.begin_epoch().await?;
                continue;
            };
            match response.first().map(String::as_str) {
                Some("epoch") => self.begin_epoch().await?,
                Some("full") => return Err(Error::Full(response[1..].join(" "))),
                Some("lost") => return Err(Error::Fenced("its lease is over".into())),
                _ => return Ok(response),
            }
        }
        Err(Error::Unavailable {
            store: "Redis",
            detail: "it keeps losing its data".into(),
        })
    }

    /// Evaluates a script once; `None` if Redis has forgotten it.
    pub(super) async fn eval(
        &self,
        class: ConnectionClass,
        command: &Cmd,
    ) -> Result<Option<Vec<String>>> {
        match self.connections.query(class, command).await? {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.code() == Some("NOSCRIPT") => Ok(None),
            Err(error) if error.code() == Some("OOM") => {
                Err(Error::Full("Redis is out of memory".into()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes every write that is accepted from now on newer than `above`.
    pub async fn raise_revisions(&self, above: Revision) -> Result<()> {
        let begin = self.begin_epoch_above(Some(above.epoch()));
        call!("queue", "raise_revisions").timed(begin).await
    }

    /// Begins a new epoch, unless Redis and the database agree because another caller was faster.
    pub(super) async fn begin_epoch(&self) -> Result<()> {
        // Boxed, as it is rare, and its future would be a part of every call's.
        Box::pin(self.begin_epoch_above(None)).await
    }

    /// Begins a new epoch, unless Redis and the database agree on an epoch above this one.
    async fn begin_epoch_above(&self, above: Option<u64>) -> Result<()> {
        let is_current_above = async || {
            let current = self.current_epoch().await?;
            Result::Ok(current.is_some() && current > above)
        };
        let _one_at_a_time = self.beginning.lock().await;
        if is_current_above().await? {
            return Ok(());
        }
        let Some(_lock) = self.mysql.lock("epoch", LOCK_WAIT).await? else {
            return Err(Error::Unavailable {
                store: "Redis",
                detail: "another process is beginning an epoch".into(),
            });
        };
        if is_current_above().await? {
            return Ok(());
        }
        let (current, stored) = (self.epoch().await?, self.mysql.epoch().await?);
        let epoch = self
            .mysql
            .raise_epoch(current.max(above).unwrap_or(0))
            .await?;
        let mut set = redis::pipe();
        set.set(format!("{}epoch", self.settings.prefix), epoch);
        self.connections.transaction::<()>(&mut set).await?;
        let mut load = redis::pipe();
        for script in self.scripts.all() {
            load.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        self.connections
            .transaction::<Vec<String>>(&mut load)
            .await?;
        let why = if current.max(above) > Some(stored) {
            "Database restored from a backup; a new epoch begins and the search index is rebuilt"
        } else if above.is_some() {
            "Database restored from a backup; a new epoch begins"
        } else {
            "Redis is new, was restarted or emptied; a new epoch begins and numbers continue from the stored ones"
        };
        warn!(epoch, "{why}");
        Ok(())
    }

    /// Tells whether Redis has all scripts and the database's epoch.
    pub(super) async fn is_current(&self) -> Result<bool> {
        Ok(self.current_epoch().await?.is_some())
    }

    /// Returns the epoch of Redis and the database; `None` if they differ, or Redis lacks a script.
    async fn current_epoch(&self) -> Result<Option<u64>> {
        let mut pipe = redis::pipe();
        pipe.cmd("SCRIPT").arg("EXISTS");
        for script in self.scripts.all() {
            pipe.arg(&script.sha);
        }
        let (loaded,): (Vec<bool>,) = self.connections.transaction(&mut pipe).await?;
        if loaded.contains(&false) {
            return Ok(None);
        }
        let (current, stored) = (self.epoch().await?, self.mysql.epoch().await?);
        Ok(current.filter(|current| *current == stored))
    }

    /// Returns Redis' epoch; `None` if Redis is new or was emptied.
    pub(super) async fn epoch(&self) -> Result<Option<u64>> {
        let mut pipe = redis::pipe();
        pipe.get(format!("{}epoch", self.settings.prefix));
        let (epoch,): (Option<u64>,) = self.connections.transaction(&mut pipe).await?;
        Ok(epoch)
    }
}
