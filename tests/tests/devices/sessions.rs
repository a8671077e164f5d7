//! Sessions whose model runs on one of Candle's devices find what sessions on the CPU find.

use crate::networks::Case;
use crate::oracle::Truth;
use crate::targets;
use candor::ood::features::Features;
use candor::{Details, ErrorKind, FrameView, Package, Samples, Session, SessionOptions};
use candor_core::golden::input_code;
use candor_gpu::Target;
use candor_tests::workspace_root;

/// Extents around the embedded model's own 160×120, which is tiled or resized as the package says.
const EXTENTS: [[usize; 2]; 4] = [[120, 160], [90, 200], [31, 33], [120, 160]];

fn phantom() -> Package {
    Package::open(&workspace_root().join("models/packages/phantom.candor")).expect("it is there")
}

/// A frame of noise with a bright half, which differs by `seed`.
fn samples(seed: u32, [height, width]: [usize; 2]) -> Vec<u8> {
    let half = |at: usize| if at % width < width / 2 { 90 } else { 0 };
    (0..height * width).map(|at| input_code(seed, at, width) / 4 + half(at)).collect()
}

fn frame(samples: &[u8], [height, width]: [usize; 2]) -> FrameView<'_> {
    FrameView { width, height, channels: 1, full_scale: 255, samples: Samples::U8(samples) }
}

#[test]
fn whole_frames_are_found_and_judged_alike() {
    let package = phantom();
    let options = SessionOptions { threads: 1, keep_output: true, ..Default::default() };
    for target in targets::present() {
        let mut own = Session::new(&package, &options).expect("there is no budget");
        let mut remote = candor_gpu::open(&package, &options, target).expect("it is present");
        assert_eq!((own.device(), remote.device()), ("cpu".into(), target.to_string()));
        let (mut details, mut found_details) = (Details::default(), Details::default());
        for (seed, extent) in EXTENTS.into_iter().enumerate() {
            let samples = samples(seed as u32, extent);
            let view = frame(&samples, extent);
            let expected = own.run_detailed(&view, &mut details).expect("the frame is sound");
            let found = remote.run_detailed(&view, &mut found_details).expect("the frame is sound");
            assert!(found.mask == expected.mask && found.confidence == expected.confidence, "{extent:?}");
            assert_eq!(found.digest, expected.digest, "{extent:?}");
            assert_eq!(found.calibration, expected.calibration);
            let scores =
                [expected.ood, found.ood].map(|verdict| verdict.map(|v| (v.score.to_bits(), v.alert)));
            assert!(scores[0].is_some() && scores[0] == scores[1], "{scores:?} at {extent:?}");
            assert!(
                found_details.indices == details.indices && found_details.calibrated == details.calibrated
            );
            assert_eq!(own.features().map(Features::grams), remote.features().map(Features::grams));
        }
    }
}

#[test]
fn every_step_of_random_networks_is_alike() {
    for seed in 70_000..70_040 {
        let case = Case::any(seed);
        let package = Package::load(&case.package).expect("the package is sound");
        let options = SessionOptions { threads: 1, ..Default::default() };
        let truths = case.frames.each_ref().map(|inputs| Truth::of(&package, inputs));
        for target in targets::present() {
            let mut session = candor_gpu::open(&package, &options, target).expect("it is present");
            for (inputs, truth) in case.frames.iter().zip(&truths) {
                let found = Truth::by(&mut session, inputs).expect("the codes are sound");
                let first = found.steps.iter().zip(&truth.steps).position(|(a, b)| a != b);
                assert_eq!(first, None, "seed {seed} on {target}: the first step that differs");
                assert!(found.without_steps() == truth.without_steps(), "seed {seed} on {target}");
            }
        }
    }
}

#[test]
fn the_budget_covers_the_device() {
    let package = phantom();
    let small = SessionOptions { threads: 1, memory: Some(50_000), ..Default::default() };
    let error = candor_gpu::open(&package, &small, Target::CandleCpu).err().expect("it does not fit");
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    let room = SessionOptions { memory: Some(64 << 20), ..small };
    let session = candor_gpu::open(&package, &room, Target::CandleCpu).expect("it fits");
    let bytes = session.bytes([120, 160]);
    let exact = SessionOptions { memory: Some(bytes), ..small };
    assert!(candor_gpu::open(&package, &exact, Target::CandleCpu).is_ok());
    let short = SessionOptions { memory: Some(bytes - 1), ..small };
    let error = candor_gpu::open(&package, &short, Target::CandleCpu).err().expect("a byte is missing");
    assert!(error.kind() == ErrorKind::Memory && error.to_string().contains("candle-cpu"), "{error}");
}

#[test]
fn rows_are_refused_and_frames_go_on() {
    let package = phantom();
    let options = SessionOptions { threads: 1, ..Default::default() };
    let mut session = candor_gpu::open(&package, &options, Target::CandleCpu).expect("it is present");
    let samples = samples(1, [120, 160]);
    let strip = frame(&samples[..160 * 8], [8, 160]);
    let error = session.push_rows(&strip).expect_err("a device takes whole frames");
    assert!(error.kind() == ErrorKind::Input && error.to_string().contains("whole frame"), "{error}");
    session.run(&frame(&samples, [120, 160])).expect("a whole frame is sound");
}
