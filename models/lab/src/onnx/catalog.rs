//! Which ONNX operators are understood, at which operator set versions, with which attributes and arities.
//!
//! One row per operator and span of versions whose form is the same; anything not listed is refused, so a
//! new attribute or a new version can never be misread. Semantics: ONNX operator documentation, versions 7
//! to 26.

use super::call::Call;
use super::ops::{
    activation, arithmetic, constant, convolution, indexing, layout, linear, normalization, padding, pooling,
    quantization, reduction, resampling,
};
use super::problem::Fault;

/// Oldest operator set understood.
pub(super) const OPSET_MIN: i64 = 7;
/// Newest operator set understood.
pub(super) const OPSET_MAX: i64 = 26;
/// No upper bound on the number of inputs.
const MANY: usize = usize::MAX;

/// Adds the nodes of one operator application to the network.
pub(super) type Build = fn(&mut Call<'_, '_>) -> Result<(), Fault>;

/// One operator over a span of operator set versions.
pub(super) struct Entry {
    op: &'static str,
    /// First and last operator set version, both included.
    opsets: (i64, i64),
    /// Fewest and most inputs.
    pub inputs: (usize, usize),
    /// Attributes that are read, or that cannot change the first output.
    pub attributes: &'static [&'static str],
    /// Builds it.
    pub build: Build,
}

const fn row(
    op: &'static str,
    opsets: (i64, i64),
    inputs: (usize, usize),
    attributes: &'static [&'static str],
    build: Build,
) -> Entry {
    Entry { op, opsets, inputs, attributes, build }
}

const ALL: (i64, i64) = (OPSET_MIN, OPSET_MAX);
const ONE: (usize, usize) = (1, 1);
const TWO: (usize, usize) = (2, 2);

const fn since(first: i64) -> (i64, i64) {
    (first, OPSET_MAX)
}

/// The row for `op` at `opset`.
///
/// # Errors
/// When the operator is unknown, or known only at other versions.
pub(super) fn find(op: &str, opset: i64) -> Result<&'static Entry, Fault> {
    let mut other_versions = false;
    for entry in CATALOG.iter().filter(|entry| entry.op == op) {
        if (entry.opsets.0..=entry.opsets.1).contains(&opset) {
            return Ok(entry);
        }
        other_versions = true;
    }
    if other_versions {
        let what = format!("the operator is not defined, or not understood, at operator set {opset}");
        return Err(Fault::new(what, "export with operator set 17 or 18"));
    }
    let fix = match op {
        "If" | "Loop" | "Scan" => "export with static shapes so that no control flow is left",
        "QLinearConv" | "QLinearMatMul" | "ConvInteger" | "MatMulInteger" | "DynamicQuantizeLinear" => {
            "export in QDQ form: QuantizeLinear and DequantizeLinear around float operators"
        }
        _ => "express it by supported operators before the export",
    };
    Err(Fault::new("the operator is not supported", fix))
}

const WINDOW: &[&str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
const TRANSPOSED: &[&str] =
    &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"];
const MAX_POOL: &[&str] =
    &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
const AVERAGE_POOL: &[&str] =
    &["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"];
const AVERAGE_POOL_DILATED: &[&str] =
    &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
const REDUCE_ATTRIBUTE: &[&str] = &["axes", "keepdims"];
const REDUCE_INPUT: &[&str] = &["keepdims", "noop_with_empty_axes"];
const RESIZE_11: &[&str] = &[
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "mode",
    "nearest_mode",
];
const RESIZE_18: &[&str] = &[
    "antialias",
    "axes",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
];
const GEMM: &[&str] = &["alpha", "beta", "transA", "transB"];
const CONSTANT: &[&str] = &[
    "value",
    "value_float",
    "value_floats",
    "value_int",
    "value_ints",
    "sparse_value",
    "value_string",
    "value_strings",
];
const QUANTIZE_21: &[&str] = &["axis", "block_size", "output_dtype", "precision", "saturate"];
const DEQUANTIZE_21: &[&str] = &["axis", "block_size", "output_dtype"];

static CATALOG: &[Entry] = &[
    row("Abs", ALL, ONE, &[], activation::unary),
    row("Add", ALL, TWO, &[], arithmetic::binary),
    row("And", ALL, TWO, &[], constant::logic),
    row("ArgMax", (7, 11), ONE, &["axis", "keepdims"], reduction::arg_max),
    row("ArgMax", since(12), ONE, &["axis", "keepdims", "select_last_index"], reduction::arg_max),
    row("AveragePool", (7, 18), ONE, AVERAGE_POOL, pooling::average_pool),
    row("AveragePool", since(19), ONE, AVERAGE_POOL_DILATED, pooling::average_pool),
    row("BatchNormalization", (7, 8), (5, 5), &["epsilon", "momentum", "spatial"], normalization::batch),
    row("BatchNormalization", (9, 13), (5, 5), &["epsilon", "momentum"], normalization::batch),
    row(
        "BatchNormalization",
        since(14),
        (5, 5),
        &["epsilon", "momentum", "training_mode"],
        normalization::batch,
    ),
    row("Cast", ALL, ONE, &["to", "saturate", "round_mode"], constant::cast),
    row("CastLike", since(15), TWO, &["saturate", "round_mode"], constant::cast_like),
    row("Ceil", ALL, ONE, &[], constant::rounding),
    row("Clip", (7, 10), ONE, &["max", "min"], activation::clip_attributes),
    row("Clip", since(11), (1, 3), &[], activation::clip_inputs),
    row("Concat", ALL, (1, MANY), &["axis"], layout::concat),
    row("Constant", ALL, (0, 0), CONSTANT, constant::constant),
    row("ConstantOfShape", since(9), ONE, &["value"], constant::constant_of_shape),
    row("Conv", ALL, (2, 3), WINDOW, convolution::conv),
    row("ConvTranspose", ALL, (2, 3), TRANSPOSED, convolution::conv_transpose),
    row("DepthToSpace", ALL, ONE, &["blocksize", "mode"], layout::depth_to_space),
    row("DequantizeLinear", (10, 12), (2, 3), &[], quantization::dequantize),
    row("DequantizeLinear", (13, 20), (2, 3), &["axis"], quantization::dequantize),
    row("DequantizeLinear", since(21), (2, 3), DEQUANTIZE_21, quantization::dequantize),
    row("Div", ALL, TWO, &[], arithmetic::binary),
    row("Dropout", (7, 11), ONE, &["ratio"], layout::identity),
    row("Dropout", since(12), (1, 3), &["seed"], layout::dropout),
    row("Elu", ALL, ONE, &["alpha"], activation::unary),
    row("Equal", ALL, TWO, &[], constant::compare),
    row("Erf", since(9), ONE, &[], activation::unary),
    row("Exp", ALL, ONE, &[], activation::unary),
    row("Expand", since(8), TWO, &[], layout::expand),
    row("Flatten", ALL, ONE, &["axis"], layout::flatten),
    row("Floor", ALL, ONE, &[], constant::rounding),
    row("Gather", ALL, TWO, &["axis"], indexing::gather),
    row("Gelu", since(20), ONE, &["approximate"], activation::unary),
    row("Gemm", ALL, (2, 3), GEMM, linear::gemm),
    row("GlobalAveragePool", ALL, ONE, &[], reduction::global_pool),
    row("GlobalMaxPool", ALL, ONE, &[], reduction::global_pool),
    row("Greater", ALL, TWO, &[], constant::compare),
    row("GreaterOrEqual", since(12), TWO, &[], constant::compare),
    row(
        "GroupNormalization",
        since(18),
        (3, 3),
        &["epsilon", "num_groups", "stash_type"],
        normalization::group,
    ),
    row("HardSigmoid", ALL, ONE, &["alpha", "beta"], activation::unary),
    row("HardSwish", since(14), ONE, &[], activation::unary),
    row("Identity", ALL, ONE, &[], layout::identity),
    row("InstanceNormalization", ALL, (3, 3), &["epsilon"], normalization::instance),
    row("LayerNormalization", since(17), (2, 3), &["axis", "epsilon", "stash_type"], normalization::layer),
    row("LeakyRelu", ALL, ONE, &["alpha"], activation::unary),
    row("Less", ALL, TWO, &[], constant::compare),
    row("LessOrEqual", since(12), TWO, &[], constant::compare),
    row("Log", ALL, ONE, &[], activation::unary),
    row("LogSoftmax", ALL, ONE, &["axis"], reduction::softmax),
    row("MatMul", ALL, TWO, &[], linear::mat_mul),
    row("Max", ALL, (1, MANY), &[], arithmetic::variadic),
    row("MaxPool", ALL, ONE, MAX_POOL, pooling::max_pool),
    row("Mean", ALL, (1, MANY), &[], arithmetic::variadic),
    row("Min", ALL, (1, MANY), &[], arithmetic::variadic),
    row("Mish", since(18), ONE, &[], activation::unary),
    row("Mod", since(10), TWO, &["fmod"], constant::modulo),
    row("Mul", ALL, TWO, &[], arithmetic::binary),
    row("Neg", ALL, ONE, &[], activation::unary),
    row("Not", ALL, ONE, &[], constant::not),
    row("Or", ALL, TWO, &[], constant::logic),
    row("PRelu", ALL, TWO, &[], activation::parametric_relu),
    row("Pad", (7, 10), ONE, &["mode", "pads", "value"], padding::pad_attributes),
    row("Pad", (11, 17), (2, 3), &["mode"], padding::pad_inputs),
    row("Pad", since(18), (2, 4), &["mode"], padding::pad_inputs),
    row("Pow", ALL, TWO, &[], arithmetic::binary),
    row("QuantizeLinear", (10, 12), (2, 3), &[], quantization::quantize),
    row("QuantizeLinear", (13, 20), (2, 3), &["axis", "saturate"], quantization::quantize),
    row("QuantizeLinear", since(21), (2, 3), QUANTIZE_21, quantization::quantize),
    row("Range", since(11), (3, 3), &[], constant::range),
    row("Reciprocal", ALL, ONE, &[], activation::unary),
    row("ReduceL1", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceL1", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceL2", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceL2", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceLogSum", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceLogSum", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceLogSumExp", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceLogSumExp", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceMax", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceMax", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceMean", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceMean", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceMin", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceMin", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceProd", (7, 17), ONE, REDUCE_ATTRIBUTE, constant::reduce_product),
    row("ReduceProd", since(18), (1, 2), REDUCE_INPUT, constant::reduce_product),
    row("ReduceSum", (7, 12), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceSum", since(13), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("ReduceSumSquare", (7, 17), ONE, REDUCE_ATTRIBUTE, reduction::reduce),
    row("ReduceSumSquare", since(18), (1, 2), REDUCE_INPUT, reduction::reduce),
    row("Relu", ALL, ONE, &[], activation::unary),
    row("Reshape", (7, 13), TWO, &[], layout::reshape),
    row("Reshape", since(14), TWO, &["allowzero"], layout::reshape),
    row("Resize", (10, 10), TWO, &["mode"], resampling::resize_10),
    row("Resize", (11, 17), (1, 4), RESIZE_11, resampling::resize),
    row("Resize", since(18), (1, 4), RESIZE_18, resampling::resize),
    row("Round", since(11), ONE, &[], constant::rounding),
    row("Selu", ALL, ONE, &["alpha", "gamma"], activation::unary),
    row("Shape", (7, 14), ONE, &[], constant::shape),
    row("Shape", since(15), ONE, &["start", "end"], constant::shape),
    row("Sigmoid", ALL, ONE, &[], activation::unary),
    row("Size", ALL, ONE, &[], constant::size),
    row("Slice", (7, 9), ONE, &["axes", "ends", "starts"], indexing::slice_attributes),
    row("Slice", since(10), (3, 5), &[], indexing::slice_inputs),
    row("Softmax", ALL, ONE, &["axis"], reduction::softmax),
    row("Softplus", ALL, ONE, &[], activation::unary),
    row("SpaceToDepth", ALL, ONE, &["blocksize"], layout::space_to_depth),
    row("Split", (7, 12), ONE, &["axis", "split"], indexing::split),
    row("Split", (13, 17), (1, 2), &["axis"], indexing::split),
    row("Split", since(18), (1, 2), &["axis", "num_outputs"], indexing::split),
    row("Sqrt", ALL, ONE, &[], activation::unary),
    row("Squeeze", (7, 12), ONE, &["axes"], layout::squeeze),
    row("Squeeze", since(13), (1, 2), &[], layout::squeeze),
    row("Sub", ALL, TWO, &[], arithmetic::binary),
    row("Sum", ALL, (1, MANY), &[], arithmetic::variadic),
    row("Swish", since(24), ONE, &["alpha"], activation::swish),
    row("Tanh", ALL, ONE, &[], activation::unary),
    row("ThresholdedRelu", since(10), ONE, &["alpha"], activation::unary),
    row("Tile", ALL, TWO, &[], layout::tile),
    row("Transpose", ALL, ONE, &["perm"], layout::transpose),
    row("Unsqueeze", (7, 12), ONE, &["axes"], layout::unsqueeze),
    row("Unsqueeze", since(13), TWO, &[], layout::unsqueeze),
    row("Upsample", (7, 8), ONE, &["mode", "scales"], resampling::upsample),
    row("Upsample", (9, 9), TWO, &["mode"], resampling::upsample),
    row("Where", since(9), (3, 3), &[], constant::select),
];
