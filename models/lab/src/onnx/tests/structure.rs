//! What makes a file acceptable as a whole: wiring, versions, inputs, and how problems are reported.

use super::super::{ImportOptions, import};
use super::writer::{
    Model, Proto, float_attribute, floats, graph_attribute, int_attribute, ints, node, port, tensor,
};
use super::{load, ops, ramp, refusal, run};
use crate::network::{Binary, Data, Op, Tensor, Unary};

fn relu(input: &str, output: &str) -> Proto {
    node("Relu", &[input], &[output], &[])
}

#[test]
fn wiring_faults_are_all_found_at_once() {
    let bytes = Model::image(&[1, 1, 4, 4])
        .node(relu("x", "a"))
        .node(relu("x", "a"))
        .node(relu("ghost", "b"))
        .node(node("Add", &["a", "d"], &["c"], &[]))
        .node(relu("c", "d"))
        .node(relu("d", "downstream"))
        .output("downstream")
        .output("nowhere")
        .bytes(17);
    let refusal = refusal(&bytes);
    assert!(refusal.contains("output 'a' is already produced elsewhere"), "{refusal}");
    assert!(refusal.contains("Relu 'Relu_b': input 'ghost' is produced by nothing"), "{refusal}");
    assert!(refusal.contains("circular through 'Add_c', 'Relu_d';"), "{refusal}");
    assert!(!refusal.contains("downstream'"), "a node after a cycle is not part of it: {refusal}");
    assert!(refusal.contains("output 'nowhere': nothing produces"), "{refusal}");
    assert_eq!(refusal.lines().count(), 4, "{refusal}");
}

#[test]
fn nodes_in_any_order_are_sorted() {
    let bytes = Model::image(&[1, 1, 2, 2])
        .node(node("Neg", &["a"], &["y"], &[]))
        .node(relu("x", "a"))
        .output("y")
        .bytes(17);
    let network = load(&bytes).unwrap().network;
    assert_eq!(ops(&network), [Op::Unary(Unary::Relu), Op::Unary(Unary::Neg)]);
    assert_eq!(network.nodes[1].name, "Neg_y");
    assert_eq!(network.values[network.outputs[0]].name, "y");
}

#[test]
fn an_input_that_is_also_an_initializer_is_a_constant() {
    let bytes = Model::image(&[2])
        .input(port("w", 1, &[2]))
        .initializer(floats("w", &[2], &[3.0, 4.0]))
        .node(node("Mul", &["x", "w"], &["y"], &[]))
        .output("y")
        .bytes(17);
    let network = load(&bytes).unwrap().network;
    assert_eq!(network.inputs.len(), 1);
    assert_eq!(run(&network, Tensor::f32(vec![2], vec![5.0, 6.0])).as_f32().unwrap(), [15.0, 24.0]);
}

#[test]
fn nodes_no_output_needs_are_left_out_even_when_unsupported() {
    let bytes = Model::image(&[1])
        .node(node("NonMaxSuppression", &["x"], &["dead"], &[]))
        .node(relu("x", "y"))
        .output("y")
        .bytes(17);
    assert_eq!(load(&bytes).unwrap().network.nodes.len(), 1);
}

#[test]
fn every_unsupported_node_is_listed_and_nothing_that_only_follows_from_it() {
    let bytes = Model::image(&[1, 1, 4, 4])
        .node(node("GridSample", &["x", "x"], &["a"], &[]))
        .node(relu("a", "b"))
        .node(node("LRN", &["b"], &["c"], &[int_attribute("size", 3)]))
        .node(node("Relu", &["c"], &["d"], &[int_attribute("slope", 3)]))
        .output("d")
        .bytes(17);
    let refusal = refusal(&bytes);
    let lines: Vec<&str> = refusal.lines().collect();
    assert_eq!(lines.len(), 3, "{refusal}");
    assert!(lines[0].starts_with("GridSample 'GridSample_a': the operator is not supported; fix: "));
    assert!(lines[1].starts_with("LRN 'LRN_c': the operator is not supported"));
    assert!(lines[2].starts_with("Relu 'Relu_d' [slope]: the attribute is not understood"));
}

#[test]
fn external_data_is_refused_by_name_and_never_opened() {
    let entry = Proto::default().text(1, "location").text(2, "../../secret");
    let weights = Proto::default().varint(1, 1).varint(2, 1).text(8, "w").message(13, &entry).varint(14, 1);
    let model = Model::image(&[1]).initializer(weights).node(node("Mul", &["x", "w"], &["y"], &[]));
    let refusal = refusal(&model.output("y").bytes(17));
    assert!(refusal.starts_with("initializer 'w' [external_data]"), "{refusal}");
    assert!(refusal.contains("'../../secret'"), "{refusal}");
}

#[test]
fn subgraphs_are_refused_by_node_and_attribute() {
    let branch = node("If", &["x"], &["y"], &[graph_attribute("then_branch")]);
    let refusal = refusal(&Model::image(&[1]).node(branch).output("y").bytes(17));
    assert!(refusal.starts_with("If 'If_y' [then_branch]: the node holds a subgraph"), "{refusal}");
}

#[test]
fn local_functions_and_foreign_domains_are_refused() {
    let call = node("Swishy", &["x"], &["a"], &[]).text(7, "local");
    let foreign = node("Gelu", &["x"], &["b"], &[]).text(7, "com.microsoft");
    let sum = node("Add", &["a", "b"], &["y"], &[]);
    let model = Model::image(&[1]).node(call).node(foreign).node(sum).output("y");
    let function = Proto::default().text(1, "Swishy").text(10, "local");
    let refusal = refusal(&model.header(8, 17).message(25, &function).0);
    assert!(
        refusal.contains("Swishy 'Swishy_a': the operator is a function defined in the file"),
        "{refusal}"
    );
    assert!(refusal.contains("Gelu 'Gelu_b': operator domain 'com.microsoft'"), "{refusal}");
}

#[test]
fn unknown_versions_are_refused_together() {
    let model = Model::image(&[1]).node(relu("x", "y")).output("y");
    let refusal_of = |ir, opset| refusal(&model.header(ir, opset).0);
    assert!(refusal_of(99, 17).contains("IR version 99"));
    assert!(refusal_of(8, 27).contains("operator set 27"));
    assert!(refusal_of(8, 6).contains("operator set 6"));
    assert_eq!(refusal_of(2, 999).lines().count(), 2);
    assert_eq!(load(&model.bytes(26)).unwrap().opset, 26);
    let two_sets = model.header(8, 17).message(8, &Proto::default().varint(2, 18));
    assert!(refusal(&two_sets.0).contains("two ONNX operator sets"));
}

#[test]
fn an_operator_newer_than_the_operator_set_is_refused() {
    let model = Model::image(&[1]).node(node("Gelu", &["x"], &["y"], &[])).output("y");
    assert!(refusal(&model.bytes(19)).contains("not defined, or not understood, at operator set 19"));
    assert!(load(&model.bytes(20)).is_ok());
}

#[test]
fn symbolic_extents_need_a_size_and_a_symbolic_batch_is_one() {
    let model = Model::image(&[-1, 3, -1, -1]).node(relu("x", "y")).output("y");
    assert!(refusal(&model.bytes(17)).contains("axis 2 ('symbol') has no fixed extent; fix: give the input"));
    let options = ImportOptions { input_size: Some([64, 48]), ..ImportOptions::default() };
    let network = import(&model.bytes(17), &options).unwrap().network;
    assert_eq!(network.values[network.outputs[0]].shape, [1, 3, 64, 48]);
    let channels = Model::image(&[1, -1, 8, 8]).node(relu("x", "y")).output("y");
    assert!(refusal(&channels.bytes(17)).contains("axis 1 ('symbol')"));
    let fixed = Model::image(&[1, 3, 64, 64]).node(relu("x", "y")).output("y");
    assert!(import(&fixed.bytes(17), &options).unwrap_err().to_string().contains("fixes axis 3 at 64"));
}

#[test]
fn a_fixed_batch_above_one_is_refused_only_on_request() {
    let model = Model::image(&[2, 3, 8, 8]).node(relu("x", "y")).output("y").bytes(17);
    assert!(load(&model).is_ok());
    let options = ImportOptions { require_batch_one: true, ..ImportOptions::default() };
    assert!(import(&model, &options).unwrap_err().to_string().contains("batch is fixed at 2"));
}

#[test]
fn integer_arithmetic_at_run_time_is_refused_with_its_type() {
    let model = Model::default()
        .input(port("a", 5, &[2]))
        .input(port("b", 5, &[2]))
        .node(node("Add", &["a", "b"], &["y"], &[]))
        .output("y");
    assert!(refusal(&model.bytes(17)).contains("Add 'Add_y': it computes on int16 data at run time"));
}

#[test]
fn unsupported_input_types_are_refused_by_name() {
    for (code, name) in [(8, "string"), (14, "complex64"), (17, "float8e4m3fn"), (22, "int4")] {
        let model = Model::default().input(port("x", code, &[1])).node(relu("x", "y")).output("y");
        assert!(refusal(&model.bytes(17)).contains(&format!("element type {name} is not supported")));
    }
}

#[test]
fn inputs_given_a_value_become_constants() {
    let model = Model::image(&[1, 4])
        .input(port("shape", 7, &[2]))
        .node(node("Reshape", &["x", "shape"], &["y"], &[]))
        .output("y")
        .bytes(17);
    assert!(refusal(&model).contains("Reshape 'Reshape_y' [shape]: the input depends on the data"));
    let give = |data: Data| ImportOptions {
        fixed_inputs: vec![("shape".into(), Tensor { shape: vec![2], data })],
        ..ImportOptions::default()
    };
    let network = import(&model, &give(Data::I64(vec![2, 2]))).unwrap().network;
    assert_eq!(network.values[network.outputs[0]].shape, [2, 2]);
    let wrong = import(&model, &give(Data::F32(vec![2.0, 2.0]))).unwrap_err();
    assert!(wrong.to_string().contains("no int64 tensor"), "{wrong}");
}

#[test]
fn reading_an_unsupported_second_output_is_refused_and_naming_it_is_not() {
    let pool =
        node("MaxPool", &["x"], &["y", "places"], &[super::writer::ints_attribute("kernel_shape", &[2, 2])]);
    let model = Model::image(&[1, 1, 4, 4]).node(pool).output("y");
    assert!(load(&model.bytes(17)).is_ok());
    let read = model.node(node("Identity", &["places"], &["z"], &[])).output("z");
    assert!(refusal(&read.bytes(17)).contains("reads 'places', an optional output of MaxPool"));
}

#[test]
fn each_problem_is_one_line_whatever_the_names_hold() {
    let long = "n".repeat(5000);
    let bytes = Model::image(&[1])
        .node(node("Bad\nOp", &["x"], &["a\u{1b}[31m"], &[]))
        .node(node(&long, &["x"], &["b"], &[]))
        .output("a\u{1b}[31m")
        .output("b")
        .bytes(17);
    let refusal = refusal(&bytes);
    assert_eq!(refusal.lines().count(), 2, "{refusal}");
    assert!(!refusal.contains('\u{1b}'));
    assert!(refusal.len() < 1000);
}

#[test]
fn shape_arithmetic_folds_away() {
    let bytes = Model::image(&[1, 2, 6, 4])
        .initializer(ints("two", &[2]))
        .initializer(ints("three", &[3]))
        .initializer(ints("half", &[2]))
        .initializer(ints("minus", &[-1]))
        .node(node("Shape", &["x"], &["shape"], &[]))
        .node(node("Gather", &["shape", "two"], &["height"], &[]))
        .node(node("Gather", &["shape", "three"], &["width"], &[]))
        .node(node("Div", &["height", "half"], &["rows"], &[]))
        .node(node("Mul", &["width", "half"], &["columns"], &[]))
        .node(node("Concat", &["minus", "rows", "columns"], &["wanted"], &[int_attribute("axis", 0)]))
        .node(node("Reshape", &["x", "wanted"], &["y"], &[]))
        .output("y")
        .bytes(17);
    let network = load(&bytes).unwrap().network;
    assert_eq!(ops(&network), [Op::Reshape]);
    assert_eq!(network.values[network.outputs[0]].shape, [2, 3, 8]);
    assert_eq!(network.values.len(), 2, "folded constants are gone");
}

#[test]
fn old_upsampling_size_chains_fold_through_float() {
    let bytes = Model::image(&[1, 1, 3, 5])
        .initializer(floats("factor", &[], &[1.5]))
        .node(node("Shape", &["x"], &["shape"], &[]))
        .node(node("Cast", &["shape"], &["float"], &[int_attribute("to", 1)]))
        .node(node("Mul", &["float", "factor"], &["scaled"], &[]))
        .node(node("Floor", &["scaled"], &["floored"], &[]))
        .node(node("Cast", &["floored"], &["whole"], &[int_attribute("to", 7)]))
        .node(node("ConstantOfShape", &["whole"], &["zeros"], &[]))
        .node(node("Shape", &["zeros"], &["sum"], &[]))
        .node(node("Expand", &["factor", "sum"], &["wide"], &[]))
        .node(node("Relu", &["x"], &["y"], &[]))
        .output("y")
        .output("wide")
        .bytes(17);
    let network = load(&bytes).unwrap().network;
    assert_eq!(network.values[network.outputs[1]].shape, [1, 1, 4, 7]);
    assert!(network.values[network.outputs[1]].constant.is_some());
}

#[test]
fn half_precision_models_are_computed_in_float_and_say_so() {
    let half_ones = tensor("w", 10, &[2], &[0x00, 0x3c, 0x00, 0x40]);
    let bytes = Model::image(&[2])
        .initializer(half_ones)
        .node(node("Cast", &["x"], &["low"], &[int_attribute("to", 10)]))
        .node(node("Mul", &["low", "w"], &["product"], &[]))
        .node(node("Cast", &["product"], &["y"], &[int_attribute("to", 1)]))
        .output("y")
        .bytes(17);
    let imported = load(&bytes).unwrap();
    assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
    assert_eq!(imported.notes[0].text, "float16 values are computed as float32");
    assert_eq!(ops(&imported.network), [Op::Binary(Binary::Mul)]);
    let product = run(&imported.network, ramp(&[2]));
    assert_eq!(product.as_f32().unwrap(), [-5.0, 4.0]);
}

#[test]
fn non_finite_weights_are_refused_by_name() {
    let bytes = Model::image(&[1])
        .initializer(floats("w", &[1], &[f32::NAN]))
        .node(node("Mul", &["x", "w"], &["y"], &[]))
        .output("y")
        .bytes(17);
    assert!(refusal(&bytes).contains("constant 'w' holds NaN or infinite"));
    let attribute = node("LeakyRelu", &["x"], &["y"], &[float_attribute("alpha", f32::INFINITY)]);
    assert!(refusal(&Model::image(&[1]).node(attribute).output("y").bytes(17)).contains("[alpha]"));
}

#[test]
fn a_declared_output_shape_that_disagrees_is_noted() {
    let model = Model::image(&[1, 4]).node(relu("x", "y"));
    let noted = model.field(12, &port("y", 1, &[1, 5])).bytes(17);
    assert!(load(&noted).unwrap().notes[0].text.contains("it is [1, 4]"));
}
