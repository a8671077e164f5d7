//! Each rewrite fires where it should, keeps the function, and stays away where it must.

use super::simplify;
use crate::network::{Binary, Network, Op, Tensor, Unary, Value};
use crate::onnx::tests::ramp;
use crate::onnx::tests::writer::{Model, Proto, floats, int_attribute, ints, ints_attribute, node};
use crate::onnx::{ImportOptions, import};

fn load(model: &Model) -> Network {
    import(&model.bytes(17), &ImportOptions::default()).expect("the model imports").network
}

fn run(network: &Network) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = network.inputs.iter().map(|&id| ramp(&network.values[id].shape)).collect();
    crate::execute::run(network, &inputs, &mut |_, _| {}).expect("the network runs")
}

/// Simplifies, checks that outputs stay the same to rounding, and returns the operators left.
fn simplified(model: &Model) -> (Network, Vec<Op>) {
    let mut network = load(model);
    let before = run(&network);
    simplify(&mut network);
    for (before, after) in before.iter().zip(run(&network)) {
        assert_eq!(before.shape, after.shape);
        for (b, a) in before.as_f32().unwrap().iter().zip(after.as_f32().unwrap()) {
            assert!((b - a).abs() <= 1e-5 * b.abs().max(1.0), "{b} became {a}");
        }
    }
    let ops = network.nodes.iter().map(|node| node.op.clone()).collect();
    (network, ops)
}

/// Values 0.3, 0.6, … that differ everywhere.
fn spread(name: &str, dims: &[i64]) -> Proto {
    let count: i64 = dims.iter().product();
    floats(name, dims, &(1..=count).map(|index| 0.3 * index as f32).collect::<Vec<f32>>())
}

fn batch_norm(model: Model, channels: i64, input: &str, output: &str) -> Model {
    ["s", "b", "m", "v"]
        .into_iter()
        .fold(model, |model, name| model.initializer(spread(name, &[channels])))
        .node(node("BatchNormalization", &[input, "s", "b", "m", "v"], &[output], &[]))
}

fn unary(ops: &[Op]) -> Unary {
    match ops {
        [Op::Unary(unary)] => *unary,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_norm_joins_the_convolution_before_it() {
    let model = Model::image(&[1, 2, 4, 4]).initializer(spread("w", &[6, 1, 3, 3])).node(node(
        "Conv",
        &["x", "w"],
        &["a"],
        &[int_attribute("group", 2)],
    ));
    let (network, ops) = simplified(&batch_norm(model, 6, "a", "y").output("y"));
    assert!(matches!(ops[..], [Op::Conv { .. }]));
    assert_eq!(network.nodes[0].inputs.len(), 3, "the convolution gained a bias");
    assert_eq!(network.values[network.outputs[0]].name, "y");
}

#[test]
fn a_batch_norm_joins_a_grouped_transposed_convolution() {
    let attributes = [int_attribute("group", 2), ints_attribute("strides", &[2, 2])];
    let model = Model::image(&[1, 4, 3, 3])
        .initializer(spread("w", &[4, 3, 2, 2]))
        .initializer(spread("wb", &[6]))
        .node(node("ConvTranspose", &["x", "w", "wb"], &["a"], &attributes));
    let (_, ops) = simplified(&batch_norm(model, 6, "a", "y").output("y"));
    assert!(matches!(ops[..], [Op::ConvTranspose { .. }]));
}

#[test]
fn a_convolution_read_elsewhere_keeps_its_weights() {
    let model = Model::image(&[1, 1, 4, 4]).initializer(spread("w", &[2, 1, 1, 1])).node(node(
        "Conv",
        &["x", "w"],
        &["a"],
        &[],
    ));
    let (_, ops) = simplified(&batch_norm(model, 2, "a", "y").output("y").output("a"));
    assert!(matches!(ops[..], [Op::Conv { .. }, Op::Binary(Binary::Mul), Op::Binary(Binary::Add)]));
}

#[test]
fn two_batch_norms_in_a_row_both_join() {
    let model = Model::image(&[1, 1, 4, 4]).initializer(spread("w", &[2, 1, 1, 1])).node(node(
        "Conv",
        &["x", "w"],
        &["a"],
        &[],
    ));
    let model = batch_norm(model, 2, "a", "c");
    let again = node("BatchNormalization", &["c", "s", "b", "m", "v"], &["y"], &[]);
    let (_, ops) = simplified(&model.node(again).output("y"));
    assert!(matches!(ops[..], [Op::Conv { .. }]));
}

#[test]
fn a_lone_batch_norm_becomes_mul_and_add() {
    let (_, ops) = simplified(&batch_norm(Model::image(&[1, 3, 2, 2]), 3, "x", "y").output("y"));
    assert_eq!(ops, [Op::Binary(Binary::Mul), Op::Binary(Binary::Add)]);
}

#[test]
fn pytorch_group_norm_becomes_one_operator() {
    let model = Model::image(&[1, 4, 3, 2])
        .initializer(ints("split", &[0, 2, -1]))
        .initializer(ints("back", &[1, 4, 3, 2]))
        .initializer(floats("one", &[2], &[1.0, 2.0]))
        .initializer(floats("zero", &[2], &[0.0, 0.5]))
        .initializer(spread("scale", &[4, 1, 1]))
        .initializer(spread("bias", &[1, 4, 1, 1]))
        .node(node("Reshape", &["x", "split"], &["a"], &[]))
        .node(node("InstanceNormalization", &["a", "one", "zero"], &["b"], &[]))
        .node(node("Reshape", &["b", "back"], &["c"], &[]))
        .node(node("Mul", &["c", "scale"], &["d"], &[]))
        .node(node("Add", &["bias", "d"], &["y"], &[]))
        .output("y");
    let (_, ops) = simplified(&model);
    assert_eq!(ops, [Op::GroupNorm { groups: 2, epsilon: 1e-5 }]);
}

#[test]
fn a_scale_that_varies_by_position_stays_outside_the_norm() {
    let model = Model::image(&[1, 2, 2, 2])
        .initializer(spread("one", &[2]))
        .initializer(spread("zero", &[2]))
        .initializer(spread("scale", &[2, 2]))
        .node(node("InstanceNormalization", &["x", "one", "zero"], &["a"], &[]))
        .node(node("Mul", &["a", "scale"], &["y"], &[]))
        .output("y");
    let (_, ops) = simplified(&model);
    assert!(matches!(ops[..], [Op::GroupNorm { .. }, Op::Binary(Binary::Mul)]));
}

#[test]
fn gates_are_recognised() {
    let image = || Model::image(&[1, 2, 3, 3]);
    let silu = image()
        .node(node("Sigmoid", &["x"], &["g"], &[]))
        .node(node("Mul", &["g", "x"], &["y"], &[]))
        .output("y");
    assert_eq!(unary(&simplified(&silu).1), Unary::Silu);
    let mish = image()
        .node(node("Softplus", &["x"], &["p"], &[]))
        .node(node("Tanh", &["p"], &["g"], &[]))
        .node(node("Mul", &["x", "g"], &["y"], &[]))
        .output("y");
    assert_eq!(unary(&simplified(&mish).1), Unary::Mish);
    let ramp = image()
        .initializer(floats("three", &[], &[3.0]))
        .initializer(floats("six", &[], &[6.0]))
        .initializer(floats("zero", &[], &[0.0]))
        .node(node("Add", &["x", "three"], &["a"], &[]))
        .node(node("Clip", &["a", "zero", "six"], &["c"], &[]));
    let divided = ramp.clone().node(node("Div", &["c", "six"], &["y"], &[])).output("y");
    assert_eq!(unary(&simplified(&divided).1), Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 });
    let gate_first = ramp
        .clone()
        .node(node("Div", &["c", "six"], &["g"], &[]))
        .node(node("Mul", &["x", "g"], &["y"], &[]))
        .output("y");
    let product_first = ramp
        .node(node("Mul", &["x", "c"], &["p"], &[]))
        .node(node("Div", &["p", "six"], &["y"], &[]))
        .output("y");
    for model in [gate_first, product_first] {
        assert_eq!(unary(&simplified(&model).1), Unary::HardSwish);
    }
}

#[test]
fn a_gate_of_another_value_is_not_a_gate() {
    let model = Model::image(&[1, 2, 3, 3])
        .node(node("Neg", &["x"], &["n"], &[]))
        .node(node("Sigmoid", &["n"], &["g"], &[]))
        .node(node("Mul", &["x", "g"], &["y"], &[]))
        .output("y");
    assert_eq!(simplified(&model).1.len(), 3);
}

#[test]
fn zero_padding_joins_the_convolution_and_other_padding_does_not() {
    let model = |value: f32, channels: i64| {
        Model::image(&[1, 1, 4, 4])
            .initializer(ints("pads", &[0, channels, 1, 0, 0, 0, 2, 3]))
            .initializer(floats("value", &[], &[value]))
            .initializer(spread("w", &[2, 1 + channels, 3, 3]))
            .node(node("Pad", &["x", "pads", "value"], &["p"], &[]))
            .node(node("Conv", &["p", "w"], &["y"], &[ints_attribute("pads", &[1, 1, 0, 0])]))
            .output("y")
    };
    let (_, ops) = simplified(&model(0.0, 0));
    assert!(matches!(&ops[..], [Op::Conv { window, .. }] if window.pads == [2, 1, 2, 3]), "{ops:?}");
    assert_eq!(simplified(&model(1.0, 0)).1.len(), 2);
    assert_eq!(simplified(&model(0.0, 1)).1.len(), 2);
}

#[test]
fn operators_that_do_nothing_go() {
    let model = Model::image(&[1, 2, 3, 4])
        .initializer(ints("same", &[1, 2, 3, 4]))
        .initializer(ints("flat", &[24]))
        .initializer(ints("none", &[0]))
        .initializer(ints("all", &[99]))
        .initializer(floats("one", &[], &[1.0]))
        .node(node("Reshape", &["x", "flat"], &["a"], &[]))
        .node(node("Reshape", &["a", "same"], &["b"], &[]))
        .node(node("Transpose", &["b"], &["c"], &[ints_attribute("perm", &[0, 1, 2, 3])]))
        .node(node("Slice", &["c", "none", "all"], &["d"], &[]))
        .node(node("Mul", &["d", "one"], &["e"], &[]))
        .node(node("Identity", &["e"], &["f"], &[]))
        .node(node("Relu", &["f"], &["y"], &[]))
        .output("y");
    let (network, ops) = simplified(&model);
    assert_eq!(ops, [Op::Unary(Unary::Relu)]);
    assert_eq!(network.values.len(), 2, "unread constants are gone");
}

#[test]
fn a_network_of_its_input_alone_is_left_alone() {
    let mut network = Network {
        values: vec![Value { name: "x".into(), shape: vec![1], constant: None }],
        inputs: vec![0],
        outputs: vec![0],
        ..Network::default()
    };
    simplify(&mut network);
    assert_eq!((network.values.len(), network.outputs), (1, vec![0]));
}

#[test]
fn a_sum_over_a_stack_becomes_additions() {
    let stack = |reduce_axis: i64| {
        let views = ["r0", "r1", "r2"];
        let model = Model::image(&[1, 2, 4, 4])
            .initializer(ints("lead", &[0]))
            .initializer(ints("axis", &[reduce_axis]))
            .node(node("Relu", &["x"], &["a"], &[]))
            .node(node("Sigmoid", &["x"], &["b"], &[]));
        let model = ["x", "a", "b"].into_iter().zip(views).fold(model, |model, (value, view)| {
            model.node(node("Unsqueeze", &[value, "lead"], &[view], &[]))
        });
        model
            .node(node("Concat", &views, &["s"], &[int_attribute("axis", 0)]))
            .node(node("ReduceSum", &["s", "axis"], &["y"], &[int_attribute("keepdims", 0)]))
            .output("y")
    };
    let (_, ops) = simplified(&stack(0));
    let additions = ops.iter().filter(|op| **op == Op::Binary(Binary::Add)).count();
    assert_eq!((additions, ops.len()), (2, 4), "{ops:?}");
    // Over another axis it is no sum of the stacked values.
    let (_, ops) = simplified(&stack(1));
    assert!(ops.contains(&Op::Concat { axis: 0 }), "{ops:?}");
}
