//! Dense and transposed convolutions.

use super::cases::{CHANNELS, Random, WIDTHS, agree, all_kernels, count};
use crate::CpuKernels;
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::kernels::Kernels;
use candor_core::ops::convolution::Filter;
use candor_core::ops::order::Order;
use candor_core::ops::record::Window;
use candor_core::ops::transposed::Phase;
use candor_core::ops::{Convolution, TransposedConvolution};
use candor_core::tensor::{Element, Halo, Rows, RowsMut};

/// Products per random case that keep the unoptimised reference quick.
const PRODUCTS: usize = 1_500_000;

/// A filter that owns its constants.
struct Owned {
    weights: Vec<i8>,
    bias: Vec<i32>,
    weight_sums: Vec<i32>,
    multipliers: Vec<Multiplier>,
    range: Range,
}

impl Owned {
    fn filter(&self) -> Filter<'_> {
        Filter {
            weights: &self.weights,
            bias: &self.bias,
            weight_sums: &self.weight_sums,
            multipliers: &self.multipliers,
            range: self.range,
        }
    }

    /// Gives every tap of each input channel the same weight; words beyond the last stay zero.
    fn set_weights(&mut self, order: Order, weight: impl Fn(usize) -> i8) {
        let outputs = self.multipliers.len();
        for (o, ky) in (0..outputs).flat_map(|o| (0..order.taps[0]).map(move |ky| (o, ky))) {
            for (c, kx) in (0..order.blocks * 4).flat_map(|c| (0..order.taps[1]).map(move |kx| (c, kx))) {
                self.weights[order.index(outputs, o, ky, c, kx)] = weight(c);
            }
        }
    }
}

/// Random weights for several phases of `taps`, zero where a channel does not exist, with their true sums.
fn filter(random: &mut Random, phases: &[[usize; 2]], inputs: usize, outputs: usize) -> Owned {
    let (blocks, padded) = (inputs.div_ceil(4), outputs.div_ceil(8) * 8);
    let products = inputs * phases.iter().map(|[h, w]| h * w).max().unwrap_or(1);
    let mut owned = Owned {
        weights: Vec::new(),
        bias: Vec::new(),
        weight_sums: Vec::new(),
        multipliers: (0..padded).map(|_| random.multiplier(100.0 * (products as f32).sqrt())).collect(),
        range: random.range(),
    };
    for &taps in phases {
        let order = Order::new(taps, blocks);
        let random_weights = random.weights(order.weights() * padded);
        let mut weights = vec![0; random_weights.len()];
        let mut sums = vec![0; padded];
        for o in 0..padded {
            for (ky, kx) in (0..taps[0]).flat_map(|ky| (0..taps[1]).map(move |kx| (ky, kx))) {
                for c in 0..blocks * 4 {
                    let at = order.index(padded, o, ky, c, kx);
                    if c < inputs && o < outputs {
                        weights[at] = random_weights[at];
                    }
                    sums[o] += i32::from(weights[at]);
                }
            }
        }
        let limit = if random.once_in(8) { 1 << 30 } else { 1 << 15 };
        owned.bias.extend((0..padded).map(|_| random.between(0, 2 * limit) as i32 - limit as i32));
        owned.weights.extend(weights);
        owned.weight_sums.extend(sums);
    }
    owned
}

/// A dense convolution: output `[height, width]`, channels (in, out).
#[derive(Debug, Clone, Copy)]
struct Case {
    output: [usize; 2],
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    element: Element,
}

impl Case {
    /// Stride 1, dilation 1, codes.
    fn plain(output: [usize; 2], channels: [usize; 2], kernel: [usize; 2]) -> Self {
        Self { output, channels, kernel, stride: [1, 1], dilation: [1, 1], element: Element::Code }
    }

    /// A random case within the budget of products.
    fn random(random: &mut Random) -> Self {
        loop {
            let mut pair = |list: &[usize]| [random.one_of(list), random.one_of(list)];
            let case = Self {
                output: [pair(&[1, 2, 3, 4, 5, 6, 7, 9])[0], pair(&WIDTHS)[0]],
                channels: pair(&CHANNELS),
                kernel: pair(&[1, 1, 2, 3, 3, 3, 4, 5, 7]),
                stride: pair(&[1, 1, 1, 2, 2, 3, 4]),
                dilation: pair(&[1, 1, 1, 2, 3]),
                element: if pair(&[0, 1, 2, 3])[0] == 0 { Element::Accumulator } else { Element::Code },
            };
            let taps = case.kernel[0] * case.kernel[1];
            if case.output[0] * case.output[1] * case.channels[0] * case.channels[1] * taps <= PRODUCTS {
                return case;
            }
        }
    }

    fn check(self, random: &mut Random, kernels: &[CpuKernels], why: &str) {
        // The window may end flush with the stored tensor, where one pixel read too far leaves the slice.
        let slack = [random.between(0, 1), random.between(0, 1)];
        let pads = [random.between(0, 2), random.between(0, 2)];
        let stored = [0, 1].map(|axis| {
            let spread = (self.kernel[axis] - 1) * self.dilation[axis];
            (self.output[axis] - 1) * self.stride[axis] + spread + 1 + slack[axis]
        });
        let before = [0, 1].map(|axis| (pads[axis] + random.between(0, 1)).min(stored[axis] - 1));
        let after =
            [0, 1].map(|axis| random.between(0, 2).min(stored[axis] - before[axis].min(stored[axis]) - 1));
        let halo = Halo { top: before[0], left: before[1], bottom: after[0], right: after[1] };
        let image = [0, 1].map(|axis| stored[axis] - before[axis] - after[axis]);
        // Pads smaller than the halo shift the window; the stored tensor then grows by the difference.
        let shift = [0, 1].map(|axis| before[axis] - pads[axis].min(before[axis]));
        let input = random.tensor([image[0] + shift[0], image[1] + shift[1], self.channels[0]], halo);
        let owned = filter(random, &[self.kernel], self.channels[0], self.channels[1]);
        let pads = [pads[0].min(before[0]), pads[1].min(before[1])];
        let window = Window { kernel: self.kernel, stride: self.stride, dilation: self.dilation, pads };
        let op = Convolution { window, filter: owned.filter() };
        let halo = random.halo();
        let output = random.layout([self.output[0], self.output[1], self.channels[1]], halo, self.element);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.convolution(&op, input.rows(), rows);
        agree(&format!("{why}: {self:?} {window:?} over {:?}", input.layout), output, kernels, &run);
    }
}

#[test]
fn convolutions_at_the_edges_equal_the_reference() {
    let kernels = all_kernels();
    let cases = [
        ("one pixel: every register partial, every row split", Case::plain([1, 1], [1, 1], [1, 1])),
        ("one column: the walk wraps after each pixel", Case::plain([9, 1], [3, 8], [3, 3])),
        ("first layer: one channel in a block of four", Case::plain([4, 33], [1, 16], [3, 3])),
        ("exact registers and tiles: no partial store at all", Case::plain([2, 64], [8, 8], [3, 3])),
        (
            "one pixel more than a tile: masked tail beside full registers",
            Case::plain([3, 33], [4, 8], [3, 3]),
        ),
        ("one register per row: tiles pair rows", Case::plain([5, 16], [8, 16], [3, 3])),
        (
            "four outputs: the narrow tile, its second block must not be stored",
            Case::plain([3, 40], [5, 4], [3, 3]),
        ),
        ("twelve outputs: a half-filled last output block", Case::plain([3, 24], [7, 12], [3, 3])),
        ("five outputs: last channel alone in its block", Case::plain([2, 17], [4, 5], [1, 1])),
        ("asymmetric window: height and width swapped would show", Case::plain([4, 9], [5, 9], [7, 2])),
        ("wide window over few columns", Case::plain([3, 2], [3, 3], [5, 7])),
        ("deep 1x1: long sums, weights beyond the widened buffer", Case::plain([2, 9], [1100, 2], [2, 2])),
        (
            "so many words that one strip fills the stage, two sections",
            Case::plain([5, 16], [1100, 68], [3, 3]),
        ),
        ("just below the widened buffer", Case::plain([1, 16], [1024, 9], [2, 2])),
    ];
    let mut random = Random(1);
    for (why, case) in cases {
        for _ in 0..3 {
            case.check(&mut random, &kernels, why);
        }
    }
}

#[test]
fn strided_and_dilated_convolutions_at_the_edges_equal_the_reference() {
    let kernels = all_kernels();
    let plain = |width| Case::plain([3, width], [5, 9], [3, 3]);
    let mut random = Random(2);
    for width in WIDTHS {
        let cases = [
            ("stride 2: the last even pixel may be the last stored", Case { stride: [2, 2], ..plain(width) }),
            ("stride only down", Case { stride: [2, 1], ..plain(width) }),
            ("stride 3: gathered pixels", Case { stride: [1, 3], ..plain(width) }),
            ("dilation: taps far apart", Case { dilation: [2, 3], ..plain(width) }),
            (
                "head: accumulators of four channels interleaved",
                Case { element: Element::Accumulator, channels: [4, 2], kernel: [1, 1], ..plain(width) },
            ),
        ];
        for (why, case) in cases {
            case.check(&mut random, &kernels, why);
        }
    }
}

#[test]
fn random_convolutions_equal_the_reference() {
    let kernels = all_kernels();
    for seed in 0..count() {
        let mut random = Random(1000 + seed);
        let case = Case::random(&mut random);
        case.check(&mut random, &kernels, &format!("seed {seed}"));
    }
}

/// All codes 255 against all weights −128 or 127: the longest sums that a plan allows.
#[test]
fn extreme_codes_and_weights_do_not_saturate() {
    let kernels = all_kernels();
    for (code, weight) in [(255u8, 127i8), (255, -128), (0, -128), (128, 127)] {
        let mut random = Random(7);
        let mut input = random.tensor([3, 19, 12], Halo { top: 1, left: 1, bottom: 1, right: 1 });
        input.data.fill(code);
        let mut owned = filter(&mut random, &[[3, 3]], 12, 8);
        owned.set_weights(Order::new([3, 3], 3), |_| weight);
        owned.weight_sums.fill(9 * 12 * i32::from(weight));
        owned.bias.fill(if weight < 0 { -(1 << 30) } else { 1 << 30 });
        owned.multipliers.fill(Multiplier::new(1.0e-7));
        owned.range = Range { zero_point: 128, low: 0, high: 255 };
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1] };
        let op = Convolution { window, filter: owned.filter() };
        for element in [Element::Code, Element::Accumulator] {
            let output = random.layout([3, 19, 8], Halo::default(), element);
            let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.convolution(&op, input.rows(), rows);
            agree(&format!("code {code} weight {weight}"), output, &kernels, &run);
        }
    }
}

/// Sums on both sides of 0 and of 2^23, where a tier may start its sums at other bits than 0.
#[test]
fn rectified_sums_around_the_limits_of_a_float_equal_the_reference() {
    let kernels = all_kernels();
    let mut random = Random(9);
    for (bias, multiplier) in [0, 1 << 22, (1 << 23) - 2000, 1 << 23, 1 << 24, 1 << 29, 1 << 30]
        .into_iter()
        .flat_map(|bias| [1.0e-7, 2.9e-5, 3.1e-5, 1.0e-3, 0.25, 0.999].map(|multiplier| (bias, multiplier)))
    {
        let input = random.tensor([3, 19, 12], Halo { top: 1, left: 1, bottom: 1, right: 1 });
        let mut owned = filter(&mut random, &[[3, 3]], 12, 8);
        owned.bias.copy_from_slice(&[0, 1, -1, 100, bias, -bias, bias + 1, 1 - bias]);
        owned.multipliers.fill(Multiplier::new(multiplier));
        owned.range = Range { zero_point: 0, low: 0, high: 255 };
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1] };
        let op = Convolution { window, filter: owned.filter() };
        let output = random.layout([3, 19, 8], Halo::default(), Element::Code);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.convolution(&op, input.rows(), rows);
        agree(&format!("bias {bias} multiplier {multiplier}"), output, &kernels, &run);
    }
}

/// Every sum from −600 to 600 at multiplier one half: each odd one is a tie that must go to the even
/// neighbour.
#[test]
fn ties_round_to_even_in_every_lane() {
    let kernels = all_kernels();
    let mut random = Random(8);
    let mut input = random.tensor([1, 600, 4], Halo::default());
    for (x, pixel) in input.data[..2400].chunks_exact_mut(4).enumerate() {
        let left = x.min(255);
        pixel.copy_from_slice(&[left as u8, (x - left).min(255) as u8, (x - left) as u8 / 3, 0]);
    }
    for sign in [1, -1] {
        let mut owned = filter(&mut random, &[[1, 1]], 4, 8);
        owned.set_weights(Order::new([1, 1], 1), |channel| if channel < 2 { sign } else { 0 });
        owned.weight_sums.fill(2 * i32::from(sign));
        owned.bias.copy_from_slice(&[0, 1, -1, 255, 3, -3, 7, -256]);
        owned.multipliers.fill(Multiplier::new(0.5));
        owned.range = Range { zero_point: 127, low: 0, high: 255 };
        let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [0, 0] };
        let op = Convolution { window, filter: owned.filter() };
        let output = random.layout([1, 600, 8], Halo::default(), Element::Code);
        let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.convolution(&op, input.rows(), rows);
        agree("ties", output, &kernels, &run);
    }
}

/// A transposed convolution over input `[height, width]` with channels (in, out).
fn check_transposed(
    random: &mut Random,
    kernels: &[CpuKernels],
    [kernel, stride, pads]: [[usize; 2]; 3],
    image: [usize; 2],
    channels: [usize; 2],
) {
    let phases: Vec<[usize; 2]> = (0..stride[0])
        .flat_map(|ry| (0..stride[1]).map(move |rx| (ry, rx)))
        .map(|(ry, rx)| {
            [
                Phase::new(kernel[0], stride[0], pads[0], ry).taps,
                Phase::new(kernel[1], stride[1], pads[1], rx).taps,
            ]
        })
        .collect();
    let extents = [0, 1].map(|axis| {
        let full = (image[axis] - 1) * stride[axis] + kernel[axis];
        full.saturating_sub(2 * pads[axis]).max(1) + random.between(0, stride[axis] - 1)
    });
    let reach = [0, 1].map(|axis| {
        let mut reach = [0, 0];
        for remainder in 0..stride[axis].min(extents[axis]) {
            let phase = Phase::new(kernel[axis], stride[axis], pads[axis], remainder);
            let last = ((extents[axis] - 1 - remainder) / stride[axis]) as isize;
            if phase.taps > 0 {
                reach[0] = reach[0].max(-phase.first);
                reach[1] = reach[1].max(phase.first + last + phase.taps as isize - image[axis] as isize);
            }
        }
        reach.map(|bytes| bytes as usize)
    });
    let halo = Halo { top: reach[0][0], left: reach[1][0], bottom: reach[0][1], right: reach[1][1] };
    let input: super::cases::Tensor = random.tensor([image[0], image[1], channels[0]], halo);
    let owned = filter(random, &phases, channels[0], channels[1]);
    let op = TransposedConvolution { kernel, stride, pads, filter: owned.filter() };
    let element = if random.once_in(4) { Element::Accumulator } else { Element::Code };
    let halo = random.halo();
    let output = random.layout([extents[0], extents[1], channels[1]], halo, element);
    let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.transposed(&op, input.rows(), rows);
    let case = format!("k{kernel:?} s{stride:?} p{pads:?} {image:?} {channels:?} over {:?}", input.layout);
    agree(&case, output, kernels, &run);
}

#[test]
fn transposed_convolutions_of_every_usual_kind_equal_the_reference() {
    let kernels = all_kernels();
    let kinds = [
        [[2, 2], [2, 2], [0, 0]],
        [[3, 3], [2, 2], [1, 1]],
        [[4, 4], [2, 2], [1, 1]],
        [[3, 3], [1, 1], [1, 1]],
        [[5, 2], [3, 2], [2, 0]],
        [[2, 3], [3, 4], [0, 1]],
        [[1, 1], [2, 2], [0, 0]],
    ];
    let mut random = Random(3);
    for kind in kinds {
        for width in [1, 2, 4, 8, 9, 16, 17, 33] {
            let channels = [random.one_of(&[1, 4, 9]), random.one_of(&[1, 4, 8, 13])];
            check_transposed(&mut random, &kernels, kind, [random_height(width), width], channels);
        }
    }
}

/// A height that differs from the width and is sometimes a single row.
fn random_height(width: usize) -> usize {
    1 + width % 4
}

#[test]
fn random_transposed_convolutions_equal_the_reference() {
    let kernels = all_kernels();
    for seed in 0..count() {
        let mut random = Random(2000 + seed);
        let mut pair = |list: &[usize]| [random.one_of(list), random.one_of(list)];
        let (kernel, stride) = (pair(&[1, 2, 2, 3, 4, 5]), pair(&[1, 2, 2, 2, 3, 8]));
        let pads = [0, 1].map(|axis: usize| pair(&[0, 1, 2])[axis].min(kernel[axis] - 1));
        let image = [pair(&[1, 2, 3, 5])[0], pair(&WIDTHS[..16])[0]];
        let channels = pair(&CHANNELS[..11]);
        check_transposed(&mut random, &kernels, [kernel, stride, pads], image, channels);
    }
}

/// A row range in the middle of a tensor, as threads and strips get it.
#[test]
fn a_range_of_rows_writes_only_its_rows() {
    let mut random = Random(4);
    let input = random.tensor([12, 21, 6], Halo { top: 1, left: 1, bottom: 1, right: 1 });
    let owned = filter(&mut random, &[[3, 3]], 6, 10);
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1] };
    let op = Convolution { window, filter: owned.filter() };
    let layout = random.layout([12, 21, 10], random_halo(), Element::Code);
    let rows: Rows<'_> = input.rows();
    for kernels in all_kernels() {
        let (mut whole, mut part) = (vec![9; layout.bytes()], vec![9; layout.bytes()]);
        kernels.convolution(&op, rows, RowsMut::whole(layout, &mut whole));
        let (_, lower) = RowsMut::whole(layout, &mut part).split_at(4);
        let (middle, _) = lower.split_at(5);
        kernels.convolution(&op, rows, middle);
        let row = |index: usize| (index + layout.halo.top) * layout.row_stride;
        assert_eq!(part[row(4)..row(9)], whole[row(4)..row(9)], "{kernels:?}");
        assert!(part[..row(4)].iter().chain(&part[row(9)..]).all(|byte| *byte == 9), "{kernels:?}");
    }
}

/// A halo that differs on every side.
fn random_halo() -> Halo {
    Halo { top: 2, left: 1, bottom: 0, right: 3 }
}
