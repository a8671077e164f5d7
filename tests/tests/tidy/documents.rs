//! The rules for texts: no place that exists on one machine only, no command or link that leads nowhere.

use std::path::Path;

use crate::crates::Names;
use crate::rules::{Fault, Rule};

/// Folders of somebody's machine, spelled in two halves so that this file passes its own check.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/", "work"), concat!("/", "root"), concat!("/", "home"), concat!("/", "tmp")];

/// Hosts of package registries and of their files, spelled in two halves likewise.
const REGISTRY_HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("deb", ".debian.org"),
    concat!("security", ".debian.org"),
    concat!("registry", ".npmjs"),
    concat!("static", ".rust-lang.org"),
];

/// Checks any text of the tree for machine paths and registry hosts; lock files are cargo's own.
pub fn check_places(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if path.ends_with("Cargo.lock") {
        return faults;
    }
    for (index, line) in text.lines().enumerate() {
        let folders = MACHINE_FOLDERS.iter().filter(|folder| names_folder(line, folder));
        faults.extend(
            folders
                .map(|folder| Fault::new(path, index + 1, Rule::MachinePath, format!("a path in {folder}"))),
        );
        let hosts = REGISTRY_HOSTS.iter().filter(|host| line.contains(*host));
        faults.extend(
            hosts.map(|host| Fault::new(path, index + 1, Rule::RegistryHost, format!("names {host}"))),
        );
    }
    faults
}

/// Whether `folder` occurs as the beginning of an absolute path.
fn names_folder(line: &str, folder: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(folder).any(|(start, _)| {
        let begins_path = !line[..start].ends_with(|c| in_name(c) || matches!(c, '/' | '}' | ')'));
        let whole_part = !line[start + folder.len()..].starts_with(in_name);
        begins_path && whole_part
    })
}

/// Checks that the documents everybody looks for first are there.
pub fn check_presence(exists: &dyn Fn(&str) -> bool) -> Vec<Fault> {
    let wanted = ["README.md", "CONTRIBUTING.md", "LICENSE-MIT", "LICENSE-APACHE", ".ci/run"];
    let missing = wanted.iter().filter(|path| !exists(path));
    missing.map(|path| Fault::new(path, 1, Rule::LiveLink, "is missing")).collect()
}

/// Checks that every relative link of a Markdown text leads to a file.
pub fn check_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Fault> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files = targets.filter_map(|target| target.split('#').next());
        for file in
            files.filter(|file| !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:"))
        {
            if !folder.join(file).to_str().is_some_and(exists) {
                faults.push(Fault::new(path, index + 1, Rule::LiveLink, format!("{file} does not exist")));
            }
        }
    }
    faults
}

/// Checks the commands in fenced blocks: scripts exist, and cargo is given packages and targets it has.
pub fn check_commands(path: &str, text: &str, names: &Names, exists: &dyn Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let missing = missing_names(line, names, exists);
            faults
                .extend(missing.into_iter().map(|what| Fault::new(path, index + 1, Rule::LiveCommand, what)));
        }
    }
    faults
}

fn missing_names(line: &str, names: &Names, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let command = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut missing = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let value = words.get(index + 1).map(|value| (*value).to_owned()).unwrap_or_default();
        let unknown = match *word {
            "-p" | "--package" if words.contains(&"cargo") => !names.packages.contains(&value),
            "--bin" | "--test" | "--bench" | "--example" => !names.targets.contains(&value),
            _ => false,
        };
        if unknown {
            missing.push(format!("cargo knows no `{word} {value}`"));
        }
        let script = word.ends_with(".sh") || word.ends_with(".py") || *word == ".ci/run";
        if script && !exists(word.trim_start_matches("./")) {
            missing.push(format!("the script {word} does not exist"));
        }
    }
    missing
}

/// Checks that CONTRIBUTING.md names every rule of these tests, and none that there is not.
pub fn check_rule_names(path: &str, text: &str) -> Vec<Fault> {
    let mark = "`tidy: ";
    let mut faults = Vec::new();
    let known = Rule::ALL.map(|rule| rule.name_and_fix().0);
    for name in known.iter().filter(|name| !text.contains(&format!("{mark}{name}`"))) {
        faults.push(Fault::new(path, 1, Rule::RulesNamed, format!("the rule {name} is not named")));
    }
    for (index, line) in text.lines().enumerate() {
        let named = line.split(mark).skip(1).filter_map(|rest| rest.split('`').next());
        for name in named.filter(|name| !known.contains(name)) {
            faults.push(Fault::new(path, index + 1, Rule::RulesNamed, format!("there is no rule {name}")));
        }
    }
    faults
}
