//! Detection of data loss in Redis, and the start of a new epoch from the database.
//!
//! An epoch is bound to one server, from the moment when it became the master to its end or demotion: the key `epoch` in
//! Redis and the text of the scripts name both. A server that restarted, that was emptied, that took over, or that became the
//! master again after another one, may have older counters than what is stored: the epoch in MySQL is not the one that
//! began on it. So the epoch is raised in the database, which bars every batch claimed before from being stored; then it
//! is set in Redis; and only then are the scripts loaded. A counter that is still of an older epoch is raised to what is
//! stored at its next use.
//!
//! While other processes use another server, no epoch begins: see `masters`.
//!
//! An epoch of a program of an older format is none: the first newer process begins one, and with it takes over the queue.

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, cmd};
use tracing::warn;

use super::{
    Redis,
    connection::{ConnectionClass, STORE},
    scripts::EpochScripts,
    server::MasterId,
};
use crate::{
    domain::Revision,
    failpoints,
    stores::{
        Error, Result,
        call::call,
        format::{self, FORMAT},
    },
};

/// Time to wait for another process that begins an epoch, which takes a few round trips.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Sets the epoch; see the file.
const BEGIN: &str = include_str!("lua/begin.lua");

/// Reads the epoch; see the file.
const STATE: &str = include_str!("lua/state.lua");

/// What Redis holds of an epoch.
pub(super) struct EpochState {
    /// The epoch; `None` if Redis is new or was emptied.
    pub epoch: Option<u64>,
    /// ID of the server on which it began.
    server: String,
    /// Format of the program that began it; 0 if there is no epoch.
    format: u64,
    /// The counter of accepted writes.
    counter: u64,
}

impl Redis {
    /// Makes every write that is accepted from now on newer than `above`.
    pub async fn raise_revisions(&self, above: Revision) -> Result<()> {
        let raise = async {
            let _one_at_a_time = self.settling.lock().await;
            self.settle(Some(above.epoch())).await.map(drop)
        };
        call!("queue", "raise_revisions").timed(raise).await
    }

    /// Finds the current epoch anew, because the server refused the scripts of the `outdated` one, and begins a new
    /// epoch if none is current.
    pub(super) async fn renew(
        &self,
        outdated: Option<&Arc<EpochScripts>>,
    ) -> Result<Arc<EpochScripts>> {
        let _one_at_a_time = self.settling.lock().await;
        match (self.known_scripts(), outdated) {
            // Another caller was faster.
            (Some(known), Some(outdated)) if !Arc::ptr_eq(&known, outdated) => Ok(known),
            (Some(known), None) => Ok(known),
            // Boxed, as it is rare, and its future would be a part of every call's.
            _ => Box::pin(self.settle(None)).await,
        }
    }

    /// Compares the epoch with the database's, and begins a new one if they differ.
    pub(super) async fn check_epoch(&self) -> Result<()> {
        let scripts = self.scripts().await?;
        if self.mysql.epoch().await? != scripts.epoch {
            self.renew(Some(&scripts)).await?;
        }
        Ok(())
    }

    /// Finds the current epoch, or begins one; it is above this one.
    async fn settle(&self, above: Option<u64>) -> Result<Arc<EpochScripts>> {
        // No call uses the former epoch any more, even if this fails.
        self.set_scripts(None);
        // Existing connections may lead to a former master.
        self.connections.reconnect();
        let server = self.master().await?;
        let scripts = match self.current_epoch(&server, above).await? {
            Some(epoch) => self.load(epoch, &server).await?,
            None => {
                self.report_master(&server).await?;
                let Some(_lock) = self.mysql.lock("epoch", LOCK_WAIT).await? else {
                    return Err(unavailable("another process is beginning an epoch"));
                };
                match self.current_epoch(&server, above).await? {
                    Some(epoch) => self.load(epoch, &server).await?,
                    None => self.begin(&server, above).await?,
                }
            }
        };
        self.set_scripts(Some(scripts.clone()));
        Ok(scripts)
    }

    /// Begins a new epoch on this server. The caller holds the lock.
    async fn begin(&self, server: &MasterId, above: Option<u64>) -> Result<Arc<EpochScripts>> {
        self.refuse_second_master(server).await?;
        let (state, stored) = (self.state().await?, self.mysql.epoch().await?);
        let current = state.epoch;
        let at_least = current.max(above).unwrap_or(0);
        let is_older_format = current.is_some() && state.format < FORMAT;
        // Counters may then be above what the rows hold.
        let unverified = is_older_format || current.max(above) > Some(stored) || above.is_some();
        // A server that lost the last writes before it restarted, or took over without them, kept all that came before.
        let kept = current
            .filter(|_| !is_older_format && above.is_none())
            .map(|epoch| Revision(epoch << 40 | state.counter));
        let epoch = self.mysql.raise_epoch(at_least, kept).await?;
        failpoints::hit("epoch_raised");
        let mut begin = cmd("EVAL");
        begin.arg(BEGIN).arg(1).arg(&self.settings.prefix);
        begin.arg(epoch).arg(server.to_string()).arg(FORMAT);
        begin.arg(u8::from(unverified));
        let begun = self
            .connections
            .query::<String>(ConnectionClass::Shared, &begin);
        let begun = begun
            .await?
            .map_err(|error| unavailable(&error.to_string()))?;
        if begun != "ok" {
            return Err(unavailable(&format!("no epoch began: {begun}")));
        }
        failpoints::hit("epoch_set");
        let scripts = self.load(epoch, server).await?;
        let why = if is_older_format {
            "Queue of an older version taken over; a new epoch begins, and processes of that version cannot write any more"
        } else if current.max(above) > Some(stored) {
            "Database restored from a backup; a new epoch begins and the search index is rebuilt"
        } else if above.is_some() {
            "Database restored from a backup; a new epoch begins"
        } else {
            "Redis is new, was restarted or emptied, or another server took over; a new epoch begins and numbers continue from the stored ones"
        };
        warn!(epoch, "{why}");
        Ok(scripts)
    }

    /// Loads the scripts of an epoch. They refuse to run if another server takes over meanwhile.
    async fn load(&self, epoch: u64, server: &MasterId) -> Result<Arc<EpochScripts>> {
        self.mysql.note_begun(epoch).await?;
        let scripts = EpochScripts::new(epoch, server);
        let mut load = redis::pipe();
        for script in scripts.all() {
            load.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        self.connections.pipeline::<Vec<String>>(&mut load).await?;
        Ok(Arc::new(scripts))
    }

    /// Returns the epoch that began on this server and that the database has; `None` if there is none above `above`.
    async fn current_epoch(&self, server: &MasterId, above: Option<u64>) -> Result<Option<u64>> {
        let state = self.state().await?;
        let began_here = state
            .epoch
            .filter(|_| state.format == FORMAT && state.server == server.as_str());
        let Some(epoch) = began_here.filter(|epoch| above.is_none_or(|above| *epoch > above))
        else {
            return Ok(None);
        };
        Ok((self.mysql.epoch().await? == epoch).then_some(epoch))
    }

    /// Returns what Redis holds of the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] if a newer program began it.
    pub(super) async fn state(&self) -> Result<EpochState> {
        let mut read = cmd("EVAL");
        read.arg(STATE).arg(1).arg(&self.settings.prefix);
        let response = self
            .connections
            .query::<(String, String, String, String)>(ConnectionClass::Shared, &read);
        let (epoch, server, format, counter) = response
            .await?
            .map_err(|error| unavailable(&error.to_string()))?;
        let state = EpochState {
            epoch: epoch.parse().ok(),
            server,
            format: format.parse().unwrap_or_default(),
            counter: counter.parse().unwrap_or_default(),
        };
        match format::check(STORE, state.format) {
            Err(error @ Error::Newer { .. }) => Err(error),
            // An older one is taken over.
            _ => Ok(state),
        }
    }

    /// Returns the ID of the server, which must be a master.
    async fn master(&self) -> Result<MasterId> {
        let info = self.server().await?;
        info.master().ok_or_else(|| {
            unavailable("this server is a replica: Confab must reach the master, and waits for it")
        })
    }
}

fn unavailable(detail: &str) -> Error {
    super::connection::unavailable(&detail)
}
