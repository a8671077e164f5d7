//! Nothing is allocated per frame once a session has seen a frame of that size.
//!
//! One test alone: the counts belong to the whole process, and another test's end would be counted too.

use std::path::PathBuf;

use candor::buffer::AlignedBuffer;
use candor::{FrameView, Package, Samples, Session, SessionOptions};
use candor_core::golden;
use candor_core::package::{Geometry, Normalize, Package as View, Section};
use candor_gpu::Target;
use candor_imaging::frame::{Frame, Samples as FrameSamples, Source};
use candor_imaging::write;
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use candor_lab::onnx::{self, ImportOptions};
use candor_lab::pack::writer::Sections;
use candor_tests::allocation::CountingAllocator;
use candor_tests::onnx::{Model, floats, int, ints, node};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Frames after the first, in every setting.
const FRAMES: u32 = 100;
/// Columns and rows of the frames; larger than the model, so that tiling takes several runs.
const EXTENT: [usize; 2] = [101, 67];

/// A network with an operator of every kind that has a loop of its own.
fn model() -> Vec<u8> {
    let ramp = |count: usize| (0..count).map(|at| (at * 7 % 11) as f32 / 8.0 - 0.6).collect::<Vec<f32>>();
    let weights = |name: &str, extents: [usize; 4]| {
        floats(name, &extents.map(|extent| extent as i64), &ramp(extents.iter().product()))
    };
    let pads = [ints("pads", &[1, 1, 1, 1])];
    let halves = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let depthwise = [pads[0].clone(), int("group", 8)];
    Model::image(&[1, 1, 40, 48])
        .initializer(weights("w1", [8, 1, 3, 3]))
        .initializer(weights("w2", [8, 1, 3, 3]))
        .initializer(weights("w3", [8, 8, 2, 2]))
        .initializer(weights("w4", [8, 16, 1, 1]))
        .initializer(weights("w5", [1, 8, 3, 3]))
        .initializer(floats("ones", &[8], &[1.0; 8]))
        .initializer(floats("zeros", &[8], &[0.0; 8]))
        .initializer(floats("twice", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node(node("Conv", &["x", "w1"], &["a"], &pads))
        .node(node("Relu", &["a"], &["b"], &[]))
        .node(node("MaxPool", &["b"], &["c"], &halves))
        .node(node("Conv", &["c", "w2"], &["d"], &depthwise))
        .node(node("InstanceNormalization", &["d", "ones", "zeros"], &["e"], &[]))
        .node(node("GlobalAveragePool", &["e"], &["f"], &[]))
        .node(node("Sigmoid", &["f"], &["g"], &[]))
        .node(node("Mul", &["e", "g"], &["h"], &[]))
        .node(node("Resize", &["h", "", "twice"], &["i"], &[]))
        .node(node("AveragePool", &["b"], &["j"], &halves))
        .node(node("ConvTranspose", &["j", "w3"], &["k"], &halves[1..]))
        .node(node("Add", &["i", "k"], &["l"], &[]))
        .node(node("Concat", &["l", "b"], &["m"], &[int("axis", 1)]))
        .node(node("Conv", &["m", "w4"], &["n"], &[]))
        .node(node("Relu", &["n"], &["o"], &[]))
        .node(node("Conv", &["o", "w5"], &["p"], &pads))
        .node(node("Sigmoid", &["p"], &["y"], &[]))
        .output("y")
        .bytes(17)
}

/// A package of [`model`] with a calibration and an OOD profile, fitted on generated frames.
fn fitted() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [images, masks] = ["images", "masks"].map(|name| folder.path().join(name));
    for own in [&images, &masks] {
        std::fs::create_dir(own).expect("the temporary folder can be written");
    }
    let save = |path: PathBuf, samples: Vec<u8>| {
        let frame = Frame::new(48, 40, 1, FrameSamples::U8(samples), Source::new("generated", 8));
        write::frame_png(&path, &frame.expect("the frame is sound")).expect("the frame can be written");
    };
    for index in 0..24 {
        let name = format!("{index:02}.png");
        let codes = (0..40 * 48).map(|at| golden::input_code(index, at, 48)).collect::<Vec<u8>>();
        save(masks.join(&name), codes.iter().map(|&code| u8::from(code > 140)).collect());
        save(images.join(&name), codes);
    }
    let import = onnx::import(&model(), &ImportOptions::default()).expect("the model is sound");
    let mut network = import.network;
    onnx::simplify(&mut network);
    let options = BuildOptions {
        name: "loops".into(),
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

/// The fitted package, or a variant of it; `plain` reads samples as they are, so that rows can be pushed.
fn package(fitted: &[u8], ood: bool, tiled: bool, plain: bool) -> Package {
    let buffer = AlignedBuffer::copy_of(fitted);
    let view = View::parse(buffer.as_slice()).expect("the package is sound");
    let mut sections = Sections::of(&view).expect("the package is sound");
    assert!(view.section(Section::Ood).is_some(), "the package has an OOD profile");
    if !ood {
        sections.remove(Section::Ood);
    }
    let mut preprocess = view.preprocess().expect("it is required");
    assert!(matches!(preprocess.normalize, Normalize::Standardize { .. }));
    if tiled {
        preprocess.geometry = Geometry::Tile { overlap: 16 };
    }
    if plain {
        preprocess.normalize = build::unit();
    }
    let words = preprocess.to_words();
    sections.set(Section::Preprocess, words.iter().flat_map(|word| word.to_le_bytes()).collect());
    Package::load(&sections.to_bytes()).expect("the variant is sound")
}

/// Runs frames of one size, of 8 and of 16 bits by turns; the allocations after the first two.
fn allocations(session: &mut Session<'_>) -> usize {
    let [width, height] = EXTENT;
    let eight: Vec<u8> = (0..width * height).map(|at| golden::input_code(7, at, width)).collect();
    let sixteen: Vec<u16> = eight.iter().map(|&sample| u16::from(sample) * 257).collect();
    let mut before = ALLOCATOR.calls();
    for index in 0..FRAMES + 2 {
        let (samples, full_scale) = match index % 2 {
            0 => (Samples::U8(&eight), 255),
            _ => (Samples::U16(&sixteen), u16::MAX),
        };
        if index == 2 {
            assert!(ALLOCATOR.calls() > before, "the first frame makes room, and the counter sees it");
            before = ALLOCATOR.calls();
        }
        let frame = FrameView { width, height, channels: 1, full_scale, samples };
        let finding = session.run(&frame).expect("the frame is sound");
        assert_eq!(finding.mask.len(), width * height);
    }
    ALLOCATOR.calls() - before
}

/// As [`allocations`], for inputs fed as codes.
fn allocations_of_codes(session: &mut Session<'_>) -> usize {
    let layout = session.plan().tensor(0).expect("a plan has an input").layout;
    let codes = vec![90; layout.height * layout.width * layout.channels];
    let mut before = 0;
    for index in 0..FRAMES + 1 {
        if index == 1 {
            before = ALLOCATOR.calls();
        }
        session.run_codes(&[&codes], &mut ()).expect("the codes are sound");
    }
    ALLOCATOR.calls() - before
}

/// As [`allocations`], for frames of the model's extent pushed a few rows at a time.
fn allocations_of_rows(session: &mut Session<'_>) -> usize {
    let layout = session.plan().tensor(0).expect("a plan has an input").layout;
    let (width, height) = (layout.width, layout.height);
    let frame: Vec<u8> = (0..width * height).map(|at| golden::input_code(7, at, width)).collect();
    let mut before = 0;
    for index in 0..FRAMES + 1 {
        if index == 1 {
            before = ALLOCATOR.calls();
        }
        // Portions of one row to seven, by turns.
        for rows in frame.chunks(width * (1 + index as usize % 7)) {
            let (height, samples) = (rows.len() / width, Samples::U8(rows));
            let rows = FrameView { width, height, channels: 1, full_scale: 255, samples };
            session.push_rows(&rows).expect("the rows fit");
        }
    }
    ALLOCATOR.calls() - before
}

/// The least budget for frames of `EXTENT`, as the refusal of a smaller one names it.
fn least(package: &Package, options: &SessionOptions) -> usize {
    let named = |error: candor::Error| {
        let text = error.to_string();
        text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let with = |budget| Session::new(package, &SessionOptions { memory: Some(budget), ..*options });
    let own: usize = named(with(1).err().expect("one byte is too little"));
    let mut session = with(own).expect("it was named");
    let [width, height] = EXTENT;
    let samples = vec![0; width * height];
    let frame = FrameView { width, height, channels: 1, full_scale: 255, samples: Samples::U8(&samples) };
    session.run(&frame).map(|_| own).unwrap_or_else(named)
}

#[test]
fn nothing_is_allocated_per_frame_after_the_first() {
    let fitted = fitted();
    frames_of_any_kind(&fitted);
    for (memory, streaming, threads) in
        [(false, true, 1), (false, true, 2), (true, false, 1), (true, false, 2), (true, true, 1)]
    {
        let package = package(&fitted, true, false, true);
        let mut options = SessionOptions { threads, streaming, ..SessionOptions::default() };
        if memory {
            options.memory = Some(least(&package, &options));
        }
        let what = format!("budget {:?}, streaming {streaming}, {threads} threads", options.memory);
        let mut session = Session::new(&package, &options).expect("the package runs here");
        assert_eq!(allocations(&mut session), 0, "{what}");
        assert_eq!(allocations_of_rows(&mut session), 0, "rows, {what}");
        assert_eq!(allocations_of_codes(&mut session), 0, "codes, {what}");
    }
    frames_on_a_device(&fitted);
}

/// On Candle's CPU device; a GPU's driver allocates as it likes.
fn frames_on_a_device(fitted: &[u8]) {
    for (ood, tiled, threads) in [(true, false, 1), (false, false, 2), (true, true, 2)] {
        let package = package(fitted, ood, tiled, false);
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let mut session =
            candor_gpu::open(&package, &options, Target::CandleCpu).expect("it is always there");
        assert_eq!(allocations(&mut session), 0, "ood {ood}, tiled {tiled}, {threads} threads");
        assert_eq!(allocations_of_codes(&mut session), 0, "codes, {threads} threads");
    }
}

fn frames_of_any_kind(fitted: &[u8]) {
    for (ood, tiled, threads) in [
        (true, false, 1),
        (true, false, 2),
        (false, false, 1),
        (false, false, 2),
        (true, true, 1),
        (true, true, 2),
        (false, true, 1),
        (false, true, 2),
    ] {
        let package = package(fitted, ood, tiled, false);
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let mut session = Session::new(&package, &options).expect("the package runs here");
        let counted = allocations(&mut session);
        assert_eq!(counted, 0, "ood {ood}, tiled {tiled}, {threads} threads: {counted} in {FRAMES} frames");
        assert_eq!(allocations_of_codes(&mut session), 0, "codes, {threads} threads");
        assert!(session.bytes(EXTENT.map(|side| side * 2)) > session.bytes(EXTENT));
    }
}
