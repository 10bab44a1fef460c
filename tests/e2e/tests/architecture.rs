//! Who may know whom: the arrows between the workspace's packages are those that ARCHITECTURE.md draws, and no others.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Only this package may name these.
const SANDBOX: &str = "plugin-host";
const OF_THE_SANDBOX: [&str; 3] = ["wasmtime", "wasmtime-wasi", "wasmparser"];

/// What only tests and examples may know: the client's run against a pool that answers, those of state machines with seeds.
const ONLY_IN_TESTS: [(&str, &str); 3] = [("xapi", "simulator"), ("xapi", "seeds"), ("xapiary", "seeds")];

fn metadata() -> Metadata {
    let manifest = e2e::repository().join("Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(["--locked".into()])
        .exec()
        .unwrap()
}

/// What a package may depend on within the workspace; `None` for one that nobody has drawn yet.
fn may_know(package: &Package) -> Option<&'static [&'static str]> {
    let folder = package.manifest_path.parent().unwrap().strip_prefix(e2e::repository()).unwrap();
    Some(match folder.as_str() {
        "crates/xapi" | "crates/journal" | "plugin-sdk/macros" | "tests/seeds" | "xtask" => &[],
        "plugin-sdk/rust" => &["xapiary-sdk-macros"],
        "crates/grant" | "crates/simulator" => &["xapi"],
        "crates/plugin-host" => &["xapi", "grant"],
        "daemon" => &["xapi", "journal", "plugin-host", "simulator"],
        "tests/guests" => &["xapiary-sdk"],
        plugin if plugin.starts_with("plugins/") => &["xapiary-sdk"],
        "tests/e2e" | "tests/bench" | "tests/faults" => {
            &["xapi", "journal", "plugin-host", "simulator", "xapiary-sdk", "e2e"]
        }
        _ => return None,
    })
}

#[test]
fn every_arrow_is_one_that_is_drawn() {
    let metadata = metadata();
    let members: BTreeMap<&str, &Package> =
        metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect();
    let mut wrong = Vec::new();
    let mut arrows = BTreeSet::new();
    for (name, package) in &members {
        let Some(allowed) = may_know(package) else {
            wrong.push(format!("{name} in {} has no place in the house", package.manifest_path));
            continue;
        };
        // Of every kind: what only tests use still ties one room to another.
        for dependency in &package.dependencies {
            let known = dependency.name.as_str();
            if members.contains_key(known) {
                arrows.insert((name.to_string(), known.to_owned()));
                let in_tests =
                    dependency.kind == DependencyKind::Development && ONLY_IN_TESTS.contains(&(*name, known));
                if !allowed.contains(&known) && !in_tests {
                    wrong.push(format!("{name} must not know {known} ({:?})", dependency.kind));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // That the reading of the metadata saw anything at all.
    for arrow in [
        ("xapiary", "journal"),
        ("plugin-host", "xapi"),
        ("vm-keepalive", "xapiary-sdk"),
        ("e2e", "simulator"),
    ] {
        assert!(
            arrows.contains(&(arrow.0.to_owned(), arrow.1.to_owned())),
            "{arrow:?} is missing of {arrows:?}"
        );
    }
}

#[test]
fn nobody_knows_the_daemon() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        assert!(
            package.dependencies.iter().all(|dependency| dependency.name != "xapiary"),
            "{} does",
            package.name
        );
    }
}

#[test]
fn the_sandbox_is_of_one_version_and_named_in_one_room() {
    let metadata = metadata();
    let mut named = BTreeSet::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if OF_THE_SANDBOX.contains(&name) {
                assert_eq!(package.name.as_str(), SANDBOX, "{} names {name}", package.name);
                named.insert(name.to_owned());
            }
            if name.starts_with("wasmtime") {
                assert_eq!(dependency.req.to_string(), "~48.0", "{name}");
                assert!(!dependency.features.iter().any(|feature| feature == "cache"), "{name} has a cache");
                assert!(
                    !dependency.uses_default_features,
                    "{name} brings its default features, a cache among them"
                );
                assert_eq!(dependency.kind, DependencyKind::Normal, "{name}");
            }
        }
    }
    assert!(named.contains("wasmtime") && named.contains("wasmparser"), "{named:?}");
}
