//! Location of the file.

use std::{
    ffi::OsString,
    fmt, fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    error::{failed, unavailable},
    identity::{Identity, refuse_log_without_file, with_suffix},
};
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
    /// Path without symbolic links.
    pub path: PathBuf,
    pub timeout: Duration,
    /// The files that this process has open.
    pub identity: Arc<Identity>,
}

/// Permissions of the file and of all files beside it: only the owner. SQLite gives its log those of the file.
pub(super) const FILE_MODE: u32 = 0o600;

/// Permissions of the folders.
pub(super) const FOLDER_MODE: u32 = 0o700;

impl DataFile {
    pub fn new(path: &Path, timeout: Duration) -> Self {
        Self {
            path: without_links(path),
            timeout,
            identity: Arc::default(),
        }
    }

    /// The path of a file beside it: its own, with an ending.
    pub fn beside(&self, ending: &str) -> PathBuf {
        with_suffix(&self.path, &format!(".{ending}"))
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        let folder = self.path.parent();
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// Creates its folder, if there is none.
    pub fn create_folder(&self) -> Result<()> {
        let folder = self.folder();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE);
        builder.create(folder).map_err(|error| {
            failed(format!(
                "cannot create the folder {}: {error}; embedded.path sets the location",
                folder.display()
            ))
        })
    }

    /// Creates the file, empty, if there is none.
    ///
    /// # Errors
    ///
    /// A log without its file is there, or the file cannot be created.
    pub fn create(&self) -> Result<()> {
        self.refuse_log_without_file()?;
        if self.path.exists() {
            return Ok(());
        }
        let mut options = fs::File::options();
        let created = options
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&self.path);
        created.map(drop).map_err(|error| {
            unavailable(format!(
                "cannot create {self}: {error}; the folder must be writable"
            ))
        })
    }

    /// Checks that there is no log without its file.
    pub fn refuse_log_without_file(&self) -> Result<()> {
        refuse_log_without_file(&self.path).map_err(failed)
    }

    /// Keeps the identity of the log, once a connection has it open that is never closed.
    pub fn keep_log_identity(&self) -> Result<()> {
        let kept = self.identity.keep_log(&self.path);
        kept.map_err(|error| unavailable(format!("cannot find the log of {self}: {error}")))
    }

    /// Checks that the files that this process has open were neither removed nor replaced.
    pub fn check_identity(&self) -> Result<()> {
        self.identity.check(&self.path).map_err(|lost| {
            unavailable(format!(
                "{lost} while confab was using it: docs/troubleshooting.md"
            ))
        })
    }
}

/// The path with all symbolic links resolved, as far as it exists. SQLite and the locks use files beside the file, which
/// must be the same under every name.
fn without_links(path: &Path) -> PathBuf {
    /// Maximum number of links, as in Linux.
    const LINKS: usize = 40;

    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        // A link to a file that does not exist yet: SQLite would create the target.
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => Path::new(".")
            .canonicalize()
            .map_or_else(|_| name.into(), |folder| folder.join(name)),
        (Some(folder), Some(name)) => without_links(folder).join(name),
        _ => path,
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

    #[test]
    fn symbolic_links_are_resolved_also_to_what_does_not_exist() {
        let folder = std::env::temp_dir().join(format!("confab-{:08x}", rand::random::<u32>()));
        let real = folder.join("real");
        fs::create_dir_all(&real).unwrap();
        let real = real.canonicalize().unwrap();
        let link = |target: &Path, name: &str| {
            let link = folder.join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            link
        };
        let by_folder = link(&real, "folder");
        let dangling = link(&by_folder.join("data"), "dangling");
        let round = link(&folder.join("round"), "round");
        assert_eq!(without_links(&by_folder.join("data")), real.join("data"));
        assert_eq!(without_links(&dangling), real.join("data"));
        let new = by_folder.join("a").join("b");
        assert_eq!(without_links(&new), real.join("a").join("b"));
        assert_eq!(without_links(&round).file_name(), round.file_name());
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(without_links(Path::new("no-such")), here.join("no-such"));
        fs::remove_dir_all(folder).unwrap();
    }
}
