//! Jobs of what is erased.

use std::fmt;

use super::{Redis, connection::ConnectionClass, failed, scripts::ScriptCall};
use crate::{
    domain::{AppId, ChatKey, MessageKey, Number, Revision, Timestamp, time::from_millis},
    stores::{Result, call::call},
};

/// Number of jobs that one call looks at, about: it blocks Redis for about a millisecond.
const JOBS: usize = 200;

/// Scan of all jobs, and where it continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobScan {
    /// Epoch of the cursor. In another one, the scan begins again.
    pub epoch: u64,
    /// Cursor of Redis; 0 at the beginning.
    pub cursor: u64,
}

impl JobScan {
    /// Parses what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, cursor) = text.split_once(' ')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            cursor: cursor.parse().ok()?,
        })
    }
}

impl fmt::Display for JobScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.epoch, self.cursor)
    }
}

/// Messages whose creations a part of a scan found.
pub struct ErasedJobs {
    /// The messages.
    pub messages: Vec<MessageKey>,
    /// Where the scan continues; `None` at the end.
    pub next: Option<JobScan>,
}

impl Redis {
    /// The revision of the last accepted write, and the time.
    pub async fn last_accepted(&self) -> Result<(Revision, Timestamp)> {
        let command = ScriptCall::new(|scripts| &scripts.erase);
        let call = call!("queue", "last_accepted");
        let response = self.call(call, ConnectionClass::Shared, &command).await?;
        match &response[..] {
            [id, now] => Ok((
                super::read_id(id)?,
                from_millis(now.parse().map_err(failed)?),
            )),
            _ => Err(failed(format!("the last write is {response:?}"))),
        }
    }

    /// Removes the dead and delayed jobs of a chat, or of an application, with their payloads and errors, from a part of
    /// all jobs. Returns where the scan continues; `None` at the end.
    pub async fn erase_jobs(
        &self,
        app: AppId,
        chat: Option<Number>,
        scan: JobScan,
    ) -> Result<Option<JobScan>> {
        let chat = chat.map_or_else(String::new, |chat| chat.to_string());
        let (next, _) = self.scan_jobs(app, scan, &chat, "", "").await?;
        Ok(next)
    }

    /// Finds messages that a sender created and that are not stored yet, in a part of all jobs.
    pub async fn jobs_of_sender(
        &self,
        app: AppId,
        sender: &str,
        until: Revision,
        scan: JobScan,
    ) -> Result<ErasedJobs> {
        let until = until.to_string();
        let (next, found) = self.scan_jobs(app, scan, "", sender, &until).await?;
        let messages = found.chunks_exact(2).map(|key| {
            Ok(MessageKey {
                chat: ChatKey {
                    app,
                    number: key[0].parse().map_err(failed)?,
                },
                number: key[1].parse().map_err(failed)?,
            })
        });
        Ok(ErasedJobs {
            messages: messages.collect::<Result<_>>()?,
            next,
        })
    }

    async fn scan_jobs(
        &self,
        app: AppId,
        scan: JobScan,
        chat: &str,
        sender: &str,
        until: &str,
    ) -> Result<(Option<JobScan>, Vec<String>)> {
        let mut command = ScriptCall::new(|scripts| &scripts.erase);
        command.arg(scan.epoch).arg(scan.cursor).arg(JOBS);
        command
            .arg(app.to_string())
            .arg(chat)
            .arg(sender)
            .arg(until);
        let erase = self.call(call!("queue", "erase"), ConnectionClass::Pool, &command);
        let mut response = erase.await?;
        if response.len() < 2 {
            return Err(failed("a scan of jobs has no cursor"));
        }
        let found = response.split_off(2);
        let next = JobScan {
            epoch: response[0].parse().map_err(failed)?,
            cursor: response[1].parse().map_err(failed)?,
        };
        Ok((Some(next).filter(|next| next.cursor != 0), found))
    }
}
