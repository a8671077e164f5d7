//! Elementwise operators, pooling, gathers and linear resize against their plain definitions.

use super::*;
use crate::ops::resize_linear::Neighbours;
use crate::ops::{AveragePool, MaxPool, Multiply, Remap, ResizeLinear};

#[test]
fn addition_rescales_both_inputs_within_half_a_step_of_the_reals() {
    let mut random = Random(21);
    for _ in 0..20 {
        let zero: [u8; 3] = [0; 3].map(|_| random.bits() as u8);
        let scales = [0.0; 3].map(|_: f64| 0.01 + (random.unit() + 1.0) * 0.02);
        let (a, b) =
            (Image::random(&mut random, [2, 3, 5], zero[0]), Image::random(&mut random, [2, 3, 5], zero[1]));
        let greatest = scales[0].max(scales[1]);
        let factor = |scale: f64| (scale / greatest * 4_194_304.0).round() as i32 as u32;
        let mut plan = PlanWriter::with_inputs(2);
        let inputs = [
            plan.tensor(a.extent, Halo::default(), zero[0]),
            plan.tensor(a.extent, Halo::default(), zero[1]),
        ];
        let output = plan.tensor(a.extent, Halo::default(), zero[2]);
        let multiplier = (greatest / 4_194_304.0 / scales[2]) as f32;
        let words = [factor(scales[0]), factor(scales[1]), bits(multiplier), 0, 255];
        plan.step(Add::OPCODE, inputs, output, &words);
        let real = |at: usize| {
            let real = |image: &Image, scale| {
                f64::from(i16::from(image.codes[at]) - i16::from(image.zero_point)) * scale
            };
            ((real(&a, scales[0]) + real(&b, scales[1])) / scales[2] + f64::from(zero[2])).clamp(0.0, 255.0)
        };
        for (at, found) in run_plan(&plan, &[&a, &b]).into_iter().enumerate() {
            assert!((f64::from(found) - real(at)).abs() <= 0.5 + 1e-3, "{found} for {}", real(at));
        }
    }
}

#[test]
fn products_broadcast_over_space_over_channels_and_over_both() {
    let mut random = Random(22);
    for second in [[3, 4, 6], [1, 1, 6], [3, 4, 1], [1, 1, 1], [3, 1, 6], [1, 4, 1]] {
        let (a, b) = (Image::random(&mut random, [3, 4, 6], 40), Image::random(&mut random, second, 200));
        let mut plan = PlanWriter::with_inputs(2);
        let inputs = [plan.tensor(a.extent, Halo::default(), 40), plan.tensor(second, Halo::default(), 200)];
        let output = plan.tensor(a.extent, Halo::default(), 128);
        plan.step(Multiply::OPCODE, inputs, output, &[bits(0.004), 0, 255]);
        let expected = planar(a.extent, |y, x, c| {
            let pick = |at: usize, axis: usize| if second[axis] == 1 { 0 } else { at };
            let factor = b.centred(pick(y, 0) as isize, pick(x, 1) as isize, pick(c, 2));
            rescaled(a.centred(y as isize, x as isize, c) * factor, 0.004, 128)
        });
        assert_eq!(run_plan(&plan, &[&a, &b]), expected, "{second:?}");
    }
}

#[test]
fn tables_are_shared_or_per_channel() {
    let mut random = Random(23);
    let image = Image::random(&mut random, [3, 4, 5], 0);
    for per_channel in [0, 1] {
        let tables = random.codes(256 * 5);
        let mut plan = PlanWriter::default();
        let input = plan.tensor(image.extent, Halo::default(), 0);
        let output = plan.tensor(image.extent, Halo::default(), 0);
        let offset = plan.constant(&tables);
        plan.step(Lookup::OPCODE, [input; 2], output, &[offset, per_channel]);
        let expected = planar(image.extent, |y, x, c| {
            let code = image.code(y as isize, x as isize, c).unwrap_or(0);
            i32::from(tables[c * per_channel as usize * 256 + usize::from(code)])
        });
        assert_eq!(run_plan(&plan, &[&image]), expected);
    }
}

/// Kernel, stride, dilation, pads (top, left), output extent.
type Pool = ([usize; 2], [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

const POOLS: [Pool; 6] = [
    ([2, 2], [2, 2], [1, 1], [0, 0], [3, 4]),
    ([3, 3], [2, 2], [1, 1], [1, 1], [4, 5]),
    // Odd ends: the last window is clipped, as with ceil mode.
    ([2, 2], [2, 2], [1, 1], [0, 0], [4, 5]),
    ([3, 2], [1, 3], [2, 3], [2, 1], [7, 3]),
    ([5, 5], [1, 1], [1, 1], [2, 2], [7, 9]),
    ([1, 1], [3, 2], [1, 1], [0, 0], [3, 5]),
];

fn pool_taps<'a>(
    image: &'a Image,
    (kernel, stride, dilation, pads, _): Pool,
    [y, x, c]: [usize; 3],
) -> impl Iterator<Item = i32> + 'a {
    let grid = (0..kernel[0]).flat_map(move |ky| (0..kernel[1]).map(move |kx| (ky, kx)));
    grid.filter_map(move |(ky, kx)| {
        let row = (y * stride[0] + ky * dilation[0]) as isize - pads[0] as isize;
        let column = (x * stride[1] + kx * dilation[1]) as isize - pads[1] as isize;
        image.code(row, column, c).map(i32::from)
    })
}

#[test]
fn pooling_takes_only_pixels_of_the_image() {
    let mut random = Random(24);
    for pool in POOLS {
        let image = Image::random(&mut random, [7, 9, 6], 60);
        let (kernel, stride, dilation, pads, outputs) = pool;
        let extent = [outputs[0], outputs[1], 6];
        let words: Vec<u32> =
            [kernel, stride, dilation, pads].concat().into_iter().map(|w| w as u32).collect();
        let mut greatest = PlanWriter::default();
        let halo = Halo { top: 1, left: 3, bottom: 0, right: 2 };
        let input = greatest.tensor(image.extent, halo, 60);
        let output = greatest.tensor(extent, Halo::default(), 60);
        let mut mean = greatest.clone();
        greatest.step(MaxPool::OPCODE, [input; 2], output, &words);
        let expected = planar(extent, |y, x, c| pool_taps(&image, pool, [y, x, c]).max().unwrap());
        assert_eq!(run_plan(&greatest, &[&image]), expected, "max {pool:?}");

        let divisors: Vec<f32> = (0..=kernel[0] * kernel[1]).map(|n| 1.25 / n.max(1) as f32).collect();
        let offset = mean.constant(&divisors);
        mean.step(AveragePool::OPCODE, [input; 2], output, &[&words[..], &[offset, 0, 255]].concat());
        let expected = planar(extent, |y, x, c| {
            let taps: Vec<i32> = pool_taps(&image, pool, [y, x, c]).collect();
            let sum: i32 = taps.iter().map(|v| v - 60).sum();
            rescaled(sum, 1.25 / taps.len() as f32, 60)
        });
        assert_eq!(run_plan(&mean, &[&image]), expected, "mean {pool:?}");
    }
}

#[test]
fn gathers_read_the_mapped_pixel_or_the_fill() {
    let mut random = Random(25);
    let image = Image::random(&mut random, [4, 5, 6], 60);
    let rows: Vec<u16> = vec![3, 3, u16::MAX, 0, 1];
    let columns: Vec<u16> = vec![u16::MAX, 4, 0, 2, 2, 1, u16::MAX];
    let mut plan = PlanWriter::default();
    let input = plan.tensor(image.extent, Halo { top: 2, left: 1, bottom: 1, right: 1 }, 60);
    let output = plan.tensor([5, 7, 6], Halo::default(), 60);
    let words = [plan.constant(&rows), plan.constant(&columns), 17];
    plan.step(Remap::OPCODE, [input; 2], output, &words);
    let expected = planar([5, 7, 6], |y, x, c| {
        let (row, column) = (rows[y], columns[x]);
        let outside = row == u16::MAX || column == u16::MAX;
        let code = if outside { Some(17) } else { image.code(row as isize, column as isize, c) };
        i32::from(code.unwrap())
    });
    assert_eq!(run_plan(&plan, &[&image]), expected);
}

#[test]
fn channel_copies_join_rescale_and_split() {
    let mut random = Random(26);
    let (a, b) = (Image::random(&mut random, [2, 3, 5], 0), Image::random(&mut random, [2, 3, 6], 0));
    let table = random.codes(256);
    let mut plan = PlanWriter::with_inputs(2);
    let inputs = [plan.tensor(a.extent, Halo::default(), 0), plan.tensor(b.extent, Halo::default(), 0)];
    let output = plan.tensor([2, 3, 8], Halo { top: 1, left: 1, bottom: 1, right: 1 }, 0);
    let offset = plan.constant(&table);
    // Channels 1..4 of a, then 0..5 of b through the table.
    plan.step(CopyChannels::OPCODE, [inputs[0]; 2], output, &[1, 0, 3, CopyChannels::NO_TABLE]);
    plan.step(CopyChannels::OPCODE, [inputs[1]; 2], output, &[0, 3, 5, offset]);
    let expected = planar([2, 3, 8], |y, x, c| {
        let (y, x) = (y as isize, x as isize);
        let code = if c < 3 { a.code(y, x, c + 1) } else { b.code(y, x, c - 3) }.unwrap();
        i32::from(if c < 3 { code } else { table[usize::from(code)] })
    });
    assert_eq!(run_plan(&plan, &[&a, &b]), expected);
}

/// How an output position becomes a source coordinate.
type Coordinate = fn(f64, f64, f64) -> f64;
/// The same as numerator and denominator.
type Fraction = fn(i64, i64, i64) -> (i64, i64);

#[test]
fn linear_resize_equals_bilinear_interpolation_in_f64() {
    let rules: [(&str, Coordinate, Fraction); 3] = [
        ("half pixel", |x, i, o| (x + 0.5) * i / o - 0.5, |x, i, o| ((2 * x + 1) * i - o, 2 * o)),
        ("align corners", |x, i, o| x * (i - 1.0) / (o - 1.0), |x, i, o| (x * (i - 1), o - 1)),
        ("asymmetric", |x, i, o| x * i / o, |x, i, o| (x * i, o)),
    ];
    let mut random = Random(27);
    for (name, real, fraction) in rules {
        for (source, target) in [([4, 5], [8, 10]), ([3, 7], [7, 3]), ([5, 4], [11, 9]), ([6, 6], [2, 13])] {
            let image = Image::random(&mut random, [source[0], source[1], 5], 33);
            let axis = |axis: usize| {
                let (limit, out) = (source[axis] as i64 - 1, target[axis] as i64);
                let denominator = fraction(0, source[axis] as i64, out).1;
                let list = (0..out).map(|at| {
                    let numerator = fraction(at, source[axis] as i64, out).0.clamp(0, limit * denominator);
                    let low = numerator / denominator;
                    let weight = (numerator % denominator) as u32;
                    Neighbours { low: low as u16, high: (low + 1).min(limit) as u16, weight }
                });
                (list.collect::<Vec<_>>(), denominator as u32)
            };
            let ((rows, dy), (columns, dx)) = (axis(0), axis(1));
            let mut plan = PlanWriter::default();
            let input = plan.tensor(image.extent, Halo { top: 1, left: 1, bottom: 1, right: 1 }, 33);
            let output = plan.tensor([target[0], target[1], 5], Halo::default(), 40);
            let multiplier = bits(0.8 / (dy * dx) as f32);
            let words = [plan.constant(&rows), plan.constant(&columns), dy, dx, multiplier, 0, 255];
            plan.step(ResizeLinear::OPCODE, [input; 2], output, &words);
            let found = run_plan(&plan, &[&image]);
            for (at, found) in found.into_iter().enumerate() {
                let (x, y, c) = (at % target[1], at / target[1] % target[0], at / (target[0] * target[1]));
                let at = |x: usize, axis: usize| {
                    let x = real(x as f64, source[axis] as f64, target[axis] as f64);
                    x.clamp(0.0, source[axis] as f64 - 1.0)
                };
                let (fy, fx) = (at(y, 0), at(x, 1));
                let pixel = |y: f64, x: f64| {
                    let inside = |v: f64, axis: usize| v.min(source[axis] as f64 - 1.0) as isize;
                    f64::from(image.centred(inside(y, 0), inside(x, 1), c))
                };
                let (wy, wx) = (fy.fract(), fx.fract());
                let row = |y: f64| pixel(y, fx.floor()) * (1.0 - wx) + pixel(y, fx.floor() + 1.0) * wx;
                let value = row(fy.floor()) * (1.0 - wy) + row(fy.floor() + 1.0) * wy;
                let expected = (value * 0.8 + 40.0).clamp(0.0, 255.0);
                let apart = (f64::from(found) - expected).abs();
                assert!(apart <= 0.5 + 1e-4, "{name} {source:?} to {target:?}: {found}, not {expected}");
            }
        }
    }
}
