//! Ten thousand frames leave the process as large as the first few did.
//!
//! One test alone: resident memory and page faults belong to the whole process.

use candor::{FrameView, Package, Samples, Session, SessionOptions};
use candor_core::package::{ChannelOrder, Geometry, Preprocess};
use candor_lab::build;
use candor_lab::lower::{self, Ending};
use candor_lab::onnx::{self, ImportOptions};
use candor_lab::pack::{self, Description};
use candor_lab::quantize::{Quantization, QuantizedNetwork};
use candor_tests::onnx::{Model, floats, int, ints, node};

/// Frames that are counted, in every setting.
const FRAMES: usize = 10_000;
/// Frames before, which touch every page there is.
const FIRST: usize = 500;
/// Rows and columns.
const SIDE: usize = 16;
/// Most growth of resident memory in KiB: what the test harness and reading `/proc` may take.
const GROWTH_KIB_MAX: u64 = 32;
/// Most page faults, likewise.
const FAULTS_MAX: u64 = 16;

/// Two convolutions around a halving and a doubling.
fn package() -> Package {
    let weights = |name: &str, extents: [i64; 4]| {
        let count = extents.iter().product::<i64>();
        floats(name, &extents, &(0..count).map(|at| (at * 7 % 11) as f32 / 8.0 - 0.6).collect::<Vec<f32>>())
    };
    let pads = [ints("pads", &[1, 1, 1, 1])];
    let halves = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let model = Model::image(&[1, 1, SIDE as i64, SIDE as i64])
        .initializer(weights("w1", [4, 1, 3, 3]))
        .initializer(weights("w2", [4, 4, 2, 2]))
        .initializer(weights("w3", [1, 8, 3, 3]))
        .node(node("Conv", &["x", "w1"], &["a"], &pads))
        .node(node("MaxPool", &["a"], &["b"], &halves))
        .node(node("ConvTranspose", &["b", "w2"], &["c"], &halves[1..]))
        .node(node("Concat", &["c", "a"], &["d"], &[int("axis", 1)]))
        .node(node("Conv", &["d", "w3"], &["e"], &pads))
        .node(node("Sigmoid", &["e"], &["y"], &[]))
        .output("y");
    let import = onnx::import(&model.bytes(17), &ImportOptions::default()).expect("the model is sound");
    let unit = Quantization { scale: 1.0 / 16.0, zero_point: 128 };
    let network = import.network;
    let quantized = QuantizedNetwork {
        activations: network.values.iter().map(|value| value.constant.is_none().then_some(unit)).collect(),
        network,
        ..Default::default()
    };
    let lowered = lower::lower(&quantized, Ending::Logits).expect("the network has an integer form");
    let description = Description {
        name: "tiny".into(),
        source: "generated".into(),
        preprocess: Preprocess {
            geometry: Geometry::Resize,
            order: ChannelOrder::Gray,
            normalize: build::unit(),
        },
        classes: vec!["background".into(), "foreground".into()],
        card: String::new(),
    };
    Package::load(&pack::sections(&lowered, &description).to_bytes()).expect("the package is sound")
}

/// Resident memory of this process in KiB, and the page faults so far that read no file.
fn held() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("there is such a line");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    // After the name in parentheses: the state is field 3, minor faults are field 10.
    let rest = stat.rsplit(')').next().expect("there is something");
    let faults = rest.split_whitespace().nth(7).and_then(|faults| faults.parse().ok()).expect("a number");
    (kib, faults)
}

/// A frame whose samples depend on its number, whole or by rows.
fn run(session: &mut Session<'_>, samples: &mut [u8], index: usize, by_rows: bool) {
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample = (at * 31 + index * 17) as u8;
    }
    let height = if by_rows { 1 + index % 5 } else { SIDE };
    for rows in samples.chunks(height * SIDE) {
        let rows = FrameView {
            width: SIDE,
            height: rows.len() / SIDE,
            channels: 1,
            full_scale: 255,
            samples: Samples::U8(rows),
        };
        if by_rows {
            session.push_rows(&rows).expect("the rows fit");
        } else {
            session.run(&rows).expect("the frame fits");
        }
    }
}

/// The least that a session can do with, as the refusal of one byte names it; one that takes rows keeps them.
fn least_budget(package: &Package, streaming: bool) -> usize {
    let options = SessionOptions { memory: Some(1), streaming, ..SessionOptions::default() };
    let text = Session::new(package, &options).err().expect("one byte is too little").to_string();
    text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn ten_thousand_frames_leave_the_process_as_large_as_it_was() {
    let package = package();
    let mut samples = vec![0; SIDE * SIDE];
    for (threads, by_rows, least) in
        [(1, false, false), (2, false, false), (1, true, false), (1, true, true), (2, false, true)]
    {
        let memory = least.then(|| least_budget(&package, by_rows));
        let options = SessionOptions { threads, streaming: by_rows, memory, ..SessionOptions::default() };
        let mut session = Session::new(&package, &options).expect("the package runs here");
        (0..FIRST).for_each(|index| run(&mut session, &mut samples, index, by_rows));
        held();
        let (kib, faults) = held();
        (0..FRAMES).for_each(|index| run(&mut session, &mut samples, index, by_rows));
        let (kib_after, faults_after) = held();
        let what = format!("{threads} threads, by rows {by_rows}, budget {memory:?}");
        println!("{what}: {kib} to {kib_after} KiB, {} page faults", faults_after - faults);
        assert!(kib_after <= kib + GROWTH_KIB_MAX, "{what}: {kib} to {kib_after} KiB");
        assert!(faults_after - faults <= FAULTS_MAX, "{what}: {} page faults", faults_after - faults);
    }
}
