//! What the tests of this crate share: where outside data lies, and digests.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// A folder of the test data that is kept outside the repository; `None`, with a line saying so, where it
/// is absent.
///
/// # Panics
/// When it is absent and the environment's `CANDOR_REQUIRE` lists `data`.
pub fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CANDOR_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var("CANDOR_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|item| item == "data"), "{} is required but absent", path.display());
    println!("SKIPPED {} is absent; set CANDOR_DATA", path.display());
    None
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
