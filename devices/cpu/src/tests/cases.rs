//! The shared case generator: random tensors at awkward extents, canaries around outputs, and the
//! comparison.

use crate::{CpuKernels, Tier};
use candor_core::arithmetic::{Multiplier, Range};
use candor_core::kernels::{Kernels, Reference};
use candor_core::tensor::{Element, Halo, Layout, Rows, RowsMut, fill_halo};

/// Extents around every register width and tile of every tier.
pub const WIDTHS: [usize; 22] =
    [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 24, 31, 32, 33, 40, 47, 49, 64, 65];
/// Channel counts around blocks of four and eight.
pub const CHANNELS: [usize; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 24, 31, 33, 67];
/// Byte that no kernel may overwrite outside the image.
const CANARY: u8 = 0xa5;
/// Guard bytes on either side of a tensor.
const GUARD: usize = 256;

/// SplitMix64 (Steele, Lea & Flood 2014): a small generator with a seed one can print.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    /// One of `list`.
    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.between(0, list.len() - 1)]
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.between(1, times) == 1
    }

    /// Codes: usually random, sometimes all 255 or only 0 and 255, where a saturating instruction would
    /// show.
    pub fn codes(&mut self, count: usize) -> Vec<u8> {
        let style = self.between(0, 4);
        (0..count)
            .map(|_| match style {
                0 => 255,
                1 => 255 * (self.bits() & 1) as u8,
                _ => self.bits() as u8,
            })
            .collect()
    }

    /// Weights: usually random, sometimes all 127 or −128 so that pair sums leave 16 bits.
    pub fn weights(&mut self, count: usize) -> Vec<i8> {
        let style = self.between(0, 5);
        (0..count)
            .map(|_| match style {
                0 => 127,
                1 => -128,
                2 => self.one_of(&[-128, -127, 127]),
                _ => self.bits() as i8,
            })
            .collect()
    }

    /// A factor for sums of about `magnitude`: ordinary, halves that make ties, or far out of range.
    pub fn multiplier(&mut self, magnitude: f32) -> Multiplier {
        let ordinary = (self.between(1, 1000) as f32) / (8.0 * magnitude);
        Multiplier::new(match self.between(0, 11) {
            0 => 0.5,
            1 => 0.5_f32.powi(self.between(1, 20) as i32),
            2 => f32::MAX,
            3 => -ordinary,
            4 => 0.0,
            5 => 1.0e-38,
            _ => ordinary,
        })
    }

    /// An output range: usually 0..=255 with any zero point or 0, sometimes clamped as ReLU does, sometimes
    /// one code.
    pub fn range(&mut self) -> Range {
        let zero_point = self.between(0, 255) as i32;
        match self.between(0, 4) {
            0 => Range { zero_point, low: zero_point, high: 255 },
            1 => Range { zero_point: 128, low: 128, high: self.between(128, 255) as i32 },
            2 => Range { zero_point, low: 77, high: 77 },
            3 => Range { zero_point: 0, low: 0, high: 255 },
            _ => Range { zero_point, low: 0, high: 255 },
        }
    }

    /// A halo of up to two pixels on each side.
    pub fn halo(&mut self) -> Halo {
        let mut side = || self.between(0, 2);
        Halo { top: side(), left: side(), bottom: side(), right: side() }
    }

    /// A layout; one in four has a gap between rows, as a channel range of a wider tensor has.
    pub fn layout(&mut self, [height, width, channels]: [usize; 3], halo: Halo, element: Element) -> Layout {
        let mut layout = Layout::packed(height, width, channels, halo, element);
        if self.once_in(4) {
            layout.row_stride += 4 * self.between(1, 40);
        }
        layout
    }

    /// A tensor of random codes, halo filled.
    pub fn tensor(&mut self, extents: [usize; 3], halo: Halo) -> Tensor {
        let layout = self.layout(extents, halo, Element::Code);
        let zero_point = self.bits() as u8;
        let mut data = self.codes(layout.bytes());
        data.shrink_to_fit();
        fill_halo(layout, &mut data, zero_point);
        Tensor { layout, data, zero_point }
    }
}

/// An owned input; its allocation ends with its last byte.
pub struct Tensor {
    pub layout: Layout,
    pub data: Vec<u8>,
    pub zero_point: u8,
}

impl Tensor {
    /// A view for kernels.
    pub fn rows(&self) -> Rows<'_> {
        Rows::whole(self.layout, &self.data)
    }
}

/// Random cases per operator.
pub fn count() -> u64 {
    let default = if cfg!(target_arch = "aarch64") { 12 } else { 120 };
    std::env::var("CANDOR_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Every available tier on one, two and three threads, sharing even the smallest operator.
pub fn all_kernels() -> Vec<CpuKernels> {
    let pairs = Tier::available().flat_map(|tier| [1, 2, 3].map(|threads| (tier, threads)));
    pairs.map(|(tier, threads)| CpuKernels::eager(tier, threads).unwrap()).collect()
}

/// Runs an operator on all rows of a fresh tensor between guards and returns the bytes with the guards.
fn run_guarded(layout: Layout, kernels: &dyn Kernels, run: &dyn Fn(&dyn Kernels, RowsMut<'_>)) -> Vec<u8> {
    let mut bytes = vec![CANARY; layout.bytes() + 2 * GUARD];
    run(kernels, RowsMut::whole(layout, &mut bytes[GUARD..GUARD + layout.bytes()]));
    bytes
}

/// Checks that all `kernels` write the reference's bytes to the image and nothing around it.
pub fn agree(case: &str, layout: Layout, kernels: &[CpuKernels], run: &dyn Fn(&dyn Kernels, RowsMut<'_>)) {
    let expected = run_guarded(layout, &Reference, run);
    let image = image_bytes(&layout);
    for kernels in kernels {
        let actual = run_guarded(layout, kernels, run);
        let named = format!("{case} on {kernels:?}, output {layout:?}");
        for (index, place) in image.iter().enumerate() {
            let (a, e) = (actual[GUARD + index], expected[GUARD + index]);
            match place {
                Place::Image => assert_eq!(a, e, "{named}: byte {index}"),
                Place::Outside => assert_eq!(a, CANARY, "{named}: wrote outside at {index}"),
                Place::Unused => {}
            }
        }
        let guards = actual[..GUARD].iter().chain(&actual[GUARD + layout.bytes()..]);
        assert!(guards.copied().all(|byte| byte == CANARY), "{named}: wrote beyond the tensor");
    }
}

/// What a byte of an output tensor is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// An element of the image.
    Image,
    /// A channel that only fills up the last block: anything may stand there.
    Unused,
    /// Halo or gap between rows.
    Outside,
}

/// The place of every byte of a tensor.
fn image_bytes(layout: &Layout) -> Vec<Place> {
    let mut places = vec![Place::Outside; layout.bytes()];
    let size = layout.element.bytes();
    for y in 0..layout.height {
        for x in 0..layout.width {
            for c in 0..layout.blocks() * 4 {
                let place = if c < layout.channels { Place::Image } else { Place::Unused };
                let row = (y + layout.halo.top) * layout.row_stride;
                let at = row + layout.offset_in_row(c / 4, x) + c % 4 * size;
                places[at..at + size].fill(place);
            }
        }
    }
    places
}
