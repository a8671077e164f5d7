//! Dense, depthwise and transposed convolution against their plain definitions.

use super::*;
use crate::ops::{Convolution, Depthwise, TransposedConvolution};

const WIDE: Halo = Halo { top: 9, left: 9, bottom: 9, right: 9 };

/// Float-free weights `[O][C][kh][kw]` with biases, and the step that a filter ends in.
struct Filter {
    outputs: usize,
    inputs: usize,
    kernel: [usize; 2],
    weights: Vec<i8>,
    biases: Vec<i32>,
    multipliers: Vec<f32>,
}

impl Filter {
    fn random(random: &mut Random, outputs: usize, inputs: usize, kernel: [usize; 2]) -> Self {
        let products = inputs * kernel[0] * kernel[1];
        let spread = 1.0 / ((products as f32).sqrt() * 200.0);
        Self {
            outputs,
            inputs,
            kernel,
            weights: random.weights(outputs * products),
            biases: (0..outputs).map(|_| random.between(0, 20_000) as i32 - 10_000).collect(),
            multipliers: (0..outputs).map(|o| spread * (1 + o % 3) as f32).collect(),
        }
    }

    fn weight(&self, o: usize, c: usize, ky: usize, kx: usize) -> i8 {
        if o >= self.outputs || c >= self.inputs {
            return 0;
        }
        self.weights[((o * self.inputs + c) * self.kernel[0] + ky) * self.kernel[1] + kx]
    }

    /// Weights of the given taps in stored order, appended; folded biases and sums likewise.
    fn store(
        &self,
        rows: &[usize],
        columns: &[usize],
        zero_point: u8,
        stored: &mut (Vec<i8>, Vec<i32>, Vec<i32>),
    ) {
        let words: Vec<(usize, usize, usize)> = rows
            .iter()
            .flat_map(|&ky| (0..self.inputs.div_ceil(4)).map(move |group| (ky, group)))
            .flat_map(|(ky, group)| columns.iter().map(move |&kx| (ky, group, kx)))
            .collect();
        let chunks = words.len().div_ceil(16);
        let width = words.len().div_ceil(chunks.max(1)).next_multiple_of(4);
        let outputs: Vec<usize> = (0..self.outputs.next_multiple_of(8)).collect();
        for group in outputs.chunks(16) {
            for (chunk, o) in (0..chunks).flat_map(|chunk| group.iter().map(move |o| (chunk, *o))) {
                for at in chunk * width..(chunk + 1) * width {
                    let word = words.get(at);
                    stored.0.extend((0..4).map(|lane| {
                        word.map_or(0, |&(ky, block, kx)| self.weight(o, block * 4 + lane, ky, kx))
                    }));
                }
            }
        }
        for o in 0..self.outputs.next_multiple_of(8) {
            let taps = rows.iter().flat_map(|&ky| columns.iter().map(move |&kx| (ky, kx)));
            let weights = taps.flat_map(|(ky, kx)| (0..self.inputs).map(move |c| (c, ky, kx)));
            let sum: i32 = weights.map(|(c, ky, kx)| i32::from(self.weight(o, c, ky, kx))).sum();
            let bias = self.biases.get(o).copied().unwrap_or(0);
            stored.1.push(bias - i32::from(zero_point) * sum);
            stored.2.push(sum);
        }
    }

    /// The six filter words.
    fn words(&self, plan: &mut PlanWriter, stored: &(Vec<i8>, Vec<i32>, Vec<i32>)) -> Vec<u32> {
        let mut multipliers = self.multipliers.clone();
        multipliers.resize(self.outputs.next_multiple_of(8), 0.0);
        vec![
            plan.constant(&stored.0),
            plan.constant(&stored.1),
            plan.constant(&stored.2),
            plan.constant(&multipliers),
            0,
            255,
        ]
    }
}

/// Kernel, stride, dilation, pads (top, left).
type Geometry = ([usize; 2], [usize; 2], [usize; 2], [usize; 2]);

const GEOMETRIES: [Geometry; 7] = [
    ([1, 1], [1, 1], [1, 1], [0, 0]),
    ([3, 3], [1, 1], [1, 1], [1, 1]),
    ([3, 3], [2, 2], [1, 1], [1, 1]),
    ([3, 3], [1, 1], [3, 2], [3, 2]),
    ([1, 5], [1, 2], [1, 1], [0, 4]),
    ([4, 2], [3, 1], [1, 4], [0, 1]),
    ([7, 7], [2, 3], [1, 1], [5, 0]),
];

fn window_words((kernel, stride, dilation, pads): Geometry) -> Vec<u32> {
    [kernel, stride, dilation, pads].concat().into_iter().map(|w| w as u32).collect()
}

/// The definition: Σ (v − z)·w + bias at every output position.
fn convolved(
    image: &Image,
    filter: &Filter,
    (kernel, stride, dilation, pads): Geometry,
    [y, x]: [usize; 2],
    o: usize,
) -> i32 {
    let mut sum = filter.biases[o];
    for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
        let row = (y * stride[0] + ky * dilation[0]) as isize - pads[0] as isize;
        let column = (x * stride[1] + kx * dilation[1]) as isize - pads[1] as isize;
        for c in 0..filter.inputs {
            sum += image.centred(row, column, c) * i32::from(filter.weight(o, c, ky, kx));
        }
    }
    sum
}

#[test]
fn dense_convolution_follows_its_definition() {
    let mut random = Random(11);
    let (mut inside, mut total) = (0, 0);
    for geometry in GEOMETRIES {
        for (inputs, outputs) in [(1, 1), (3, 9), (8, 8), (5, 16)] {
            let zero_point = random.bits() as u8;
            let image = Image::random(&mut random, [7, 10, inputs], zero_point);
            let filter = Filter::random(&mut random, outputs, inputs, geometry.0);
            let mut plan = PlanWriter::default();
            let input = plan.tensor(image.extent, WIDE, image.zero_point);
            let extent = [3, 4, outputs];
            let mut stored = Default::default();
            let (rows, columns): (Vec<_>, Vec<_>) =
                ((0..geometry.0[0]).collect(), (0..geometry.0[1]).collect());
            filter.store(&rows, &columns, image.zero_point, &mut stored);
            let mut words = window_words(geometry);
            words.extend(filter.words(&mut plan, &stored));
            let mut sums = plan.clone();
            let output = plan.tensor(extent, Halo::default(), 100);
            plan.step(Convolution::OPCODE, [input; 2], output, &words);
            let sum = |y, x, o| convolved(&image, &filter, geometry, [y, x], o);
            let expected = planar(extent, |y, x, o| rescaled(sum(y, x, o), filter.multipliers[o], 100));
            assert_eq!(run_plan(&plan, &[&image]), expected, "{geometry:?} {inputs} to {outputs}");
            inside += expected.iter().filter(|v| (1..255).contains(*v)).count();
            total += expected.len();
            let output = sums.accumulators(extent);
            sums.step(Convolution::OPCODE, [input; 2], output, &words);
            assert_eq!(run_plan(&sums, &[&image]), planar(extent, sum), "sums of {geometry:?}");
        }
    }
    assert!(inside * 2 > total, "most of {total} values saturate: the comparison shows little");
}

#[test]
fn depthwise_convolution_follows_its_definition() {
    let mut random = Random(12);
    for geometry in GEOMETRIES {
        for channels in [1, 4, 6, 11] {
            let zero_point = random.bits() as u8;
            let image = Image::random(&mut random, [7, 10, channels], zero_point);
            let filter = Filter::random(&mut random, channels, 1, geometry.0);
            let (mut weights, mut biases, mut sums) = (Vec::new(), Vec::new(), Vec::new());
            for block in 0..channels.div_ceil(4) {
                for (ky, kx) in (0..geometry.0[0]).flat_map(|ky| (0..geometry.0[1]).map(move |kx| (ky, kx))) {
                    weights.extend((0..4).map(|c| filter.weight(block * 4 + c, 0, ky, kx)));
                }
            }
            let taps = geometry.0[0] * geometry.0[1];
            for c in 0..channels.next_multiple_of(4) {
                let own = filter.weights.get(c * taps..(c + 1) * taps).unwrap_or_default();
                let sum: i32 = own.iter().map(|&w| i32::from(w)).sum();
                let bias = filter.biases.get(c).copied().unwrap_or(0);
                biases.push(bias - i32::from(image.zero_point) * sum);
                sums.push(sum);
            }
            let mut multipliers = filter.multipliers.clone();
            multipliers.resize(biases.len(), 0.0);
            let mut plan = PlanWriter::default();
            let input = plan.tensor(image.extent, WIDE, image.zero_point);
            let output = plan.tensor([3, 4, channels], Halo::default(), 100);
            let mut words = window_words(geometry);
            words.extend([plan.constant(&weights), plan.constant(&biases), plan.constant(&sums)]);
            words.extend([plan.constant(&multipliers), 0, 255]);
            plan.step(Depthwise::OPCODE, [input; 2], output, &words);
            let expected = planar([3, 4, channels], |y, x, c| {
                let one = Image { codes: Vec::new(), ..image };
                let plane = &image.codes[c * 70..(c + 1) * 70];
                let own = Image { extent: [7, 10, 1], codes: plane.to_vec(), ..one };
                let sum = convolved(&own, &filter, geometry, [y, x], c);
                rescaled(sum, filter.multipliers[c], 100)
            });
            assert_eq!(run_plan(&plan, &[&image]), expected, "{geometry:?} {channels}");
        }
    }
}

/// Scatter: every input pixel adds its weighted kernel at stride times its position, less the pads.
fn scattered(
    image: &Image,
    filter: &Filter,
    stride: [usize; 2],
    pads: [usize; 2],
    extent: [usize; 3],
) -> Vec<i32> {
    let [height, width, outputs] = extent;
    let mut sums: Vec<i32> = (0..outputs).flat_map(|o| vec![filter.biases[o]; height * width]).collect();
    for (iy, ix) in (0..image.extent[0]).flat_map(|y| (0..image.extent[1]).map(move |x| (y, x))) {
        for (ky, kx) in (0..filter.kernel[0]).flat_map(|y| (0..filter.kernel[1]).map(move |x| (y, x))) {
            let (Some(y), Some(x)) =
                ((iy * stride[0] + ky).checked_sub(pads[0]), (ix * stride[1] + kx).checked_sub(pads[1]))
            else {
                continue;
            };
            if y >= height || x >= width {
                continue;
            }
            for (o, c) in (0..outputs).flat_map(|o| (0..filter.inputs).map(move |c| (o, c))) {
                sums[(o * height + y) * width + x] +=
                    image.centred(iy as isize, ix as isize, c) * i32::from(filter.weight(o, c, ky, kx));
            }
        }
    }
    sums
}

/// Kernel taps of one axis that output positions ≡ `remainder` meet, in order of input offset.
fn taps(kernel: usize, stride: usize, pad: usize, remainder: usize) -> Vec<usize> {
    (0..kernel).rev().filter(|k| (remainder + pad + 64 * stride - k).is_multiple_of(stride)).collect()
}

#[test]
fn transposed_convolution_equals_scattering() {
    let mut random = Random(13);
    // Kernel, stride, pads, output padding.
    let kinds = [
        ([2, 2], [2, 2], [0, 0], [0, 0]),
        ([3, 3], [2, 2], [1, 1], [1, 1]),
        ([4, 4], [2, 2], [1, 1], [0, 0]),
        ([3, 3], [1, 1], [1, 1], [0, 0]),
        ([2, 2], [3, 3], [0, 0], [1, 0]),
        ([5, 1], [3, 2], [2, 0], [2, 1]),
        ([4, 3], [4, 1], [0, 2], [0, 0]),
    ];
    for (kernel, stride, pads, padding) in kinds {
        for (inputs, outputs) in [(1, 1), (6, 9)] {
            let zero_point = random.bits() as u8;
            let image = Image::random(&mut random, [4, 5, inputs], zero_point);
            let filter = Filter::random(&mut random, outputs, inputs, kernel);
            let reach = |axis: usize| {
                (image.extent[axis] - 1) * stride[axis] + kernel[axis] + padding[axis] - 2 * pads[axis]
            };
            let extent = [reach(0), reach(1), outputs];
            let mut stored = Default::default();
            for (ry, rx) in (0..stride[0]).flat_map(|y| (0..stride[1]).map(move |x| (y, x))) {
                let rows = taps(kernel[0], stride[0], pads[0], ry);
                let columns = taps(kernel[1], stride[1], pads[1], rx);
                filter.store(&rows, &columns, image.zero_point, &mut stored);
            }
            let mut plan = PlanWriter::default();
            let input = plan.tensor(image.extent, WIDE, image.zero_point);
            let mut words: Vec<u32> = [kernel, stride, pads].concat().into_iter().map(|w| w as u32).collect();
            words.extend(filter.words(&mut plan, &stored));
            let mut kept = plan.clone();
            let output = plan.tensor(extent, Halo::default(), 90);
            plan.step(TransposedConvolution::OPCODE, [input; 2], output, &words);
            let sums = scattered(&image, &filter, stride, pads, extent);
            let area = extent[0] * extent[1];
            let step = |(at, &sum)| rescaled(sum, filter.multipliers[at / area], 90);
            let expected: Vec<i32> = sums.iter().enumerate().map(step).collect();
            assert_eq!(run_plan(&plan, &[&image]), expected, "{kernel:?} {stride:?} {inputs}");
            let output = kept.accumulators(extent);
            kept.step(TransposedConvolution::OPCODE, [input; 2], output, &words);
            assert_eq!(run_plan(&kept, &[&image]), sums, "sums of {kernel:?} {stride:?}");
        }
    }
}

#[test]
fn the_greatest_allowed_sum_does_not_overflow() {
    // 2^15 products of 255·−127 with a bias of −2^29 stay within 32 bits; a debug build would panic
    // otherwise.
    let channels = 1 << 15;
    let image = Image { extent: [1, 1, channels], zero_point: 0, codes: vec![255; channels] };
    let weights = vec![-127; channels];
    let (bias, sum) = (-(1 << 29), -127 * channels as i32);
    let filter = Filter {
        outputs: 1,
        inputs: channels,
        kernel: [1, 1],
        weights,
        biases: vec![bias],
        multipliers: vec![1.0],
    };
    let mut plan = PlanWriter::default();
    let input = plan.tensor(image.extent, Halo::default(), 0);
    let mut stored = Default::default();
    filter.store(&[0], &[0], 0, &mut stored);
    let mut words = window_words(GEOMETRIES[0]);
    words.extend(filter.words(&mut plan, &stored));
    let output = plan.accumulators([1, 1, 1]);
    plan.step(Convolution::OPCODE, [input; 2], output, &words);
    assert_eq!(run_plan(&plan, &[&image]), [bias + 255 * sum]);
}
