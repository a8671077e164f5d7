//! Whatever bytes a model file holds, the import gives a network or a list of problems.
#![no_main]

use candor_lab::onnx::{ImportOptions, import};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Problems are a valid answer; a panic, an overflow or memory without bound is the finding.
    let _ = import(bytes, &ImportOptions::default());
});
