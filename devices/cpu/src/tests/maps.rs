//! Operators that map codes position by position: add, multiply, lookup, remap, resize, copy, normalise.

use super::cases::{CHANNELS, Random, WIDTHS, agree, all_kernels, count};
use crate::CpuKernels;
use candor_core::arithmetic::{Multiplier, Normalization};
use candor_core::kernels::Kernels;
use candor_core::ops::remap::OUTSIDE;
use candor_core::ops::resize_linear::Neighbours;
use candor_core::ops::{Add, CopyChannels, GroupNorm, Lookup, Multiply, Remap, ResizeLinear};
use candor_core::tensor::{Element, Layout, RowsMut};

/// Runs `check` on one extent per width and on random extents.
fn over_extents(seed: u64, check: impl Fn(&mut Random, &[CpuKernels], [usize; 3])) {
    let kernels = all_kernels();
    let mut random = Random(seed);
    for width in WIDTHS {
        let channels = random.one_of(&[1, 3, 4, 5, 8]);
        check(&mut random, &kernels, [2, width, channels]);
    }
    for seed in 0..count() {
        let mut random = Random(seed * 977 + seed);
        let extents = [random.between(1, 6), random.one_of(&WIDTHS), random.one_of(&CHANNELS)];
        check(&mut random, &kernels, extents);
    }
}

/// A random output layout.
fn output(random: &mut Random, extents: [usize; 3]) -> Layout {
    let halo = random.halo();
    random.layout(extents, halo, Element::Code)
}

/// A random input with a random halo.
fn input(random: &mut Random, extents: [usize; 3]) -> super::cases::Tensor {
    let halo = random.halo();
    random.tensor(extents, halo)
}

#[test]
fn additions_equal_the_reference() {
    over_extents(21, |random, kernels, extents| {
        let (a, b) = (input(random, extents), input(random, extents));
        let mut factor = || {
            let factor = random.between(0, 1 << 22) as i32;
            if random.once_in(4) { -factor } else { factor }
        };
        // The greatest factors give sums just below 2^31, which a 32-bit float conversion must round to even.
        let factors = if factor() % 3 == 0 { [1 << 22, -(1 << 22)] } else { [factor(), factor()] };
        let constant = -i32::from(a.zero_point) * factors[0] - i32::from(b.zero_point) * factors[1];
        let multiplier = random.multiplier(1.0e6);
        let op = Add { factors, constant, multiplier, range: random.range() };
        let layout = output(random, extents);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.add(&op, a.rows(), b.rows(), rows);
        agree(&format!("{op:?} {extents:?}"), layout, kernels, &run);
    });
}

#[test]
fn products_with_every_broadcast_equal_the_reference() {
    over_extents(22, |random, kernels, extents| {
        let a = input(random, extents);
        let full = if random.once_in(2) { [false; 3] } else { [0; 3].map(|_: i32| random.once_in(2)) };
        let extents_b = [0, 1, 2].map(|axis: usize| if full[axis] { 1 } else { extents[axis] });
        let b = input(random, extents_b);
        let zero_points = [i32::from(a.zero_point), i32::from(b.zero_point)];
        let op = Multiply { zero_points, multiplier: random.multiplier(1.0e4), range: random.range() };
        let layout = output(random, extents);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.multiply(&op, a.rows(), b.rows(), rows);
        agree(&format!("{op:?} {extents:?} by {extents_b:?}"), layout, kernels, &run);
    });
}

#[test]
fn lookups_equal_the_reference() {
    over_extents(23, |random, kernels, extents| {
        let source = input(random, extents);
        let per_channel = random.once_in(2);
        let tables = random.codes(if per_channel { 256 * extents[2] } else { 256 });
        let op = Lookup { tables: &tables, per_channel };
        let layout = output(random, extents);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.lookup(&op, source.rows(), rows);
        agree(&format!("per channel {per_channel} {extents:?}"), layout, kernels, &run);
    });
}

#[test]
fn remaps_equal_the_reference() {
    over_extents(24, |random, kernels, extents| {
        let source_extents = [random.between(1, 5), random.between(1, 20), extents[2]];
        let source = input(random, source_extents);
        let mut map = |length: usize, limit: usize| -> Vec<u16> {
            // Halved positions repeat rows, as nearest-neighbour resize does; some entries lie outside.
            let entry = |at: usize| (at / 2).min(limit - 1) as u16;
            (0..length).map(|at| if random.once_in(5) { OUTSIDE } else { entry(at) }).collect()
        };
        let (rows, columns) = (map(extents[0], source_extents[0]), map(extents[1], source_extents[1]));
        let op = Remap { rows: &rows, columns: &columns, fill: random.bits() as u8 };
        let layout = output(random, extents);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.remap(&op, source.rows(), rows);
        agree(&format!("{op:?} {extents:?}"), layout, kernels, &run);
    });
}

#[test]
fn linear_resizes_equal_the_reference() {
    over_extents(25, |random, kernels, extents| {
        let source_extents = [random.between(1, 5), random.between(1, 20), extents[2]];
        let source = input(random, source_extents);
        let dy = random.one_of(&[1, 2, 4, 7, 2000]);
        let dx = random.one_of(&[1, 2, 4, 511, 4000]);
        let mut axis = |length: usize, limit: usize, denominator: usize| -> Vec<Neighbours> {
            let mut position = || random.between(0, limit - 1) as u16;
            let pairs: Vec<_> = (0..length).map(|_| (position(), position())).collect();
            let weight = |random: &mut Random| random.between(0, denominator) as u32;
            pairs.into_iter().map(|(low, high)| Neighbours { low, high, weight: weight(random) }).collect()
        };
        let rows = axis(extents[0], source_extents[0], dy);
        let columns = axis(extents[1], source_extents[1], dx);
        let op = ResizeLinear {
            rows: &rows,
            columns: &columns,
            denominators: [dy as i32, dx as i32],
            zero_point: i32::from(source.zero_point),
            multiplier: random.multiplier(2.0 * (dy * dx) as f32),
            range: random.range(),
        };
        let layout = output(random, extents);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.resize_linear(&op, source.rows(), rows);
        agree(&format!("{dy}/{dx} {extents:?} from {source_extents:?}"), layout, kernels, &run);
    });
}

#[test]
fn channel_copies_keep_their_neighbours() {
    over_extents(26, |random, kernels, extents| {
        let wide = extents[2] + random.between(0, 9);
        let count = random.between(1, extents[2]);
        let (from, to) = (random.between(0, extents[2] - count), random.between(0, wide - count));
        let source = input(random, extents);
        let table = random.codes(256);
        let table = random.once_in(2).then_some(table.as_slice());
        let op = CopyChannels { from, to, count, table };
        let layout = output(random, [extents[0], extents[1], wide]);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.copy_channels(&op, source.rows(), rows);
        agree(&format!("{from}..+{count} to {to} of {wide} {extents:?}"), layout, kernels, &run);
    });
}

#[test]
fn normalisations_equal_the_reference() {
    over_extents(27, |random, kernels, extents| {
        let source = input(random, extents);
        let mut affine: Vec<[Multiplier; 2]> =
            (0..extents[2]).map(|_| [random.multiplier(2.0), random.multiplier(0.01)]).collect();
        // An overflowing slope times code 0 plus an opposite infinity is not a number: it must become the low
        // code.
        if random.once_in(4) {
            affine[0] = [Multiplier::new(f32::INFINITY), Multiplier::new(f32::NEG_INFINITY)];
        }
        let one = Multiplier::new(1.0);
        let constants = Normalization { epsilon: one, output_steps: one };
        let range = random.range();
        let op = GroupNorm { group: 1, constants, gamma: &[], beta: &[], range };
        let layout = output(random, extents);
        let run =
            |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.group_norm(&op, &affine, source.rows(), rows);
        agree(&format!("{range:?} {extents:?}"), layout, kernels, &run);
    });
}
