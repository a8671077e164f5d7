//! The rate of a tier's dot product on registers alone: the roof that kernels are measured against.
//!
//! Only for tiers whose product is one instruction that adds to its sum; where a product could be formed
//! once and added many times, the tier has its own loop.

use crate::loops::vector::{MAX_LANES, PIXEL, Vector};
use core::hint::black_box;

/// Runs `rounds` of independent products and returns how many multiplications they held.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn products<V: Vector>(rounds: usize) -> u64 {
    // SAFETY: the caller's contract; the arrays hold more than a register.
    unsafe {
        let pixels = black_box([1u8; MAX_LANES * PIXEL]);
        let codes = V::codes(V::load(pixels.as_ptr()));
        let weights = V::weights_of(black_box(0x0101_0101));
        let count = if V::REGISTERS == 32 { 16 } else { 10 };
        let mut sums = [V::start(0); 16];
        for _ in 0..rounds {
            for sum in &mut sums[..count] {
                *sum = V::dot(*sum, codes, weights);
            }
        }
        let mut lanes = [0; MAX_LANES];
        for sum in sums {
            V::integers(sum, &mut lanes);
            black_box(lanes);
        }
        (rounds * count * V::LANES * PIXEL) as u64
    }
}
