//! The key of `auth.first_key_file`.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use crate::domain::KeyText;

/// Reads the key; `None` if no file is set.
///
/// # Errors
///
/// A file that cannot be read, or that holds anything else than one key. The text of the file is not shown.
pub fn read_first_key(path: &Path) -> anyhow::Result<Option<KeyText>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let name = format!("auth.first_key_file ({})", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
    match KeyText::parse(text.trim()) {
        Some(key) => Ok(Some(key)),
        None => bail!(
            "{name}: must hold one key and nothing else; `confab keys generate` prints a new one"
        ),
    }
}
