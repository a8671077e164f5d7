//! What a kernel is told: the same bytes here and in `kernels/steps.h`.

use bytemuck::{Pod, Zeroable};
use candor_core::plan::Tensor;
use candor_core::tensor::Element;

/// A tensor in the arena; bytes, rows, columns and channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct View {
    /// Byte of its first stored row.
    pub offset: u32,
    /// Bytes from one stored row to the next.
    pub row_stride: u32,
    /// Bytes from one block of four channels to the next.
    pub block_stride: u32,
    /// Image rows.
    pub height: u32,
    /// Image columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
    /// Halo rows above the image.
    pub top: u32,
    /// Halo columns left of the image.
    pub left: u32,
    /// Rows, halo included.
    pub stored_height: u32,
    /// Columns, halo included.
    pub stored_width: u32,
    /// Code of real zero.
    pub zero_point: u32,
    /// 1 for 32-bit accumulators.
    pub is_accumulator: u32,
}

impl View {
    /// Of a tensor of a checked plan, whose arena is below 2^31 bytes.
    pub fn new(tensor: &Tensor) -> Self {
        let layout = &tensor.layout;
        Self {
            offset: tensor.offset as u32,
            row_stride: layout.row_stride as u32,
            block_stride: layout.block_stride() as u32,
            height: layout.height as u32,
            width: layout.width as u32,
            channels: layout.channels as u32,
            top: layout.halo.top as u32,
            left: layout.halo.left as u32,
            stored_height: layout.stored_rows() as u32,
            stored_width: layout.stored_width() as u32,
            zero_point: u32::from(tensor.zero_point),
            is_accumulator: u32::from(layout.element == Element::Accumulator),
        }
    }

    /// Of every so many image rows, from the first on, one; a tensor of its own.
    pub const fn every(self, rows: u32) -> Self {
        Self {
            offset: self.offset + self.top * self.row_stride,
            row_stride: self.row_stride * rows,
            height: self.height.div_ceil(rows),
            top: 0,
            stored_height: self.height.div_ceil(rows),
            ..self
        }
    }

    /// Blocks of four channels.
    pub const fn blocks(&self) -> u32 {
        self.channels.div_ceil(4)
    }
}

/// Everything a kernel needs; what it does not name is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Step {
    /// First input.
    pub input: View,
    /// Second input.
    pub second: View,
    /// Output.
    pub output: View,
    /// Kernel extent (h, w).
    pub kernel: [u32; 2],
    /// Stride (h, w).
    pub stride: [u32; 2],
    /// Dilation (h, w).
    pub dilation: [u32; 2],
    /// Padding above and left.
    pub pads: [u32; 2],
    /// Byte of the weights in the constants.
    pub weights: u32,
    /// Byte of the biases.
    pub bias: u32,
    /// Byte of the multipliers.
    pub multipliers: u32,
    /// Byte of a table: that of a lookup, of rows, of phases.
    pub rows: u32,
    /// Byte of the columns' table.
    pub columns: u32,
    /// Byte of working memory in the arena.
    pub scratch: u32,
    /// A first channel, or a byte in the arena that is read.
    pub from: u32,
    /// A channel that is written first.
    pub to: u32,
    /// A count of channels or pixels.
    pub count: u32,
    /// A choice of the operator.
    pub flag: u32,
    /// Fixed-point factors of the two inputs and what is added to their sum.
    pub factors: [i32; 3],
    /// Denominators (h, w) of a linear resize.
    pub denominators: [i32; 2],
    /// Zero point of the result.
    pub zero_point: i32,
    /// Least and greatest code of the result.
    pub bounds: [i32; 2],
    /// To steps of the result.
    pub multiplier: f32,
}

/// The kernels in the order of `KERNELS` in `kernels/head.h`, then those of CUDA alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernels' own file says what each does")]
pub enum Kernel {
    Convolution,
    Transposed,
    Depthwise,
    AddCodes,
    MultiplyCodes,
    Lookup,
    MaxPool,
    AveragePool,
    Remap,
    ResizeLinear,
    CopyChannels,
    RowSums,
    ChannelSums,
    GlobalAverage,
    GroupNorm,
    Load,
    Labels,
    Confidence,
    RowProducts,
    ChannelProducts,
    OutputValues,
    /// [`Kernel::Convolution`] on a GPU with matrix units for bytes, in `kernels/matrix.h`.
    MatrixConvolution,
    /// Slopes and offsets of a normalisation on a GPU with 64-bit floats, in `kernels/moments.h`.
    Coefficients,
    /// Products of matrix units in registers alone, in `kernels/matrix.h`.
    MatrixRoof,
}

/// Stored columns and output channels that a warp computes there.
const MATRIX_COLUMNS: u32 = 32;
const MATRIX_OUTPUTS: u32 = 32;

impl Kernel {
    /// Names of the functions that CUDA alone has, behind the others.
    pub const CUDA_NAMES: [&str; 3] =
        ["candor_matrix_convolution", "candor_coefficients", "candor_matrix_roof"];

    /// Names of the compiled functions, by the kernel's number.
    pub const NAMES: [&str; 21] = [
        "candor_convolution",
        "candor_transposed",
        "candor_depthwise",
        "candor_add_codes",
        "candor_multiply_codes",
        "candor_lookup",
        "candor_max_pool",
        "candor_average_pool",
        "candor_remap",
        "candor_resize_linear",
        "candor_copy_channels",
        "candor_row_sums",
        "candor_channel_sums",
        "candor_global_average",
        "candor_group_norm",
        "candor_load",
        "candor_labels",
        "candor_confidence",
        "candor_row_products",
        "candor_channel_products",
        "candor_output_values",
    ];
}

/// One kernel over a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// Which.
    pub kernel: Kernel,
    /// Positions (x, y, z); on matrix units x counts warps.
    pub grid: [u32; 3],
    /// Its parameters.
    pub step: Step,
}

impl Launch {
    /// The same numbers by matrix units, where they have a way to them.
    pub fn on_matrices(&self) -> Option<Self> {
        let output = &self.step.output;
        let columns = output.stored_width.div_ceil(MATRIX_COLUMNS);
        let grid = [columns, output.stored_height, output.channels.div_ceil(MATRIX_OUTPUTS)];
        let dense = self.kernel == Kernel::Convolution;
        dense.then_some(Self { kernel: Kernel::MatrixConvolution, grid, ..*self })
    }

    /// Blocks of threads (x, y, z) that cover the grid.
    pub fn blocks(&self) -> [u32; 3] {
        let ([columns, rows, depth], [width, height]) = (self.grid, self.block());
        let columns = match self.kernel {
            Kernel::MatrixConvolution => columns,
            _ => columns.div_ceil(width),
        };
        [columns, rows.div_ceil(height), depth]
    }

    /// Threads of a block (x, y): a warp of columns, and rows up to the 256 threads of the kernels' bounds.
    pub fn block(&self) -> [u32; 2] {
        let [columns, rows, _] = self.grid;
        let width = match self.kernel {
            Kernel::MatrixConvolution => 32,
            _ => columns.next_power_of_two().min(32),
        };
        [width, rows.next_power_of_two().min(256 / width)]
    }
}
