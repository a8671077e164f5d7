//! Prints the rate of each tier's kernels on one thread beside that of its dot product on registers alone.
//!
//! Arguments choose tiers by name and convolutions by a part of theirs; without any, all run. Times are the
//! least of several runs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use candor_core::arithmetic::{Multiplier, Range};
use candor_core::kernels::Kernels;
use candor_core::ops::convolution::Filter;
use candor_core::ops::max_pool::ClippedWindow;
use candor_core::ops::order::Order;
use candor_core::ops::record::Window;
use candor_core::ops::{
    Add, AveragePool, Convolution, CopyChannels, Depthwise, GroupNorm, Lookup, MaxPool, Multiply, Remap,
    TransposedConvolution,
};
use candor_core::plan::ALIGNMENT;
use candor_core::tensor::{Element, Halo, Layout, Rows, RowsMut};
use candor_cpu::{CpuKernels, Tier};
use std::time::Instant;

/// Full output range around the middle.
const RANGE: Range = Range { zero_point: 128, low: 0, high: 255 };
/// One halo pixel on each side.
const HALO: Halo = Halo { top: 1, left: 1, bottom: 1, right: 1 };

/// Least seconds of a run, over about a fifth of a second.
fn seconds(mut run: impl FnMut()) -> f64 {
    let (begin, mut least) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

/// Constants of a filter with plausible values.
struct Constants {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<Multiplier>,
}

impl Constants {
    /// With `weights` per output channel, padding included.
    fn new(weights: usize, outputs: usize, phases: usize) -> Self {
        let padded = outputs.div_ceil(8) * 8;
        Self {
            weights: (0..weights * padded + ALIGNMENT).map(|i| (i * 31 % 255) as u8 as i8).collect(),
            bias: vec![0; padded * phases],
            multipliers: vec![Multiplier::new(1.0e-4); padded],
        }
    }

    fn filter(&self) -> Filter<'_> {
        // A package aligns its constants.
        let start = self.weights.as_ptr().align_offset(ALIGNMENT);
        Filter {
            weights: &self.weights[start..],
            bias: &self.bias,
            weight_sums: &self.bias,
            multipliers: &self.multipliers,
            range: RANGE,
        }
    }
}

/// A tensor of arbitrary codes.
fn codes(layout: Layout) -> Vec<u8> {
    (0..layout.bytes()).map(|i| (i * 7 % 256) as u8).collect()
}

/// 10⁹ products per second of a dense convolution of side `size`.
fn convolution(kernels: &CpuKernels, size: usize, channels: [usize; 2], side: usize, stride: usize) -> f64 {
    let from = Layout::packed(size, size, channels[0], HALO, Element::Code);
    let to = Layout::packed(size / stride, size / stride, channels[1], HALO, Element::Code);
    let weights = Order::new([side, side], channels[0].div_ceil(4)).weights();
    let constants = Constants::new(weights, channels[1], 1);
    let pads = [usize::from(side == 3); 2];
    let window = Window { kernel: [side, side], stride: [stride, stride], dilation: [1, 1], pads };
    let op = Convolution { window, filter: constants.filter() };
    let (input, mut output) = (codes(from), vec![0; to.bytes()]);
    let time = seconds(|| {
        kernels.convolution(&op, Rows::whole(from, &input), RowsMut::whole(to, &mut output));
    });
    (to.height * to.width * side * side * channels[0] * channels[1]) as f64 / time / 1.0e9
}

/// 10⁹ products per second of a 2×2 stride-2 transposed convolution.
fn transposed(kernels: &CpuKernels, size: usize, channels: [usize; 2]) -> f64 {
    let from = Layout::packed(size, size, channels[0], HALO, Element::Code);
    let to = Layout::packed(2 * size, 2 * size, channels[1], HALO, Element::Code);
    let weights = 4 * Order::new([1, 1], channels[0].div_ceil(4)).weights();
    let constants = Constants::new(weights, channels[1], 4);
    let op =
        TransposedConvolution { kernel: [2, 2], stride: [2, 2], pads: [0, 0], filter: constants.filter() };
    let (input, mut output) = (codes(from), vec![0; to.bytes()]);
    let time = seconds(|| {
        kernels.transposed(&op, Rows::whole(from, &input), RowsMut::whole(to, &mut output));
    });
    (to.height * to.width * channels[0] * channels[1]) as f64 / time / 1.0e9
}

/// Prints 10⁹ output codes per second of the operators that move codes, 32 channels of side `size`.
fn maps(kernels: &CpuKernels, size: usize) {
    let layout = Layout::packed(size, size, 32, HALO, Element::Code);
    let half = Layout::packed(size / 2, size / 2, 32, HALO, Element::Code);
    let (input, mut output) = (codes(layout), vec![0; layout.bytes()]);
    let rows = Rows::whole(layout, &input);
    let constants = Constants::new(9 * 4, 32, 1);
    let multiplier = Multiplier::new(1.0e-4);
    let mut print = |name: &str, to: Layout, run: &dyn Fn(RowsMut<'_>)| {
        let time = seconds(|| run(RowsMut::whole(to, &mut output)));
        print!(" {name} {:.1}", (to.height * to.width * to.channels) as f64 / time / 1.0e9);
    };
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1] };
    let op = Depthwise {
        window,
        weights: &constants.weights,
        bias: &constants.bias,
        weight_sums: &constants.bias,
        multipliers: &constants.multipliers,
        range: RANGE,
    };
    print("depthwise3x3", layout, &|to| kernels.depthwise(&op, rows, to));
    let op = Depthwise { window: Window { stride: [2, 2], ..window }, ..op };
    print("depthwise3x3s2", half, &|to| kernels.depthwise(&op, rows, to));
    let wide = Constants::new(25 * 4, 32, 1);
    let layout5 = Layout::packed(size - 2, size - 2, 32, HALO, Element::Code);
    let window = Window { kernel: [5, 5], stride: [1, 1], dilation: [1, 1], pads: [1, 1] };
    let op = Depthwise { window, weights: &wide.weights, ..op };
    print("depthwise5x5", layout5, &|to| kernels.depthwise(&op, rows, to));
    let window = ClippedWindow { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0, 0] };
    print("max2x2s2", half, &|to| kernels.max_pool(&MaxPool { window }, rows, to));
    let op = AveragePool { window, multipliers: &[Multiplier::new(0.25); 5], zero_point: 3, range: RANGE };
    print("average2x2s2", half, &|to| kernels.average_pool(&op, rows, to));
    let op = Add { factors: [1 << 22, 1 << 20], constant: -7, multiplier, range: RANGE };
    print("add", layout, &|to| kernels.add(&op, rows, rows, to));
    let op = Multiply { zero_points: [3, 5], multiplier, range: RANGE };
    print("multiply", layout, &|to| kernels.multiply(&op, rows, rows, to));
    let table: Vec<u8> = (0..=255).rev().collect();
    let op = Lookup { tables: &table, per_channel: false };
    print("lookup", layout, &|to| kernels.lookup(&op, rows, to));
    let tables: Vec<u8> = (0..32 * 256).map(|at| (at % 253) as u8).collect();
    let op = Lookup { tables: &tables, per_channel: true };
    print("lookup-by-channel", layout, &|to| kernels.lookup(&op, rows, to));
    let map: Vec<u16> = (0..size as u16).map(|at| at / 2).collect();
    let op = Remap { rows: &map, columns: &map, fill: 0 };
    print("remap", layout, &|to| kernels.remap(&op, rows, to));
    let op = CopyChannels { from: 0, to: 0, count: 32, table: None };
    print("copy", layout, &|to| kernels.copy_channels(&op, rows, to));
    let op = CopyChannels { from: 0, to: 0, count: 32, table: Some(&table) };
    print("copy-rescaled", layout, &|to| kernels.copy_channels(&op, rows, to));
    let op = CopyChannels { from: 1, to: 2, count: 29, table: None };
    print("copy-shifted", layout, &|to| kernels.copy_channels(&op, rows, to));
    let op = GroupNorm {
        group: 1,
        constants: candor_core::arithmetic::Normalization { epsilon: multiplier, output_steps: multiplier },
        gamma: &[],
        beta: &[],
        range: RANGE,
    };
    let affine = [[multiplier; 2]; 32];
    print("normalise", layout, &|to| kernels.group_norm(&op, &affine, rows, to));
    let time = seconds(|| kernels.channel_sums(rows, &mut [[0; 2]; 32]));
    print!(" sums {:.1}", (size * size * 32) as f64 / time / 1.0e9);
    let mut sums = [[0; 2]; 32];
    kernels.channel_sums(rows, &mut sums);
    let time = seconds(|| kernels.gram(rows, &sums, &mut [0; 528]));
    println!(" gram {:.1} products", (size * size * 528) as f64 / time / 1.0e9);
}

/// The shapes of convolutions, by name; a rate in 10⁹ products per second.
fn shapes(kernels: &CpuKernels, print: &dyn Fn(&str, &dyn Fn() -> f64)) {
    let dense = |channels: [usize; 2], size: usize, side: usize, stride: usize| {
        let step = if stride == 1 { String::new() } else { format!(" s{stride}") };
        let name = format!("{side}x{side}{step} {}->{} at {size}", channels[0], channels[1]);
        print(&name, &|| convolution(kernels, size, channels, side, stride));
    };
    for (channels, size) in [(8, 512), (16, 256), (32, 256), (64, 128), (128, 64), (256, 64)] {
        dense([channels, channels], size, 3, 1);
    }
    dense([32, 32], 48, 3, 1);
    dense([1, 8], 512, 3, 1);
    dense([1, 32], 256, 3, 1);
    dense([256, 256], 32, 3, 1);
    dense([512, 512], 16, 3, 1);
    dense([64, 64], 24, 3, 1);
    dense([64, 64], 8, 3, 1);
    dense([64, 128], 128, 3, 2);
    dense([32, 192], 64, 1, 1);
    dense([192, 32], 64, 1, 1);
    dense([32, 2], 256, 1, 1);
    for channels in [[64, 32], [16, 8]] {
        let name = format!("transposed 2x2 {}->{} at 64", channels[0], channels[1]);
        print(&name, &|| transposed(kernels, 64, channels));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let (tiers, parts): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| Tier::from_name(argument).is_some());
    for tier in Tier::available().skip(1) {
        if !tiers.is_empty() && !tiers.iter().any(|name| *name == tier.name()) {
            continue;
        }
        let kernels = CpuKernels::new(tier, 1).unwrap();
        let mut products = 0;
        let time = seconds(|| products = kernels.roof_products(1_000_000));
        let roof = products as f64 / time / 1.0e9;
        println!("{tier}: dot product on registers {roof:.0} GMAC/s; GMAC/s and fraction of it:");
        shapes(&kernels, &|name, rate| {
            if parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str())) {
                let rate = rate();
                println!("  {name:26} {rate:6.0}  {:.2}", rate / roof);
            }
        });
        // Beyond the core's own cache, and within it, as where a plan runs a few rows at a time.
        for size in [256, 64] {
            if parts.is_empty() {
                print!("  10^9 codes/s at {size}:");
                maps(&kernels, size);
            }
        }
    }
}
