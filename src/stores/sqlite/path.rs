//! Location of the file.

use std::{
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::error::failed;
use crate::stores::Result;

const NAME: &str = "confab.sqlite3";

/// Returns the default path: in the state folder that systemd gives a service, else in the user's data folder (XDG Base
/// Directory Specification). `None` if `variable`, which reads the environment, returns neither.
pub fn default_file(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(variable(name)?);
        path.is_absolute().then_some(path)
    };
    // There may be several, separated by colons.
    let state = variable("STATE_DIRECTORY").and_then(|folders| {
        let folders = folders.into_string().ok()?;
        let first = folders.split(':').next()?;
        (!first.is_empty()).then(|| PathBuf::from(first))
    });
    let data =
        || absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    let folder = state.or_else(|| Some(data()?.join("confab")))?;
    Some(folder.join(NAME))
}

/// The file, and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct DataFile {
    pub path: PathBuf,
    pub timeout: Duration,
}

impl DataFile {
    /// The path of a file beside it: its own, with an ending.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Creates its folder, if there is none.
    pub fn create_folder(&self) -> Result<()> {
        let folder = self.folder();
        fs::create_dir_all(folder).map_err(|error| {
            failed(format!(
                "cannot create the folder {}: {error}; embedded.path sets the location",
                folder.display()
            ))
        })
    }
}

/// Formats the path.
impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(variables: &[(&str, &str)]) -> Option<String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name);
        let file = default_file(|name| find(name).map(|(_, value)| OsString::from(value)));
        file.map(|file| file.display().to_string())
    }

    #[test]
    fn the_folder_is_systemds_or_the_users() {
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_DATA_HOME", "/data");
        let state = ("STATE_DIRECTORY", "/var/lib/confab:/var/lib/other");
        let is = |variables: &[_], path: &str| assert_eq!(file(variables).as_deref(), Some(path));
        is(&[home], "/home/me/.local/share/confab/confab.sqlite3");
        is(&[home, xdg], "/data/confab/confab.sqlite3");
        is(&[home, xdg, state], "/var/lib/confab/confab.sqlite3");
        // A relative one is to be ignored.
        is(
            &[home, ("XDG_DATA_HOME", "data")],
            "/home/me/.local/share/confab/confab.sqlite3",
        );
        assert_eq!(file(&[]), None);
    }
}
