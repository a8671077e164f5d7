//! The house rules as tests: each failure names the file, the line, the rule and the fix.

mod crates;
mod documents;
mod rules;
mod source;
mod tests;

use std::process::Command;

use candor_tests::workspace_root;
use rules::{Fault, Rule};

/// A text file of the tree: its path from the workspace root, with `/` between the parts, and what it
/// holds.
struct TextFile {
    path: String,
    text: String,
}

/// Every text file that git tracks or would track; whatever is not UTF-8 is no text.
fn text_files() -> Vec<TextFile> {
    let root = workspace_root();
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .expect("git lists the files to check");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let paths = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let paths = paths.split_terminator('\0').map(str::to_owned);
    // A file deleted but not yet committed is still listed, and reading it fails.
    paths
        .filter_map(|path| Some(TextFile { text: std::fs::read_to_string(root.join(&path)).ok()?, path }))
        .collect()
}

/// Fails with every fault at once, each rule followed by its fix and the places that break it.
fn assert_none(faults: &[Fault]) {
    let mut report = String::new();
    for rule in Rule::ALL {
        let broken: Vec<String> =
            faults.iter().filter(|fault| fault.rule == rule).map(Fault::to_string).collect();
        if !broken.is_empty() {
            let (name, fix) = rule.name_and_fix();
            report += &format!("\n{name}: {fix}\n{}\n", broken.join("\n"));
        }
    }
    assert!(faults.is_empty(), "{} faults against the house rules\n{report}", faults.len());
}

#[test]
fn every_rust_file_keeps_the_house_rules() {
    let files = text_files();
    let rust: Vec<&TextFile> = files.iter().filter(|file| file.path.ends_with(".rs")).collect();
    assert!(rust.len() > 10, "git lists {} Rust files: is this the whole tree?", rust.len());
    let faults: Vec<Fault> = rust.iter().flat_map(|file| source::check(&file.path, &file.text)).collect();
    assert_none(&faults);
}

#[test]
fn crates_use_each_other_only_along_the_arrows() {
    let files = text_files();
    let manifests: Vec<&TextFile> = files.iter().filter(|file| file.path.ends_with("Cargo.toml")).collect();
    let mut faults: Vec<Fault> =
        crates::packages(&manifests).iter().flat_map(crates::check_dependencies).collect();
    faults.extend(manifests.iter().flat_map(|file| crates::check_manifest(&file.path, &file.text)));
    assert_none(&faults);
}

#[test]
fn no_text_names_a_machine_path_or_a_registry_host() {
    let files = text_files();
    let faults: Vec<Fault> =
        files.iter().flat_map(|file| documents::check_places(&file.path, &file.text)).collect();
    assert_none(&faults);
}

#[test]
fn documents_name_files_and_commands_that_exist() {
    let files = text_files();
    let manifests: Vec<&TextFile> = files.iter().filter(|file| file.path.ends_with("Cargo.toml")).collect();
    let names = crates::names(&crates::packages(&manifests));
    let exists = |path: &str| workspace_root().join(path).exists();
    let mut faults = documents::check_presence(&exists);
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        faults.extend(documents::check_links(&file.path, &file.text, &exists));
        faults.extend(documents::check_commands(&file.path, &file.text, &names, &exists));
    }
    assert_none(&faults);
}

#[test]
fn contributing_names_every_rule_and_no_other() {
    let text =
        std::fs::read_to_string(workspace_root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md is there");
    assert_none(&documents::check_rule_names("CONTRIBUTING.md", &text));
}
