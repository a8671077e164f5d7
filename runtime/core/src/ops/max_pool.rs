//! Greatest code in a window; positions outside the image do not take part.

use super::record::{Fault, Record, WINDOW_LIMIT};
use crate::tensor::{Layout, Rows, RowsMut};
use core::ops::Range;

/// A window that is clipped to the image instead of reading the halo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClippedWindow {
    /// Kernel extent (h, w).
    pub kernel: [usize; 2],
    /// Stride (h, w).
    pub stride: [usize; 2],
    /// Dilation (h, w).
    pub dilation: [usize; 2],
    /// Padding above and left of the image.
    pub pads: [usize; 2],
}

impl ClippedWindow {
    /// Words a clipped window occupies.
    pub const WORDS: usize = 8;

    /// Reads a window from words `0..8` and checks that every output position meets at least one pixel.
    ///
    /// # Errors
    /// [`Fault::Parameter`] or [`Fault::Shape`].
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        let window = Self {
            kernel: record.extent(0)?,
            stride: record.extent(2)?,
            dilation: record.extent(4)?,
            pads: [record.bounded(6, 0, WINDOW_LIMIT)?, record.bounded(7, 0, WINDOW_LIMIT)?],
        };
        let (input, output) = (&record.tensors.input, &record.tensors.output);
        if input.channels != output.channels {
            return Err(Fault::Shape);
        }
        let meets = |axis: usize, extent: usize, limit: usize| {
            (0..extent).all(|at| window.taps(axis, at, limit).next().is_some())
        };
        if meets(0, output.height, input.height) && meets(1, output.width, input.width) {
            Ok(window)
        } else {
            Err(Fault::Shape)
        }
    }

    /// Image positions that output position `at` meets along `axis`, within `0..limit`.
    pub fn taps(&self, axis: usize, at: usize, limit: usize) -> impl Iterator<Item = usize> + use<> {
        let (kernel, dilation, pad) = (self.kernel[axis], self.dilation[axis], self.pads[axis]);
        let start = at * self.stride[axis];
        (0..kernel).map(move |k| start + k * dilation).filter_map(move |position| {
            let inside = position >= pad && position - pad < limit;
            inside.then(|| position - pad)
        })
    }

    /// Stored input rows that output rows `output` (at least one) meet.
    pub fn input_rows(&self, input: &Layout, output: Range<usize>) -> Range<usize> {
        let (stride, pad) = (self.stride[0], self.pads[0]);
        let span = (self.kernel[0] - 1) * self.dilation[0];
        let first = (output.start * stride).saturating_sub(pad);
        let end = ((output.end - 1) * stride + span + 1).saturating_sub(pad).min(input.height);
        input.halo.top + first.min(end)..input.halo.top + end
    }

    /// True when no window reaches outside the image, so that clipping is never needed.
    pub fn is_interior(&self, input: &Layout, output: &Layout) -> bool {
        let fits = |axis: usize, extent: usize, limit: usize| {
            let last = (extent - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis];
            self.pads[axis] == 0 && last < limit
        };
        fits(0, output.height, input.height) && fits(1, output.width, input.width)
    }
}

/// Max pooling; input and output share scale and zero point.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool {
    /// Where taps lie.
    pub window: ClippedWindow,
}

impl MaxPool {
    /// Number of this operator in a step record.
    pub const OPCODE: u32 = 7;

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        record.expect_codes()?;
        Ok(Self { window: ClippedWindow::decode(record)? })
    }
}

/// Reference loop.
pub fn reference(op: &MaxPool, input: Rows<'_>, mut output: RowsMut<'_>) {
    for y in output.first..output.first + output.count {
        for x in 0..output.layout.width {
            for c in 0..output.layout.channels {
                let mut greatest = 0;
                for iy in op.window.taps(0, y, input.layout.height) {
                    for ix in op.window.taps(1, x, input.layout.width) {
                        greatest = greatest.max(input.code(iy, ix, c));
                    }
                }
                output.set_code(y, x, c, greatest);
            }
        }
    }
}
