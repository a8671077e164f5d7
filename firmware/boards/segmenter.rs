//! Segments golden frames of the package it was built with, and tells the digest of everything it computed.
//!
//! `CANDOR_MODEL` names a Rust file with the package and its schedule, as `cargo firmware` writes it. The
//! argument is the number of frames after the first, which are run without digests and from a line in memory
//! as a camera's would be, so that their instructions can be counted.
#![no_std]
#![no_main]

mod mps;
mod uart;

use candor_core::digest::short;
use candor_core::schedule::{Schedule, Source, load_channel};
use candor_core::tensor::RowsMut;
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
static mut ARENA: Aligned<[u8; model::ARENA_BYTES]> = Aligned([0; model::ARENA_BYTES]);
static mut MASK: [u8; model::PIXELS] = [0; model::PIXELS];
static mut CONFIDENCE: [u16; model::PIXELS] = [0; model::PIXELS];
static mut DIGESTS: StepDigests = StepDigests::new();

/// Rows that are all the same bytes.
struct Line;

impl Source for Line {
    fn load(&mut self, _: usize, mut rows: RowsMut<'_>) -> bool {
        let layout = rows.layout;
        for y in rows.first..rows.first + rows.count {
            let row = rows.row_mut(y);
            (0..layout.channels).for_each(|c| load_channel(&layout, row, c, &PACKAGE.0[..layout.width]));
        }
        true
    }
}

#[cortex_m_rt::entry]
#[allow(static_mut_refs, reason = "taken once")]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names these variables.
    let (arena, mask, confidence, digests) =
        unsafe { (&mut ARENA.0[..], &mut MASK[..], &mut CONFIDENCE[..], &mut DIGESTS) };
    let tier = Tier::best();
    let Ok(kernels) = CpuKernels::new(tier, 1) else { mps::stop(false) };
    let schedule = Schedule {
        places: &model::PLACES,
        entries: &model::ENTRIES,
        arena_bytes: model::ARENA_BYTES,
        scratch: model::SCRATCH,
    };
    let Ok(segmenter) = Segmenter::new(&PACKAGE.0, schedule, kernels) else {
        defmt::error!("the package is refused");
        mps::stop(false)
    };
    defmt::info!("tier {=str}", tier.name());
    let mut source = GoldenSource { seed: model::SEED };
    let mut success = segmenter.run(arena, &mut source, mask, confidence, digests).is_ok();
    for (step, digest) in digests.take() {
        defmt::info!("step {=usize} {=u64:016x}", step, short(digest));
    }
    let mut hash = Sha256::new();
    confidence.iter().for_each(|value| hash.update(value.to_le_bytes()));
    defmt::info!("mask {=u64:016x}", short(Sha256::digest(&*mask).into()));
    defmt::info!("confidence {=u64:016x}", short(hash.finalize().into()));
    for _ in 0..mps::argument() {
        success &= segmenter.run(arena, &mut Line, mask, confidence, &mut ()).is_ok();
    }
    defmt::info!("stack {=usize}", mps::stack_bytes());
    mps::stop(success)
}
