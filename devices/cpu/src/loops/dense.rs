//! The one dense loop nest: a small window of taps over all input channels, eight output channels at a
//! time.
//!
//! A tile keeps one accumulator per output channel and register of pixels; each tap loads its pixels once
//! and broadcasts four weights per output channel. Weights of one output block are reused over a strip of
//! rows that stays in the second-level cache.

use crate::loops::finish::{self, storing};
use crate::loops::vector::{OutputStep, Vector, read, reading};
use crate::loops::walk::{Plane, Site, Walk};
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::ops::order::{GROUP, OUTPUT_BLOCK, Order};
use candor_core::ops::record::PRODUCTS_LIMIT;
use candor_core::tensor::{BLOCK, Element};
use core::mem::MaybeUninit;

/// Input bytes of a strip of rows whose output blocks are computed one after the other.
const STRIP_BYTES: usize = 256 << 10;
/// Most taps times input blocks of a pass; as many as a plan allows.
const TAPS: usize = PRODUCTS_LIMIT / BLOCK;
/// Bytes of widened weights kept for one output block.
const WIDENED_BYTES: usize = 64 << 10;

/// A dense convolution, or one phase of a transposed one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense<'p> {
    /// Pixels of input block 0 and output block 0.
    pub plane: Plane,
    /// Taps, input channel blocks and the order of the weights.
    pub order: Order,
    /// Input bytes between taps (h, w).
    pub tap_steps: [usize; 2],
    /// Input bytes between blocks.
    pub block_step: usize,
    /// Output bytes between blocks.
    pub target_block: usize,
    /// Output channels.
    pub outputs: usize,
    /// What is stored.
    pub element: Element,
    /// In that order.
    pub weights: &'p [i8],
    /// `[O/8·8]`.
    pub bias: &'p [i32],
    /// `[O/8·8]`.
    pub weight_sums: &'p [i32],
    /// `[O/8·8]`.
    pub multipliers: &'p [Multiplier],
    /// Output zero point and clamp.
    pub range: Range,
    /// Another phase over the same input, whose pixels lie right of this one's.
    pub neighbour: Option<Neighbour<'p>>,
}

/// What the right one of two neighbouring phases has of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbour<'p> {
    /// As [`Dense::weights`], in the same order.
    pub weights: &'p [i8],
    /// As [`Dense::bias`].
    pub bias: &'p [i32],
    /// As [`Dense::weight_sums`].
    pub weight_sums: &'p [i32],
}

/// Widened weights of one output block, aligned so that each group can be read as a whole.
#[repr(align(64))]
struct Widened([MaybeUninit<i8>; WIDENED_BYTES]);

/// A tap of one input block.
#[derive(Clone, Copy)]
pub(crate) struct Tap {
    /// Input bytes from a site to it.
    input: u32,
    /// Bytes from the first output channel's first word to the word of this tap.
    weights: u32,
}

/// What a tile needs of up to eight output channels, or of four in each of two phases.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<'a> {
    /// Every tap of every block, in the order of the weights.
    taps: &'a [Tap],
    /// Weights of the first and of the second four.
    weights: [*const i8; 2],
    /// Bytes from one output channel's words to the next's, as stored.
    pitch: usize,
    bias: [i32; OUTPUT_BLOCK],
    /// Output steps of the first and of the second four.
    pub steps: [OutputStep; 2],
    /// Byte offset of the first output block.
    pub target: usize,
    /// Output blocks to store.
    blocks: usize,
}

impl Outputs<'_> {
    /// The second four channels.
    fn upper_half(mut self, target_block: usize) -> Self {
        self.weights[0] = self.weights[1];
        self.bias.copy_within(BLOCK.., 0);
        self.steps[0] = self.steps[1];
        self.target += target_block;
        self.blocks -= 1;
        self
    }

    /// Lets the sums of half `half` begin at `zero` and the bias.
    #[inline(always)]
    fn start_half<V: Vector>(&mut self, half: usize, bias: &[i32], weight_sums: &[i32], zero: i32) {
        let starts = self.bias[half * BLOCK..][..BLOCK].iter_mut();
        for (start, (bias, sum)) in starts.zip(bias.iter().zip(weight_sums)) {
            let centre = if V::CENTRED { sum.wrapping_mul(128) } else { 0 };
            *start = bias.wrapping_add(centre).wrapping_add(zero);
        }
    }
}

impl Dense<'_> {
    /// Whether the taps fit their list and the farthest one an offset.
    pub fn is_small(order: &Order, reach: usize) -> bool {
        order.words() <= TAPS && u32::try_from(reach).is_ok()
    }

    /// Lists the taps for groups of `rows` output channels: one flat loop over them keeps all sums in
    /// registers, nested ones do not.
    #[inline(always)]
    fn list_taps<'a>(&self, rows: usize, list: &'a mut [MaybeUninit<Tap>; TAPS]) -> &'a [Tap] {
        let Order { taps, blocks, width, .. } = self.order;
        let mut entries = list.iter_mut();
        let (mut weights, mut column_in_chunk) = (0, 0);
        for row in 0..taps[0] {
            for block in 0..blocks {
                let start = row * self.tap_steps[0] + block * self.block_step;
                for (column, entry) in (0..taps[1]).zip(entries.by_ref()) {
                    let input = (start + column * self.tap_steps[1]) as u32;
                    entry.write(Tap { input, weights });
                    (weights, column_in_chunk) = (weights + BLOCK as u32, column_in_chunk + 1);
                    if column_in_chunk == width {
                        (weights, column_in_chunk) = (weights + ((rows - 1) * width * BLOCK) as u32, 0);
                    }
                }
            }
        }
        let count = TAPS - entries.len();
        // SAFETY: the first `count` entries were written.
        unsafe { core::slice::from_raw_parts(list.as_ptr().cast(), count) }
    }

    /// Bias and output step of the output block that starts at channel `first`.
    #[inline(always)]
    fn outputs<'a, V: Vector>(&self, first: usize, taps: &'a [Tap]) -> Outputs<'a> {
        let start = self.order.word(self.multipliers.len(), first, 0);
        let pitch = self.order.width * BLOCK;
        let step = |half: usize| {
            let m = &self.multipliers[first + half * BLOCK..][..BLOCK];
            OutputStep::new([m[0], m[1], m[2], m[3]], self.range)
        };
        let weights = self.weights.as_ptr().wrapping_add(start);
        let mut outputs = Outputs {
            taps,
            weights: [weights, weights.wrapping_add(BLOCK * pitch)],
            pitch,
            bias: [0; OUTPUT_BLOCK],
            steps: [step(0), step(1)],
            target: first / BLOCK * self.target_block,
            blocks: (self.outputs - first).div_ceil(BLOCK).min(2),
        };
        for half in 0..2 {
            let channel = first + half * BLOCK;
            let bias = &self.bias[channel..][..BLOCK];
            let products = self.order.words() * BLOCK;
            let zero = if V::RECTIFIES && self.element == Element::Code {
                outputs.steps[half].rectify(bias, products)
            } else {
                0
            };
            outputs.start_half::<V>(half, bias, &self.weight_sums[channel..], zero);
        }
        outputs
    }

    /// As [`Dense::outputs`], for block `block` of the four output channels from `first` on in both phases.
    #[inline(always)]
    fn paired_outputs<'a, V: Vector>(
        &self,
        (first, block): (usize, usize),
        neighbour: &Neighbour<'_>,
        taps: &'a [Tap],
    ) -> Outputs<'a> {
        let mut outputs = self.outputs::<V>(first, taps);
        let start = self.order.word(self.multipliers.len(), first, 0);
        let skip = block * BLOCK * outputs.pitch;
        let weights =
            [self.weights, neighbour.weights].map(|weights| weights.as_ptr().wrapping_add(start + skip));
        let channel = first + block * BLOCK;
        let m = &self.multipliers[channel..][..BLOCK];
        let step = OutputStep::new([m[0], m[1], m[2], m[3]], self.range);
        outputs.target += block * self.target_block;
        outputs = Outputs { weights, steps: [step; 2], ..outputs };
        outputs.start_half::<V>(0, &self.bias[channel..], &self.weight_sums[channel..], 0);
        outputs.start_half::<V>(1, &neighbour.bias[channel..], &neighbour.weight_sums[channel..], 0);
        outputs
    }
}

/// Runs a dense pass.
///
/// # Safety
/// As [`Vector`]; all taps of all pixels of the plane in all blocks are readable, all its output pixels
/// writable, and the constants have the lengths [`Dense`] states.
#[inline(always)]
pub(crate) unsafe fn run<V: Vector>(pass: &Dense<'_>) {
    let mut list = [MaybeUninit::uninit(); TAPS];
    let strip = (STRIP_BYTES / pass.plane.source_row.max(1)).max(1);
    let mut first_row = 0;
    while first_row < pass.plane.rows {
        let rows = strip.min(pass.plane.rows - first_row);
        let plane = pass.plane.rows(first_row, rows);
        let mut first = 0;
        while first < pass.outputs {
            // All groups but perhaps the last have the same rows.
            let rows = Order::rows(pass.multipliers.len(), first);
            let end = if rows < GROUP { pass.outputs } else { pass.multipliers.len() / GROUP * GROUP };
            let taps = pass.list_taps(rows, &mut list);
            for first in (first..end.min(pass.outputs)).step_by(OUTPUT_BLOCK) {
                let Some(neighbour) = &pass.neighbour else {
                    // SAFETY: a part of the pass.
                    unsafe { run_outputs::<V>(pass, &plane, pass.outputs::<V>(first, taps)) }
                    continue;
                };
                for block in 0..(pass.outputs - first).div_ceil(BLOCK).min(2) {
                    let outputs = pass.paired_outputs::<V>((first, block), neighbour, taps);
                    // SAFETY: as above.
                    unsafe { run_outputs::<V>(pass, &plane, outputs) }
                }
            }
            first = end;
        }
        first_row += rows;
    }
}

/// One output block over a strip; widens its weights once where the tier asks for that and they fit.
#[inline(always)]
unsafe fn run_outputs<V: Vector>(pass: &Dense<'_>, plane: &Plane, mut outputs: Outputs<'_>) {
    let groups = outputs.taps.len() * OUTPUT_BLOCK;
    if V::WEIGHT_BYTES == BLOCK || groups * V::WEIGHT_BYTES > WIDENED_BYTES {
        // SAFETY: the caller's contract.
        return unsafe { sweep::<V::Direct>(pass, plane, outputs) };
    }
    let mut widened = Widened([MaybeUninit::uninit(); WIDENED_BYTES]);
    let mut target = widened.0.as_mut_ptr().cast::<i8>();
    // SAFETY: `groups` groups of four weights are readable and fit `widened`, which lives through the sweep
    // and is written before it is read.
    unsafe {
        for tap in outputs.taps {
            for o in 0..OUTPUT_BLOCK {
                let weights = outputs.weights[o / BLOCK].add(o % BLOCK * outputs.pitch);
                V::widen_weights(weights.add(tap.weights as usize), target);
                target = target.add(V::WEIGHT_BYTES);
            }
        }
        let widened = widened.0.as_ptr().cast::<i8>();
        outputs.weights = [widened, widened.add(BLOCK * V::WEIGHT_BYTES)];
        sweep::<V>(pass, plane, outputs);
    }
}

/// Chooses the tile: as many accumulators as the registers hold beside pixels and weights.
#[inline(always)]
unsafe fn sweep<V: Vector>(pass: &Dense<'_>, plane: &Plane, outputs: Outputs<'_>) {
    // SAFETY: the caller's contract.
    unsafe {
        if V::REGISTERS == 32 {
            match (outputs.blocks.max(if pass.neighbour.is_some() { 2 } else { 0 }), V::SITES) {
                (2, 3) => tiles::<V, 8, 3>(pass, plane, &outputs),
                (2, _) => tiles::<V, 8, 2>(pass, plane, &outputs),
                _ => tiles::<V, 4, 4>(pass, plane, &outputs),
            }
            return;
        }
        let halves = [outputs, outputs.upper_half(pass.target_block)];
        for outputs in &halves[..outputs.blocks] {
            if V::SITES == 3 {
                tiles::<V, 4, 3>(pass, plane, outputs);
            } else {
                tiles::<V, 4, 2>(pass, plane, outputs);
            }
        }
    }
}

/// All tiles of `O` output channels and `N` registers, then pairs of registers for what remains: a single
/// one has too few sums to hide the latency of a product.
#[inline(always)]
unsafe fn tiles<V: Vector, const O: usize, const N: usize>(
    pass: &Dense<'_>,
    plane: &Plane,
    outputs: &Outputs<'_>,
) {
    let mut walk = Walk::new(plane, V::LANES);
    // SAFETY: the caller's contract.
    unsafe {
        while walk.remaining >= N && (N, walk.remaining) != (3, 4) {
            let (sites, whole) = walk.take::<N>();
            read_tile::<V, O, N>(pass, &sites, whole, outputs);
        }
        while walk.remaining >= 2 {
            let (sites, whole) = walk.take::<2>();
            read_tile::<V, O, 2>(pass, &sites, whole, outputs);
        }
        while walk.remaining > 0 {
            let (sites, whole) = walk.take::<1>();
            read_tile::<V, O, 1>(pass, &sites, whole, outputs);
        }
    }
}

/// Chooses how the tile reads its pixels.
#[inline(always)]
unsafe fn read_tile<V: Vector, const O: usize, const N: usize>(
    pass: &Dense<'_>,
    sites: &[Site; N],
    whole: bool,
    outputs: &Outputs<'_>,
) {
    // SAFETY: the caller's contract; where whole registers may be read, FULL and EVEN do.
    unsafe {
        if pass.element == Element::Accumulator {
            // Heads alone: not worth the code of every way to read.
            return match pass.plane.source_stride {
                1 => V::dense_tile::<O, N, { reading::PARTIAL }, { storing::SUMS }>(pass, sites, outputs),
                _ => V::dense_tile::<O, N, { reading::STRIDED }, { storing::SUMS }>(pass, sites, outputs),
            };
        }
        if pass.neighbour.is_some() {
            // Phases have stride 1.
            return match whole {
                true => V::dense_tile::<O, N, { reading::FULL }, { storing::PAIRS }>(pass, sites, outputs),
                false => {
                    V::dense_tile::<O, N, { reading::PARTIAL }, { storing::PAIRS }>(pass, sites, outputs)
                }
            };
        }
        let full = pass.plane.target_stride == 1 && sites.iter().all(|site| site.count == V::LANES);
        match (pass.plane.source_stride, whole) {
            (1, true) if full => {
                V::dense_tile::<O, N, { reading::FULL }, { storing::WHOLE }>(pass, sites, outputs)
            }
            (1, true) => V::dense_tile::<O, N, { reading::FULL }, { storing::CODES }>(pass, sites, outputs),
            (1, false) => {
                V::dense_tile::<O, N, { reading::PARTIAL }, { storing::CODES }>(pass, sites, outputs)
            }
            (2, true) => V::dense_tile::<O, N, { reading::EVEN }, { storing::CODES }>(pass, sites, outputs),
            _ => V::dense_tile::<O, N, { reading::STRIDED }, { storing::CODES }>(pass, sites, outputs),
        }
    }
}

/// Bytes between the words of neighbouring output channels: widened ones follow each other.
#[inline(always)]
fn pitch<V: Vector>(outputs: &Outputs<'_>) -> usize {
    if V::WEIGHT_BYTES == BLOCK { outputs.pitch } else { V::WEIGHT_BYTES }
}

/// One tile: sums over all taps and input blocks, then what `STORING` says: the output step, or the sums
/// as they are. The ways are compiled apart: beside the code that takes sums out of their registers one by
/// one, the compiler keeps some of them in memory throughout.
///
/// # Safety
/// As [`run`], for the sites and output channels given; whole registers are readable at all sites if
/// `READING` says so.
#[inline(always)]
pub(crate) unsafe fn tile<V: Vector, const O: usize, const N: usize, const READING: u8, const STORING: u8>(
    pass: &Dense<'_>,
    sites: &[Site; N],
    outputs: &Outputs<'_>,
) {
    let (stride, pitch) = (pass.plane.source_stride, pitch::<V>(outputs));
    // SAFETY: taps stay within those that the caller promises.
    unsafe {
        let mut sums = [[V::start(0); N]; O];
        for (sums, bias) in sums.iter_mut().zip(&outputs.bias) {
            for sum in sums {
                *sum = V::start(*bias);
            }
        }
        let mut widened = 0;
        for tap in outputs.taps {
            let offset = tap.input as usize;
            let first = read::<V, READING>(sites[0].source.add(offset), stride, sites[0].count);
            let mut codes = [V::codes(first); N];
            for n in 1..N {
                let site = &sites[n];
                codes[n] = V::codes(read::<V, READING>(site.source.add(offset), stride, site.count));
            }
            let offset = if V::WEIGHT_BYTES == BLOCK { tap.weights as usize } else { widened };
            let weights = outputs.weights.map(|weights| weights.wrapping_add(offset));
            for o in 0..O {
                let weights = weights[o / BLOCK].add(o % BLOCK * pitch);
                V::dot_all::<N>(&mut sums[o], &codes, weights);
            }
            widened += OUTPUT_BLOCK * V::WEIGHT_BYTES;
        }
        finish::store_half::<V, O, N, 0, STORING>(pass, sites, outputs, &sums);
        if STORING != storing::PAIRS && O == OUTPUT_BLOCK && outputs.blocks == 2 {
            finish::store_half::<V, O, N, 1, STORING>(pass, sites, outputs, &sums);
        }
    }
}
