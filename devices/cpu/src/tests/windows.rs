//! Depthwise convolution, average pooling and max pooling.

use super::cases::{CHANNELS, Random, WIDTHS, agree, all_kernels, count};
use crate::CpuKernels;
use candor_core::kernels::Kernels;
use candor_core::ops::max_pool::ClippedWindow;
use candor_core::ops::record::Window;
use candor_core::ops::{AveragePool, Depthwise, MaxPool};
use candor_core::tensor::{Element, Halo, RowsMut};

/// A depthwise convolution whose window ends flush with the stored tensor.
fn check_depthwise(random: &mut Random, kernels: &[CpuKernels], output: [usize; 2], channels: usize) {
    let mut pair = |list: &[usize]| [random.one_of(list), random.one_of(list)];
    let kernel = pair(&[1, 2, 3, 3, 4, 5, 7]);
    let (stride, dilation) = (pair(&[1, 1, 2, 3]), pair(&[1, 1, 2]));
    let stored =
        [0, 1].map(|axis: usize| (output[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1);
    let pads = [0, 1].map(|axis: usize| (kernel[axis] / 2).min(stored[axis] - 1));
    let halo = Halo { top: pads[0], left: pads[1], bottom: 0, right: 0 };
    let input = random.tensor([stored[0] - pads[0], stored[1] - pads[1], channels], halo);
    let padded = channels.div_ceil(4) * 4;
    let taps = kernel[0] * kernel[1];
    let weights = random.weights(padded * taps);
    let bias: Vec<i32> = (0..padded).map(|_| random.between(0, 20_000) as i32 - 10_000).collect();
    let sums: Vec<i32> = (0..padded)
        .map(|c| (0..taps).map(|tap| i32::from(weights[(c / 4 * taps + tap) * 4 + c % 4])).sum())
        .collect();
    let multipliers: Vec<_> = (0..padded).map(|_| random.multiplier(100.0 * taps as f32)).collect();
    let window = Window { kernel, stride, dilation, pads };
    let op = Depthwise {
        window,
        weights: &weights,
        bias: &bias,
        weight_sums: &sums,
        multipliers: &multipliers,
        range: random.range(),
    };
    let halo = random.halo();
    let layout = random.layout([output[0], output[1], channels], halo, Element::Code);
    let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.depthwise(&op, input.rows(), rows);
    agree(&format!("{window:?} over {:?}", input.layout), layout, kernels, &run);
}

#[test]
fn depthwise_convolutions_of_every_width_equal_the_reference() {
    let kernels = all_kernels();
    let mut random = Random(11);
    for width in WIDTHS {
        for channels in [1, 4, 9] {
            check_depthwise(&mut random, &kernels, [3, width], channels);
        }
    }
}

#[test]
fn random_depthwise_convolutions_equal_the_reference() {
    let kernels = all_kernels();
    for seed in 0..count() {
        let mut random = Random(3000 + seed);
        let output = [random.between(1, 7), random.one_of(&WIDTHS)];
        let channels = random.one_of(&CHANNELS);
        check_depthwise(&mut random, &kernels, output, channels);
    }
}

/// Both poolings under one clipped window.
fn check_pools(random: &mut Random, kernels: &[CpuKernels], window: ClippedWindow, image: [usize; 3]) {
    let halo = random.halo();
    let input = random.tensor(image, halo);
    // As many outputs as still meet a pixel, which is more than frameworks ever ask for.
    let output = [0, 1].map(|axis: usize| {
        (0..64).take_while(|at| window.taps(axis, *at, image[axis]).next().is_some()).count()
    });
    if output.contains(&0) {
        return;
    }
    let halo = random.halo();
    let layout = random.layout([output[0], output[1], image[2]], halo, Element::Code);
    let case = format!("{window:?} over {:?}", input.layout);
    let op = MaxPool { window };
    let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.max_pool(&op, input.rows(), rows);
    agree(&format!("max {case}"), layout, kernels, &run);

    let entries = window.kernel[0] * window.kernel[1] + 1;
    let multipliers: Vec<_> = (0..entries).map(|n| random.multiplier(2.0 * n.max(1) as f32)).collect();
    let zero_point = i32::from(input.zero_point);
    let op = AveragePool { window, multipliers: &multipliers, zero_point, range: random.range() };
    let run = |kernels: &dyn Kernels, rows: RowsMut<'_>| kernels.average_pool(&op, input.rows(), rows);
    agree(&format!("average {case}"), layout, kernels, &run);
}

#[test]
fn poolings_of_the_usual_kinds_equal_the_reference() {
    let kernels = all_kernels();
    let mut random = Random(12);
    let kind = |kernel, stride, pad| ClippedWindow {
        kernel: [kernel, kernel],
        stride: [stride, stride],
        dilation: [1, 1],
        pads: [pad, pad],
    };
    for window in [kind(2, 2, 0), kind(3, 2, 1), kind(3, 1, 1), kind(7, 1, 3), kind(1, 1, 0)] {
        // Odd extents leave a clipped last window; extents below the kernel clip every window on both sides.
        for image in [[2, 2, 4], [5, 3, 1], [4, 64, 8], [3, 33, 5], [1, 1, 3], [9, 16, 4], [2, 49, 6]] {
            check_pools(&mut random, &kernels, window, image);
        }
    }
}

#[test]
fn random_poolings_equal_the_reference() {
    let kernels = all_kernels();
    for seed in 0..count() {
        let mut random = Random(4000 + seed);
        let mut pair = |list: &[usize]| [random.one_of(list), random.one_of(list)];
        let kernel = pair(&[1, 2, 3, 4, 5]);
        let window = ClippedWindow {
            kernel,
            stride: pair(&[1, 2, 3]),
            dilation: pair(&[1, 1, 2]),
            pads: [0, 1].map(|axis: usize| pair(&[0, 1, 2])[axis].min(kernel[axis] - 1)),
        };
        let image = [pair(&[1, 2, 3, 5, 8])[0], pair(&WIDTHS)[0], pair(&CHANNELS[..10])[0]];
        check_pools(&mut random, &kernels, window, image);
    }
}
