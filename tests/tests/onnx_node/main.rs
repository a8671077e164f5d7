//! ONNX's own operator cases, in floats and in integers; what becomes of each is a committed snapshot.
//!
//! `CANDOR_BLESS=1 cargo test -p candor-tests --test onnx_node` rewrites the snapshots, and the difference
//! shows what changed.

mod case;
mod floats;
mod image;
mod integers;

use std::panic::{AssertUnwindSafe, catch_unwind};

use candor_tests::{snapshot, workspace_root};
use case::Case;

/// Runs every case; none may be wrong, and the outcomes must be those of the snapshot `file`. Gives how many
/// outcomes begin with `good` and how many do not.
fn check(file: &str, good: &str, outcome: impl Fn(&Case) -> Result<String, String>) -> Option<[usize; 2]> {
    let (mut lines, mut failures, mut counts) = (String::new(), Vec::new(), [0, 0]);
    for case in Case::all()? {
        match catch_unwind(AssertUnwindSafe(|| outcome(&case))) {
            Ok(Ok(outcome)) => {
                counts[usize::from(!outcome.starts_with(good))] += 1;
                lines.push_str(&format!("{} {outcome}\n", case.name));
            }
            Ok(Err(problem)) => failures.push(format!("{}: {problem}", case.name)),
            Err(_) => failures.push(format!("{}: panicked", case.name)),
        }
    }
    println!("{} {good}, {} refused by name", counts[0], counts[1]);
    assert!(failures.is_empty(), "{} cases are wrong:\n{}", failures.len(), failures.join("\n"));
    snapshot::check(&workspace_root().join("tests/tests/onnx_node").join(file), &lines);
    Some(counts)
}

#[test]
fn every_case_passes_in_floats_or_is_refused_as_the_snapshot_says() {
    check("floats.txt", "passed", floats::outcome);
}

#[test]
fn every_case_gives_the_same_bytes_on_every_tier_or_is_refused_as_the_snapshot_says() {
    check("integers.txt", "ran", integers::outcome);
}
