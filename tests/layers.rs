//! Dependencies between modules: ARCHITECTURE.md, "Structure".

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Modules that each top-level module may use, besides itself.
const ALLOWED_DEPENDENCIES: [(&str, &[&str]); 19] = [
    ("auth", &["config", "domain", "stores"]),
    ("config", &["listener"]),
    ("domain", &[]),
    ("failpoints", &["domain"]),
    ("lib", &[]),
    ("listener", &[]),
    ("main", &["cli"]),
    ("shutdown", &[]),
    ("telemetry", &["config", "domain"]),
    ("systemd", &["telemetry"]),
    ("stores", &["domain", "failpoints", "telemetry"]),
    ("readiness", &["stores", "telemetry"]),
    ("service", &["domain", "stores", "telemetry"]),
    ("maintenance", &["domain", "failpoints", "stores"]),
    (
        "workers",
        &[
            "config",
            "domain",
            "failpoints",
            "maintenance",
            "stores",
            "telemetry",
        ],
    ),
    (
        "http",
        &[
            "auth",
            "config",
            "domain",
            "failpoints",
            "listener",
            "readiness",
            "service",
            "telemetry",
        ],
    ),
    (
        "admin",
        &[
            "auth",
            "config",
            "domain",
            "failpoints",
            "listener",
            "maintenance",
            "readiness",
            "telemetry",
        ],
    ),
    (
        "startup",
        &[
            "admin",
            "auth",
            "config",
            "domain",
            "failpoints",
            "http",
            "listener",
            "maintenance",
            "readiness",
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
            "auth",
            "config",
            "domain",
            "http",
            "maintenance",
            "startup",
            "telemetry",
        ],
    ),
];

/// A module: its path from the root of the crate on.
type Module = Vec<String>;

/// Every module of `src/`, with the text of its file.
fn modules() -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&root, &Vec::new(), &mut modules);
    modules
}

fn collect(folder: &Path, path: &Module, modules: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let file = entry.expect("an entry").path();
        let name = file.file_stem().expect("a name").to_string_lossy();
        let child = [path.as_slice(), &[name.to_string()]].concat();
        if file.is_dir() {
            collect(&file, &child, modules);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let module = if name == "mod" { path.clone() } else { child };
            modules.insert(module, fs::read_to_string(&file).expect("a text"));
        }
    }
}

/// The paths that a file names from `crate::`, `super::` or `self::` on, with braces resolved, up to the first segment
/// that is no name.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        assert!(!line.contains("#[path"), "{line}");
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let follows_a_name = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let is_inner = text[..at].ends_with("::");
            if !follows_a_name && !is_inner {
                read_path(&text[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path and all that its braces hold; returns how many bytes it takes.
fn read_path(text: &str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += text[at..].len() - text[at..].trim_start().len();
                if text[at..].starts_with('}') {
                    return at + 1;
                }
                let read = read_path(&text[at..], path.clone(), found);
                // A character that begins no path: a comma, or the `*` of a glob.
                at += read.max(text[at..].chars().next().map_or(1, char::len_utf8));
                if at >= text.len() {
                    return at;
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        at += name.len();
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        if name.is_empty() || !text[at..].starts_with("::") {
            found.push(path);
            return at;
        }
        at += 2;
    }
}

/// The modules that a module uses.
fn used(module: &Module, text: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    // Tests of a module are part of it; what they use counts from one level deeper.
    let (program, tests) = text
        .split_once("#[cfg(test)]\nmod tests")
        .unwrap_or((text, ""));
    let mut used = BTreeSet::new();
    for (text, deeper) in [(program, 0), (tests, 1)] {
        for path in paths(text) {
            let mut at = module.clone();
            let mut ups = deeper;
            let mut names = path.into_iter().peekable();
            while let Some(name) =
                names.next_if(|name| ["crate", "super", "self"].contains(&&**name))
            {
                match &*name {
                    "crate" => at.clear(),
                    "super" if ups > 0 => ups -= 1,
                    "super" => drop(at.pop()),
                    _ => {}
                }
            }
            for name in names {
                at.push(name);
                if !modules.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
            used.insert(at);
        }
    }
    used
}

#[test]
fn top_level_modules_use_only_allowed_modules() {
    let modules = modules();
    for (module, text) in &modules {
        let Some(part) = module.first() else { continue };
        let (_, allowed) = ALLOWED_DEPENDENCIES
            .iter()
            .find(|(name, _)| name == part)
            .unwrap_or_else(|| panic!("{module:?}: a new module; add it to ALLOWED_DEPENDENCIES"));
        for used in used(module, text, &modules) {
            let Some(used) = used.first() else { continue };
            assert!(
                used == part || allowed.contains(&used.as_str()),
                "{module:?} uses {used}"
            );
        }
    }
}

#[test]
fn sibling_modules_have_no_circular_dependencies() {
    let modules = modules();
    // Of each module, which of its children use which.
    let mut siblings: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, text) in &modules {
        for used in used(module, text, &modules) {
            let common = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), used.get(common)) {
                let of = siblings.entry(module[..common].to_vec()).or_default();
                of.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    assert!(siblings.len() > 10, "{siblings:?}");
    for (parent, mut uses) in siblings {
        // What uses nothing that is left is in no circle.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            let before = uses.len();
            uses.retain(|_, used| used.iter().any(|used| left.contains(used)));
            if uses.len() == before {
                break;
            }
        }
        assert!(uses.is_empty(), "a circle in {parent:?}: {uses:#?}");
    }
}
