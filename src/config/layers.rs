//! Layers of the settings: the defaults, a file, the environment.

use std::{collections::BTreeMap, path::Path};

use config::{Config, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{environment::Environment, rules, types};

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Why the settings cannot be used: one line that names the key and where it came from, and never a secret.
#[derive(Debug, Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

/// Values of a layer by key, with dots between the levels of a key.
type Values = BTreeMap<String, ValueKind>;

/// All layers, a later one before an earlier one. Every key of a later layer exists in the defaults, with a value of the
/// same type. Empty texts are left out: they mean "not set".
pub(super) struct Layers(Vec<Layer>);

struct Layer {
    origin: Origin,
    values: Values,
}

enum Origin {
    Defaults,
    /// With its path.
    File(String),
    /// With the names of the variables by key.
    Environment(BTreeMap<String, String>),
}

impl Layers {
    pub(super) fn read(
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut layers = vec![Layer {
            origin: Origin::Defaults,
            values: defaults()?,
        }];
        if let Some(path) = file {
            let name = path.display().to_string();
            let values = flat(&name, File::from(path).format(FileFormat::Toml))?;
            let origin = Origin::File(name);
            layers.push(Layer { origin, values }.checked(&layers[0].values)?);
        }
        let environment = Layer::of_environment(environment)?;
        layers.push(environment.checked(&layers[0].values)?);
        Ok(Self(layers))
    }

    /// Merges the layers. The file must be valid even where the environment overrides it.
    pub(super) fn merge<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        if let Some((_environment, lower)) = self.0.split_last() {
            merge::<T>(lower)?;
        }
        merge(&self.0)
    }

    /// An error that names a key and where its value came from.
    pub(super) fn error(&self, key: &str, rule: &str) -> ConfigError {
        error(&self.0, key, rule)
    }
}

impl Layer {
    fn of_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let variables = environment.settings();
        let names = variables.iter();
        let mut layer = Self {
            origin: Origin::Environment(
                names
                    .map(|(key, variable)| (key.clone(), variable.name.clone()))
                    .collect(),
            ),
            values: Values::new(),
        };
        for (key, variable) in variables {
            let text = variable.value.clone().unwrap_or_default();
            layer.values.insert(key.clone(), ValueKind::String(text));
        }
        for (key, variable) in variables {
            if variable.value.is_none() {
                return Err(layer.error(key, "must be UTF-8"));
            }
        }
        Ok(layer)
    }

    /// Checks every value by the default of its key, and converts the texts of the environment to its type.
    fn checked(mut self, defaults: &Values) -> Result<Self, ConfigError> {
        let mut values = Values::new();
        for (key, value) in &self.values {
            let Some(default) = defaults.get(key) else {
                let rule = "unknown setting; config/default.toml lists all of them";
                return Err(self.error(key, rule));
            };
            if matches!(value, ValueKind::String(text) if text.is_empty()) {
                continue;
            }
            let typed = match self.origin {
                Origin::Environment(_) => types::parsed(default, value),
                Origin::Defaults | Origin::File(_) => types::fitting(default, value),
            };
            let typed = typed
                .ok_or_else(|| format!("must be {}", types::wanted(default)))
                .and_then(|value| rules::check(key, value))
                .map_err(|rule| self.error(key, &rule))?;
            values.insert(key.clone(), typed);
        }
        self.values = values;
        Ok(self)
    }

    fn error(&self, key: &str, rule: &str) -> ConfigError {
        error(std::slice::from_ref(self), key, rule)
    }
}

fn merge<T: DeserializeOwned>(layers: &[Layer]) -> Result<T, ConfigError> {
    let values = layers.iter().flat_map(|layer| &layer.values);
    let merged = values.map(|(key, value)| (key.clone(), value.clone()));
    // Of two values of a key the later one stays.
    let mut settings = merged.collect::<Values>().into_iter();
    settings
        .try_fold(Config::builder(), |builder, (key, value)| {
            builder.set_override(key, Value::new(None, value))
        })
        .and_then(|builder| builder.build()?.try_deserialize())
        .map_err(|failed| {
            let (key, rule) = rule(&failed);
            error(layers, &key, &rule)
        })
}

fn error(layers: &[Layer], key: &str, rule: &str) -> ConfigError {
    let origins = layers.iter().filter(|layer| layer.values.contains_key(key));
    let origins: Vec<String> = origins
        .filter_map(|layer| match &layer.origin {
            Origin::Defaults => None,
            Origin::File(name) => Some(format!("in {name}")),
            Origin::Environment(names) => {
                let name = names.get(key)?;
                Some(format!("the environment variable {name}"))
            }
        })
        .collect();
    let origin = match origins.join(", and over it ") {
        none if none.is_empty() => none,
        origin => format!(" ({origin})"),
    };
    ConfigError(format!("{key}{origin}: {rule}"))
}

fn defaults() -> Result<Values, ConfigError> {
    flat("the defaults", File::from_str(DEFAULTS, FileFormat::Toml))
}

/// Reads the values of a source.
fn flat<S: config::Source + Send + Sync + 'static>(
    origin: &str,
    source: S,
) -> Result<Values, ConfigError> {
    fn collect(path: &str, value: &Value, values: &mut Values) {
        if let ValueKind::Table(table) = &value.kind {
            for (key, value) in table {
                let separator = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{separator}{key}"), value, values);
            }
        } else {
            values.insert(path.to_owned(), value.kind.clone());
        }
    }
    let read = Config::builder().add_source(source).build();
    let read = read.map_err(|error| ConfigError(format!("{origin}: {}", one_line(&error))))?;
    let mut values = Values::new();
    collect("", &read.cache, &mut values);
    Ok(values)
}

fn one_line(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_range_that_holds_its_default() {
        for (key, default) in defaults().unwrap() {
            if let ValueKind::I64(_) = default {
                assert!(rules::has_range(&key), "{key}");
            }
            rules::check(&key, default).unwrap();
        }
    }
}
