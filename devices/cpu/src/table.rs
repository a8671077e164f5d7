//! One table of functions per tier: the shared loops, compiled with the tier's instructions.

use candor_core::ops::group_norm::Affine;
use candor_core::ops::{
    Add, AveragePool, Convolution, CopyChannels, Depthwise, GroupNorm, Lookup, MaxPool, Multiply, Remap,
    ResizeLinear, TransposedConvolution,
};
use candor_core::tensor::{Rows, RowsMut};

/// An operator with one input. Unsafe to call where the tier's instructions are missing.
type One<O> = unsafe fn(&O, Rows<'_>, RowsMut<'_>);
/// An operator with two inputs; as [`One`].
type Two<O> = unsafe fn(&O, Rows<'_>, Rows<'_>, RowsMut<'_>);

/// The loops of one tier; each may be called only where the tier is available.
pub(crate) struct Table {
    pub convolution: for<'p> unsafe fn(&Convolution<'p>, Rows<'_>, RowsMut<'_>),
    pub transposed: for<'p> unsafe fn(&TransposedConvolution<'p>, Rows<'_>, RowsMut<'_>),
    pub depthwise: for<'p> unsafe fn(&Depthwise<'p>, Rows<'_>, RowsMut<'_>),
    pub average_pool: for<'p> unsafe fn(&AveragePool<'p>, Rows<'_>, RowsMut<'_>),
    pub max_pool: One<MaxPool>,
    pub add: Two<Add>,
    pub multiply: Two<Multiply>,
    pub lookup: for<'p> unsafe fn(&Lookup<'p>, Rows<'_>, RowsMut<'_>),
    pub remap: for<'p> unsafe fn(&Remap<'p>, Rows<'_>, RowsMut<'_>),
    pub resize_linear: for<'p> unsafe fn(&ResizeLinear<'p>, Rows<'_>, RowsMut<'_>),
    pub copy_channels: for<'p> unsafe fn(&CopyChannels<'p>, Rows<'_>, RowsMut<'_>),
    pub group_norm: for<'p> unsafe fn(&GroupNorm<'p>, &[Affine], Rows<'_>, RowsMut<'_>),
    pub channel_sums: unsafe fn(Rows<'_>, usize, &mut [[u64; 2]]),
    pub gram: unsafe fn(Rows<'_>, &[[u64; 2]], usize, &mut [u64]),
    /// Greatest rate of the tier's product in registers alone, for benchmarks: runs `rounds` and returns
    /// products.
    pub roof: unsafe fn(usize) -> u64,
}
