//! Environment variables that are settings.

use std::{collections::BTreeMap, ffi::OsString};

/// Beginning of all names.
const PREFIX: &str = "CONFAB_";

/// Separator of section and key.
const SEPARATOR: &str = "__";

/// The one setting that has no section.
const WITHOUT_SECTION: &str = "BACKING";

/// Beginnings of names that belong to the project's tests and scripts.
const OTHERS: [&str; 2] = ["CONFAB_TEST_", "CONFAB_STORES_"];

/// Environment variables whose names begin with `CONFAB_`.
#[derive(Debug, Default)]
pub struct Environment {
    settings: BTreeMap<String, Variable>,
    ignored: Vec<String>,
}

/// A variable that is a setting.
#[derive(Debug)]
pub(super) struct Variable {
    /// Name as it was given.
    pub name: String,
    /// Value; `None` if it is not UTF-8.
    pub value: Option<String>,
}

impl Environment {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Names of variables that begin with `CONFAB_` but are no settings. For a Service named
    /// `confab`, Kubernetes sets such variables: `CONFAB_PORT=tcp://…`.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The settings by key: `server.port` is `CONFAB_SERVER__PORT`.
    pub(super) fn settings(&self) -> &BTreeMap<String, Variable> {
        &self.settings
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let name = name.into().to_string_lossy().into_owned();
            let capitals = name.to_uppercase();
            let Some(path) = capitals.strip_prefix(PREFIX) else {
                continue;
            };
            if OTHERS.iter().any(|other| capitals.starts_with(other)) {
                continue;
            }
            let levels: Vec<&str> = path.split(SEPARATOR).collect();
            let is_key = levels.len() > 1 && levels.iter().all(|level| !level.is_empty());
            if is_key || path == WITHOUT_SECTION {
                let key = levels.join(".").to_lowercase();
                let value = value.into().into_string().ok();
                environment.settings.insert(key, Variable { name, value });
            } else {
                environment.ignored.push(name);
            }
        }
        environment.ignored.sort();
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_section_and_a_key_or_the_backing_are_a_setting() {
        let read = |name: &str| -> (Vec<String>, Vec<String>) {
            let environment: Environment = [(name, "1")].into_iter().collect();
            let keys = environment.settings.into_keys().collect();
            (keys, environment.ignored)
        };
        let none = Vec::<String>::new;
        for (name, key) in [
            ("CONFAB_BACKING", "backing"),
            ("CONFAB_SERVER__PORT", "server.port"),
            ("confab_server__port", "server.port"),
            (
                "CONFAB_SERVER__CLIENT_TIMEOUT_MS",
                "server.client_timeout_ms",
            ),
            ("CONFAB_A__B__C", "a.b.c"),
        ] {
            assert_eq!(read(name), (vec![key.to_owned()], none()), "{name}");
        }
        for name in [
            "CONFAB_PORT",
            "CONFAB_SERVICE_HOST",
            "CONFAB_PORT_3001_TCP_ADDR",
            "CONFAB_SERVER_PORT",
            "CONFAB__PORT",
            "CONFAB_SERVER__",
            "CONFAB_",
        ] {
            assert_eq!(read(name), (none(), vec![name.to_owned()]), "{name}");
        }
        for name in [
            "CONFAB_TEST_BREAK",
            "CONFAB_STORES_SET",
            "CONFABULATE",
            "PATH",
        ] {
            assert_eq!(read(name), (none(), none()), "{name}");
        }
    }
}
