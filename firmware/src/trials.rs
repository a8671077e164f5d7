//! Random convolutions, the same on every machine that runs them: each is drawn from its number, computed
//! by whatever kernels there are, and answered with the digest of its output.

use candor_core::arithmetic::{Multiplier, Range};
use candor_core::digest;
use candor_core::kernels::Kernels;
use candor_core::ops::Convolution;
use candor_core::ops::convolution::Filter;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::ops::record::Window;
use candor_core::tensor::{BLOCK, Element, Halo, Layout, Rows, RowsMut, fill_halo};

/// Bytes of the greatest input and of the greatest output.
const TENSOR_BYTES: usize = 12 << 10;
/// Most weights.
const WEIGHTS: usize = 12 << 10;
/// Most output channels, padding included.
const OUTPUTS: usize = 40;
/// Most products of one convolution, so that ten thousand take an emulated microcontroller a minute.
const PRODUCTS: usize = 60_000;

/// Everything a convolution needs, owned, without a heap.
pub struct Memory {
    input: [u8; TENSOR_BYTES],
    output: [u8; TENSOR_BYTES],
    weights: [i8; WEIGHTS],
    bias: [i32; OUTPUTS],
    sums: [i32; OUTPUTS],
    multipliers: [Multiplier; OUTPUTS],
}

impl Memory {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            input: [0; TENSOR_BYTES],
            output: [0; TENSOR_BYTES],
            weights: [0; WEIGHTS],
            bias: [0; OUTPUTS],
            sums: [0; OUTPUTS],
            multipliers: [Multiplier::new(0.0); OUTPUTS],
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    fn one_of<const N: usize>(&mut self, list: [usize; N]) -> usize {
        list[self.between(0, N - 1)]
    }
}

/// What is computed.
struct Shape {
    input: Layout,
    output: Layout,
    window: Window,
    order: Order,
    outputs: usize,
}

/// A shape that fits [`Memory`].
fn shape(random: &mut Random) -> Shape {
    loop {
        let mut pair = |list: [usize; 6]| [random.one_of(list), random.one_of(list)];
        let kernel = pair([1, 2, 3, 3, 3, 5]);
        let stride = pair([1, 1, 1, 1, 2, 3]);
        let dilation = pair([1, 1, 1, 1, 2, 3]);
        let extent = [random.between(1, 9), random.between(1, 21)];
        let channels = [0; 2].map(|_| random.one_of([1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 31, 33]));
        let pads = [0, 1].map(|axis: usize| random.between(0, (kernel[axis] - 1).min(2)));
        let element = if random.between(0, 3) == 0 { Element::Accumulator } else { Element::Code };
        let reach =
            [0, 1].map(|axis| (extent[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1);
        let after = [0, 1].map(|axis: usize| random.between(0, 1).min(reach[axis] - 1));
        if (0..2).any(|axis| reach[axis] <= pads[axis] + after[axis]) {
            continue;
        }
        let halo = Halo { top: pads[0], left: pads[1], bottom: after[0], right: after[1] };
        let image = [0, 1].map(|axis| reach[axis] - pads[axis] - after[axis]);
        let input = Layout::packed(image[0], image[1], channels[0], halo, Element::Code);
        let around = Halo { top: 1, left: random.between(0, 2), bottom: 0, right: 1 };
        let output = Layout::packed(extent[0], extent[1], channels[1], around, element);
        let order = Order::new(kernel, input.blocks());
        let outputs = channels[1].next_multiple_of(OUTPUT_BLOCK);
        let products = extent[0] * extent[1] * channels[0] * channels[1] * kernel[0] * kernel[1];
        let fits = input.bytes() <= TENSOR_BYTES && output.bytes() <= TENSOR_BYTES;
        if fits && order.weights() * outputs <= WEIGHTS && outputs <= OUTPUTS && products <= PRODUCTS {
            let window = Window { kernel, stride, dilation, pads };
            return Shape { input, output, window, order, outputs };
        }
    }
}

/// Weights of the channels that exist, with their sums; sometimes all extreme.
fn weights(random: &mut Random, shape: &Shape, memory: &mut Memory) {
    let Shape { input, output, window, order, outputs } = shape;
    memory.weights.fill(0);
    memory.sums.fill(0);
    let style = random.between(0, 5);
    for o in 0..output.channels {
        for ky in 0..window.kernel[0] {
            for c in 0..input.channels {
                for kx in 0..window.kernel[1] {
                    let weight = match style {
                        0 => 127,
                        1 => -128,
                        _ => random.bits() as i8,
                    };
                    memory.weights[order.index(*outputs, o, ky, c, kx)] = weight;
                    memory.sums[o] += i32::from(weight);
                }
            }
        }
    }
    debug_assert!(input.blocks() * BLOCK >= input.channels);
}

/// Draws convolution `number`, computes it with `kernels`, and gives the digest of its output.
pub fn run(number: u64, kernels: &impl Kernels, memory: &mut Memory) -> [u8; 32] {
    let mut random = Random(number);
    let shape = shape(&mut random);
    let Shape { input, output, window, order, outputs } = shape;
    weights(&mut random, &shape, memory);
    let zero_point = random.bits() as u8;
    let codes = &mut memory.input[..input.bytes()];
    let plain = random.between(0, 4);
    codes.iter_mut().for_each(|code| *code = if plain == 0 { 255 } else { random.bits() as u8 });
    fill_halo(input, codes, zero_point);
    let products = input.channels * window.kernel[0] * window.kernel[1];
    for o in 0..outputs {
        memory.bias[o] = (random.bits() as i16).into();
        // Powers of two between neighbours make ties; others do not.
        let exact = random.between(0, 3) == 0;
        let factor = Multiplier::from_scales(random.between(1, 255) as f32, 1.0, (products * 4096) as f32);
        memory.multipliers[o] = if exact { Multiplier::from_scales(1.0, 1.0, 512.0) } else { factor };
    }
    let zero = random.bits() as u8;
    let rectified = random.between(0, 1) == 0;
    let range = Range { zero_point: zero.into(), low: if rectified { zero.into() } else { 0 }, high: 255 };
    let filter = Filter {
        weights: &memory.weights[..order.weights() * outputs],
        bias: &memory.bias[..outputs],
        weight_sums: &memory.sums[..outputs],
        multipliers: &memory.multipliers[..outputs],
        range,
    };
    let data = &mut memory.output[..output.bytes()];
    data.fill(0xa5);
    let source = Rows::whole(input, &memory.input[..input.bytes()]);
    kernels.convolution(&Convolution { window, filter }, source, RowsMut::whole(output, data));
    digest::tensor(Rows::whole(output, data))
}

#[cfg(test)]
mod tests;
