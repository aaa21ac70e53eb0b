//! Layers of the settings: the defaults, a file, the environment.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use config::{
    Config, ConfigBuilder, Environment, File, FileFormat, Value, ValueKind, builder::DefaultState,
};
use serde::de::DeserializeOwned;
use thiserror::Error;

const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "CONFAB";

/// Why the settings cannot be used: one line that names the key and where it came from, and never a secret.
#[derive(Debug, Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

/// The variables of this process that are settings. What begins with these two is for the project's tests and scripts.
pub fn environment() -> HashMap<String, String> {
    const OTHERS: [&str; 2] = ["CONFAB_TEST_", "CONFAB_STORES_"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !OTHERS.iter().any(|other| name.starts_with(other)))
        .collect()
}

/// All layers. Every key of a later layer exists in the defaults, with a value of the same type.
pub(super) struct Layers {
    defaults: Config,
    file: Option<(String, Config)>,
    environment: Config,
}

impl Layers {
    pub(super) fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file = match file {
            None => None,
            Some(path) => {
                let name = path.display().to_string();
                let source = File::from(path).format(FileFormat::Toml);
                Some((name.clone(), build(&name, source)?))
            }
        };
        let variables = Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .source(Some(variables.into_iter().collect()));
        let layers = Self {
            defaults: build("the defaults", File::from_str(DEFAULTS, FileFormat::Toml))?,
            file,
            environment: build("the environment", variables)?,
        };
        let defaults = flat(&layers.defaults);
        let file = layers.file.iter().map(|(_, file)| file);
        for layer in file.chain([&layers.environment]) {
            for (key, value) in flat(layer) {
                let Some(default) = defaults.get(&key) else {
                    let rule = "unknown setting; config/default.toml lists all of them";
                    return Err(layers.error(&key, rule));
                };
                if let Some(wanted) = mismatch(default, &value) {
                    return Err(layers.error(&key, &format!("must be {wanted}")));
                }
            }
        }
        Ok(layers)
    }

    /// Merges the layers. The file must be valid even where the environment overrides it.
    pub(super) fn merge<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut builder = Config::builder().add_source(self.defaults.clone());
        if let Some((_, file)) = &self.file {
            builder = builder.add_source(file.clone());
            self.finish::<T>(builder.clone())?;
        }
        self.finish(builder.add_source(self.environment.clone()))
    }

    fn finish<T: DeserializeOwned>(
        &self,
        builder: ConfigBuilder<DefaultState>,
    ) -> Result<T, ConfigError> {
        let settings = builder.build().and_then(Config::try_deserialize);
        settings.map_err(|error| {
            let (key, rule) = rule(&error);
            self.error(&key, &rule)
        })
    }

    /// An error that names a key and where its value came from.
    pub(super) fn error(&self, key: &str, rule: &str) -> ConfigError {
        let mut origins = Vec::new();
        if let Some((name, file)) = &self.file
            && flat(file).contains_key(key)
        {
            origins.push(format!("in {name}"));
        }
        if flat(&self.environment).contains_key(key) {
            let variable = format!("{PREFIX}_{}", key.replace('.', "__").to_uppercase());
            origins.push(format!("the environment variable {variable}"));
        }
        let origin = match origins.join(", and over it ") {
            none if none.is_empty() => none,
            origin => format!(" ({origin})"),
        };
        ConfigError(format!("{key}{origin}: {rule}"))
    }
}

fn build<S: config::Source + Send + Sync + 'static>(
    origin: &str,
    source: S,
) -> Result<Config, ConfigError> {
    let layer = Config::builder().add_source(source).build();
    layer.map_err(|error| ConfigError(format!("{origin}: {}", one_line(&error))))
}

fn one_line(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

/// Keys of a layer, with dots between their levels, and their values.
fn flat(layer: &Config) -> BTreeMap<String, ValueKind> {
    fn collect(path: &str, value: &Value, keys: &mut BTreeMap<String, ValueKind>) {
        if let ValueKind::Table(table) = &value.kind {
            for (key, value) in table {
                let separator = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{separator}{key}"), value, keys);
            }
        } else {
            keys.insert(path.to_owned(), value.kind.clone());
        }
    }
    let mut keys = BTreeMap::new();
    collect("", &layer.cache, &mut keys);
    keys
}

/// Type that the default has, if `value` has another one. The config crate would accept 7.5 as true.
fn mismatch(default: &ValueKind, value: &ValueKind) -> Option<&'static str> {
    let (fits, wanted) = match default {
        ValueKind::Boolean(_) => (matches!(value, ValueKind::Boolean(_)), "true or false"),
        ValueKind::I64(_) => (
            matches!(
                value,
                ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_)
            ),
            "a whole number",
        ),
        ValueKind::Array(_) => (
            matches!(value, ValueKind::Array(_) | ValueKind::String(_)),
            "a list of texts",
        ),
        // The environment has no types: a text may be parsed as a number there.
        _ => (
            !matches!(value, ValueKind::Array(_) | ValueKind::Nil),
            "a text",
        ),
    };
    (!fits).then_some(wanted)
}

/// Key and text of an error, without the value where it may be secret.
fn rule(error: &config::ConfigError) -> (String, String) {
    let (key, text) = match error {
        config::ConfigError::At { error, key, .. } => {
            let (inner, text) = rule(error);
            (key.clone().unwrap_or(inner), text)
        }
        config::ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => (
            key.clone().unwrap_or_default(),
            format!("{unexpected} is not {expected}"),
        ),
        error => (String::new(), one_line(error)),
    };
    let text = if key.ends_with("_url") {
        "must be a URL with a host".to_owned()
    } else {
        text
    };
    (key, text)
}
