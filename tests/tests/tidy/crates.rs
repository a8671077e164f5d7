//! The rules for manifests: which crate may use which, and what the root manifest may hold.

use std::collections::BTreeSet;
use std::process::Command;

use candor_tests::workspace_root;
use serde_json::Value;

use crate::TextFile;
use crate::rules::{Fault, Rule};

/// The arrows of the house: a crate, and the crates of this repository that it may use. Every arrow ends at
/// core, so every crate may name what is in it.
const ARROWS: [(&str, &[&str]); 10] = [
    ("candor-core", &[]),
    ("candor-cpu", &["candor-core"]),
    ("candor-gpu", &["candor-core", "candor-cpu", "candor"]),
    ("candor-imaging", &["candor-core"]),
    ("candor", &["candor-core", "candor-cpu"]),
    ("candor-cli", &["candor-core", "candor", "candor-imaging", "candor-gpu"]),
    ("candor-lab", &["candor-core", "candor", "candor-imaging"]),
    ("candor-firmware", &["candor-core", "candor-cpu"]),
    ("candor-tests", &["candor-core"]),
    ("candor-fuzz", &["candor-core", "candor-lab"]),
];

/// Third-party crates that stay in one place, by name or by its beginning up to `-`, and who may use them.
const CONFINED: [(&str, &[&str]); 5] = [
    ("candle", &["candor-gpu", "candor-lab"]),
    ("cudarc", &["candor-gpu"]),
    ("memmap2", &["candor"]),
    ("heapless", &["candor-core", "candor-firmware"]),
    ("defmt", &["candor-core", "candor-firmware"]),
];

/// Dependencies that must stay behind a feature.
const OPTIONAL: [(&str, &str); 2] = [("candor-cli", "candor-gpu"), ("candor-core", "defmt")];

/// What cargo says of every package that one of the manifests declares, in this workspace or one of its
/// own.
pub fn packages(manifests: &[&TextFile]) -> Vec<Value> {
    let mut packages: Vec<Value> = Vec::new();
    for file in manifests.iter().filter(|file| file.text.contains("[package]")) {
        let path = workspace_root().join(&file.path);
        let seen = packages.iter().any(|package| package["manifest_path"].as_str() == path.to_str());
        if !seen {
            packages.extend(metadata(&path));
        }
    }
    packages
}

fn metadata(manifest: &std::path::Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("cargo metadata names no packages but {other}"),
    }
}

/// Checks what one package uses, as `cargo metadata` tells it.
pub fn check_dependencies(package: &Value) -> Vec<Fault> {
    let name = text(package, "name");
    let manifest = text(package, "manifest_path");
    let root = workspace_root();
    let path =
        manifest.strip_prefix(root.to_str().unwrap_or_default()).unwrap_or(manifest).trim_start_matches('/');
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(Fault::new(path, 1, Rule::Arrow, what));
    if !is_ours(name) {
        fault(format!("`{name}` is not on the map of crates"));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let used = text(dependency, "name");
        // The evidence in `tests` may look at everything; nothing ships with it.
        let evidence = name == "candor-tests" && dependency["kind"] == "dev";
        if !may_use(name, used) && !evidence {
            fault(format!("`{name}` may not use `{used}`"));
        }
        if OPTIONAL.contains(&(name, used)) && dependency["optional"] != true {
            fault(format!("`{name}` may use `{used}` only behind a feature"));
        }
    }
    faults
}

fn is_ours(name: &str) -> bool {
    ARROWS.iter().any(|(crate_name, _)| *crate_name == name)
}

fn may_use(name: &str, used: &str) -> bool {
    if is_ours(used) {
        return ARROWS.iter().any(|(from, to)| *from == name && to.contains(&used));
    }
    let family = used.split('-').next().unwrap_or(used);
    match CONFINED.iter().find(|(confined, _)| *confined == used || *confined == family) {
        Some((_, places)) => places.contains(&name),
        None => true,
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// Checks one manifest's own text: members inherit the lints, and the root holds only what is shared.
pub fn check_manifest(path: &str, manifest: &str) -> Vec<Fault> {
    let own_workspace = manifest.contains("[workspace]");
    if path == "Cargo.toml" {
        let sections = manifest.lines().enumerate().filter(|(_, line)| line.starts_with('['));
        let foreign =
            sections.filter(|(_, line)| !line.starts_with("[workspace") && !line.starts_with("[profile"));
        let fault = |(index, line)| {
            Fault::new(path, index + 1, Rule::SharedSettings, format!("{line} is not shared"))
        };
        foreign.map(fault).collect()
    } else if own_workspace || manifest.contains("[lints]\nworkspace = true\n") {
        Vec::new()
    } else {
        vec![Fault::new(path, 1, Rule::SharedSettings, "`[lints] workspace = true` is missing")]
    }
}

/// Names that a command line may give to cargo.
#[derive(Debug, Default)]
pub struct Names {
    pub packages: BTreeSet<String>,
    /// Binaries, tests, benches and examples alike.
    pub targets: BTreeSet<String>,
}

/// The names of the packages and of their targets.
pub fn names(packages: &[Value]) -> Names {
    let mut names = Names::default();
    for package in packages {
        names.packages.insert(text(package, "name").to_owned());
        let targets = package["targets"].as_array().into_iter().flatten();
        names.targets.extend(targets.map(|target| text(target, "name").to_owned()));
    }
    names
}
