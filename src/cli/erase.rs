//! `confab erase`: deletion of applications and of the messages of a sender.

use std::fmt::Write as _;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    output::Output,
    retry::{retry, retry_write},
};
use crate::{
    domain::{AppId, time::rfc3339},
    maintenance::{Erasure, Maintenance},
};

/// Maximum number of erasures that `status` prints.
const MAX_LISTED: usize = 100;

/// Arguments of `confab erase`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Erase {
    /// Deletes this application with its chats, messages and keys; with --user, only messages of that sender.
    #[arg(long, value_name = "ID", value_parser = application)]
    application: Option<AppId>,
    /// Deletes all messages of this sender that were accepted until now.
    #[arg(long, value_name = "USER", requires = "application")]
    user: Option<String>,
    #[command(subcommand)]
    command: Option<EraseCommand>,
}

/// Subcommands of `confab erase`.
#[derive(Debug, Subcommand)]
pub enum EraseCommand {
    /// Lists unfinished erasures and the last finished ones.
    Status,
}

impl Erase {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// The application does not exist, or a store is unreachable.
    pub async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<()> {
        match (self.application, self.user) {
            (None, _) => {
                let erasures = retry(|| maintenance.erasures(MAX_LISTED)).await?;
                print(output, &erasures)
            }
            (Some(app), None) => {
                let (deleted, may_be_done) =
                    retry_write(|| maintenance.delete_application(app)).await;
                if !deleted? && !may_be_done {
                    bail!("application {app} not found");
                }
                output.done("deleted; `confab erase status` shows the progress of the erasure")
            }
            (Some(app), Some(user)) => {
                if !retry(|| maintenance.erase_sender(app, &user)).await? {
                    bail!("application {app} not found");
                }
                output.done("accepted; `confab erase status` shows the progress of the erasure")
            }
        }
    }
}

fn print(output: &Output, erasures: &[Erasure]) -> anyhow::Result<()> {
    let items = erasures.iter().map(|erasure| {
        json!({
            "id": erasure.id,
            "appID": erasure.app.to_string(),
            "chatID": erasure.chat,
            "user": erasure.user,
            "erased": erasure.erased,
            "requestedAt": rfc3339(erasure.requested_at),
            "finishedAt": erasure.finished_at.map(rfc3339),
        })
    });
    let value = json!({ "erasures": items.collect::<Vec<_>>() });
    output.print(&value, |_, text| {
        for erasure in erasures {
            let mut target = erasure.app.to_string();
            if let Some(chat) = erasure.chat {
                write!(target, ":{chat}")?;
            }
            if let Some(user) = &erasure.user {
                write!(target, " user {user:?}")?;
            }
            let requested = rfc3339(erasure.requested_at);
            let state = erasure.finished_at.map_or_else(
                || "unfinished".to_owned(),
                |time| format!("finished {}", rfc3339(time)),
            );
            let erased = erasure.erased;
            writeln!(text, "{requested}  {target}  {erased} messages  {state}")?;
        }
        match erasures.is_empty() {
            true => writeln!(text, "none"),
            false => Ok(()),
        }
    })
}

fn application(text: &str) -> Result<AppId, String> {
    AppId::parse(text).ok_or_else(|| "an application's ID is 8 hexadecimal digits".into())
}
