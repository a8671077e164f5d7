//! The stored plan: tensors in an arena and steps over them, read in place and checked once as a whole.
//!
//! Section layout, little-endian 32-bit words: a header of [`HEADER_WORDS`], then [`TENSOR_WORDS`] per
//! tensor, then [`RECORD_WORDS`] per step.

use crate::arithmetic::Scale;
use crate::ops::record::RECORD_WORDS;
use crate::ops::{Fault, Op, Record, Signature};
use crate::tensor::{Element, Halo, Layout};

/// Words in the header: counts of tensors, steps, inputs; output tensor; arena bytes; scratch offset;
/// scratch bytes.
pub const HEADER_WORDS: usize = 8;
/// Words per tensor: offset, height, width, channels, top, left, bottom, right, row stride, element, zero
/// point, scale.
pub const TENSOR_WORDS: usize = 12;
/// Alignment of every tensor and of the scratch region in the arena.
pub const ALIGNMENT: usize = 64;
/// Bytes after the last tensor that vector loads may touch.
pub const SLACK: usize = 256;
/// Greatest height, width or channel count of a tensor.
pub const EXTENT_LIMIT: usize = 1 << 15;
/// Greatest arena.
pub const ARENA_LIMIT: usize = 1 << 31;
/// Greatest number of tensors or steps.
pub const COUNT_LIMIT: usize = 4096;

/// Why a plan was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanError {
    /// The section is shorter or longer than its counts say, or misaligned.
    Length,
    /// A header word is out of range.
    Header(u32),
    /// A tensor's word is out of range.
    Tensor {
        /// Tensor index.
        tensor: u32,
        /// Word index within the tensor.
        word: u32,
    },
    /// A step cannot be run.
    Step {
        /// Step index.
        step: u32,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// A stored tensor: where it lies and what its codes mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tensor {
    /// Byte offset in the arena.
    pub offset: usize,
    /// Extents and strides.
    pub layout: Layout,
    /// Code of real zero (0 for accumulators).
    pub zero_point: u8,
    /// Size of one code step (of one unit, for accumulators of a single scale).
    pub scale: Scale,
}

impl Tensor {
    /// The arena bytes the tensor occupies, halo included.
    pub fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.layout.bytes()
    }
}

/// One decoded step.
#[derive(Debug, Clone, Copy)]
pub struct Step<'p> {
    /// What to do.
    pub op: Op<'p>,
    /// Tensor indices of the inputs; operators with one input repeat it.
    pub inputs: [usize; 2],
    /// Tensor index of the output.
    pub output: usize,
}

/// A checked view of a plan section and the constants it uses.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'p> {
    words: &'p [u32],
    constants: &'p [u8],
    tensors: usize,
    steps: usize,
    inputs: usize,
    output: usize,
    arena_bytes: usize,
    scratch: (usize, usize),
}

impl<'p> Plan<'p> {
    /// Reads and checks a whole plan; afterwards no access can fail.
    ///
    /// # Errors
    /// [`PlanError`] names the first header word, tensor word or step that is wrong.
    pub fn parse(section: &'p [u8], constants: &'p [u8]) -> Result<Self, PlanError> {
        let words: &[u32] = bytemuck::try_cast_slice(section).map_err(|_| PlanError::Length)?;
        if words.len() < HEADER_WORDS {
            return Err(PlanError::Length);
        }
        let header = |index: usize, low: usize, high: usize| {
            let value = words[index] as usize;
            let inside = (low..=high).contains(&value);
            if inside { Ok(value) } else { Err(PlanError::Header(index as u32)) }
        };
        let tensors = header(0, 1, COUNT_LIMIT)?;
        let steps = header(1, 1, COUNT_LIMIT)?;
        let inputs = header(2, 1, tensors)?;
        let output = header(3, 0, tensors - 1)?;
        let arena_bytes = header(4, SLACK, ARENA_LIMIT)?;
        let scratch = (header(5, 0, arena_bytes)?, header(6, 0, arena_bytes)?);
        if words.len() != HEADER_WORDS + tensors * TENSOR_WORDS + steps * RECORD_WORDS {
            return Err(PlanError::Length);
        }
        let plan = Self { words, constants, tensors, steps, inputs, output, arena_bytes, scratch };
        plan.check()?;
        Ok(plan)
    }

    /// Bytes the arena must have, aligned to [`ALIGNMENT`].
    pub const fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Number of steps.
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Number of tensors.
    pub const fn tensors(&self) -> usize {
        self.tensors
    }

    /// Number of inputs; they are tensors `0..inputs`.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Index of the output tensor.
    pub const fn output(&self) -> usize {
        self.output
    }

    /// Arena range of the scratch that global operators use.
    pub const fn scratch(&self) -> core::ops::Range<usize> {
        self.scratch.0..self.scratch.0 + self.scratch.1
    }

    /// Tensor `index`.
    ///
    /// # Errors
    /// [`PlanError::Tensor`]; never after [`Plan::parse`] succeeded and `index < tensors`.
    pub fn tensor(&self, index: usize) -> Result<Tensor, PlanError> {
        let start = HEADER_WORDS + index * TENSOR_WORDS;
        let at = |word: usize| PlanError::Tensor { tensor: index as u32, word: word as u32 };
        let words = self.words.get(start..start + TENSOR_WORDS).ok_or(at(0))?;
        let bounded = |word: usize, low: usize, high: usize| {
            let value = words[word] as usize;
            if (low..=high).contains(&value) { Ok(value) } else { Err(at(word)) }
        };
        let element = match words[9] {
            0 => Element::Code,
            1 => Element::Accumulator,
            _ => return Err(at(9)),
        };
        let halo = Halo {
            top: bounded(4, 0, EXTENT_LIMIT)?,
            left: bounded(5, 0, EXTENT_LIMIT)?,
            bottom: bounded(6, 0, EXTENT_LIMIT)?,
            right: bounded(7, 0, EXTENT_LIMIT)?,
        };
        let extents = [bounded(1, 1, EXTENT_LIMIT)?, bounded(2, 1, EXTENT_LIMIT)?];
        let channels = bounded(3, 1, EXTENT_LIMIT)?;
        let mut layout = Layout::packed(extents[0], extents[1], channels, halo, element);
        layout.row_stride = bounded(8, layout.row_stride, ARENA_LIMIT)?;
        let offset = bounded(0, 0, self.arena_bytes)?;
        let end = (layout.stored_rows() as u64 - 1) * layout.row_stride as u64
            + layout.row_bytes() as u64
            + offset as u64;
        if end + SLACK as u64 > self.arena_bytes as u64
            || !offset.is_multiple_of(ALIGNMENT)
            || !layout.row_stride.is_multiple_of(4)
        {
            return Err(at(0));
        }
        let scale = Scale::from_bits(words[11]);
        if !scale.is_valid() {
            return Err(at(11));
        }
        Ok(Tensor { offset, layout, zero_point: bounded(10, 0, 255)? as u8, scale })
    }

    /// Step `index`, decoded.
    ///
    /// # Errors
    /// [`PlanError::Step`]; never after [`Plan::parse`] succeeded and `index < steps`.
    pub fn step(&self, index: usize) -> Result<Step<'p>, PlanError> {
        let fault = |fault| PlanError::Step { step: index as u32, fault };
        let start = HEADER_WORDS + self.tensors * TENSOR_WORDS + index * RECORD_WORDS;
        let words = self.words.get(start..start + RECORD_WORDS).and_then(|w| w.try_into().ok());
        let words: &'p [u32; RECORD_WORDS] = words.ok_or(PlanError::Length)?;
        let tensor = |word: usize| {
            let id = words[word] as usize;
            if id >= self.tensors {
                return Err(fault(Fault::TensorIndex(words[word])));
            }
            Ok((id, self.tensor(id)?))
        };
        let ((a, first), (b, second), (output, target)) = (tensor(1)?, tensor(2)?, tensor(3)?);
        let tensors = Signature {
            input: first.layout,
            second: second.layout,
            output: target.layout,
            zero_points: [first.zero_point, second.zero_point, target.zero_point],
        };
        let op = Op::decode(&Record { words, constants: self.constants, tensors }).map_err(fault)?;
        Ok(Step { op, inputs: [a, b], output })
    }

    /// Whether no step after `index` writes the tensor that it writes.
    pub fn is_last_writer(&self, index: usize) -> bool {
        let start = HEADER_WORDS + self.tensors * TENSOR_WORDS + 3;
        let output = |step: usize| self.words.get(start + step * RECORD_WORDS);
        (index + 1..self.steps).all(|later| output(later) != output(index))
    }

    /// Scratch bytes a step over `channels` channels needs: sums, squares, slope and offset of each.
    pub const fn scratch_bytes(channels: usize) -> usize {
        channels * 24
    }

    fn check(&self) -> Result<(), PlanError> {
        if !self.scratch.0.is_multiple_of(ALIGNMENT) || self.scratch.0 + self.scratch.1 > self.arena_bytes {
            return Err(PlanError::Header(5));
        }
        for index in 0..self.tensors {
            self.tensor(index)?;
        }
        for index in 0..self.steps {
            let step = self.step(index)?;
            let fault = |fault| PlanError::Step { step: index as u32, fault };
            let output = self.tensor(step.output)?;
            if step.output < self.inputs {
                return Err(fault(Fault::TensorIndex(step.output as u32)));
            }
            for input in step.inputs {
                if overlap(&self.tensor(input)?.range(), &output.range()) {
                    return Err(fault(Fault::Overlap));
                }
            }
            let input = self.tensor(step.inputs[0])?;
            step.op.check_constants([input.layout.channels, output.layout.channels]).map_err(fault)?;
            let needs_scratch = matches!(step.op, Op::GlobalAverage(_) | Op::GroupNorm(_));
            let channels = output.layout.channels;
            if needs_scratch {
                let scratch = self.scratch();
                if scratch.len() < Self::scratch_bytes(channels) {
                    return Err(PlanError::Header(6));
                }
                if overlap(&scratch, &output.range()) || overlap(&scratch, &input.range()) {
                    return Err(fault(Fault::Overlap));
                }
            }
        }
        Ok(())
    }
}

fn overlap(a: &core::ops::Range<usize>, b: &core::ops::Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests;
