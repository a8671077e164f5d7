//! Every operator alone, at the edges: channels 1 to 67, odd extents, pads, strides, dilations.

use crate::agree::check;
use crate::draft::{Draft, Image, slid};
use crate::networks::{Case, TRANSPOSED};
use candor_lab::lower::Ending;
use candor_lab::network::{Binary, Op, PadMode, Reduction, Unary, Window};

/// Channel counts around blocks of four and groups of eight and sixteen.
const CHANNELS: [usize; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 24, 31, 33, 67];
/// Columns around a warp and around the pixels of a convolution's thread.
const WIDTHS: [usize; 12] = [1, 2, 3, 7, 8, 31, 32, 33, 63, 65, 127, 130];

const POINT: Window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };

/// Checks `count` networks that `build` draws behind an input with many channels; the last operator drawn
/// gives the output.
fn each(first: u64, count: u64, build: impl Fn(&mut Draft, Image) -> Option<Image>) {
    let mut drawn = 0;
    for seed in first.. {
        let mut draft = Draft::new(seed);
        draft.products_max = 3_000_000;
        let channels = draft.pick(&CHANNELS);
        let extent = [channels, draft.between(1, 9), draft.pick(&WIDTHS)];
        let x = draft.input(extent);
        if build(&mut draft, x).is_some() {
            check(&Case::pack(seed, draft, Ending::Codes));
            drawn += 1;
        }
        if drawn == count {
            return;
        }
    }
}

/// A window that keeps at least one row and column.
fn window(draft: &mut Draft, kernels: &[usize]) -> Window {
    let mut window = POINT;
    for axis in 0..2 {
        window.kernel[axis] = draft.pick(kernels);
        window.stride[axis] = draft.pick(&[1, 1, 2, 3]);
        window.dilation[axis] = draft.pick(&[1, 1, 2, 4]);
        let reach = (window.kernel[axis] - 1) * window.dilation[axis];
        window.pads[axis] = draft.between(0, reach);
        window.pads[axis + 2] = draft.between(0, reach);
    }
    window
}

#[test]
fn convolutions_agree() {
    each(1_000, 40, |draft, x| {
        let window = window(draft, &[1, 2, 3, 3, 5, 7]);
        let outputs = draft.pick(&CHANNELS);
        draft.convolution(x, outputs, window, 1)
    });
}

#[test]
fn logits_stay_accumulators() {
    for seed in 2_000..2_020 {
        let mut draft = Draft::new(seed);
        draft.products_max = 3_000_000;
        let extent = [draft.pick(&CHANNELS), draft.between(1, 9), draft.pick(&WIDTHS)];
        let x = draft.input(extent);
        let outputs = draft.pick(&[1, 2, 3, 5, 8, 67]);
        draft.convolution(x, outputs, POINT, 1).expect("a point always fits");
        check(&Case::pack(seed, draft, Ending::Logits));
    }
}

#[test]
fn depthwise_convolutions_agree() {
    each(3_000, 25, |draft, x| {
        let window = window(draft, &[2, 3, 3, 5, 7]);
        draft.convolution(x, x.extent[0], window, x.extent[0])
    });
}

#[test]
fn transposed_convolutions_agree() {
    each(4_000, 25, |draft, x| {
        let (kernel, stride, before, after, more) = draft.pick(&TRANSPOSED);
        let pads = [before, before, after, after];
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads };
        let outputs = draft.pick(&CHANNELS);
        draft.transposed(x, outputs, window, more)
    });
}

#[test]
fn pools_agree() {
    each(5_000, 30, |draft, x| {
        let mut window = window(draft, &[2, 3, 5]);
        for axis in 0..2 {
            window.pads[axis] = window.pads[axis].min((window.kernel[axis] - 1) / 2);
            window.pads[axis + 2] = window.pads[axis];
            window.dilation[axis] = 1;
        }
        let extent = [x.extent[0], slid(x.extent[1], &window, 0)?, slid(x.extent[2], &window, 1)?];
        let count_include_pad = draft.once_in(2);
        let op = match draft.once_in(2) {
            true => Op::MaxPool { window, ceil: false },
            false => Op::AveragePool { window, ceil: false, count_include_pad },
        };
        Some(draft.node(op, &[x.id], extent))
    });
}

#[test]
fn sums_and_products_agree() {
    each(6_000, 25, |draft, x| {
        let other = draft.convolution(x, x.extent[0], POINT, x.extent[0])?;
        let function = draft.pick(&[Binary::Add, Binary::Sub, Binary::Mul]);
        Some(draft.binary(function, x, other))
    });
}

#[test]
fn global_means_and_gates_agree() {
    each(7_000, 15, |draft, x| {
        let op = Op::Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keepdims: true };
        let mean = draft.node(op, &[x.id], [x.extent[0], 1, 1]);
        Some(draft.binary(Binary::Mul, x, mean))
    });
}

#[test]
fn normalisations_agree() {
    each(8_000, 20, |draft, x| {
        let channels = x.extent[0];
        let groups = draft.pick(&[1, channels]);
        let (scale, bias) = (draft.constant(&[channels], 1.0), draft.constant(&[channels], 0.5));
        Some(draft.node(Op::GroupNorm { groups, epsilon: 1e-3 }, &[x.id, scale, bias], x.extent))
    });
}

#[test]
fn tables_agree() {
    each(9_000, 15, |draft, x| {
        let slope = draft.constant(&[x.extent[0], 1, 1], 1.0);
        let curved = draft.node(Op::PRelu, &[x.id, slope], x.extent);
        Some(draft.node(Op::Unary(Unary::Tanh), &[curved.id], x.extent))
    });
}

#[test]
fn joins_and_cuts_agree() {
    each(11_000, 20, |draft, x| {
        let from = draft.random.below(x.extent[0]);
        let count = draft.between(1, x.extent[0] - from);
        let op = Op::Slice { start: vec![0, from, 0, 0], step: vec![1; 4] };
        let cut = draft.node(op, &[x.id], [count, x.extent[1], x.extent[2]]);
        Some(draft.concat(&[cut, x, cut]))
    });
}

#[test]
fn gathers_and_resizes_agree() {
    each(12_000, 25, |draft, x| {
        let [channels, height, width] = x.extent;
        if draft.once_in(2) {
            let extent = [draft.between(1, 2 * height), draft.between(1, 2 * width)];
            return Some(draft.resize(x, extent));
        }
        let mode = draft.pick(&[PadMode::Constant(0.7), PadMode::Edge]);
        let [top, left, bottom, right] = [0; 4].map(|_| draft.between(0, 3));
        let extent = [channels, top + height + bottom, left + width + right];
        let op = Op::Pad { pads: vec![0, 0, top, left, 0, 0, bottom, right], mode };
        Some(draft.node(op, &[x.id], extent))
    });
}
