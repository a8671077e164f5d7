//! What many tests share: finding optional data and tools, and saying aloud when they are missing.

pub mod allocation;
pub mod binaries;
pub mod onnx;
pub mod plan;
pub mod snapshot;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The comma list of optional things (`data`, `oracle`, `avx2`, ...) that must not be skipped in this run.
pub const REQUIRE_VARIABLE: &str = "CANDOR_REQUIRE";

/// Hands through what a test needs, or prints `SKIPPED name: why` and gives `None`, so that the test
/// returns.
///
/// The line goes to the real standard error, so that a passing test run still shows what it left out.
///
/// # Panics
/// If the thing is missing and [`REQUIRE_VARIABLE`] lists its name.
pub fn require<T>(name: &str, found: Result<T, String>) -> Option<T> {
    let required = std::env::var(REQUIRE_VARIABLE).unwrap_or_default();
    match found {
        Ok(thing) => Some(thing),
        Err(why) if lists(&required, name) => panic!("{REQUIRE_VARIABLE} lists {name}, but {why}"),
        Err(why) => {
            // A closed standard error loses the note, not the test.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
            None
        }
    }
}

/// Whether the comma list `required` holds `name`.
fn lists(required: &str, name: &str) -> bool {
    required.split(',').any(|entry| entry.trim() == name)
}

/// The workspace root, an absolute path.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A folder of the shared test data, found under `CANDOR_DATA` or beside the checkout; optional thing
/// `data`.
pub fn data(folder: &str) -> Option<PathBuf> {
    let base = match std::env::var_os("CANDOR_DATA") {
        Some(base) => PathBuf::from(base),
        None => workspace_root().join("../shared/data"),
    };
    let path = base.join(folder);
    let missing = || format!("{} does not exist; CANDOR_DATA names the folder that holds it", path.display());
    require("data", if path.exists() { Ok(path) } else { Err(missing()) })
}

/// A Python interpreter with NumPy, SciPy, scikit-learn, ONNX and ONNX Runtime: `CANDOR_PYTHON`, or the one
/// that `tests/setup.sh` sets up; optional thing `oracle`.
pub fn python() -> Option<PathBuf> {
    let interpreter = match std::env::var_os("CANDOR_PYTHON") {
        Some(interpreter) => PathBuf::from(interpreter),
        None => workspace_root().join("target/venv/bin/python"),
    };
    require("oracle", imports_the_oracles(&interpreter).map(|()| interpreter))
}

fn imports_the_oracles(interpreter: &Path) -> Result<(), String> {
    let imports = "import numpy, scipy, sklearn, onnx, onnxruntime";
    let output = Command::new(interpreter)
        .args(["-c", imports])
        .output()
        .map_err(|error| format!("{} does not start ({error}); run tests/setup.sh", interpreter.display()))?;
    let reason = String::from_utf8_lossy(&output.stderr);
    let reason = reason.lines().last().unwrap_or_default();
    let failed = || format!("{} lacks a package ({reason}); run tests/setup.sh", interpreter.display());
    if output.status.success() { Ok(()) } else { Err(failed()) }
}
