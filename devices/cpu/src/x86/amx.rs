//! The amx tier: dense convolutions as products of byte tiles, everything else as the avx512vnni tier.
//!
//! A tile of weights is sixteen output channels by sixteen words, read from the package as it is; a tile of
//! codes is sixteen words by sixteen pixels, read from a copy of a few input rows in which every tap's pixels
//! begin a cache line: rows of a tile that straddle two lines load six times as slowly.

mod permission;
mod product;
mod stage;
mod tile;

use crate::loops::convolution;
use crate::loops::dense;
use crate::loops::vector::Vector;
use crate::table::Table;
use crate::x86::avx512::Avx512;
use crate::x86::moments;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{Rows, RowsMut};

pub(crate) use permission::is_permitted;

/// Words per output channel up to which vectors, which store two phases together, transpose faster.
const FEW_WORDS: usize = 16;

/// The loops of this tier.
pub(crate) static TABLE: Table =
    Table { convolution: convolve, transposed: transpose, roof, ..moments::TABLE };

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn convolve(op: &Convolution<'_>, input: Rows<'_>, mut output: RowsMut<'_>) {
    match convolution::pass(op, &input, &mut output, Avx512::LANES) {
        // SAFETY: the pass was checked; the tier is available.
        Some(pass) => unsafe { run(&pass) },
        None => candor_core::ops::convolution::reference(op, input, output),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn transpose(op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    if !convolution::transposed_fits(op, &input, &output) {
        return candor_core::ops::transposed::reference(op, input, output);
    }
    let words = |row: usize, column: usize| op.order(input.layout.blocks(), row, column).words();
    let columns = 0..op.stride[1];
    if (0..op.stride[0]).all(|row| columns.clone().all(|column| words(row, column) <= FEW_WORDS)) {
        // SAFETY: this function is compiled with the tier's instructions.
        return unsafe { convolution::transpose::<Avx512>(op, input, output) };
    }
    let target = output.data.as_mut_ptr();
    for row in 0..op.stride[0] {
        for column in 0..op.stride[1] {
            let phase = [row, column];
            if let Some(pass) = convolution::phase_pass(op, &input, &output, target, phase, Avx512::LANES) {
                // SAFETY: `transposed_fits` bounds every tap, output pixel and constant of every phase.
                unsafe { run(&pass) }
            }
        }
    }
}

/// Runs a pass on tiles, or on vectors where it is none for tiles.
///
/// # Safety
/// As [`dense::run`], in a function compiled with the tier's vector instructions.
#[inline(always)]
unsafe fn run(pass: &dense::Dense<'_>) {
    // SAFETY: the caller's contract.
    unsafe {
        match stage::Stage::plan(pass) {
            Some(stage) => product::run(pass, &stage),
            None => dense::run::<Avx512>(pass),
        }
    }
}

/// The roof of this tier: products of resident tiles.
fn roof(rounds: usize) -> u64 {
    // SAFETY: only called where the tier is available.
    unsafe { tile::roof(rounds) }
}
