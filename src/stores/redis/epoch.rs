//! Noticing that Redis may have lost something, and beginning anew from the database.
//!
//! A Redis that restarted or failed over has forgotten the scripts; one that was emptied has no epoch. Either way its
//! counters may be older than what is stored. So the epoch is raised in the database, which bars every batch claimed
//! before from being stored; then it is set in Redis; and only then are the scripts loaded, so that no step can be taken
//! under the old epoch in between. A counter that is still of an older epoch is raised to what is stored when it is
//! next needed.

use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, cmd};
use tracing::warn;

use super::{Redis, connection::Via, scripts::Script};
use crate::{
    domain::{AppId, ChatKey},
    stores::{Error, Result},
};

/// How long to wait for another process that is beginning an epoch. It takes a few round trips.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How often a call is repeated because Redis lost its memory again, or another epoch began, before it counts as an
/// outage.
pub(super) const ATTEMPTS: usize = 4;

/// What counts: an application its chats, a chat its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Application(AppId),
    Chat(ChatKey),
}

impl Scope {
    pub(super) fn key(self) -> String {
        match self {
            Self::Application(id) => format!("app:{id}"),
            Self::Chat(key) => format!("chat:{key}"),
        }
    }
}

impl Redis {
    /// Calls a script; its answer without the leading `ok`. Begins an epoch where that is called for.
    pub(super) async fn call(
        &self,
        via: Via,
        script: &Script,
        add_arguments: impl Fn(&mut Cmd),
    ) -> Result<Vec<String>> {
        match self.call_counted(via, script, None, add_arguments).await? {
            Some(answer) => Ok(answer),
            None => Err(Error::Failed {
                store: "Redis",
                detail: "a script without a scope asked for its counter".into(),
            }),
        }
    }

    /// The counter of an application or chat, and an application's creation while that is not stored; `None` if there is
    /// no such application or chat, here or stored.
    pub(super) async fn scope(&self, scope: Scope) -> Result<Option<Vec<String>>> {
        self.call_counted(Via::Shared, &self.scripts.scope, Some(scope), |command| {
            command.arg(scope.key());
        })
        .await
    }

    /// As [`Self::call`], for a script that wants the counter of `scope` to be of the current epoch.
    async fn call_counted(
        &self,
        via: Via,
        script: &Script,
        scope: Option<Scope>,
        add_arguments: impl Fn(&mut Cmd),
    ) -> Result<Option<Vec<String>>> {
        let mut command = cmd("EVALSHA");
        command.arg(&script.sha).arg(1).arg(&self.prefix);
        add_arguments(&mut command);
        for _ in 0..ATTEMPTS {
            let mut answer = match self.connections.query::<Vec<String>>(via, &command).await? {
                Ok(answer) => answer,
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    self.begin_epoch().await?;
                    continue;
                }
                Err(error) if error.code() == Some("OOM") => {
                    return Err(Error::Full("Redis is out of memory".into()));
                }
                Err(error) => {
                    return Err(Error::Failed {
                        store: "Redis",
                        detail: error.to_string(),
                    });
                }
            };
            let verdict = if answer.is_empty() {
                String::new()
            } else {
                answer.remove(0)
            };
            match (verdict.as_str(), scope) {
                ("epoch", _) => self.begin_epoch().await?,
                ("counter", Some(scope)) => {
                    let epoch = answer.pop().unwrap_or_default();
                    if !self.raise_counter(scope, &epoch).await? {
                        return Ok(None);
                    }
                }
                ("full", _) => return Err(Error::Full(answer.join(" "))),
                ("lost", _) => return Err(Error::Fenced("its lease is over".into())),
                ("ok", _) => return Ok(Some(answer)),
                _ => {
                    return Err(Error::Failed {
                        store: "Redis",
                        detail: format!("a script answered {verdict:?}"),
                    });
                }
            }
        }
        Err(Error::Unavailable {
            store: "Redis",
            detail: "it keeps losing its memory".into(),
        })
    }

    /// Raises a counter of an older epoch to what is stored; tells whether what it counts in exists.
    pub(super) async fn raise_counter(&self, scope: Scope, epoch: &str) -> Result<bool> {
        let highest = match scope {
            Scope::Application(id) => self.ledger.highest_chat(id).await?,
            Scope::Chat(key) => self.ledger.highest_message(key).await?,
        };
        let highest = highest.map_or_else(|| "-1".to_owned(), |number| number.to_string());
        let mut command = cmd("EVALSHA");
        command
            .arg(&self.scripts.count.sha)
            .arg(1)
            .arg(&self.prefix);
        command.arg(scope.key()).arg(epoch).arg(highest);
        match self
            .connections
            .query::<Vec<String>>(Via::Shared, &command)
            .await?
        {
            // An epoch that has passed meanwhile, or a script forgotten again: the caller's next attempt sees to it.
            Ok(answer) => Ok(answer.first().is_none_or(|verdict| verdict != "missing")),
            Err(error) if error.code() == Some("NOSCRIPT") => Ok(true),
            Err(error) => Err(Error::Failed {
                store: "Redis",
                detail: error.to_string(),
            }),
        }
    }

    /// Begins a new epoch, unless Redis and the database are of one mind already: another caller was faster.
    pub(super) async fn begin_epoch(&self) -> Result<()> {
        self.begin_epoch_above(None).await
    }

    /// The same, unless they are of one mind about an epoch above this one.
    pub(super) async fn begin_epoch_above(&self, above: Option<u64>) -> Result<()> {
        let stands = async || {
            let current = self.current_epoch().await?;
            Result::Ok(current.is_some() && current > above)
        };
        let _one_at_a_time = self.beginning.lock().await;
        if stands().await? {
            return Ok(());
        }
        let Some(_lock) = self.ledger.lock("epoch", LOCK_WAIT).await? else {
            return Err(Error::Unavailable {
                store: "Redis",
                detail: "another process is beginning an epoch".into(),
            });
        };
        if stands().await? {
            return Ok(());
        }
        let (known, stored) = (self.epoch().await?, self.ledger.epoch().await?);
        let epoch = self
            .ledger
            .raise_epoch(known.max(above).unwrap_or(0))
            .await?;
        let mut set = redis::pipe();
        set.set(format!("{}epoch", self.prefix), epoch);
        self.connections.transaction::<()>(&mut set).await?;
        let mut load = redis::pipe();
        for script in self.scripts.all() {
            load.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        self.connections
            .transaction::<Vec<String>>(&mut load)
            .await?;
        let why = if known.max(above) > Some(stored) {
            "the database was set back: a new epoch begins, and the search index is to be built anew"
        } else if above.is_some() {
            "the database was set back: a new epoch begins"
        } else {
            "Redis is new, was restarted or emptied: a new epoch begins, numbers go on from what is stored"
        };
        warn!(epoch, "{why}");
        Ok(())
    }

    /// Whether Redis has all scripts and stands in the epoch of the database.
    pub(super) async fn is_current(&self) -> Result<bool> {
        Ok(self.current_epoch().await?.is_some())
    }

    /// The epoch in which Redis and the database stand; `None` if they do not agree, or Redis lacks a script.
    async fn current_epoch(&self) -> Result<Option<u64>> {
        let mut ask = redis::pipe();
        ask.cmd("SCRIPT").arg("EXISTS");
        for script in self.scripts.all() {
            ask.arg(&script.sha);
        }
        let (loaded,): (Vec<bool>,) = self.connections.transaction(&mut ask).await?;
        if loaded.contains(&false) {
            return Ok(None);
        }
        let (known, stored) = (self.epoch().await?, self.ledger.epoch().await?);
        Ok(known.filter(|known| *known == stored))
    }

    /// The epoch that Redis stands in; `None` if it is new or was emptied.
    pub(super) async fn epoch(&self) -> Result<Option<u64>> {
        let mut ask = redis::pipe();
        ask.get(format!("{}epoch", self.prefix));
        let (epoch,): (Option<u64>,) = self.connections.transaction(&mut ask).await?;
        Ok(epoch)
    }
}
