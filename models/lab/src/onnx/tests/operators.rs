//! Operators whose form or version matters, and parameters that must be refused.

use super::super::{Import, ImportOptions, import};
use super::writer::{
    Model, Proto, float_attribute, floats, int_attribute, ints, ints_attribute, node, port, tensor,
    text_attribute,
};
use super::{load, ops, ramp, refusal, run};
use crate::network::{Coordinates, Data, Interpolation, Nearest, Op, PadMode, Unary};

/// A model of one node over image input `x` and the given initializers, with output `y`.
fn one(dims: &[i64], initializers: &[Proto], op: &str, inputs: &[&str], attributes: &[Proto]) -> Model {
    let model =
        initializers.iter().fold(Model::image(dims), |model, tensor| model.initializer(tensor.clone()));
    model.node(node(op, inputs, &["y"], attributes)).output("y")
}

fn output_shape(imported: &Import) -> &[usize] {
    &imported.network.values[imported.network.outputs[0]].shape
}

fn weight(dims: &[i64]) -> Proto {
    floats("w", dims, &vec![0.5; dims.iter().product::<i64>() as usize])
}

fn conv(dims: &[i64], weights: &[i64], attributes: &[Proto]) -> Vec<u8> {
    one(dims, &[weight(weights)], "Conv", &["x", "w"], attributes).bytes(17)
}

#[test]
fn same_padding_puts_the_odd_pixel_where_the_file_says() {
    let pads_of = |mode: &str| {
        let attributes = [text_attribute("auto_pad", mode), ints_attribute("strides", &[2, 1])];
        let imported = load(&conv(&[1, 1, 6, 5], &[1, 1, 3, 4], &attributes)).unwrap();
        assert_eq!(output_shape(&imported), [1, 1, 3, 5]);
        match &imported.network.nodes[0].op {
            Op::Conv { window, .. } => window.pads,
            other => panic!("{other:?}"),
        }
    };
    // Height: 2·2 + 3 − 6 = 1 pixel; width: 4 + 4 − 5 = 3 pixels.
    assert_eq!(pads_of("SAME_UPPER"), [0, 1, 1, 2]);
    assert_eq!(pads_of("SAME_LOWER"), [1, 2, 0, 1]);
}

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    let refused = |weights: &[i64], attributes: &[Proto]| refusal(&conv(&[1, 4, 8, 8], weights, attributes));
    assert!(refused(&[2, 3, 3, 3], &[]).contains("[W]: 4 input channels in 1 groups"));
    assert!(refused(&[3, 2, 3, 3], &[int_attribute("group", 2)]).contains("[W]"));
    assert!(refused(&[2, 4, 3, 3], &[int_attribute("group", 0)]).contains("[group]"));
    assert!(refused(&[2, 4, 3, 3], &[ints_attribute("strides", &[0, 1])]).contains("[strides]"));
    assert!(refused(&[2, 4, 3, 3], &[ints_attribute("dilations", &[65, 1])]).contains("[dilations]"));
    assert!(refused(&[2, 4, 3, 3], &[ints_attribute("pads", &[0, -1, 0, 0])]).contains("[pads]"));
    assert!(refused(&[2, 4, 9, 9], &[]).contains("larger than the padded input"));
    assert!(refused(&[2, 4, 65, 1], &[]).contains("[kernel_shape]"));
    assert!(refused(&[2, 4, 3, 3], &[ints_attribute("kernel_shape", &[5, 5])]).contains("[kernel_shape]"));
    assert!(refusal(&conv(&[1, 4, 8], &[2, 4, 3], &[])).contains("1-D operator"));
    assert!(refusal(&conv(&[1, 4, 8, 8, 8], &[2, 4, 3, 3, 3], &[])).contains("3-D operator"));
}

#[test]
fn transposed_output_shapes_become_pads_or_output_padding() {
    let build = |shape: &[i64]| {
        let attributes = [ints_attribute("strides", &[2, 2]), ints_attribute("output_shape", shape)];
        load(
            &one(&[1, 1, 4, 4], &[weight(&[1, 1, 3, 3])], "ConvTranspose", &["x", "w"], &attributes)
                .bytes(17),
        )
    };
    let imported = build(&[8, 10]).unwrap();
    assert_eq!(output_shape(&imported), [1, 1, 8, 10]);
    match &imported.network.nodes[0].op {
        // 2·3 + 3 = 9 pixels: one too many in height, one too few in width.
        Op::ConvTranspose { window, output_padding, .. } => {
            assert_eq!((window.pads, *output_padding), ([1, 0, 0, 0], [0, 1]));
        }
        other => panic!("{other:?}"),
    }
    assert!(build(&[8, 0]).is_err());
    assert!(build(&[8, 1 << 40]).is_err());
}

#[test]
fn rounding_up_leaves_out_a_window_that_starts_in_the_padding() {
    let pool = |extent: i64, pads: &[i64]| {
        let attributes = [
            ints_attribute("kernel_shape", &[2, 2]),
            ints_attribute("strides", &[2, 2]),
            ints_attribute("pads", pads),
            int_attribute("ceil_mode", 1),
        ];
        let bytes = one(&[1, 1, extent, extent], &[], "MaxPool", &["x"], &attributes).bytes(17);
        load(&bytes).map(|imported| output_shape(&imported)[2])
    };
    assert_eq!(pool(5, &[0, 0, 0, 0]).unwrap(), 3);
    // (5 + 2 − 2) / 2 rounds up to 3 + 1 windows; the fourth would start at 5 = extent.
    assert_eq!(pool(5, &[1, 1, 1, 1]).unwrap(), 3);
    assert!(pool(5, &[2, 2, 0, 0]).unwrap_err().to_string().contains("[pads]"));
}

#[test]
fn softmax_flattens_before_operator_set_13_only() {
    let model = one(&[1, 3, 2, 2], &[], "Softmax", &["x"], &[]);
    let old = load(&model.bytes(12)).unwrap().network;
    assert_eq!(ops(&old), [Op::Reshape, Op::Softmax { axis: 1, log: false }, Op::Reshape]);
    let sum: f32 = run(&old, ramp(&[1, 3, 2, 2])).as_f32().unwrap().iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "one distribution over all twelve: {sum}");
    let new = load(&model.bytes(13)).unwrap().network;
    assert_eq!(ops(&new), [Op::Softmax { axis: 3, log: false }]);
}

#[test]
fn clip_takes_its_bounds_from_attributes_or_inputs() {
    let attributes = [float_attribute("min", 0.0), float_attribute("max", 6.0)];
    let wanted = [Op::Unary(Unary::Clip { low: 0.0, high: 6.0 })];
    let old = load(&one(&[2], &[], "Clip", &["x"], &attributes).bytes(10)).unwrap();
    assert_eq!(ops(&old.network), wanted);
    let bounds = [floats("low", &[], &[0.0]), floats("high", &[], &[6.0])];
    let new = load(&one(&[2], &bounds, "Clip", &["x", "low", "high"], &[]).bytes(17)).unwrap();
    assert_eq!(ops(&new.network), wanted);
    let open = load(&one(&[2], &bounds[..1], "Clip", &["x", "low"], &[]).bytes(17)).unwrap();
    assert_eq!(ops(&open.network), [Op::Unary(Unary::Clip { low: 0.0, high: f32::MAX })]);
    assert!(refusal(&one(&[2], &[], "Clip", &["x"], &attributes).bytes(17)).contains("[min]"));
}

#[test]
fn negative_pads_become_a_slice() {
    let pads = [ints("pads", &[0, 0, -1, 2, 0, 0, 3, -2])];
    let imported = load(&one(&[1, 1, 5, 5], &pads, "Pad", &["x", "pads"], &[]).bytes(17)).unwrap();
    assert_eq!(output_shape(&imported), [1, 1, 7, 5]);
    let slice = Op::Slice { start: vec![0, 0, 1, 0], step: vec![1; 4] };
    let pad = Op::Pad { pads: vec![0, 0, 0, 2, 0, 0, 3, 0], mode: PadMode::Constant(0.0) };
    assert_eq!(ops(&imported.network), [slice, pad]);
}

#[test]
fn pads_that_have_no_meaning_are_refused() {
    let pad = |pads: &[i64], mode: &str| {
        let attributes = [text_attribute("mode", mode)];
        refusal(&one(&[1, 1, 4, 4], &[ints("pads", pads)], "Pad", &["x", "pads"], &attributes).bytes(19))
    };
    assert!(pad(&[0, 0, 4, 0, 0, 0, 0, 0], "reflect").contains("reflecting 4"));
    assert!(pad(&[0, 0, -1, 0, 0, 0, 0, 0], "edge").contains("negative pads"));
    assert!(pad(&[0, 0, -2, 0, 0, 0, -2, 0], "constant").contains("remove all"));
    assert!(pad(&[0; 8], "wrap").contains("[mode]: mode wrap is not supported"));
    assert!(pad(&[0; 6], "constant").contains("[pads]"));
}

fn upsample(mode: &str, scale: f32, coordinates: Option<Coordinates>) -> Import {
    let scales = [floats("s", &[4], &[1.0, 1.0, scale, scale])];
    let bytes =
        one(&[1, 1, 4, 4], &scales, "Upsample", &["x", "s"], &[text_attribute("mode", mode)]).bytes(9);
    import(&bytes, &ImportOptions { resize_coordinates: coordinates, ..ImportOptions::default() }).unwrap()
}

#[test]
fn old_linear_upsampling_says_which_coordinates_it_follows() {
    let coordinates_of = |imported: &Import| match imported.network.nodes[0].op {
        Op::Resize { coordinates, .. } => coordinates,
        ref other => panic!("{other:?}"),
    };
    let default = upsample("linear", 2.0, None);
    assert_eq!(coordinates_of(&default), Coordinates::Asymmetric);
    assert!(default.notes[0].text.contains("asymmetric coordinates are followed"));
    let chosen = upsample("linear", 2.0, Some(Coordinates::HalfPixel));
    assert_eq!(coordinates_of(&chosen), Coordinates::HalfPixel);
    assert!(chosen.notes[0].text.contains("half_pixel coordinates are followed, as asked for"));
    let nearest = upsample("nearest", 2.0, Some(Coordinates::HalfPixel));
    assert_eq!(coordinates_of(&nearest), Coordinates::Asymmetric);
    assert!(nearest.notes.is_empty());
}

fn resize(attributes: &[Proto], sizes: &[i64]) -> Vec<u8> {
    one(&[1, 2, 4, 6], &[ints("sizes", sizes)], "Resize", &["x", "", "", "sizes"], attributes).bytes(19)
}

#[test]
fn resize_by_sizes_states_its_scales() {
    let imported = load(&resize(&[text_attribute("mode", "linear")], &[1, 2, 8, 9])).unwrap();
    assert_eq!(output_shape(&imported), [1, 2, 8, 9]);
    let (interpolation, coordinates) = (Interpolation::Linear, Coordinates::HalfPixel);
    assert_eq!(ops(&imported.network), [Op::Resize { interpolation, coordinates, scales: [2.0, 1.5] }]);
    let axes = [ints_attribute("axes", &[3, 2])];
    let imported = load(&resize(&axes, &[9, 8])).unwrap();
    assert_eq!(output_shape(&imported), [1, 2, 8, 9]);
    let interpolation = Interpolation::Nearest(Nearest::RoundPreferFloor);
    assert_eq!(ops(&imported.network), [Op::Resize { interpolation, coordinates, scales: [2.0, 1.5] }]);
}

#[test]
fn resize_forms_that_are_not_supported_are_refused_by_attribute() {
    let refused = |attributes: &[Proto], sizes: &[i64]| refusal(&resize(attributes, sizes));
    let good = [1, 2, 8, 8];
    assert!(refused(&[text_attribute("mode", "cubic")], &good).contains("[mode]: cubic"));
    assert!(refused(&[int_attribute("antialias", 1)], &good).contains("[antialias]"));
    assert!(refused(&[int_attribute("exclude_outside", 1)], &good).contains("[exclude_outside]"));
    let policy = text_attribute("keep_aspect_ratio_policy", "not_larger");
    assert!(refused(&[policy], &good).contains("[keep_aspect_ratio_policy]"));
    let crop = text_attribute("coordinate_transformation_mode", "tf_crop_and_resize");
    assert!(refused(&[crop], &good).contains("[coordinate_transformation_mode]"));
    assert!(refused(&[], &[1, 4, 8, 8]).contains("axis 1 is resized"));
    assert!(refused(&[], &[1, 2, 0, 8]).contains("[sizes]"));
    assert!(refused(&[], &[1, 2, 1 << 40, 8]).contains("[sizes]"));
}

#[test]
fn group_normalization_before_21_has_one_scale_per_group() {
    let parameters = [floats("s", &[2], &[2.0, 3.0]), floats("b", &[2], &[0.0, 1.0])];
    let attributes = [int_attribute("num_groups", 2)];
    let model = one(&[1, 4, 2, 2], &parameters, "GroupNormalization", &["x", "s", "b"], &attributes);
    let network = load(&model.bytes(18)).unwrap().network;
    let scale = network.values[network.nodes[0].inputs[1]].constant.as_ref().unwrap();
    assert_eq!(scale.as_f32().unwrap(), [2.0, 2.0, 3.0, 3.0]);
    assert!(refusal(&model.bytes(21)).contains("[scale]"));
}

#[test]
fn training_forms_are_refused() {
    let parameters: Vec<Proto> = ["s", "b", "m", "v"].map(|name| floats(name, &[1], &[1.0])).into();
    let inputs = ["x", "s", "b", "m", "v"];
    let attributes = [int_attribute("training_mode", 1)];
    let bytes = one(&[1, 1, 2, 2], &parameters, "BatchNormalization", &inputs, &attributes).bytes(15);
    assert!(refusal(&bytes).contains("[training_mode]: the network was exported in training mode"));
    let training = [tensor("t", 9, &[], &[1])];
    let bytes = one(&[2], &training, "Dropout", &["x", "", "t"], &[]).bytes(17);
    assert!(refusal(&bytes).contains("[training_mode]"));
    let off = [tensor("t", 9, &[], &[0])];
    let network = load(&one(&[2], &off, "Dropout", &["x", "", "t"], &[]).bytes(17)).unwrap().network;
    assert!(network.nodes.is_empty());
}

#[test]
fn split_makes_only_the_parts_that_are_read() {
    let split = node("Split", &["x"], &["a", "b", "c"], &[int_attribute("axis", 1)]);
    let model = Model::image(&[1, 6, 2, 2]).node(split).output("c");
    let network = load(&model.bytes(12)).unwrap().network;
    assert_eq!(ops(&network), [Op::Slice { start: vec![0, 4, 0, 0], step: vec![1; 4] }]);
    let uneven = node("Split", &["x"], &["a", "b", "c", "d"], &[int_attribute("axis", 1)]);
    let model = Model::image(&[1, 6, 2, 2]).node(uneven).output("d");
    assert!(refusal(&model.bytes(13)).contains("[split]"));
}

fn quantized(scale: f32, zero: &[u8], code: i64) -> Vec<u8> {
    let parameters = [floats("s", &[], &[scale]), tensor("z", code, &[], zero)];
    one(&[2], &parameters, "QuantizeLinear", &["x", "s", "z"], &[]).bytes(13)
}

#[test]
fn quantization_needs_positive_finite_scales_and_eight_bits() {
    assert!(load(&quantized(0.5, &[3], 3)).is_ok());
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(refusal(&quantized(scale, &[3], 3)).contains("[scale]"), "{scale}");
    }
    assert!(refusal(&quantized(0.5, &[3, 0], 5)).contains("quantization to int16"));
    let scale = [floats("s", &[], &[0.5])];
    let blocked = [int_attribute("block_size", 2)];
    let bytes = one(&[2], &scale, "QuantizeLinear", &["x", "s"], &blocked).bytes(21);
    assert!(refusal(&bytes).contains("[block_size]"));
    let default = load(&one(&[2], &scale, "QuantizeLinear", &["x", "s"], &[]).bytes(13)).unwrap().network;
    let zero = default.values[default.nodes[0].inputs[2]].constant.as_ref().unwrap();
    assert_eq!(zero.data, Data::U8(vec![0]));
}

#[test]
fn a_channel_quantized_weight_needs_zero_points_of_zero() {
    let model = |zeros: &[u8]| {
        let parameters = [
            tensor("w", 3, &[2, 1, 1, 1], &[5, 251]),
            floats("s", &[2], &[0.5, 0.25]),
            tensor("z", 3, &[2], zeros),
        ];
        let model = parameters.into_iter().fold(Model::image(&[1, 1, 2, 2]), Model::initializer);
        let attributes = [int_attribute("axis", 0)];
        model
            .node(node("DequantizeLinear", &["w", "s", "z"], &["float"], &attributes))
            .node(node("Conv", &["x", "float"], &["y"], &[]))
            .output("y")
            .bytes(13)
    };
    let network = load(&model(&[0, 0])).unwrap().network;
    assert_eq!(ops(&network)[0], Op::Dequantize { axis: 0 });
    let output = run(&network, ramp(&[1, 1, 2, 2]));
    assert_eq!(output.as_f32().unwrap()[..2], [-12.5, 5.0]);
    assert!(refusal(&model(&[0, 1])).contains("[zero_point]: a weight quantized per channel"));
}

#[test]
fn integer_images_become_floats_by_dequantizing_with_scale_one() {
    let model = Model::default()
        .input(port("x", 2, &[2]))
        .node(node("Cast", &["x"], &["y"], &[int_attribute("to", 1)]))
        .output("y");
    let network = load(&model.bytes(17)).unwrap().network;
    let pixels = crate::network::Tensor { shape: vec![2], data: Data::U8(vec![7, 255]) };
    assert_eq!(run(&network, pixels).as_f32().unwrap(), [7.0, 255.0]);
}

#[test]
fn gemm_folds_the_transpose_of_a_constant() {
    let weights =
        [floats("w", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), floats("b", &[3], &[0.5, 0.5, 0.5])];
    let attributes = [int_attribute("transB", 1), float_attribute("beta", 2.0)];
    let network =
        load(&one(&[1, 2], &weights, "Gemm", &["x", "w", "b"], &attributes).bytes(17)).unwrap().network;
    assert_eq!(ops(&network), [Op::MatMul, Op::Binary(crate::network::Binary::Add)]);
    let input = crate::network::Tensor::f32(vec![1, 2], vec![1.0, 10.0]);
    assert_eq!(run(&network, input).as_f32().unwrap(), [22.0, 44.0, 66.0]);
}

#[test]
fn slices_clamp_their_bounds_and_walk_backwards() {
    let bounds = [ints("s", &[-1]), ints("e", &[i64::MIN]), ints("a", &[1]), ints("t", &[-2])];
    let inputs = ["x", "s", "e", "a", "t"];
    let network = load(&one(&[1, 5], &bounds, "Slice", &inputs, &[]).bytes(17)).unwrap().network;
    let input = crate::network::Tensor::f32(vec![1, 5], vec![0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(run(&network, input).as_f32().unwrap(), [4.0, 2.0, 0.0]);
    let empty = [ints("s", &[3]), ints("e", &[2]), ints("a", &[1]), ints("t", &[1])];
    assert!(refusal(&one(&[1, 5], &empty, "Slice", &inputs, &[]).bytes(17)).contains("extent 0"));
}
