//! Bad ONNX files: damaged bytes, impossible graphs and numbers, and operators that are not supported.

use crate::pictures;
use crate::table::{SIDE, Table};
use candor_tests::onnx::{
    DOUBLE, FLOAT, INT8, Model, Proto, STRING, UINT8, floats, graph, int, ints, node, port, tensor,
};

/// Every row about models.
pub fn rows(table: &mut Table) {
    bytes(table);
    graphs(table);
    numbers(table);
    extents(table);
    attributes(table);
    quantized(table);
    options(table);
}

/// Weights that are neither symmetric nor random.
fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|at| (at * 7 % 11) as f32 / 8.0 - 0.625).collect()
}

/// One channel to five to one, with a sigmoid: five leaves padding in every block of channels.
pub fn sound() -> Vec<u8> {
    segmenter(&ramp(45)).bytes(17)
}

fn segmenter(weights: &[f32]) -> Model {
    Model::image(&[1, 1, SIDE as i64, SIDE as i64])
        .initializer(floats("w1", &[5, 1, 3, 3], weights))
        .initializer(floats("w2", &[1, 5, 1, 1], &ramp(5)))
        .node(node("Conv", &["x", "w1"], &["a"], &[ints("pads", &[1, 1, 1, 1])]))
        .node(node("Relu", &["a"], &["b"], &[]))
        .node(node("Conv", &["b", "w2"], &["c"], &[]))
        .node(node("Sigmoid", &["c"], &["y"], &[]))
        .output("y")
}

/// A model of one node over `x`.
fn single(node: Proto) -> Vec<u8> {
    image().node(node).output("y").bytes(17)
}

fn image() -> Model {
    Model::image(&[1, 2, 8, 8])
}

fn bytes(table: &mut Table) {
    let sound = sound();
    table.model("empty", &[]);
    table.model("cut", &sound[..sound.len() / 2]);
    table.model("cut-by-a-byte", &sound[..sound.len() - 1]);
    let random: Vec<u8> = (0..4096u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    table.model("random", &random);
    table.model("text", b"this is not a model\n");
    table.model("picture", &pictures::scene(32, 0).0);
    table.refused(3, "candor-lab check $DIR/no-such.onnx");
    table.refused(3, "candor-lab check $DIR/frames");
}

fn graphs(table: &mut Table) {
    let relu = |from: &str, to: &str| node("Relu", &[from], &[to], &[]);
    let cycle = image().node(node("Add", &["x", "b"], &["a"], &[])).node(relu("a", "b")).output("b");
    table.model("cycle", &cycle.bytes(17));
    table.model("missing-tensor", &single(node("Add", &["x", "nowhere"], &["y"], &[])));
    table.model("output-twice", &image().node(relu("x", "y")).node(relu("x", "y")).output("y").bytes(17));
    let twice = image().initializer(floats("w", &[1], &[1.0])).initializer(floats("w", &[1], &[2.0]));
    table
        .model("initializer-twice", &twice.node(node("Mul", &["x", "w"], &["y"], &[])).output("y").bytes(17));
    table.model("no-output", &image().node(relu("x", "y")).bytes(17));
    table.model("output-never-made", &image().node(relu("x", "y")).output("z").bytes(17));
    table.model("no-nodes", &image().output("x").bytes(17));
    table.model("no-graph", &Proto::default().varint(1, 8).0);
    table.model(
        "subgraph-if",
        &single(node("If", &["x"], &["y"], &[graph("then_branch"), graph("else_branch")])),
    );
    table.model("unsupported-operator", &single(node("NonMaxSuppression", &["x"], &["y"], &[])));
    let domain = node("FusedThing", &["x"], &["y"], &[]).text(7, "com.example");
    table.model("unknown-domain", &single(domain));
    for opset in [0, 3, 99] {
        table.model(&format!("opset-{opset}"), &image().node(relu("x", "y")).output("y").bytes(opset));
    }
    let plain = image().node(relu("x", "y")).output("y");
    table.model("opset-not-stated", &plain.without_operator_set().0);
    let several = image()
        .node(node("NonMaxSuppression", &["x"], &["a"], &[]))
        .node(node("Conv", &["x", "nowhere"], &["b"], &[]))
        .node(node("Loop", &["x"], &["c"], &[graph("body")]))
        .node(node("Add", &["a", "b"], &["y"], &[]))
        .output("y");
    table.model("several-problems", &several.bytes(17));
    let chain = (0..3).fold(segmenter(&ramp(45)), |model, at| model.node(relu("b", &format!("unused{at}"))));
    table.file("sound-with-dead-ends.onnx", &chain.bytes(17));
    table.run("candor-lab check $DIR/sound-with-dead-ends.onnx", 0);
}

fn numbers(table: &mut Table) {
    for (name, value) in [("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        let mut weights = ramp(45);
        weights[7] = value;
        table.model(&format!("weight-{name}"), &segmenter(&weights).bytes(17));
    }
    let double =
        Model::default().input(port("x", DOUBLE, &[1, 1, 8, 8])).node(node("Relu", &["x"], &["y"], &[]));
    // Computed as float32, which a note says.
    table.file("float64.onnx", &double.output("y").bytes(17));
    table.run("candor-lab check $DIR/float64.onnx", 0);
    let text = image().initializer(tensor("w", STRING, &[1], b"w"));
    table.model("text-tensor", &text.node(node("Add", &["x", "w"], &["y"], &[])).output("y").bytes(17));
    let statistics = |variance: &[f32]| {
        let values = |name: &str, values: &[f32]| floats(name, &[2], values);
        image()
            .initializer(values("s", &[1.0, 1.0]))
            .initializer(values("b", &[0.0, 0.0]))
            .initializer(values("m", &[0.0, 0.0]))
            .initializer(values("v", variance))
            .node(node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y"], &[]))
            .output("y")
            .bytes(17)
    };
    table.model("variance-negative", &statistics(&[1.0, -1.0]));
    table.model("variance-nan", &statistics(&[1.0, f32::NAN]));
}

fn extents(table: &mut Table) {
    let with = |tensor: Proto| {
        image().initializer(tensor).node(node("Add", &["x", "w"], &["y"], &[])).output("y").bytes(17)
    };
    table.model("extents-overflow", &with(tensor("w", FLOAT, &[i64::MAX, i64::MAX], &[0; 8])));
    table.model("extents-beyond-data", &with(tensor("w", FLOAT, &[1 << 14, 1 << 14], &[0; 8])));
    table.model("extents-below-data", &with(tensor("w", FLOAT, &[1], &[0; 8])));
    table.model("extent-negative", &with(tensor("w", FLOAT, &[-1], &[0; 4])));
    let entry = Proto::default().text(1, "location").text(2, "../weights.bin");
    let external =
        Proto::default().varint(1, 4).varint(2, FLOAT).text(8, "w").message(13, &entry).varint(14, 1);
    table.model("external-data", &with(external));
    let relu =
        |dims: &[i64]| Model::image(dims).node(node("Relu", &["x"], &["y"], &[])).output("y").bytes(17);
    table.model("input-too-large", &relu(&[1, 1, 1 << 20, 1 << 20]));
    table.model("input-zero", &relu(&[1, 0, 8, 8]));
    table.model("input-open", &relu(&[1, 1, -1, -1]));
    table.model("input-of-rank-3", &relu(&[1, 8, 8]));
    table.model("batch-2", &relu(&[2, 1, 8, 8]));
    let shapeless = Model::default().input(Proto::default().text(1, "x"));
    table.model(
        "input-without-type",
        &shapeless.node(node("Relu", &["x"], &["y"], &[])).output("y").bytes(17),
    );
    let resize = image().initializer(floats("s", &[4], &[1.0, 1.0, 5e4, 5e4]));
    table.model(
        "resize-too-large",
        &resize.node(node("Resize", &["x", "", "s"], &["y"], &[])).output("y").bytes(17),
    );
    let resize = image().initializer(floats("s", &[4], &[1.0, 1.0, -2.0, 0.0]));
    table.model(
        "resize-negative",
        &resize.node(node("Resize", &["x", "", "s"], &["y"], &[])).output("y").bytes(17),
    );
}

fn attributes(table: &mut Table) {
    let conv = |dims: &[i64], attributes: &[Proto]| {
        let count = dims.iter().product::<i64>() as usize;
        let model = image().initializer(floats("w", dims, &ramp(count)));
        model.node(node("Conv", &["x", "w"], &["y"], attributes)).output("y").bytes(17)
    };
    table.model("pads-negative", &conv(&[2, 2, 3, 3], &[ints("pads", &[-1, -1, 1, 1])]));
    table.model("pads-huge", &conv(&[2, 2, 3, 3], &[ints("pads", &[i64::MAX, 0, i64::MAX, 0])]));
    table.model("stride-zero", &conv(&[2, 2, 3, 3], &[ints("strides", &[0, 1])]));
    table.model("dilation-zero", &conv(&[2, 2, 3, 3], &[ints("dilations", &[0, 1])]));
    table.model("kernel-larger-than-image", &conv(&[1, 2, 9, 9], &[]));
    table.model("kernel-too-large", &conv(&[1, 2, 65, 65], &[ints("pads", &[32, 32, 32, 32])]));
    table.model("kernel-shape-other", &conv(&[2, 2, 3, 3], &[ints("kernel_shape", &[5, 5])]));
    table.model("channels-other", &conv(&[2, 3, 3, 3], &[]));
    table.model("groups-do-not-divide", &conv(&[2, 1, 3, 3], &[int("group", 3)]));
    table.model("group-zero", &conv(&[2, 2, 3, 3], &[int("group", 0)]));
    table.model("filters-of-rank-5", &conv(&[2, 2, 3, 3, 3], &[]));
    table.model("filters-computed", &single(node("Conv", &["x", "x"], &["y"], &[])));
    table.model("axis-outside", &single(node("Concat", &["x", "x"], &["y"], &[int("axis", 7)])));
    table.model("pool-without-kernel", &single(node("MaxPool", &["x"], &["y"], &[])));
    let pool = node("MaxPool", &["x"], &["y"], &[ints("kernel_shape", &[2, 2]), int("ceil_mode", 7)]);
    table.model("pool-ceil-mode", &single(pool));
}

/// A QDQ pair around `x` and a convolution whose weights have scales `scales` and zero points `zeros`.
fn qdq(activation: f32, scales: &[f32], zeros: &[i8]) -> Vec<u8> {
    let count = scales.len() as i64;
    let dims = &[count];
    let codes: Vec<u8> = (0..36).map(|at| at * 5 % 23).collect();
    let zeros: Vec<u8> = zeros.iter().map(|zero| zero.cast_unsigned()).collect();
    image()
        .initializer(floats("s", &[], &[activation]))
        .initializer(tensor("z", UINT8, &[], &[128]))
        .initializer(tensor("w", INT8, &[2, 2, 3, 3], &codes))
        .initializer(floats("ws", dims, scales))
        .initializer(tensor("wz", INT8, dims, &zeros))
        .node(node("QuantizeLinear", &["x", "s", "z"], &["q"], &[]))
        .node(node("DequantizeLinear", &["q", "s", "z"], &["d"], &[]))
        .node(node("DequantizeLinear", &["w", "ws", "wz"], &["wd"], &[int("axis", 0)]))
        .node(node("Conv", &["d", "wd"], &["c"], &[]))
        .node(node("QuantizeLinear", &["c", "s", "z"], &["cq"], &[]))
        .node(node("DequantizeLinear", &["cq", "s", "z"], &["y"], &[]))
        .output("y")
        .bytes(17)
}

fn quantized(table: &mut Table) {
    table.file("qdq.onnx", &qdq(0.1, &[0.1, 0.2], &[0, 0]));
    table.run("candor-lab check $DIR/qdq.onnx", 0);
    for (name, scale) in [("zero", 0.0), ("negative", -0.1), ("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        table.model(&format!("scale-{name}"), &qdq(scale, &[0.1, 0.2], &[0, 0]));
        table.model(&format!("weight-scale-{name}"), &qdq(0.1, &[0.1, scale], &[0, 0]));
    }
    table.model("weight-zero-point", &qdq(0.1, &[0.1, 0.2], &[0, 3]));
    table.model("weight-scales-of-other-count", &qdq(0.1, &[0.1, 0.2, 0.3], &[0, 0, 0]));
}

fn options(table: &mut Table) {
    table.refused(2, "candor-lab check $DIR/model.onnx --output nothing");
    table.refused(2, "candor-lab check $DIR/model.onnx --input-size 0x12");
    table.refused(2, "candor-lab check $DIR/model.onnx --resize-coordinates guessed");
}
