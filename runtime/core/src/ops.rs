//! The operators a plan may hold: one file each with its parameters, its decoding and checks, and its
//! reference loop.

pub mod add;
pub mod average_pool;
pub mod convolution;
pub mod copy_channels;
pub mod depthwise;
pub mod global_average;
pub mod group_norm;
pub mod lookup;
pub mod max_pool;
pub mod multiply;
pub mod order;
pub mod record;
pub mod remap;
pub mod resize_linear;
pub mod transposed;

pub use add::Add;
pub use average_pool::AveragePool;
pub use convolution::Convolution;
pub use copy_channels::CopyChannels;
pub use depthwise::Depthwise;
pub use global_average::GlobalAverage;
pub use group_norm::GroupNorm;
pub use lookup::Lookup;
pub use max_pool::MaxPool;
pub use multiply::Multiply;
pub use record::{Fault, Record, Signature};
pub use remap::Remap;
pub use resize_linear::ResizeLinear;
pub use transposed::TransposedConvolution;

use crate::tensor::Layout;
use core::ops::Range;

/// One decoded operator with its constants borrowed from the package.
#[derive(Debug, Clone, Copy)]
pub enum Op<'p> {
    /// Dense convolution.
    Convolution(Convolution<'p>),
    /// Depthwise convolution.
    Depthwise(Depthwise<'p>),
    /// Transposed convolution.
    TransposedConvolution(TransposedConvolution<'p>),
    /// Rescaled addition of two tensors.
    Add(Add),
    /// Product of two tensors, with broadcast.
    Multiply(Multiply),
    /// 256-entry table per tensor or per channel.
    Lookup(Lookup<'p>),
    /// Greatest code in a window.
    MaxPool(MaxPool),
    /// Mean of a window.
    AveragePool(AveragePool<'p>),
    /// Mean over the whole image.
    GlobalAverage(GlobalAverage),
    /// Row and column gather: nearest resize, pad, crop.
    Remap(Remap<'p>),
    /// Separable linear resize.
    ResizeLinear(ResizeLinear<'p>),
    /// Copy of a channel range: concat, split.
    CopyChannels(CopyChannels<'p>),
    /// Group (or instance) normalisation.
    GroupNorm(GroupNorm<'p>),
}

impl<'p> Op<'p> {
    /// Decodes and checks one step record.
    ///
    /// # Errors
    /// The first [`Fault`] found: an unknown operator, or constants and shapes that do not fit together.
    pub fn decode(record: &Record<'p>) -> Result<Self, Fault> {
        Ok(match record.opcode() {
            Convolution::OPCODE => Self::Convolution(Convolution::decode(record)?),
            Depthwise::OPCODE => Self::Depthwise(Depthwise::decode(record)?),
            TransposedConvolution::OPCODE => {
                Self::TransposedConvolution(TransposedConvolution::decode(record)?)
            }
            Add::OPCODE => Self::Add(Add::decode(record)?),
            Multiply::OPCODE => Self::Multiply(Multiply::decode(record)?),
            Lookup::OPCODE => Self::Lookup(Lookup::decode(record)?),
            MaxPool::OPCODE => Self::MaxPool(MaxPool::decode(record)?),
            AveragePool::OPCODE => Self::AveragePool(AveragePool::decode(record)?),
            GlobalAverage::OPCODE => Self::GlobalAverage(GlobalAverage::decode(record)?),
            Remap::OPCODE => Self::Remap(Remap::decode(record)?),
            ResizeLinear::OPCODE => Self::ResizeLinear(ResizeLinear::decode(record)?),
            CopyChannels::OPCODE => Self::CopyChannels(CopyChannels::decode(record)?),
            GroupNorm::OPCODE => Self::GroupNorm(GroupNorm::decode(record)?),
            other => return Err(Fault::UnknownOperator(other)),
        })
    }

    /// Stored rows of input `which` (0 or 1), laid out as `input`, that image rows `output` of the output
    /// read; `output` holds at least one row.
    pub fn input_rows(&self, which: usize, input: &Layout, output: Range<usize>) -> Range<usize> {
        let image = |rows: Range<usize>| input.halo.top + rows.start..input.halo.top + rows.end;
        match self {
            Self::Convolution(op) => op.window.input_rows(input, output),
            Self::Depthwise(op) => op.window.input_rows(input, output),
            Self::TransposedConvolution(op) => op.input_rows(input, output),
            Self::MaxPool(op) => op.window.input_rows(input, output),
            Self::AveragePool(op) => op.window.input_rows(input, output),
            Self::Remap(op) => op.input_rows(input, output),
            Self::ResizeLinear(op) => op.input_rows(input, output),
            Self::GlobalAverage(_) | Self::GroupNorm(_) => image(0..input.height),
            Self::Multiply(_) if which == 1 && input.height == 1 => image(0..1),
            Self::Add(_) | Self::Multiply(_) | Self::Lookup(_) | Self::CopyChannels(_) => image(output),
        }
    }

    /// Whether the operator sums over the whole image first, and so runs all its rows at once.
    pub const fn is_global(&self) -> bool {
        matches!(self, Self::GlobalAverage(_) | Self::GroupNorm(_))
    }

    /// Checks the weights against the step's channel counts (input, output): zero where a channel does not
    /// exist, and summing to the stated sums. Kernels may rely on either, so another value could give each
    /// tier its own bytes.
    ///
    /// Reads every weight, so it belongs where a plan is parsed, not where its steps are decoded.
    ///
    /// # Errors
    /// [`Fault::ConstantValue`].
    pub fn check_constants(&self, channels: [usize; 2]) -> Result<(), Fault> {
        match self {
            Self::Convolution(op) => op.check_constants(channels),
            Self::Depthwise(op) => op.check_constants(channels[0]),
            Self::TransposedConvolution(op) => op.check_constants(channels),
            _ => Ok(()),
        }
    }

    /// The operator's name as reports print it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Convolution(_) => "convolution",
            Self::Depthwise(_) => "depthwise",
            Self::TransposedConvolution(_) => "transposed_convolution",
            Self::Add(_) => "add",
            Self::Multiply(_) => "multiply",
            Self::Lookup(_) => "lookup",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
            Self::GlobalAverage(_) => "global_average",
            Self::Remap(_) => "remap",
            Self::ResizeLinear(_) => "resize_linear",
            Self::CopyChannels(_) => "copy_channels",
            Self::GroupNorm(_) => "group_norm",
        }
    }
}
