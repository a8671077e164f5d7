//! Bad input of every kind gets one exact error, the documented exit code, and never a panic.
//!
//! The errors are a text file under review: `CANDOR_BLESS=1 cargo test -p candor-tests --test bad_inputs`
//! rewrites it, and the difference shows what changed for a user.

mod folders;
mod frames;
mod models;
mod packages;
mod pictures;
mod scores;
mod table;
mod usage;

use std::path::Path;

use candor_tests::{snapshot, workspace_root};
use table::Table;

/// The least number of bad inputs.
const ROWS_MIN: usize = 60;

#[test]
fn every_bad_input_gets_its_own_error_and_exit_code() {
    let mut table = Table::new();
    packages::rows(&mut table);
    models::rows(&mut table);
    frames::rows(&mut table);
    folders::rows(&mut table);
    scores::rows(&mut table);
    usage::rows(&mut table);
    let (text, rows) = table.finish();
    assert!(rows >= ROWS_MIN, "{rows} rows");
    for place in [workspace_root(), std::env::temp_dir()] {
        let place = place.display().to_string();
        assert!(!text.contains(&place), "the text names {place}, a path of this machine");
    }
    snapshot::check(&workspace_root().join("tests/tests/bad_inputs.txt"), &text);
}

#[test]
fn unusual_but_sound_inputs_run() {
    let mut table = Table::new();
    for command in frames::sound(&table).into_iter().chain(packages::sound(&table)) {
        table.accepted(&command);
    }
}

#[test]
fn a_good_input_beside_a_bad_one_is_still_processed() {
    let mut table = Table::new();
    let out = table.path("out");
    for (name, bad) in frames::damaged() {
        table.file(name, &bad);
        let command =
            format!("candor run $DIR/model.candor $DIR/{name} $DIR/frames/03.png --out $DIR/out --json");
        let stdout = table.run(&command, 3).stdout;
        assert_eq!(stdout.lines().count(), 1, "{command}: {stdout}");
        assert!(stdout.contains("frames/03.png"), "{command}: {stdout}");
        assert!(Path::new(&out).join("03.mask.png").is_file(), "{command}: no mask");
        std::fs::remove_dir_all(&out).expect("the masks can be removed");
    }
    table.expect_no_faults();
}

#[test]
fn a_tier_this_machine_lacks_is_an_error_of_the_device() {
    let absent = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    let mut table = Table::new();
    for verb in
        ["run $DIR/model.candor $DIR/frames/03.png", "bench $DIR/model.candor", "selftest $DIR/model.candor"]
    {
        let command = format!("candor {verb} --tier {absent}");
        let stderr = table.run(&command, 5).stderr;
        assert!(stderr.contains(absent), "{stderr}");
    }
    table.expect_no_faults();
}
