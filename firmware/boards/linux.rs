//! What `segmenter.rs` does on a board, as a program of Linux: the golden frame of the package it was built
//! with, and the digest of everything it computed.
//!
//! `CANDOR_MODEL` names a Rust file as there.

use std::process::ExitCode;

use candor_core::digest::short;
use candor_core::schedule::Schedule;
use candor_cpu::{CpuKernels, Tier};
use candor_firmware::segmenter::{GoldenSource, Segmenter, StepDigests};
use sha2::{Digest, Sha256};

/// Package, seed, places and entries of the schedule, bytes of the arena, pixels.
mod model {
    use candor_core::schedule::{Entry, Place};
    use candor_core::tensor::{Element, Halo, Layout};
    include!(env!("CANDOR_MODEL"));
}

/// Bytes that start where packages and arenas must.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static PACKAGE: Aligned<[u8; model::PACKAGE.len()]> = Aligned(*model::PACKAGE);

fn main() -> ExitCode {
    let schedule = Schedule {
        places: &model::PLACES,
        entries: &model::ENTRIES,
        arena_bytes: model::ARENA_BYTES,
        scratch: model::SCRATCH,
    };
    let tier = Tier::best();
    let segmenter =
        CpuKernels::new(tier, 1).ok().map(|kernels| Segmenter::new(&PACKAGE.0, schedule, kernels));
    let Some(Ok(segmenter)) = segmenter else {
        eprintln!("the package is refused");
        return ExitCode::FAILURE;
    };
    println!("tier {}", tier.name());
    let mut arena = Box::new(Aligned([0; model::ARENA_BYTES]));
    let (mut mask, mut confidence) = (vec![0; model::PIXELS], vec![0; model::PIXELS]);
    let (mut source, mut digests) = (GoldenSource { seed: model::SEED }, StepDigests::new());
    if let Err(why) = segmenter.run(&mut arena.0, &mut source, &mut mask, &mut confidence, &mut digests) {
        eprintln!("the frame is refused: {why:?}");
        return ExitCode::FAILURE;
    }
    for (step, digest) in digests.take() {
        println!("step {step} {:016x}", short(digest));
    }
    let bytes: Vec<u8> = confidence.iter().flat_map(|value| value.to_le_bytes()).collect();
    println!("mask {:016x}", short(Sha256::digest(mask).into()));
    println!("confidence {:016x}", short(Sha256::digest(bytes).into()));
    ExitCode::SUCCESS
}
