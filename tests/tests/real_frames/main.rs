//! Drift and recalibration on real frames: the published nuclei U-Net on held-out fluorescence images.
//!
//! Takes minutes and a package, made as the README says: `CANDOR_NUCLEI=nuclei.candor cargo test --release
//! -p candor-tests --test real_frames -- --nocapture` prints the figures.

mod drift;
mod frames;
mod labels;

use std::path::PathBuf;

use candor::Package;
use candor_tests::require;

/// The package that `CANDOR_NUCLEI` names; optional thing `nuclei-package`.
fn package() -> Option<Package> {
    let named = std::env::var_os("CANDOR_NUCLEI").ok_or("CANDOR_NUCLEI names no package".to_string());
    let path = require("nuclei-package", named.map(PathBuf::from))?;
    Some(Package::open(&path).expect("CANDOR_NUCLEI names a package"))
}
