//! Every crate that can end up in a build is under a licence that a device vendor can ship.

use std::process::Command;

use candor_tests::workspace_root;
use serde_json::Value;

/// Permissive licences, by SPDX name. Copyleft ones, weak or strong, are not here.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression can be met with allowed licences alone. It may hold `OR` (or `/`), `AND`,
/// `WITH` and parentheses one deep.
fn is_met(expression: &str) -> bool {
    if let Some((before, rest)) = expression.split_once('(') {
        let Some((inside, after)) = rest.split_once(')') else {
            return false;
        };
        let stand_in = if is_met(inside) { ALLOWED[0] } else { "refused" };
        return is_met(&format!("{before}{stand_in}{after}"));
    }
    let any_of = expression.replace('/', " OR ");
    any_of.split(" OR ").any(|all_of| all_of.split(" AND ").all(|name| ALLOWED.contains(&name.trim())))
}

#[test]
fn expressions_are_met_by_allowed_licences_alone() {
    for met in [
        "MIT",
        "MIT/Apache-2.0",
        "MIT OR GPL-3.0-only",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 / MIT",
    ] {
        assert!(is_met(met), "{met}");
    }
    for refused in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR Zlib) AND LGPL-3.0",
        "",
        "Apache-2.0 WITH Fine-print",
    ] {
        assert!(!is_met(refused), "{refused}");
    }
}

#[test]
fn every_crate_is_under_an_allowed_licence() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--all-features"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    assert!(packages.len() > 20, "only {} packages listed", packages.len());
    let licence = |package: &Value| package["license"].as_str().unwrap_or_default().to_owned();
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_met(&licence(package)))
        .map(|package| format!("{} {}: \"{}\"", package["name"], package["version"], licence(package)))
        .collect();
    assert!(
        refused.is_empty(),
        "choose another crate, or add a permissive licence to ALLOWED:\n{}",
        refused.join("\n")
    );
}
