//! `confab applications`: the list of applications.

use std::fmt::Write as _;

use clap::Subcommand;
use serde_json::json;

use super::{output::Output, retry::retry};
use crate::{
    domain::{
        application::{ApplicationsListing, ApplicationsPage, Position},
        time::rfc3339,
    },
    maintenance::Maintenance,
};

/// Subcommands of `confab applications`.
#[derive(Debug, Subcommand)]
pub enum ApplicationsCommand {
    /// Lists applications in the order in which they were created.
    List {
        /// Maximum number of applications.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Lists only applications after this place, as printed at the end of the list.
        #[arg(long, value_name = "CURSOR", value_parser = cursor)]
        after: Option<Position>,
    },
}

impl ApplicationsCommand {
    /// Runs the subcommand.
    ///
    /// # Errors
    ///
    /// Same as [`Maintenance::applications`].
    pub async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<()> {
        let Self::List { limit, after } = self;
        let page = ApplicationsPage {
            after,
            before: None,
            limit: usize::from(limit),
        };
        let read = retry(|| maintenance.applications(&page)).await?;
        print(output, &read.value)
    }
}

fn print(output: &Output, listing: &ApplicationsListing) -> anyhow::Result<()> {
    let items = listing.items.iter().map(|item| {
        json!({
            "appID": item.application.id.to_string(),
            "username": item.application.username,
            "chatsCount": item.chats,
            "createdAt": rfc3339(item.application.created_at),
        })
    });
    let items: Vec<_> = items.collect();
    let next = listing.next.map(|next| next.to_string());
    let value = json!({ "applications": items, "next": next });
    output.print(&value, |_, text| {
        for item in &listing.items {
            writeln!(
                text,
                "{}  {}  {:>10}  {}",
                item.application.id,
                rfc3339(item.application.created_at),
                item.chats,
                item.application.username
            )?;
        }
        match &next {
            None if listing.items.is_empty() => writeln!(text, "none"),
            None => Ok(()),
            Some(next) => writeln!(text, "there are more: --after {next}"),
        }
    })
}

fn cursor(text: &str) -> Result<Position, String> {
    Position::parse(text).ok_or_else(|| "a cursor is 24 hexadecimal digits".into())
}
