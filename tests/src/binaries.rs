//! The product's own binaries, built for a test that runs them as a user does.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::workspace_root;

/// Where `name` (`candor`, `candor-lab`) lies, built from the present sources in the profile of this test.
///
/// # Panics
/// If the build fails, with what cargo printed.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

/// Builds both binaries; the folder they lie in.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // target/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).expect("tests lie in a profile's folder").to_path_buf();
    let target = profile.parent().expect("profiles lie in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "candor-cli", "-p", "candor-lab", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(workspace_root()).output().expect("cargo starts");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    profile
}
