//! `confab keys`: managing the credentials of servers.

use std::fmt::Write as _;

use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    output::Output,
    retry::{retry, retry_write},
};
use crate::{
    auth::{KeyPage, Keys, NewKey},
    domain::{AppId, Error, Key, KeyId, KeyName, KeyText, time::rfc3339},
};

/// Longest time that an option accepts, in days.
const MAX_DAYS: i64 = 36_500;

/// Subcommands of `confab keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Creates a key and prints it. It is not stored and cannot be shown again.
    Create {
        /// The application that the key is for; an installation key if omitted.
        #[arg(long, value_name = "ID", value_parser = application)]
        application: Option<AppId>,
        /// Name of the key, for people.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = name)]
        name: KeyName,
        /// The key can only read.
        #[arg(long)]
        read_only: bool,
        /// Time from now after which the key is no longer accepted: 90d, 12h, 30m or 45s.
        #[arg(long, value_name = "TIME", value_parser = time)]
        expires: Option<TimeDelta>,
    },
    /// Lists the keys that are not revoked, in the order in which they were created.
    List {
        /// Lists only keys of this application.
        #[arg(long, value_name = "ID", value_parser = application)]
        application: Option<AppId>,
        /// Maximum number of keys.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Lists only keys after this one.
        #[arg(long, value_name = "KEYID", value_parser = id)]
        after: Option<KeyId>,
    },
    /// Sets the time at which a key ends: for a rotation, create the new key first and let the old one expire.
    Expire {
        /// ID of the key, as printed by `keys list`.
        #[arg(value_name = "KEYID", value_parser = id)]
        id: KeyId,
        /// Time from now: 25h, 7d, 30m or 0s.
        #[arg(long = "in", value_name = "TIME", value_parser = time)]
        after: TimeDelta,
    },
    /// Revokes a key and all user tokens that it has signed, in every process within a second. There is no way back.
    Revoke {
        /// ID of the key, as printed by `keys list`.
        #[arg(value_name = "KEYID", value_parser = id)]
        id: KeyId,
    },
    /// Prints a new key without storing it, for `auth.first_key_file`. It needs no store.
    Generate,
}

impl KeysCommand {
    /// Runs `generate`, which needs no settings; returns the other subcommands.
    ///
    /// # Errors
    ///
    /// Same as [`Output::print`].
    pub fn generate(self, output: &Output) -> anyhow::Result<Option<Self>> {
        if !matches!(self, Self::Generate) {
            return Ok(Some(self));
        }
        let text = KeyText::generate();
        let value = json!({ "keyID": text.id().to_string(), "key": text.as_str() });
        output.print(&value, |_, lines| writeln!(lines, "{}", text.as_str()))?;
        Ok(None)
    }

    /// Runs the subcommand.
    ///
    /// # Errors
    ///
    /// Same as the methods of [`Keys`].
    pub async fn run(self, keys: &Keys, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Create {
                application,
                name,
                read_only,
                expires,
            } => {
                let new = NewKey {
                    app: application,
                    name,
                    read_only,
                    expires_at: expires.map(|time| keys.now() + time),
                };
                let text = KeyText::generate();
                let key = retry(|| keys.create(&text, &new)).await?;
                let mut value = object(&key);
                value["key"] = text.as_str().into();
                output.print(&value, |_, lines| writeln!(lines, "{}", text.as_str()))
            }
            Self::List {
                application,
                limit,
                after,
            } => {
                let page = KeyPage {
                    app: application,
                    after,
                    limit: usize::from(limit),
                };
                print_list(output, &retry(|| keys.list(page)).await?, page.limit)
            }
            Self::Expire { id, after } => {
                let expires_at = Some(keys.now() + after);
                let key = retry(|| keys.expire(id, None, expires_at)).await?;
                output.print(&object(&key), |_, lines| {
                    writeln!(lines, "{id} expires {}", end(&key))
                })
            }
            Self::Revoke { id } => {
                let (revoked, is_uncertain) = retry_write(|| keys.revoke(id, None)).await;
                match revoked {
                    // An earlier attempt may have revoked it, and its answer was lost.
                    Err(Error::KeyNotFound) if is_uncertain => output.done(&format!(
                        "{id} is revoked, or never existed: the store was unavailable meanwhile"
                    )),
                    revoked => {
                        revoked?;
                        output.done(&format!("{id} is revoked"))
                    }
                }
            }
            // Done before.
            Self::Generate => Ok(()),
        }
    }
}

fn print_list(output: &Output, keys: &[Key], limit: usize) -> anyhow::Result<()> {
    let objects: Vec<Value> = keys.iter().map(object).collect();
    output.print(&json!({ "keys": objects }), |_, text| {
        if keys.is_empty() {
            return writeln!(text, "none");
        }
        writeln!(
            text,
            "{:<14}{:<14}{:<12}{:<26}{:<26}{:<12}name",
            "key", "application", "rights", "created", "expires", "last used"
        )?;
        for key in keys {
            writeln!(
                text,
                "{:<14}{:<14}{:<12}{:<26}{:<26}{:<12}{}",
                key.id,
                key.app
                    .map_or_else(|| "(all)".into(), |app| app.to_string()),
                if key.read_only { "read" } else { "read, write" },
                rfc3339(key.created_at),
                end(key),
                key.last_used
                    .map_or_else(|| "never".into(), |day| day.to_string()),
                key.name
            )?;
        }
        match keys.last() {
            Some(last) if keys.len() == limit => {
                writeln!(text, "there may be more: --after {}", last.id)
            }
            _ => Ok(()),
        }
    })
}

/// A key with the member names of the API.
fn object(key: &Key) -> Value {
    json!({
        "keyID": key.id.to_string(),
        "appID": key.app.map(|app| app.to_string()),
        "name": key.name,
        "readOnly": key.read_only,
        "createdAt": rfc3339(key.created_at),
        "expiresAt": key.expires_at.map(rfc3339),
        "lastUsedAt": key.last_used.map(|day| day.to_string()),
    })
}

fn end(key: &Key) -> String {
    key.expires_at.map_or_else(|| "never".into(), rfc3339)
}

fn id(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).ok_or_else(|| "a key's ID is 12 characters of 0-9a-z".into())
}

fn application(text: &str) -> Result<AppId, String> {
    AppId::parse(text).ok_or_else(|| "an application's ID is 8 hexadecimal digits".into())
}

fn name(text: &str) -> Result<KeyName, String> {
    KeyName::parse(text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a number and a unit.
fn time(text: &str) -> Result<TimeDelta, String> {
    let time = text
        .char_indices()
        .next_back()
        .and_then(|(index, unit)| {
            let number: i64 = text[..index].parse().ok().filter(|number| *number >= 0)?;
            match unit {
                's' => TimeDelta::try_seconds(number),
                'm' => TimeDelta::try_minutes(number),
                'h' => TimeDelta::try_hours(number),
                'd' => TimeDelta::try_days(number),
                _ => None,
            }
        })
        .filter(|time| time.num_days() <= MAX_DAYS);
    time.ok_or_else(|| {
        format!("a time is a whole number and s, m, h or d, such as 90d, up to {MAX_DAYS}d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_limit() {
        for (text, seconds) in [
            ("0s", 0),
            ("45s", 45),
            ("30m", 1800),
            ("25h", 90_000),
            ("90d", 7_776_000),
        ] {
            assert_eq!(time(text).unwrap().num_seconds(), seconds, "{text}");
        }
        for text in [
            "",
            "d",
            "90",
            "-1d",
            "1.5h",
            "36501d",
            "9223372036854775807d",
            "1é",
            "1D",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
