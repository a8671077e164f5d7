//! The typed network every importer produces and every later stage reads: static shapes, typed operators.

/// Index of a value in [`Network::values`].
pub type ValueId = usize;

/// Element data of a constant or of a value computed by the float executor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats (f16, bf16 and f64 are converted on import).
    F32(Vec<f32>),
    /// 64-bit integers (shapes, indices, i32 biases; every ONNX integer wider than 8 bits).
    I64(Vec<i64>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Booleans.
    Bool(Vec<bool>),
}

/// A dense row-major tensor; `shape` is empty for a scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first (N, C, H, W for images).
    pub shape: Vec<usize>,
    /// `shape.iter().product()` elements.
    pub data: Data,
}

/// One edge of the network: its name in the source file and its static shape.
#[derive(Debug, Clone)]
pub struct Value {
    /// Name in the source model.
    pub name: String,
    /// Static shape, NCHW for images.
    pub shape: Vec<usize>,
    /// Present when the value is known at import (weights, folded arithmetic).
    pub constant: Option<Tensor>,
}

/// Scalar functions of one element; on int8 each becomes a 256-entry table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// max(x, 0)
    Relu,
    /// x if x ≥ 0 else alpha·x
    LeakyRelu {
        /// Slope of the negative half.
        alpha: f32,
    },
    /// min(max(x, low), high)
    Clip {
        /// Least value, possibly −∞.
        low: f32,
        /// Greatest value, possibly ∞.
        high: f32,
    },
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// clamp(alpha·x + beta, 0, 1)
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// x · clamp(x/6 + 1/2, 0, 1)
    HardSwish,
    /// x · sigmoid(x)
    Silu,
    /// x · tanh(softplus(x))
    Mish,
    /// tanh(x)
    Tanh,
    /// e^x
    Exp,
    /// ln(x)
    Log,
    /// √x
    Sqrt,
    /// erf(x)
    Erf,
    /// Gaussian error linear unit; `tanh` selects the tanh approximation.
    Gelu {
        /// Whether the tanh approximation is meant.
        tanh: bool,
    },
    /// ln(1 + e^x)
    Softplus,
    /// x if x ≥ 0 else alpha·(e^x − 1)
    Elu {
        /// Limit at −∞, negated.
        alpha: f32,
    },
    /// gamma·x if x > 0 else gamma·alpha·(e^x − 1)
    Selu {
        /// Limit of the unscaled function at −∞, negated.
        alpha: f32,
        /// Scale of the whole function.
        gamma: f32,
    },
    /// x if x > alpha else 0
    ThresholdedRelu {
        /// Greatest value that becomes 0.
        alpha: f32,
    },
    /// −x
    Neg,
    /// |x|
    Abs,
    /// 1/x
    Reciprocal,
}

/// Elementwise functions of two values with NumPy broadcasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b
    Div,
    /// a^b
    Pow,
    /// max(a, b)
    Max,
    /// min(a, b)
    Min,
}

/// Reductions over axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Σ x
    Sum,
    /// Σ x / n
    Mean,
    /// max x
    Max,
    /// min x
    Min,
    /// Σ |x|
    L1,
    /// √Σ x²
    L2,
    /// Σ x²
    SumSquare,
    /// ln Σ e^x
    LogSumExp,
}

/// A sliding window over two spatial axes (H, W).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel extent (h, w).
    pub kernel: [usize; 2],
    /// Stride (h, w).
    pub stride: [usize; 2],
    /// Dilation (h, w).
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right. `auto_pad` is resolved on import.
    pub pads: [usize; 4],
}

/// How a Resize maps an output coordinate to an input coordinate (ONNX Resize names).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinates {
    /// (x + 0.5) / scale − 0.5
    HalfPixel,
    /// As half pixel, but 0 when the output extent is 1.
    PytorchHalfPixel,
    /// x · (in − 1) / (out − 1)
    AlignCorners,
    /// x / scale
    Asymmetric,
}

/// Rounding of nearest-neighbour Resize (ONNX `nearest_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearest {
    /// Half rounds down.
    RoundPreferFloor,
    /// Half rounds up.
    RoundPreferCeil,
    /// Towards −∞.
    Floor,
    /// Towards +∞.
    Ceil,
}

/// Interpolation of a Resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// Nearest neighbour.
    Nearest(Nearest),
    /// Separable linear.
    Linear,
}

/// What Pad fills with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// A constant value.
    Constant(f32),
    /// The nearest edge value.
    Edge,
    /// Mirrored without repeating the edge.
    Reflect,
}

/// A typed operator. Inputs are positional and documented per variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// inputs: x `[N,C,H,W]`, weight `[O,C/groups,kh,kw]`, optional bias `[O]`
    Conv {
        /// Where taps lie.
        window: Window,
        /// Channel groups.
        groups: usize,
    },
    /// inputs: x `[N,C,H,W]`, weight `[C,O/groups,kh,kw]`, optional bias `[O]`
    ConvTranspose {
        /// Kernel, stride, dilation and the pads cut from the output.
        window: Window,
        /// Extra rows and columns at the end.
        output_padding: [usize; 2],
        /// Channel groups.
        groups: usize,
    },
    /// inputs: x, scale `[C]`, bias `[C]`, mean `[C]`, variance `[C]`
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// inputs: x `[N,C,H,W]`, scale `[C]`, bias `[C]`; `groups == C` is InstanceNormalization.
    GroupNorm {
        /// Channel groups.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// inputs: x
    Unary(Unary),
    /// inputs: x, slope (broadcastable, usually `[C,1,1]`)
    PRelu,
    /// inputs: a, b
    Binary(Binary),
    /// inputs: one or more, same shape but for `axis`
    Concat {
        /// Axis joined along.
        axis: usize,
    },
    /// inputs: x `[N,C,H,W]`
    MaxPool {
        /// Where taps lie.
        window: Window,
        /// Whether a last partial window counts.
        ceil: bool,
    },
    /// inputs: x `[N,C,H,W]`
    AveragePool {
        /// Where taps lie.
        window: Window,
        /// Whether a last partial window counts.
        ceil: bool,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
    /// inputs: x; axes are sorted and non-negative
    Reduce {
        /// What is computed.
        reduction: Reduction,
        /// Axes reduced.
        axes: Vec<usize>,
        /// Whether reduced axes stay with extent 1.
        keepdims: bool,
    },
    /// inputs: x `[N,C,H,W]`; the output extent is in the output value's shape
    Resize {
        /// Nearest or linear.
        interpolation: Interpolation,
        /// How output positions map to input positions.
        coordinates: Coordinates,
        /// As the file states them (h, w).
        scales: [f32; 2],
    },
    /// inputs: x; a negative pad is imported as Slice
    Pad {
        /// `2 × rank` entries, begins then ends.
        pads: Vec<usize>,
        /// What is filled in.
        mode: PadMode,
    },
    /// inputs: x
    Softmax {
        /// Axis that sums to 1.
        axis: usize,
        /// Whether the logarithm is taken.
        log: bool,
    },
    /// inputs: x
    ArgMax {
        /// Axis searched.
        axis: usize,
        /// Whether it stays with extent 1.
        keepdims: bool,
        /// Whether the last of equal values wins.
        last: bool,
    },
    /// inputs: x; target shape is the output value's shape (also Flatten, Squeeze, Unsqueeze)
    Reshape,
    /// inputs: x
    Transpose {
        /// Input axis of each output axis.
        permutation: Vec<usize>,
    },
    /// inputs: x; per axis of x: start, count, step (step may be negative)
    Slice {
        /// First position per axis.
        start: Vec<usize>,
        /// Step per axis.
        step: Vec<i64>,
    },
    /// inputs: x, indices (constant i64)
    Gather {
        /// Axis gathered along.
        axis: usize,
    },
    /// inputs: x; broadcast to the output value's shape (Expand, Tile by 1s)
    Expand,
    /// inputs: a `[..,M,K]`, b `[..,K,N]`
    MatMul,
    /// inputs: x f32, scale (scalar or `[C]`), zero point (u8 or i8, same extent); saturating round half to
    /// even
    Quantize {
        /// Axis of several scales.
        axis: usize,
    },
    /// inputs: x (u8, i8 or i64 from int32), scale, zero point
    Dequantize {
        /// Axis of several scales.
        axis: usize,
    },
}

/// One operator application.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name in the source model (never empty: unnamed nodes are called `op_type#index`).
    pub name: String,
    /// Operator.
    pub op: Op,
    /// Positional inputs.
    pub inputs: Vec<ValueId>,
    /// The single output; operators with several outputs are imported as several nodes.
    pub output: ValueId,
}

/// A whole network; `nodes` are in topological order and reachable from the outputs.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Name of the source graph.
    pub name: String,
    /// All edges, constants included.
    pub values: Vec<Value>,
    /// Operators in execution order.
    pub nodes: Vec<Node>,
    /// Graph inputs that are not constants, in file order.
    pub inputs: Vec<ValueId>,
    /// Graph outputs, in file order.
    pub outputs: Vec<ValueId>,
}

impl Tensor {
    /// A float tensor; `data.len()` must equal the product of `shape`.
    pub fn f32(shape: Vec<usize>, data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data: Data::F32(data) }
    }

    /// The elements as floats when the tensor holds floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when some extent is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
