//! Walks the pixels of some rows register by register, so that narrow maps fill a tile from several rows.

use crate::loops::vector::PIXEL;

/// Where rows and columns of one channel block lie in the input and in the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane {
    /// First tap of the first output pixel.
    pub source: *const u8,
    /// Input bytes between output rows.
    pub source_row: usize,
    /// Input pixels between output columns.
    pub source_stride: usize,
    /// First output pixel.
    pub target: *mut u8,
    /// Output bytes between output rows.
    pub target_row: usize,
    /// Output pixels between output columns.
    pub target_stride: usize,
    /// Bytes of an output pixel.
    pub target_pixel: usize,
    /// Output rows.
    pub rows: usize,
    /// Output columns.
    pub columns: usize,
    /// Greatest address from which a whole register can be read at every tap without leaving the input:
    /// most partly filled registers may be read whole, their last pixels are just not stored.
    pub whole_until: usize,
}

/// At most one register of neighbouring output pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// First tap of the first pixel.
    pub source: *const u8,
    /// First output pixel.
    pub target: *mut u8,
    /// Pixels.
    pub count: usize,
}

impl Plane {
    /// The value of `whole_until` for input `data`, taps up to `reach` bytes away and registers of `lanes`
    /// pixels.
    pub fn whole_until(data: &[u8], reach: usize, lanes: usize, stride: usize) -> usize {
        let register = ((lanes - 1) * stride + 1) * PIXEL;
        (data.as_ptr().addr() + data.len()).saturating_sub(reach + register)
    }

    /// The same plane restricted to `count` rows from `first`.
    pub fn rows(&self, first: usize, count: usize) -> Self {
        Self {
            source: self.source.wrapping_add(first * self.source_row),
            target: self.target.wrapping_add(first * self.target_row),
            rows: count,
            ..*self
        }
    }
}

/// A position in a [`Plane`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    plane: Plane,
    lanes: usize,
    column: usize,
    /// Sites not yet taken.
    pub remaining: usize,
}

impl Walk {
    /// Starts at the first pixel; sites hold up to `lanes` pixels.
    #[inline(always)]
    pub fn new(plane: &Plane, lanes: usize) -> Self {
        Self { plane: *plane, lanes, column: 0, remaining: plane.rows * plane.columns.div_ceil(lanes) }
    }

    /// The next `N` sites, and whether whole registers may be read at all of them; `remaining` must be at
    /// least `N`.
    #[inline(always)]
    pub fn take<const N: usize>(&mut self) -> ([Site; N], bool) {
        let none = Site { source: core::ptr::null(), target: core::ptr::null_mut(), count: 0 };
        let mut sites = [none; N];
        let mut whole = true;
        for site in &mut sites {
            let count = self.lanes.min(self.plane.columns - self.column);
            let source = self.column * self.plane.source_stride * PIXEL;
            let target = self.column * self.plane.target_stride * self.plane.target_pixel;
            *site = Site {
                source: self.plane.source.wrapping_add(source),
                target: self.plane.target.wrapping_add(target),
                count,
            };
            whole &= site.source.addr() <= self.plane.whole_until;
            self.column += count;
            if self.column == self.plane.columns {
                self.column = 0;
                self.plane = self.plane.rows(1, self.plane.rows);
            }
        }
        self.remaining -= N;
        (sites, whole)
    }
}
