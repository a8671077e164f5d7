//! The stored form of a plan step, and checked access to the constants it points at.

use crate::arithmetic::{self, Multiplier};
use crate::tensor::{Element, Layout};
use bytemuck::{AnyBitPattern, try_cast_slice};
use core::ops::Range;

/// 32-bit words in one step record: operator, input 0, input 1, output, then twenty parameters.
pub const RECORD_WORDS: usize = 24;
/// Index of the first parameter word.
const PARAMETERS: usize = 4;
/// Greatest kernel, stride or dilation extent a plan may state.
pub const WINDOW_LIMIT: usize = 64;
/// Greatest number of products per output, so that no accumulator can overflow: 2^15 · 255 · 128 < 2^30.
pub const PRODUCTS_LIMIT: usize = 1 << 15;
/// Greatest magnitude of a folded bias.
pub const BIAS_LIMIT: u32 = 1 << 30;

/// Why a step was refused. Small and `Copy`, so a microcontroller can store and send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No operator has this number; a newer runtime may.
    UnknownOperator(u32),
    /// A tensor index is outside the tensor table.
    TensorIndex(u32),
    /// Input and output extents do not belong together.
    Shape,
    /// The tensor's halo is too small for the window.
    Halo,
    /// A parameter word is outside its allowed range.
    Parameter(u32),
    /// Constants reach outside the weights section or are misaligned.
    Constants(u32),
    /// A multiplier is not finite, a bias too large, a table entry out of range, a weight of a channel that
    /// does not exist not zero, or a stated sum of weights wrong.
    ConstantValue,
    /// Input and output share bytes.
    Overlap,
    /// An element type that the operator does not take.
    Element,
}

/// The tensors of a step.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// First input.
    pub input: Layout,
    /// Second input of the operators that have one, else the first again.
    pub second: Layout,
    /// Output.
    pub output: Layout,
    /// Zero points of input, second input and output.
    pub zero_points: [u8; 3],
}

/// One step record with what it needs to be decoded.
#[derive(Debug, Clone, Copy)]
pub struct Record<'p> {
    /// The record's words.
    pub words: &'p [u32; RECORD_WORDS],
    /// The weights section.
    pub constants: &'p [u8],
    /// Layouts of the step's tensors.
    pub tensors: Signature,
}

impl<'p> Record<'p> {
    /// The operator's number.
    pub const fn opcode(&self) -> u32 {
        self.words[0]
    }

    /// Parameter word `index`.
    ///
    /// # Errors
    /// [`Fault::Parameter`] when the index is outside the record.
    pub fn word(&self, index: usize) -> Result<u32, Fault> {
        self.words.get(PARAMETERS + index).copied().ok_or(Fault::Parameter(index as u32))
    }

    /// Parameter word `index` when it lies in `low..=high`.
    ///
    /// # Errors
    /// [`Fault::Parameter`] otherwise.
    pub fn bounded(&self, index: usize, low: usize, high: usize) -> Result<usize, Fault> {
        let value = self.word(index)? as usize;
        if (low..=high).contains(&value) { Ok(value) } else { Err(Fault::Parameter(index as u32)) }
    }

    /// Two window extents in words `index` and `index + 1`, each in `1..=WINDOW_LIMIT`.
    ///
    /// # Errors
    /// [`Fault::Parameter`] otherwise.
    pub fn extent(&self, index: usize) -> Result<[usize; 2], Fault> {
        Ok([self.bounded(index, 1, WINDOW_LIMIT)?, self.bounded(index + 1, 1, WINDOW_LIMIT)?])
    }

    /// A signed parameter.
    ///
    /// # Errors
    /// [`Fault::Parameter`] when the index is outside the record.
    pub fn signed(&self, index: usize) -> Result<i32, Fault> {
        Ok(self.word(index)? as i32)
    }

    /// The multiplier in word `index`.
    ///
    /// # Errors
    /// [`Fault::ConstantValue`] when it is not finite.
    pub fn multiplier(&self, index: usize) -> Result<Multiplier, Fault> {
        let multiplier = Multiplier::from_bits(self.word(index)?);
        if multiplier.is_valid() { Ok(multiplier) } else { Err(Fault::ConstantValue) }
    }

    /// The output range: low and high codes in words `index` and `index + 1`, zero point from the output
    /// tensor.
    ///
    /// # Errors
    /// [`Fault::Parameter`] when a bound is not a code or they are crossed.
    pub fn range(&self, index: usize) -> Result<arithmetic::Range, Fault> {
        let low = self.bounded(index, 0, 255)?;
        let high = self.bounded(index + 1, low, 255)?;
        Ok(arithmetic::Range {
            zero_point: i32::from(self.tensors.zero_points[2]),
            low: low as i32,
            high: high as i32,
        })
    }

    /// `count` constants of type `T` at the byte offset stored in word `index`.
    ///
    /// # Errors
    /// [`Fault::Constants`] when they reach outside the section or are misaligned.
    pub fn constants<T: AnyBitPattern>(&self, index: usize, count: usize) -> Result<&'p [T], Fault> {
        let fault = Fault::Constants(index as u32);
        let start = self.word(index)? as usize;
        let bytes = count.checked_mul(size_of::<T>()).ok_or(fault)?;
        let end = start.checked_add(bytes).ok_or(fault)?;
        let slice = self.constants.get(start..end).ok_or(fault)?;
        try_cast_slice(slice).map_err(|_| fault)
    }

    /// `count` finite multipliers at the offset in word `index`.
    ///
    /// # Errors
    /// [`Fault::Constants`] or [`Fault::ConstantValue`].
    pub fn multipliers(&self, index: usize, count: usize) -> Result<&'p [Multiplier], Fault> {
        let values: &[Multiplier] = self.constants(index, count)?;
        if values.iter().all(|m| m.is_valid()) { Ok(values) } else { Err(Fault::ConstantValue) }
    }

    /// `count` folded biases at the offset in word `index`.
    ///
    /// # Errors
    /// [`Fault::Constants`] or [`Fault::ConstantValue`].
    pub fn biases(&self, index: usize, count: usize) -> Result<&'p [i32], Fault> {
        let values: &[i32] = self.constants(index, count)?;
        if values.iter().all(|b| b.unsigned_abs() <= BIAS_LIMIT) {
            Ok(values)
        } else {
            Err(Fault::ConstantValue)
        }
    }

    /// Refuses accumulator tensors where codes are needed.
    ///
    /// # Errors
    /// [`Fault::Element`].
    pub fn expect_codes(&self) -> Result<(), Fault> {
        let t = &self.tensors;
        let codes = [t.input, t.second, t.output].iter().all(|l| l.element == Element::Code);
        if codes { Ok(()) } else { Err(Fault::Element) }
    }

    /// Refuses an accumulator input; the output may be either.
    ///
    /// # Errors
    /// [`Fault::Element`].
    pub fn expect_code_input(&self) -> Result<(), Fault> {
        if self.tensors.input.element == Element::Code { Ok(()) } else { Err(Fault::Element) }
    }
}

/// A sliding window whose taps all lie within the input's halo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel extent (h, w).
    pub kernel: [usize; 2],
    /// Stride (h, w).
    pub stride: [usize; 2],
    /// Dilation (h, w).
    pub dilation: [usize; 2],
    /// Padding above and left of the image, at most the halo.
    pub pads: [usize; 2],
}

/// Words a [`Window`] occupies.
pub const WINDOW_WORDS: usize = 8;

impl Window {
    /// Reads a window from words `0..8` and checks that every tap of every output position is stored.
    ///
    /// # Errors
    /// [`Fault::Parameter`] for extents out of range, [`Fault::Halo`] when a tap lies outside the stored
    /// tensor.
    pub fn decode(record: &Record<'_>) -> Result<Self, Fault> {
        let window = Self {
            kernel: record.extent(0)?,
            stride: record.extent(2)?,
            dilation: record.extent(4)?,
            pads: [
                record.bounded(6, 0, WINDOW_LIMIT * WINDOW_LIMIT)?,
                record.bounded(7, 0, WINDOW_LIMIT * WINDOW_LIMIT)?,
            ],
        };
        let Signature { input, output, .. } = record.tensors;
        let stored = [input.stored_rows(), input.stored_width()];
        let halo = [input.halo.top, input.halo.left];
        for (axis, extent) in [output.height, output.width].into_iter().enumerate() {
            if window.pads[axis] > halo[axis] {
                return Err(Fault::Halo);
            }
            let last = (extent - 1) * window.stride[axis]
                + (window.kernel[axis] - 1) * window.dilation[axis]
                + halo[axis]
                - window.pads[axis];
            if last >= stored[axis] {
                return Err(Fault::Halo);
            }
        }
        Ok(window)
    }

    /// Stored row of the first tap of output row `row`.
    pub const fn first_row(&self, input: &Layout, row: usize) -> usize {
        input.halo.top - self.pads[0] + row * self.stride[0]
    }

    /// Stored input rows that output rows `output` (at least one) read.
    pub const fn input_rows(&self, input: &Layout, output: Range<usize>) -> Range<usize> {
        let last = self.first_row(input, output.end - 1) + (self.kernel[0] - 1) * self.dilation[0];
        self.first_row(input, output.start)..last + 1
    }

    /// Stored column of the first tap of output column `column`.
    pub const fn first_column(&self, input: &Layout, column: usize) -> usize {
        input.halo.left - self.pads[1] + column * self.stride[1]
    }
}
