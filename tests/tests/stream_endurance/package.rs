//! A small package with calibration and an OOD profile, fitted on generated frames.

use std::path::PathBuf;

use candor::Package;
use candor_core::golden;
use candor_core::package::Geometry;
use candor_imaging::frame::{Frame, Samples, Source};
use candor_imaging::write;
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use candor_lab::onnx::{self, ImportOptions};
use candor_tests::onnx::{Model, floats, int, ints, node};

/// Rows and columns.
pub const SIDE: usize = 24;

/// Samples of a frame that depend on its number.
pub fn samples(index: u32) -> Vec<u8> {
    (0..SIDE * SIDE).map(|at| golden::input_code(index, at, SIDE)).collect()
}

/// Two convolutions around a halving and a doubling.
fn model() -> Vec<u8> {
    let weights = |name: &str, extents: [i64; 4]| {
        let count = extents.iter().product::<i64>();
        floats(name, &extents, &(0..count).map(|at| (at * 7 % 11) as f32 / 8.0 - 0.6).collect::<Vec<f32>>())
    };
    let pads = [ints("pads", &[1, 1, 1, 1])];
    let halves = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    Model::image(&[1, 1, SIDE as i64, SIDE as i64])
        .initializer(weights("w1", [4, 1, 3, 3]))
        .initializer(weights("w2", [4, 4, 2, 2]))
        .initializer(weights("w3", [1, 8, 3, 3]))
        .node(node("Conv", &["x", "w1"], &["a"], &pads))
        .node(node("Relu", &["a"], &["b"], &[]))
        .node(node("MaxPool", &["b"], &["c"], &halves))
        .node(node("ConvTranspose", &["c", "w2"], &["d"], &halves[1..]))
        .node(node("Concat", &["d", "b"], &["e"], &[int("axis", 1)]))
        .node(node("Conv", &["e", "w3"], &["f"], &pads))
        .node(node("Sigmoid", &["f"], &["y"], &[]))
        .output("y")
        .bytes(17)
}

/// The package's bytes.
pub fn bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [images, masks] = ["images", "masks"].map(|name| folder.path().join(name));
    for own in [&images, &masks] {
        std::fs::create_dir(own).expect("the temporary folder can be written");
    }
    let save = |path: PathBuf, values: Vec<u8>| {
        let frame = Frame::new(SIDE, SIDE, 1, Samples::U8(values), Source::new("generated", 8));
        write::frame_png(&path, &frame.expect("the frame is sound")).expect("the frame can be written");
    };
    for index in 0..24 {
        let name = format!("{index:02}.png");
        let own = samples(index);
        save(masks.join(&name), own.iter().map(|&code| u8::from(code > 140)).collect());
        save(images.join(&name), own);
    }
    let import = onnx::import(&model(), &ImportOptions::default()).expect("the model is sound");
    let mut network = import.network;
    onnx::simplify(&mut network);
    let options = BuildOptions {
        name: "small".into(),
        source: "generated".into(),
        card: String::new(),
        classes: Vec::new(),
        normalize: build::standardize(),
        geometry: Geometry::Resize,
        images: Some(images),
        masks: Some(masks),
        split: Split::All,
        only: None,
        alpha: 0.05,
        ending: Ending::Logits,
    };
    build::build(&network, &options).expect("the package can be built").bytes
}

/// The package.
pub fn package() -> Package {
    Package::load(&bytes()).expect("the package is sound")
}
