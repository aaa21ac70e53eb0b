//! Types of settings: each has that of its default.

use config::{Value, ValueKind};

/// Name of the type that a default has.
pub(super) fn wanted(default: &ValueKind) -> &'static str {
    match default {
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) => "a whole number",
        ValueKind::Array(_) => "a list of texts",
        _ => "a text in quotes",
    }
}

/// A value of a file, if it has the type of the default. The config crate would accept 7.5 as true, and a number as a text.
pub(super) fn fitting(default: &ValueKind, value: &ValueKind) -> Option<ValueKind> {
    match (default, value) {
        // For people who know the environment's form of a list.
        (ValueKind::Array(_), ValueKind::String(_)) => parsed(default, value),
        (ValueKind::Array(_), ValueKind::Array(members)) => {
            let texts = |member: &Value| matches!(member.kind, ValueKind::String(_));
            members.iter().all(texts).then(|| value.clone())
        }
        (ValueKind::Boolean(_), ValueKind::Boolean(_))
        | (ValueKind::I64(_), ValueKind::I64(_))
        | (ValueKind::String(_), ValueKind::String(_)) => Some(value.clone()),
        _ => None,
    }
}

/// A text of the environment, as a value of the type of the default. Members of a list are separated by commas.
pub(super) fn parsed(default: &ValueKind, value: &ValueKind) -> Option<ValueKind> {
    let ValueKind::String(text) = value else {
        return None;
    };
    match default {
        ValueKind::Boolean(_) => text.to_lowercase().parse().ok().map(ValueKind::Boolean),
        ValueKind::I64(_) => text.parse().ok().map(ValueKind::I64),
        ValueKind::Array(_) => {
            let members = text.split(',').map(str::trim);
            let members = members.filter(|member| !member.is_empty());
            let members = members.map(|member| Value::new(None, member));
            Some(ValueKind::Array(members.collect()))
        }
        _ => Some(value.clone()),
    }
}
