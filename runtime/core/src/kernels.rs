//! The seam a CPU may replace: one method per operator over rows of the output, each default body the
//! reference.

use crate::ops::group_norm::Affine;
use crate::ops::{
    Add, AveragePool, Convolution, CopyChannels, Depthwise, GroupNorm, Lookup, MaxPool, Multiply, Remap,
    ResizeLinear, TransposedConvolution, add, average_pool, convolution, copy_channels, depthwise,
    group_norm, lookup, max_pool, multiply, remap, resize_linear, transposed,
};
use crate::tensor::{Rows, RowsMut};

/// Integer loops. Every method writes image columns of the rows it is given; the interpreter refills the
/// halo.
///
/// Inputs carry their halo filled with the zero point. Bytes of channels beyond `layout.channels` may be
/// written with anything within the tensor's own blocks: their weights are zero and nothing reads them as
/// results.
pub trait Kernels {
    /// Dense convolution.
    fn convolution(&self, op: &Convolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        convolution::reference(op, input, output);
    }

    /// Depthwise convolution.
    fn depthwise(&self, op: &Depthwise<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        depthwise::reference(op, input, output);
    }

    /// Transposed convolution.
    fn transposed(&self, op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        transposed::reference(op, input, output);
    }

    /// Rescaled addition.
    fn add(&self, op: &Add, a: Rows<'_>, b: Rows<'_>, output: RowsMut<'_>) {
        add::reference(op, a, b, output);
    }

    /// Product with broadcast.
    fn multiply(&self, op: &Multiply, a: Rows<'_>, b: Rows<'_>, output: RowsMut<'_>) {
        multiply::reference(op, a, b, output);
    }

    /// Table lookup.
    fn lookup(&self, op: &Lookup<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        lookup::reference(op, input, output);
    }

    /// Max pooling.
    fn max_pool(&self, op: &MaxPool, input: Rows<'_>, output: RowsMut<'_>) {
        max_pool::reference(op, input, output);
    }

    /// Average pooling.
    fn average_pool(&self, op: &AveragePool<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        average_pool::reference(op, input, output);
    }

    /// Row and column gather.
    fn remap(&self, op: &Remap<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        remap::reference(op, input, output);
    }

    /// Linear resize.
    fn resize_linear(&self, op: &ResizeLinear<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        resize_linear::reference(op, input, output);
    }

    /// Channel copy.
    fn copy_channels(&self, op: &CopyChannels<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        copy_channels::reference(op, input, output);
    }

    /// Second pass of group normalisation.
    fn group_norm(&self, op: &GroupNorm<'_>, affine: &[Affine], input: Rows<'_>, output: RowsMut<'_>) {
        group_norm::reference(op, affine, input, output);
    }

    /// Σv and Σv² of every channel over the image rows present; `sums` is `[C][2]`, overwritten.
    fn channel_sums(&self, input: Rows<'_>, sums: &mut [[u64; 2]]) {
        channel_sums(input, sums);
    }

    /// Σ v_i·v_j over the image rows present for channels j ≤ i; `gram` is the lower triangle `[C·(C+1)/2]`,
    /// overwritten. `sums` are what [`Kernels::channel_sums`] gives of the same rows, from which kernels may
    /// start.
    fn gram(&self, input: Rows<'_>, sums: &[[u64; 2]], gram: &mut [u64]) {
        let _ = sums;
        gram_matrix(input, gram);
    }
}

/// The reference itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Kernels for Reference {}

/// Reference of [`Kernels::channel_sums`].
pub fn channel_sums(input: Rows<'_>, sums: &mut [[u64; 2]]) {
    for (c, entry) in sums.iter_mut().enumerate().take(input.layout.channels) {
        *entry = [0; 2];
        for y in input.image_rows() {
            for x in 0..input.layout.width {
                let code = u64::from(input.code(y, x, c));
                entry[0] += code;
                entry[1] += code * code;
            }
        }
    }
}

/// Reference of [`Kernels::gram`].
pub fn gram_matrix(input: Rows<'_>, gram: &mut [u64]) {
    let mut entries = gram.iter_mut();
    for i in 0..input.layout.channels {
        for j in 0..=i {
            let Some(entry) = entries.next() else { return };
            *entry = 0;
            for y in input.image_rows() {
                for x in 0..input.layout.width {
                    *entry += u64::from(input.code(y, x, i)) * u64::from(input.code(y, x, j));
                }
            }
        }
    }
}
