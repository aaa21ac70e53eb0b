//! Calls of scripts, and what follows from their errors.

use std::sync::{Arc, PoisonError};

use super::{
    Redis,
    connection::{ConnectionClass, STORE},
    failed,
    scripts::{EpochScripts, ScriptCall},
};
use crate::stores::{Error, Result, call::Call, format};

/// Number of attempts of a call while Redis loses its data or another epoch begins, before it counts as an outage.
const ATTEMPTS: usize = 4;

/// Error codes of a server that is not the master, or no longer.
const NOT_MASTER: [&str; 3] = ["NOSCRIPT", "READONLY", "MASTERDOWN"];

impl Redis {
    /// Calls a script; returns its response without the leading `ok`.
    pub(super) async fn call(
        &self,
        call: &Call,
        class: ConnectionClass,
        command: &ScriptCall,
    ) -> Result<Vec<String>> {
        let mut response = call.timed(self.run(class, command)).await?;
        match response.first().map(String::as_str) {
            Some("ok") => Ok(response.split_off(1)),
            status => Err(failed(format!("a script returned {status:?}"))),
        }
    }

    /// Runs a script, and begins an epoch where that is called for.
    pub(super) async fn run(
        &self,
        class: ConnectionClass,
        command: &ScriptCall,
    ) -> Result<Vec<String>> {
        for _ in 0..ATTEMPTS {
            let scripts = self.scripts().await?;
            let Some(response) = self.eval(class, command, &scripts).await? else {
                self.renew(Some(&scripts)).await?;
                continue;
            };
            match response.first().map(String::as_str) {
                Some("full") => return Err(Error::Full(response[1..].join(" "))),
                Some("newer") => {
                    let found = response.get(1).and_then(|format| format.parse().ok());
                    return Err(format::newer(STORE, found.unwrap_or(u64::MAX)));
                }
                Some("lost") => return Err(Error::Fenced("its lease is over".into())),
                _ => return Ok(response),
            }
        }
        Err(Error::Unavailable {
            store: "Redis",
            detail: "it keeps losing its data".into(),
        })
    }

    /// Evaluates a script once; `None` if this server is not the master of the scripts' epoch.
    pub(super) async fn eval(
        &self,
        class: ConnectionClass,
        command: &ScriptCall,
        scripts: &EpochScripts,
    ) -> Result<Option<Vec<String>>> {
        let command = command.command(scripts, &self.settings.prefix, self.settings.clock);
        let response: Vec<String> = match self.connections.query(class, &command).await? {
            Ok(response) => response,
            Err(error) if error.code().is_some_and(|code| NOT_MASTER.contains(&code)) => {
                return Ok(None);
            }
            Err(error) if error.code() == Some("OOM") => {
                return Err(Error::Full("Redis is out of memory".into()));
            }
            Err(error) => return Err(failed(error)),
        };
        let is_outdated = response.first().is_some_and(|status| status == "epoch");
        Ok(Some(response).filter(|_| !is_outdated))
    }

    /// Returns the scripts of the current epoch.
    pub(super) async fn scripts(&self) -> Result<Arc<EpochScripts>> {
        match self.known_scripts() {
            Some(scripts) => Ok(scripts),
            None => self.renew(None).await,
        }
    }

    /// Returns the scripts of the epoch that this process knows as the current one.
    pub(super) fn known_scripts(&self) -> Option<Arc<EpochScripts>> {
        let scripts = self.scripts.read();
        scripts.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the scripts of the current epoch.
    pub(super) fn set_scripts(&self, scripts: Option<Arc<EpochScripts>>) {
        *self.scripts.write().unwrap_or_else(PoisonError::into_inner) = scripts;
    }
}
