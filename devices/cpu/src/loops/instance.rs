//! Macros that compile every loop with a tier's instructions and list them in the tier's table.

/// Instantiates every loop for a vector type under `#[target_feature]` and lists them in `TABLE`;
/// the second list of features is for the statistics.
macro_rules! table {
    ($features:literal, $vector:ty, $statistics:literal) => {
        /// The loops of this tier.
        pub(crate) static TABLE: crate::table::Table = {
            use crate::loops::{channels, convolution, elementwise, resample, window};
            use crate::statistics;
            use candor_core::ops;
            use candor_core::ops::group_norm::Affine;
            use candor_core::tensor::{Rows, RowsMut};

            crate::loops::instance::loops! { $features;
                vector convolution_loop = convolution::convolve::<$vector>, ops::Convolution<'_>;
                vector transposed_loop = convolution::transpose::<$vector>, ops::TransposedConvolution<'_>;
                vector depthwise_loop = window::depthwise::<$vector>, ops::Depthwise<'_>;
                vector average_pool_loop = window::average_pool::<$vector>, ops::AveragePool<'_>;
                vector max_pool_loop = window::max_pool::<$vector>, ops::MaxPool;
                vector lookup_loop = channels::lookup::<$vector>, ops::Lookup<'_>;
                vector copy_loop = channels::copy_channels::<$vector>, ops::CopyChannels<'_>;
            }
            crate::loops::instance::plain! { $features;
                remap_loop = resample::remap(op: &ops::Remap<'_>, input: Rows<'_>);
                resize_loop = resample::resize_linear(op: &ops::ResizeLinear<'_>, input: Rows<'_>);
                add_loop = elementwise::add(op: &ops::Add, a: Rows<'_>, b: Rows<'_>);
                multiply_loop = elementwise::multiply(op: &ops::Multiply, a: Rows<'_>, b: Rows<'_>);
                group_norm_loop = elementwise::group_norm(
                    op: &ops::GroupNorm<'_>, affine: &[Affine], input: Rows<'_>);
            }

            #[target_feature(enable = $statistics)]
            fn channel_sums_loop(input: Rows<'_>, first_block: usize, sums: &mut [[u64; 2]]) {
                statistics::channel_sums(input, first_block, sums);
            }

            #[target_feature(enable = $statistics)]
            fn gram_loop(input: Rows<'_>, sums: &[[u64; 2]], first: usize, gram: &mut [u64]) {
                statistics::gram(input, sums, first, gram);
            }

            crate::table::Table {
                convolution: convolution_loop,
                transposed: transposed_loop,
                depthwise: depthwise_loop,
                average_pool: average_pool_loop,
                max_pool: max_pool_loop,
                add: add_loop,
                multiply: multiply_loop,
                lookup: lookup_loop,
                remap: remap_loop,
                resize_linear: resize_loop,
                copy_channels: copy_loop,
                group_norm: group_norm_loop,
                channel_sums: channel_sums_loop,
                gram: gram_loop,
                roof,
            }
        };
    };
}

/// Functions around loops that use the vector type.
macro_rules! loops {
    ($features:literal; $(vector $name:ident = $loop:path, $op:ty;)+) => {
        $(
            #[target_feature(enable = $features)]
            fn $name(op: &$op, input: Rows<'_>, output: RowsMut<'_>) {
                // SAFETY: this function is compiled with the tier's instructions.
                unsafe { $loop(op, input, output) }
            }
        )+
    };
}

/// Functions around plain loops.
macro_rules! plain {
    ($features:literal; $($name:ident = $module:ident::$loop:ident($($argument:ident: $type:ty),+);)+) => {
        $(
            #[target_feature(enable = $features)]
            fn $name($($argument: $type,)+ output: RowsMut<'_>) {
                $module::$loop($($argument,)+ output);
            }
        )+
    };
}

/// The method [`crate::loops::vector::Vector::dense_tile`] under `#[target_feature]`.
macro_rules! dense_tile {
    ($features:literal) => {
        #[inline(always)]
        unsafe fn dense_tile<const O: usize, const N: usize, const READING: u8, const STORING: u8>(
            pass: &crate::loops::dense::Dense<'_>,
            sites: &[crate::loops::walk::Site; N],
            outputs: &crate::loops::dense::Outputs<'_>,
        ) {
            #[target_feature(enable = $features)]
            #[inline(never)]
            unsafe fn tile<
                V: Vector,
                const O: usize,
                const N: usize,
                const READING: u8,
                const STORING: u8,
            >(
                pass: &crate::loops::dense::Dense<'_>,
                sites: &[crate::loops::walk::Site; N],
                outputs: &crate::loops::dense::Outputs<'_>,
            ) {
                // SAFETY: the caller's contract, in a function compiled with the tier's instructions.
                unsafe { crate::loops::dense::tile::<V, O, N, READING, STORING>(pass, sites, outputs) }
            }
            // SAFETY: the caller's contract.
            unsafe { tile::<Self, O, N, READING, STORING>(pass, sites, outputs) }
        }
    };
}

pub(crate) use {dense_tile, loops, plain, table};
