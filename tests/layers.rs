//! Which part of the program may know which: ARCHITECTURE.md, "The picture".

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each part may use, besides itself. `startup` wires everything up, and `cli` starts it.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("config", &[]),
    ("domain", &[]),
    ("failpoints", &[]),
    ("lib", &[]),
    ("main", &[]),
    ("shutdown", &[]),
    ("telemetry", &["config", "domain"]),
    ("systemd", &["telemetry"]),
    ("stores", &["domain", "failpoints", "telemetry"]),
    ("service", &["domain", "failpoints", "stores", "telemetry"]),
    (
        "workers",
        &[
            "config",
            "domain",
            "failpoints",
            "service",
            "stores",
            "telemetry",
        ],
    ),
    ("http", &["config", "domain", "service", "telemetry"]),
    (
        "admin",
        &["config", "domain", "service", "stores", "telemetry"],
    ),
    (
        "startup",
        &[
            "admin",
            "config",
            "http",
            "service",
            "shutdown",
            "stores",
            "systemd",
            "telemetry",
            "workers",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "domain",
            "http",
            "service",
            "startup",
            "stores",
            "telemetry",
        ],
    ),
];

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files of `src/`, each with its path there and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .expect("a file of src")
                .display()
                .to_string();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect()
}

/// The names that follow `crate::`, alone or in braces.
fn used_parts(text: &str) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        // A name stands at the beginning of each item of the outermost braces.
        let (mut depth, mut begins) = (1, true);
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => begins = true,
                _ if begins && character.is_alphabetic() => {
                    used.insert(word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    used
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn each_part_uses_only_what_it_may() {
    for (file, text) in sources() {
        let part = word(&file);
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == part)
            .unwrap_or_else(|| panic!("{file}: a new part; say in MAY_USE what it may use"));
        for used in used_parts(&text) {
            assert!(
                used == part || allowed.contains(&used),
                "{file} uses {used}"
            );
        }
    }
}

#[test]
fn stores_do_not_know_each_other_and_only_startup_names_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stores");
    let stores: Vec<String> = fs::read_dir(root)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .collect();
    assert!(stores.len() >= 3, "{stores:?}");
    for (file, text) in sources() {
        for store in &stores {
            let own = file.starts_with(&format!("stores/{store}/"));
            let names_it = [format!("stores::{store}"), format!("super::{store}::")]
                .iter()
                .any(|name| text.contains(name.as_str()))
                || (text.contains("stores::{") && text.contains(&format!("{store}::")));
            assert!(
                !names_it || own || file == "startup.rs",
                "{file} names {store}"
            );
        }
    }
}
