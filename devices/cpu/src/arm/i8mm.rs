//! The i8mm tier: dense convolutions as products of small matrices, everything else as the neondot tier.

use super::{dense, matrix, neondot};
use crate::table::Table;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{Rows, RowsMut};
use core::arch::aarch64::*;
use core::arch::asm;
use core::hint::black_box;

/// The loops of this tier.
pub(crate) static TABLE: Table =
    Table { convolution: convolve, transposed: transpose, roof, ..neondot::TABLE };

fn convolve(op: &Convolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    dense::convolve(op, input, output, matrix::run);
}

fn transpose(op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
    dense::transpose(op, input, output, matrix::run);
}

/// The roof of this tier; see [`crate::loops::roof`].
#[target_feature(enable = "neon,i8mm")]
fn roof(rounds: usize) -> u64 {
    let codes = vdupq_n_u8(black_box(1));
    let weights = vdupq_n_s8(black_box(1));
    let mut sums = [vdupq_n_s32(0); 16];
    for _ in 0..rounds {
        for sums in &mut sums {
            // SAFETY: register arithmetic of this tier.
            unsafe {
                asm!(
                    "usmmla {sums:v}.4s, {codes:v}.16b, {weights:v}.16b",
                    sums = inout(vreg) *sums,
                    codes = in(vreg) codes,
                    weights = in(vreg) weights,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
    }
    black_box(sums);
    (rounds * sums.len() * 32) as u64
}
