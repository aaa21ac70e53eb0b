//! Permissions of the file: only its owner may read the messages, or hold the locks that stop writes.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{
    lock,
    path::{DataFile, FILE_MODE, FOLDER_MODE},
};

/// Permissions of the group and of all others.
const OTHERS: u32 = 0o077;

/// Takes the group's and all others' permissions from the file and all that belongs to it, and logs what it took. The
/// folder keeps them if it holds something else too.
pub(super) fn restrict(file: &DataFile) {
    for (path, mode) in targets(file) {
        let restricted = restrict_to(&path, mode);
        let path = path.display();
        match restricted {
            Ok(None) => {}
            Ok(Some(before)) => warn!(
                %path,
                before = format!("{before:04o}"),
                now = format!("{mode:04o}"),
                "Permissions allowed other users access to the data; restricted them to the owner"
            ),
            Err(error) => warn!(
                %path,
                %error,
                "Permissions allow other users access to the data, and they cannot be changed: make the service's user the owner"
            ),
        }
    }
}

/// Describes the permissions that others have on the file or what belongs to it.
pub(super) fn too_wide(file: &DataFile) -> Vec<String> {
    let wide = targets(file).into_iter().filter_map(|(path, _)| {
        let mode = mode(&path).ok()?;
        (mode & OTHERS != 0).then(|| format!("{} has mode {mode:04o}", path.display()))
    });
    wide.collect()
}

/// Everything that belongs to the file, and the permissions that it should have.
fn targets(file: &DataFile) -> Vec<(PathBuf, u32)> {
    let (folder, locks) = (file.folder(), file.beside(lock::FOLDER));
    let mut targets = vec![(locks.clone(), FOLDER_MODE)];
    targets.extend(entries(&locks).into_iter().map(|path| (path, FILE_MODE)));
    let name = file.path.file_name().unwrap_or_default();
    let beside = entries(folder);
    let belongs = |path: &Path| path.file_name().is_some_and(|other| begins(other, name));
    if beside.iter().all(|path| belongs(path)) {
        targets.push((folder.to_owned(), FOLDER_MODE));
    }
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut path = file.path.clone().into_os_string();
        path.push(ending);
        targets.push((path.into(), FILE_MODE));
    }
    targets.retain(|(path, _)| path.exists());
    targets
}

fn begins(name: &OsStr, start: &OsStr) -> bool {
    name.as_bytes().starts_with(start.as_bytes())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Returns the permissions before, if they were changed.
fn restrict_to(path: &Path, wanted: u32) -> io::Result<Option<u32>> {
    let before = mode(path)?;
    if before & OTHERS == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
    Ok(Some(before))
}
