//! Operators that map codes position by position, as plain loops that the compiler vectorises per tier.

use crate::image::image;
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::ops::group_norm::Affine;
use candor_core::ops::{Add, GroupNorm, Multiply, add, group_norm, multiply};
use candor_core::tensor::{BLOCK, Element, Layout, Rows, RowsMut};

/// Codes handled by one inner loop of constant length.
const CHUNK: usize = 64;

/// Adding and subtracting 1.5·2^23 rounds an f32 of magnitude below 2^22 to an integer, half to even; the
/// sum's bits less those of 1.5·2^23 are that integer.
const ROUNDING: f32 = 12_582_912.0;

/// The requantize step of [`candor_core::arithmetic::requantize`] in a form that needs no conversion
/// checks.
#[derive(Clone, Copy)]
struct Step {
    low: f32,
    high: f32,
    zero_point: i32,
}

impl Step {
    fn new(range: Range) -> Self {
        Self {
            low: range.low.wrapping_sub(range.zero_point) as f32,
            high: range.high.wrapping_sub(range.zero_point) as f32,
            zero_point: range.zero_point,
        }
    }

    /// The code of a product; comparisons send a NaN to the lower bound as `f32::max` does.
    #[inline(always)]
    fn code(self, product: f32) -> u8 {
        let raised = if product > self.low { product } else { self.low };
        let clamped = if raised < self.high { raised } else { self.high };
        let rounded = (clamped + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits());
        (rounded as i32).wrapping_add(self.zero_point) as u8
    }
}

/// Whether two tensors of codes have the same image and channels.
pub(crate) fn same_extents(a: &Layout, b: &Layout) -> bool {
    (a.height, a.width, a.channels, a.element) == (b.height, b.width, b.channels, b.element)
        && a.element == Element::Code
}

/// As [`image`], writable.
#[inline(always)]
pub(crate) fn image_mut<'a>(layout: &Layout, row: &'a mut [u8], block: usize) -> &'a mut [u8] {
    &mut row[layout.offset_in_row(block, 0)..][..layout.width * BLOCK]
}

/// Rescaled addition.
#[inline(always)]
pub(crate) fn add(op: &Add, a: Rows<'_>, b: Rows<'_>, mut output: RowsMut<'_>) {
    let to = output.layout;
    if !same_extents(&a.layout, &to) || !same_extents(&b.layout, &to) {
        return add::reference(op, a, b, output);
    }
    let (step, multiplier) = (Step::new(op.range), op.multiplier.get());
    for y in output.first..output.first + output.count {
        let (first, second, row) = (a.row(y), b.row(y), output.row_mut(y));
        for block in 0..to.blocks() {
            let target = image_mut(&to, row, block);
            let (left, right) = (image(&a.layout, first, block), image(&b.layout, second, block));
            for ((code, &a), &b) in target.iter_mut().zip(left).zip(right) {
                let sum = (i32::from(a) * op.factors[0])
                    .wrapping_add(i32::from(b) * op.factors[1])
                    .wrapping_add(op.constant);
                *code = step.code(sum as f32 * multiplier);
            }
        }
    }
}

/// Product with broadcast: the second factor of each chunk is spread to a plain array first.
#[inline(always)]
pub(crate) fn multiply(op: &Multiply, a: Rows<'_>, b: Rows<'_>, mut output: RowsMut<'_>) {
    let (to, second) = (output.layout, b.layout);
    if !same_extents(&a.layout, &to) || second.element != Element::Code {
        return multiply::reference(op, a, b, output);
    }
    let (step, multiplier) = (Step::new(op.range), op.multiplier.get());
    let [zero_a, zero_b] = op.zero_points;
    for y in output.first..output.first + output.count {
        let (first, factors) = (a.row(y), b.row(y.min(second.height - 1)));
        let row = output.row_mut(y);
        for block in 0..to.blocks() {
            let source = image(&a.layout, first, block);
            let target = image_mut(&to, row, block);
            let factors = image(&second, factors, block.min(second.blocks() - 1));
            let mut spread = [0u8; CHUNK];
            for (index, target) in target.chunks_mut(CHUNK).enumerate() {
                let start = index * CHUNK;
                if index == 0 || second.width > 1 {
                    spread_factors(&second, factors, start, target.len(), &mut spread);
                }
                for ((code, &a), &b) in target.iter_mut().zip(&source[start..]).zip(&spread) {
                    let product = (i32::from(a) - zero_a) * (i32::from(b) - zero_b);
                    *code = step.code(product as f32 * multiplier);
                }
            }
        }
    }
}

/// Writes the second factors of `length` codes from byte `start` of a block, repeating what is broadcast.
#[inline(always)]
fn spread_factors(layout: &Layout, factors: &[u8], start: usize, length: usize, spread: &mut [u8; CHUNK]) {
    if layout.width > 1 && layout.channels > 1 {
        spread[..length].copy_from_slice(&factors[start..start + length]);
        return;
    }
    for (index, pixel) in spread.chunks_exact_mut(BLOCK).enumerate() {
        let at = (start + index * BLOCK).min((layout.width - 1) * BLOCK);
        let factor = &factors[at..at + BLOCK];
        if layout.channels == 1 {
            pixel.fill(factor[0]);
        } else {
            pixel.copy_from_slice(factor);
        }
    }
}

/// Second pass of group normalisation.
#[inline(always)]
pub(crate) fn group_norm(op: &GroupNorm<'_>, affine: &[Affine], input: Rows<'_>, mut output: RowsMut<'_>) {
    let (from, to) = (input.layout, output.layout);
    if !same_extents(&from, &to) || affine.len() < to.channels {
        return group_norm::reference(op, affine, input, output);
    }
    let step = Step::new(op.range);
    let none = [Multiplier::new(0.0); 2];
    for block in 0..to.blocks() {
        let (mut slopes, mut offsets) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        for (index, (slope, offset)) in slopes.iter_mut().zip(&mut offsets).enumerate() {
            let [s, o] = affine.get(block * BLOCK + index % BLOCK).copied().unwrap_or(none);
            (*slope, *offset) = (s.get(), o.get());
        }
        for y in output.first..output.first + output.count {
            let source = image(&from, input.row(y), block);
            let target = image_mut(&to, output.row_mut(y), block);
            for (target, source) in target.chunks_mut(CHUNK).zip(source.chunks(CHUNK)) {
                let constants = slopes.iter().zip(&offsets);
                for ((code, &from), (slope, offset)) in target.iter_mut().zip(source).zip(constants) {
                    *code = step.code(f32::from(from) * slope + offset);
                }
            }
        }
    }
}
