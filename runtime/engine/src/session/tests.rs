//! Sessions over a small package written by hand: repeatable, the same on every tier, and honest about
//! memory.

use super::*;
use crate::SessionOptions;
use crate::frame::FrameView;
use crate::frame::Samples;
use candor_core::ops::order::Order;
use candor_core::ops::{Convolution, MaxPool};
use candor_core::package::Geometry;
use candor_core::package::{ALIGNMENT, DIGESTED_HEADER, ENTRY_BYTES, HEADER_BYTES, MAGIC, VERSION};
use candor_core::plan::{HEADER_WORDS, SLACK};
use candor_core::tensor::Layout;
use candor_core::tensor::{Element, Halo};
use sha2::{Digest, Sha256};

const MODEL: [usize; 2] = [10, 14];
const HALF: f32 = 0.5;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn tensor(words: &mut Vec<u32>, at: &mut usize, extent: [usize; 3], halo: usize, element: Element) {
    let halo_of = Halo { top: halo, left: halo, bottom: halo, right: halo };
    let layout = Layout::packed(extent[0], extent[1], extent[2], halo_of, element);
    words.extend([*at, extent[0], extent[1], extent[2], halo, halo, halo, halo].map(|w| w as u32));
    words.extend([layout.row_stride as u32, u32::from(element == Element::Accumulator)]);
    words.extend([if element == Element::Code { 3 } else { 0 }, HALF.to_bits()]);
    *at = (*at + layout.bytes()).next_multiple_of(64);
}

/// A 3×3 convolution to 9 channels, a 3×3 max pool, and a 1×1 convolution to three sums: plan and
/// constants.
fn plan() -> (Vec<u8>, Vec<u8>) {
    let mut constants: Vec<u8> = Vec::new();
    let mut store = |bytes: Vec<u8>| {
        constants.resize(constants.len().next_multiple_of(64), 0);
        let offset = constants.len() as u32;
        constants.extend(bytes);
        offset
    };
    let mut state = 5u32;
    let mut weight = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 as i8
    };
    let mut filter = |outputs: usize, inputs: usize, taps: usize| {
        // Weights of channels that do not exist are zero.
        let order = Order::new([taps.isqrt(); 2], inputs.div_ceil(4));
        let mut sums = vec![0i32; outputs.next_multiple_of(8)];
        let mut weights = vec![0; sums.len() * order.weights()];
        for (o, c, tap) in each([outputs, inputs, taps]) {
            let value = weight().max(-127);
            let side = order.taps[0];
            weights[order.index(sums.len(), o, tap / side, c, tap % side)] = value as u8;
            sums[o] += i32::from(value);
        }
        let folded: Vec<u8> = sums.iter().flat_map(|s| (-3 * s).to_le_bytes()).collect();
        let multipliers = words(&vec![0.004f32.to_bits(); sums.len()]);
        let sums = sums.iter().flat_map(|s| s.to_le_bytes()).collect();
        [store(weights), store(folded), store(sums), store(multipliers), 0, 255]
    };
    let (first, last) = (filter(9, 1, 9), filter(3, 9, 1));
    let mut tensors = Vec::new();
    let mut at = 0;
    tensor(&mut tensors, &mut at, [MODEL[0], MODEL[1], 1], 1, Element::Code);
    tensor(&mut tensors, &mut at, [MODEL[0], MODEL[1], 9], 0, Element::Code);
    tensor(&mut tensors, &mut at, [MODEL[0], MODEL[1], 9], 0, Element::Code);
    tensor(&mut tensors, &mut at, [MODEL[0], MODEL[1], 3], 0, Element::Accumulator);
    let mut plan = vec![4, 3, 1, 3, (at + SLACK) as u32, 0, 0, 0];
    assert_eq!(plan.len(), HEADER_WORDS);
    plan.extend(tensors);
    let mut step = |opcode, input, output, parameters: &[u32]| {
        let start = plan.len();
        plan.extend([opcode, input, input, output]);
        plan.extend(parameters);
        plan.resize(start + 24, 0);
    };
    step(Convolution::OPCODE, 0, 1, &[&[3, 3, 1, 1, 1, 1, 1, 1], &first[..]].concat());
    step(MaxPool::OPCODE, 1, 2, &[3, 3, 1, 1, 1, 1, 1, 1]);
    step(Convolution::OPCODE, 2, 3, &[&[1, 1, 1, 1, 1, 1, 0, 0], &last[..]].concat());
    (words(&plan), constants)
}

/// All triples below `extents`.
fn each([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |a| (0..b).flat_map(move |b| (0..c).map(move |c| (a, b, c))))
}

fn head() -> Vec<u8> {
    let mut bytes = words(&[1, 3, 0, 0, (1.0f32 / 128.0).to_bits(), 0]);
    bytes.extend(words(&[(0.000_5f32).to_bits(); 3]));
    bytes.extend(words(&[(0.064f32).to_bits(); 3]));
    let weight = |index: i32| ((f64::from(index - 2048) / 128.0).min(0.0).exp() * 65_535.0) as u16;
    bytes.extend((0..4096).flat_map(|index| weight(index).max(1).to_le_bytes()));
    bytes
}

fn package(geometry: Geometry) -> Vec<u8> {
    use candor_core::arithmetic::Multiplier;
    use candor_core::package::{ChannelOrder, Normalize, Preprocess};
    let normalize = Normalize::Standardize { epsilon: Multiplier::new(1e-6) };
    let preprocess = Preprocess { geometry, order: ChannelOrder::Gray, normalize };
    let (plan, weights) = plan();
    let sections =
        [(2, plan), (3, weights), (4, words(&preprocess.to_words())), (5, head()), (6, b"a\nb\nc".to_vec())];
    let (mut table, mut body) = (Vec::new(), vec![0; HEADER_BYTES + sections.len() * ENTRY_BYTES]);
    for (number, bytes) in &sections {
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        table.extend(words(&[*number, 0]));
        table.extend((body.len() as u64).to_le_bytes());
        table.extend((bytes.len() as u64).to_le_bytes());
        table.extend([0; 8]);
        table.extend(Sha256::digest(bytes));
        body.extend(bytes);
    }
    let mut start = MAGIC.to_vec();
    start.extend(words(&[VERSION, sections.len() as u32]));
    start.extend((body.len() as u64).to_le_bytes());
    start.resize(DIGESTED_HEADER, 0);
    let digest = Sha256::new().chain_update(&start).chain_update(&table).finalize();
    start.extend(digest);
    body[..start.len()].copy_from_slice(&start);
    body[HEADER_BYTES..HEADER_BYTES + table.len()].copy_from_slice(&table);
    body
}

fn samples(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * at * 31 + at * 7 + at / 13 * 50) as u8).collect()
}

fn view(samples: &[u8], height: usize, width: usize) -> FrameView<'_> {
    FrameView { width, height, channels: 1, full_scale: 255, samples: Samples::U8(samples) }
}

/// Frame extents (height, width): equal to the model, smaller, larger, odd, a single pixel, a single row.
const EXTENTS: [[usize; 2]; 7] = [[10, 14], [7, 5], [37, 23], [10, 61], [1, 1], [1, 50], [29, 14]];

#[test]
fn a_frame_gives_the_same_digest_again_on_every_tier_and_thread_count() {
    for geometry in [Geometry::Resize, Geometry::Tile { overlap: 4 }] {
        let package = Package::load(&package(geometry)).unwrap();
        for [height, width] in EXTENTS {
            let pixels = samples(height * width);
            let mut first: Option<([u8; 32], Vec<u8>, Vec<u16>)> = None;
            for (tier, threads) in Tier::available().flat_map(|tier| [0, 1, 2, 3].map(|t| (tier, t))) {
                let options = SessionOptions { tier: Some(tier), threads, ..Default::default() };
                let mut session = Session::new(&package, &options).unwrap();
                for _ in 0..2 {
                    let finding = session.run(&view(&pixels, height, width)).unwrap();
                    let own = (finding.digest, finding.mask.to_vec(), finding.confidence.to_vec());
                    assert_eq!((finding.height, finding.width), (height, width));
                    assert_eq!(*first.get_or_insert_with(|| own.clone()), own, "{tier} x{threads}");
                }
            }
            let (_, mask, confidence) = first.unwrap();
            assert_eq!((mask.len(), confidence.len()), (height * width, height * width));
            assert!(confidence.iter().all(|&c| c >= 65_535 / 3 - 2), "the winner of three has a third");
        }
    }
}

#[test]
fn frames_of_changing_extent_do_not_touch_each_other() {
    for geometry in [Geometry::Resize, Geometry::Tile { overlap: 2 }] {
        let package = Package::load(&package(geometry)).unwrap();
        let mut shared = Session::new(&package, &SessionOptions::default()).unwrap();
        let order = EXTENTS.iter().chain(EXTENTS.iter().rev());
        for &[height, width] in order {
            let pixels = samples(height * width);
            let mut own = Session::new(&package, &SessionOptions::default()).unwrap();
            let expected = own.run(&view(&pixels, height, width)).unwrap();
            let codes = vec![9; MODEL[0] * MODEL[1]];
            shared.run_codes(&[&codes], &mut ()).unwrap();
            let found = shared.run(&view(&pixels, height, width)).unwrap();
            assert_eq!(found.digest, expected.digest, "{height}x{width}");
            assert_eq!((found.mask, found.confidence), (expected.mask, expected.confidence));
        }
    }
}

#[test]
fn arrays_and_frames_take_the_same_path_from_the_codes_on() {
    let package = Package::load(&package(Geometry::Resize)).unwrap();
    let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
    let pixels = samples(MODEL[0] * MODEL[1]);
    let frame = session.run(&view(&pixels, MODEL[0], MODEL[1])).unwrap();
    let (digest, mask) = (frame.digest, frame.mask.to_vec());
    let input = session.plan().tensor(0).unwrap();
    let mut own =
        Preprocessor::new(package.view().unwrap().preprocess().unwrap(), input.layout, input.scale, 3)
            .unwrap();
    let taken = view(&pixels, MODEL[0], MODEL[1]);
    own.take(&taken);
    let reals = own.reals(&taken, [0, 0]);
    for shape in [vec![1, MODEL[0], MODEL[1]], MODEL.to_vec()] {
        let codes = session.quantize_input(0, &shape, &reals).unwrap();
        let array = session.run_codes(&[&codes], &mut ()).unwrap();
        assert_eq!((array.digest, array.mask), (digest, &mask[..]));
    }
    assert!(session.quantize_input(0, &[1, 14, 10], &reals).is_err());
    let mut holed = reals;
    holed[3] = f32::NAN;
    let error = session.quantize_input(0, &[10, 14], &holed).unwrap_err().to_string();
    assert!(error.contains("value 3"), "{error}");
}

#[test]
fn a_short_array_is_refused() {
    let package = Package::load(&package(Geometry::Resize)).unwrap();
    let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
    assert!(session.run_codes(&[&[0; 139]], &mut ()).is_err());
    assert!(session.run_codes(&[], &mut ()).is_err());
    assert!(session.run_codes(&[&[0; 140], &[0; 140]], &mut ()).is_err());
    assert!(session.run_codes(&[&[0; 140]], &mut ()).is_ok());
}

/// The number after "give at least" in a budget error.
fn least(error: &Error) -> usize {
    assert_eq!(error.kind(), ErrorKind::Memory);
    let text = error.to_string();
    text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_budget_error_names_the_least_that_does() {
    for geometry in [Geometry::Resize, Geometry::Tile { overlap: 4 }] {
        let package = Package::load(&package(geometry)).unwrap();
        let with = |memory| SessionOptions { memory: Some(memory), ..SessionOptions::default() };
        let enough = least(&Session::new(&package, &with(1)).err().unwrap());
        assert_eq!(least(&Session::new(&package, &with(enough - 1)).err().unwrap()), enough);
        let mut session = Session::new(&package, &with(enough)).unwrap();
        assert!(session.run(&view(&samples(140), 10, 14)).is_ok());
        let pixels = samples(90 * 70);
        let more = least(&session.run(&view(&pixels, 90, 70)).err().unwrap());
        let mut short = Session::new(&package, &with(more - 1)).unwrap();
        assert_eq!(least(&short.run(&view(&pixels, 90, 70)).err().unwrap()), more);
        let mut session = Session::new(&package, &with(more)).unwrap();
        assert!(session.run(&view(&pixels, 90, 70)).is_ok());
        assert!(session.bytes([90, 70]) <= more);
        // A refused frame leaves the session fit for the next.
        assert!(short.run(&view(&samples(140), 10, 14)).is_ok());
    }
}

#[test]
fn unusable_frames_are_refused_with_their_extent() {
    let package = Package::load(&package(Geometry::Resize)).unwrap();
    let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
    let pixels = samples(12);
    let good = view(&pixels, 3, 4);
    for frame in [
        FrameView { width: 5, ..good },
        FrameView { width: 0, ..good },
        FrameView { channels: 2, ..good },
        FrameView { full_scale: 0, ..good },
        FrameView { width: 16_385, ..good },
    ] {
        assert_eq!(session.run(&frame).err().map(|error| error.kind()), Some(ErrorKind::Input), "{frame:?}");
    }
    assert!(session.run(&good).is_ok());
}

#[test]
fn a_tile_that_covers_the_frame_equals_the_whole() {
    let pixels = samples(140);
    let run = |geometry| {
        let package = Package::load(&package(geometry)).unwrap();
        let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
        let finding = session.run(&view(&pixels, 10, 14)).unwrap();
        (finding.digest, finding.mask.to_vec(), finding.confidence.to_vec())
    };
    assert_eq!(run(Geometry::Resize), run(Geometry::Tile { overlap: 4 }));
}

#[test]
fn details_agree_with_the_finding() {
    let package = Package::load(&package(Geometry::Tile { overlap: 4 })).unwrap();
    let mut session =
        Session::new(&package, &SessionOptions { keep_output: true, ..Default::default() }).unwrap();
    let pixels = samples(37 * 23);
    let plain = session.run(&view(&pixels, 37, 23)).unwrap().digest;
    let mut details = Details::default();
    let finding = session.run_detailed(&view(&pixels, 37, 23), &mut details).unwrap();
    assert_eq!(finding.digest, plain);
    for (at, (&label, &confidence)) in finding.mask.iter().zip(finding.confidence).enumerate() {
        let own = [0, 1, 2].map(|class| details.indices[class * 851 + at]);
        let best = own.iter().position(|index| Some(index) == own.iter().max());
        assert_eq!(Some(usize::from(label)), best);
        assert_eq!(details.calibrated[usize::from(label) * 851 + at], confidence);
        assert_eq!(details.uncalibrated[usize::from(label) * 851 + at], confidence);
    }
}
