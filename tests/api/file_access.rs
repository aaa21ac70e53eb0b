//! Access to the data file: permissions, and other names of the same file.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::support::{CommandOutput, Fixture, apply, on_embedded};

/// A path in the folder of the data file.
fn in_folder(fixture: &Fixture, name: &str) -> PathBuf {
    fixture.file().with_file_name(name)
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    metadata.permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the owner may do so");
}

/// The data file and all that is beside it, with its folder.
fn all_paths(fixture: &Fixture) -> Vec<PathBuf> {
    let folder = in_folder(fixture, "");
    let mut paths = vec![folder.clone()];
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths
}

/// Fails unless only the owner has access to everything.
fn expect_private(fixture: &Fixture) {
    let paths = all_paths(fixture);
    for name in ["", "-wal", "-shm"] {
        let path = in_folder(fixture, &format!("confab.sqlite3{name}"));
        assert!(paths.contains(&path), "{path:?} is not in {paths:?}");
    }
    for path in paths {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{path:?}");
    }
}

#[apply(on_embedded!)]
async fn only_the_owner_has_access_to_new_files(fixture: &Fixture) {
    let wrapper = ["sh", "-c", r#"umask 0; exec "$0" "$@""#];
    let mut api = fixture.launch_wrapped(&wrapper, &["serve"], &[]);
    assert!(api.wait_until_up().await, "{}", api.output());
    api.wait_until_ready().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    let command = ["jobs", "stats"];
    let finished = fixture.confab_wrapped(&wrapper, &command, &[]).await;
    finished.expect_code(0);
    let command = ["search", "rebuild"];
    let finished = fixture.confab_wrapped(&wrapper, &command, &[]).await;
    finished.expect_code(0);
    expect_private(fixture);
    assert!(!api.output().contains("Permissions"), "{}", api.output());
}

#[apply(on_embedded!)]
async fn permissions_of_existing_files_are_restricted_and_logged(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    api.kill();
    let mut paths = all_paths(fixture);
    // SQLite makes these files anew.
    paths.retain(|path| !path.to_string_lossy().contains("sqlite3-"));
    for path in &paths {
        set_mode(path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let api = fixture.start().await;
    expect_private(fixture);
    let output = api.output();
    for path in paths {
        let path = path.display().to_string();
        let path = path.trim_end_matches('/');
        let line = output
            .lines()
            .find(|line| line.contains("Permissions") && line.contains(&format!("path={path} ")));
        assert!(line.is_some(), "{path} is not logged:\n{output}");
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
    drop(api);
    // Once is enough.
    let api = fixture.start().await;
    assert!(!api.output().contains("Permissions"), "{}", api.output());
}

#[apply(on_embedded!)]
async fn folder_that_holds_other_files_keeps_its_permissions(fixture: &Fixture) {
    let folder = in_folder(fixture, "");
    fs::create_dir(&folder).expect("a folder");
    let other = in_folder(fixture, "notes.txt");
    fs::write(&other, "mine").expect("a file");
    set_mode(&folder, 0o755);
    set_mode(&other, 0o644);
    let api = fixture.start().await;
    api.new_app().await;
    assert_eq!((mode(&folder), mode(&other)), (0o755, 0o644));
    assert_eq!(mode(&fixture.file()), 0o600);
}

#[apply(on_embedded!)]
async fn file_that_is_no_database_keeps_its_permissions(fixture: &Fixture) {
    let folder = in_folder(fixture, "");
    fs::create_dir(&folder).expect("a folder");
    fs::write(fixture.file(), "dear diary, ".repeat(500)).expect("a file");
    set_mode(&fixture.file(), 0o644);
    fixture.confab(&["serve"]).await.expect_code(1);
    assert_eq!(mode(&fixture.file()), 0o644);
}

/// Runs the program on the file by another path.
async fn confab_at(fixture: &Fixture, path: &Path, arguments: &[&str]) -> CommandOutput {
    let path = path.to_str().expect("a path in UTF-8");
    let settings = [("CONFAB_EMBEDDED__PATH", path)];
    fixture.confab_with(arguments, &settings).await
}

#[apply(on_embedded!)]
async fn file_is_not_served_twice_by_other_paths(fixture: &Fixture) {
    let other = fixture.folder().join("other");
    fs::create_dir(&other).expect("a folder");
    // Made before there is a file, and after.
    let early = other.join("early.sqlite3");
    symlink(fixture.file(), &early).expect("a link");
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    let link = other.join("link.sqlite3");
    symlink(fixture.file(), &link).expect("a link");
    let folder = other.join("folder");
    symlink(in_folder(fixture, ""), &folder).expect("a link");
    let folder = folder.join("confab.sqlite3");
    let near = in_folder(fixture, "near.sqlite3");
    let far = other.join("far.sqlite3");
    for hard in [&near, &far] {
        fs::hard_link(fixture.file(), hard).expect("a link");
    }
    for path in [&early, &link, &folder, &near, &far] {
        let finished = confab_at(fixture, path, &["serve"]).await;
        finished.expect_code(1);
        assert!(
            finished.stderr.contains("already"),
            "{path:?}: {finished:#?}"
        );
        let log = format!("{}-wal", path.display());
        assert!(!Path::new(&log).exists() || path == &folder, "{log}");
    }
    // Commands beside the server use the same log.
    for path in [&early, &link, &folder] {
        let finished = confab_at(fixture, path, &["search", "rebuild"]).await;
        finished.expect_code(0);
    }
    // By a hard link they would use another one.
    for path in [&near, &far] {
        for command in [&["jobs", "stats"] as &[&str], &["migrate"]] {
            let finished = confab_at(fixture, path, command).await;
            finished.expect_code(1);
            assert!(finished.stderr.contains("hard link"), "{finished:#?}");
        }
    }
    assert_eq!(api.create_message(&chat, "hello").await, 1);
    // Without the folder of the locks too.
    fs::remove_dir_all(in_folder(fixture, "confab.sqlite3.locks")).expect("a folder");
    let finished = fixture.confab(&["serve"]).await;
    finished.expect_code(1);
    assert!(finished.stderr.contains("already"), "{finished:#?}");
    assert_eq!(api.create_message(&chat, "hello").await, 2);
    api.kill();
    let path = link.to_str().expect("a path in UTF-8");
    let api = fixture.start_with(&[("CONFAB_EMBEDDED__PATH", path)]).await;
    assert_eq!(api.create_message(&chat, "hello").await, 3);
}
