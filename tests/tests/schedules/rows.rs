//! A frame pushed a few rows at a time gives what the whole frame gives, strip by strip.

use crate::bytes::distinct;
use crate::draft::Draft;
use crate::networks::{self, Case};
use crate::oracle::Truth;
use candor::ood::Verdict;
use candor::ood::features::{Features, TapPlace};
use candor::{ErrorKind, FrameView, Package, Samples, Session, SessionOptions, Tier};
use candor_core::package::{Geometry, Normalize, Package as View, Preprocess, Section};
use candor_lab::build;
use candor_lab::lower::Ending;
use candor_lab::metrics::SplitMix64;
use candor_lab::network::{Op, Window};
use candor_lab::pack::writer::Sections;
use candor_tests::workspace_root;

/// The samples of a frame of either depth.
enum Depth {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// A whole frame.
struct Frame {
    height: usize,
    width: usize,
    channels: usize,
    samples: Depth,
}

impl Frame {
    fn random(random: &mut SplitMix64, [height, width]: [usize; 2], channels: usize, deep: bool) -> Self {
        let count = height * width * channels;
        let samples = match deep {
            true => Depth::Sixteen((0..count).map(|_| random.next_u64() as u16).collect()),
            false => Depth::Eight((0..count).map(|_| random.next_u64() as u8).collect()),
        };
        Self { height, width, channels, samples }
    }

    /// Rows `first..first + height`.
    fn rows(&self, first: usize, height: usize) -> FrameView<'_> {
        let row = self.width * self.channels;
        let range = first * row..(first + height) * row;
        let (samples, full_scale) = match &self.samples {
            Depth::Eight(samples) => (Samples::U8(&samples[range]), 255),
            Depth::Sixteen(samples) => (Samples::U16(&samples[range]), u16::MAX),
        };
        FrameView { width: self.width, height, channels: self.channels, full_scale, samples }
    }

    fn whole(&self) -> FrameView<'_> {
        self.rows(0, self.height)
    }
}

/// What a frame gave: mask, confidence and digest, the verdict, and the sums of the taps.
#[derive(Debug, PartialEq)]
struct Shown {
    truth: Truth,
    verdict: Option<Verdict>,
    intensities: Vec<u32>,
    grams: Vec<Vec<i64>>,
}

impl Shown {
    fn of(session: &Session<'_>, truth: Truth, verdict: Option<Verdict>) -> Self {
        let features = session.features();
        Self {
            truth,
            verdict,
            intensities: features.map(|features| features.intensities.clone()).unwrap_or_default(),
            grams: features.map(Features::grams).unwrap_or_default(),
        }
    }

    /// By the whole frame at once.
    fn whole(session: &mut Session<'_>, frame: &Frame) -> Self {
        let finding = session.run(&frame.whole()).expect("the frame fits");
        let (truth, verdict) = (Truth::shown(&finding), finding.ood);
        Self::of(session, truth, verdict)
    }

    /// By rows, in portions of the heights that `portion` names; also the rows of the mask that were finished
    /// before the last push.
    fn pushed(session: &mut Session<'_>, frame: &Frame, mut portion: impl FnMut() -> usize) -> (Self, usize) {
        let (mut mask, mut confidence, mut at, mut early) = (Vec::new(), Vec::new(), 0, 0);
        loop {
            let height = portion().clamp(1, frame.height - at);
            let strip = session.push_rows(&frame.rows(at, height)).expect("the rows fit");
            assert_eq!(strip.width, frame.width);
            assert_eq!(strip.first * frame.width, mask.len(), "strips follow each other");
            assert_eq!(strip.mask.len(), strip.confidence.len());
            mask.extend(strip.mask);
            confidence.extend(strip.confidence);
            at += height;
            assert_eq!(strip.finding.is_some(), at == frame.height);
            if let Some(finding) = strip.finding {
                let truth = Truth { mask, confidence, ..Truth::shown(&finding) };
                assert!(truth == Truth::shown(&finding), "the strips are the finding");
                let verdict = finding.ood;
                return (Self::of(session, truth, verdict), early);
            }
            early = mask.len() / frame.width;
        }
    }
}

/// Pushes frames in portions of one row, three, all, and uneven ones; the rows finished early, one by one.
fn push_all(session: &mut Session<'_>, frame: &Frame, expected: &Shown, seed: u64) -> usize {
    let mut random = SplitMix64::new(seed);
    let (found, early) = Shown::pushed(session, frame, || 1);
    assert!(found == *expected, "seed {seed}: one row at a time");
    for (name, height) in [("three rows", 3), ("all rows", frame.height)] {
        assert!(Shown::pushed(session, frame, || height).0 == *expected, "seed {seed}: {name} at a time");
    }
    let found = Shown::pushed(session, frame, || 1 + random.below(7)).0;
    assert!(found == *expected, "seed {seed}: uneven portions");
    early
}

#[test]
fn frames_pushed_by_rows_give_what_whole_frames_give() {
    let mut with_boundary = 0;
    for seed in 50_000..50_060 {
        let case = Case::streamed(seed, seed % 3 == 0);
        let package = Package::load(&case.package).expect("the package is sound");
        let mut random = SplitMix64::new(seed);
        let mut whole = Session::new(&package, &SessionOptions::default()).expect("no budget");
        let layout = whole.plan().tensor(0).expect("sound").layout;
        let channels = if random.below(3) == 0 { 4 - layout.channels } else { layout.channels };
        let extent = [layout.height, layout.width];
        let frame = Frame::random(&mut random, extent, channels, seed % 2 == 0);
        let steps = whole.plan().steps();
        let taps = [(); 2].map(|()| TapPlace {
            step: random.below(steps),
            every: 1 + random.below(4),
            spectrum: 1 + random.below(20),
        });
        let tapped = whole.tap(&taps).is_ok();
        let expected = Shown::whole(&mut whole, &frame);
        let sigmoid = whole.head().channels == 1;
        with_boundary += usize::from(sigmoid && whole.package().section(Section::Calibration).is_some());
        for (at, number) in distinct(whole.plan(), false).into_iter().enumerate() {
            let options =
                SessionOptions { threads: 1 + at % 2, schedule: Some(number), ..Default::default() };
            let mut session = Session::new(&package, &options).expect("no budget");
            if tapped {
                session.tap(&taps).expect("as before");
            }
            push_all(&mut session, &frame, &expected, seed);
        }
        let options = SessionOptions { streaming: true, ..Default::default() };
        let mut session = Session::new(&package, &options).expect("no budget");
        session.tap(if tapped { &taps } else { &[] }).expect("as before");
        if tapped {
            push_all(&mut session, &frame, &expected, seed);
        }
    }
    assert!(with_boundary > 5, "{with_boundary} networks with tables for boundaries");
}

/// The package with another way from samples to inputs.
fn with_preprocess(package: &[u8], change: impl Fn(&mut Preprocess)) -> Package {
    let buffer = candor::buffer::AlignedBuffer::copy_of(package);
    let view = View::parse(buffer.as_slice()).expect("the package is sound");
    let mut sections = Sections::of(&view).expect("sound");
    let mut preprocess = view.preprocess().expect("sound");
    change(&mut preprocess);
    let words = preprocess.to_words();
    sections.set(Section::Preprocess, words.iter().flat_map(|word| word.to_le_bytes()).collect());
    Package::load(&sections.to_bytes()).expect("the variant is sound")
}

/// The shipped package, reading samples as they are, so that its frames can be streamed.
fn shipped() -> Package {
    let path = workspace_root().join("models/packages/phantom.candor");
    with_preprocess(&std::fs::read(path).expect("it is committed"), |preprocess| {
        if matches!(preprocess.normalize, Normalize::Standardize { .. }) {
            preprocess.normalize = build::unit();
        }
    })
}

#[test]
fn the_shipped_package_gives_the_same_verdict_by_rows() {
    let package = shipped();
    let numbers = distinct(&package.view().expect("sound").plan().expect("sound"), false);
    let (mut expected, mut most) = (Vec::new(), 0);
    for number in numbers {
        let options = SessionOptions { schedule: Some(number), ..Default::default() };
        let mut session = Session::new(&package, &options).expect("no budget");
        let layout = session.plan().tensor(0).expect("sound").layout;
        for seed in 0..2 {
            let extent = [layout.height, layout.width];
            let frame = Frame::random(&mut SplitMix64::new(seed), extent, layout.channels, seed == 1);
            if expected.len() == seed as usize {
                expected.push(Shown::whole(&mut session, &frame));
            }
            let expected = &expected[seed as usize];
            assert!(expected.verdict.is_some());
            let (found, early) = Shown::pushed(&mut session, &frame, || 1 + 6 * seed as usize);
            assert!(found == *expected, "schedule {number}, frame {seed}");
            assert!(Shown::whole(&mut session, &frame) == *expected, "schedule {number}, frame {seed}");
            println!("schedule {number}: {early} of {} rows before the last", layout.height);
            most = most.max(early);
        }
    }
    assert!(most >= 60, "{most} of 120 rows before the last");
}

/// Two convolutions with a halving and a doubling between them: what a U-Net is made of.
fn hourglass(height: usize) -> Case {
    let mut draft = Draft::new(1);
    let same = Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pads: [1; 4] };
    let halves = Window { kernel: [2; 2], stride: [2; 2], dilation: [1; 2], pads: [0; 4] };
    let input = draft.input([1, height, 16]);
    let skip = draft.convolution(input, 6, same, 1).expect("small");
    let op = Op::MaxPool { window: halves, ceil: false };
    let low = draft.node(op, &[skip.id], [6, height / 2, 8]);
    let low = draft.convolution(low, 8, same, 1).expect("small");
    let high = draft.transposed(low, 4, halves, 0).expect("small");
    let joined = draft.concat(&[high, skip]);
    draft.convolution(joined, 1, same, 1).expect("small");
    networks::Case::pack(1, draft, Ending::Logits)
}

#[test]
fn single_rows_come_out_a_few_rows_after_they_went_in() {
    let height = 64;
    let package = Package::load(&hourglass(height).package).expect("sound");
    let frame = Frame::random(&mut SplitMix64::new(3), [height, 16], 1, false);
    let early = |options: SessionOptions| {
        let mut session = Session::new(&package, &options).expect("no budget");
        Shown::pushed(&mut session, &frame, || 1).1
    };
    let numbers = distinct(&package.view().expect("sound").plan().expect("sound"), false);
    let each =
        numbers.iter().map(|&number| early(SessionOptions { schedule: Some(number), ..Default::default() }));
    let each: Vec<usize> = each.collect();
    println!("{each:?} of {height} rows before the last");
    // The window of the whole network reaches eight rows down, and boundaries two more.
    assert!(each.iter().max() >= Some(&(height - 1 - 12)), "{each:?} of {height} rows before the last");
    assert_eq!(each[0], 0, "whole tensors give nothing early");
    // Where products are slow, small runs cost little, and streaming takes them.
    let streaming = SessionOptions { streaming: true, tier: Some(Tier::Reference), ..Default::default() };
    assert!(early(streaming) >= height / 2, "{} of {height} rows before the last", early(streaming));
}

/// The kind of error that pushing `rows` gives; then a whole frame must run as ever, whole and by rows.
fn refused(session: &mut Session<'_>, rows: &FrameView<'_>, frame: &Frame, expected: &Shown) -> ErrorKind {
    let kind = session.push_rows(rows).map(|_| ()).expect_err("these rows do not fit").kind();
    assert!(Shown::pushed(session, frame, || 5).0 == *expected, "rows after a refusal");
    assert!(Shown::whole(session, frame) == *expected, "a frame after a refusal");
    kind
}

#[test]
fn rows_that_do_not_fit_are_refused_and_leave_the_session_usable() {
    let height = 32;
    let package = Package::load(&hourglass(height).package).expect("sound");
    let mut session = Session::new(&package, &SessionOptions::default()).expect("no budget");
    let mut random = SplitMix64::new(4);
    let frame = Frame::random(&mut random, [height, 16], 1, false);
    let wide = Frame::random(&mut random, [height, 17], 1, false);
    let deep = Frame::random(&mut random, [height, 16], 1, true);
    let colour = Frame::random(&mut random, [height, 16], 3, false);
    let long = Frame::random(&mut random, [height + 1, 16], 1, false);
    let expected = Shown::whole(&mut session, &frame);
    let short = FrameView { width: 4, ..frame.rows(0, 1) };
    let none = FrameView { height: 0, ..frame.rows(0, 1) };
    for begun in [0, 1, 9] {
        let mut offers = vec![wide.rows(0, 1), long.whole(), short, none];
        if begun > 0 {
            // Rows of another kind than those before them.
            offers.extend([long.rows(begun, height + 1 - begun), deep.rows(begun, 2), colour.rows(begun, 2)]);
        }
        for (which, rows) in offers.iter().enumerate() {
            if begun > 0 {
                session.push_rows(&frame.rows(0, begun)).expect("these fit");
            }
            let kind = refused(&mut session, rows, &frame, &expected);
            assert_eq!(kind, ErrorKind::Input, "offer {which} after {begun} rows");
        }
    }
}

#[test]
fn a_whole_frame_between_rows_begins_the_next_frame_anew() {
    let height = 32;
    let case = hourglass(height);
    let package = Package::load(&case.package).expect("sound");
    let mut session = Session::new(&package, &SessionOptions::default()).expect("no budget");
    let mut random = SplitMix64::new(5);
    let frame = Frame::random(&mut random, [height, 16], 1, false);
    let larger = Frame::random(&mut random, [40, 30], 1, false);
    let expected = Shown::whole(&mut session, &frame);
    let codes = Truth::by(&mut session, &case.frames[0]).expect("they fit").without_steps();
    for other in 0..3 {
        session.push_rows(&frame.rows(0, 7)).expect("these fit");
        match other {
            0 => assert!(Shown::whole(&mut session, &frame) == expected),
            1 => assert_eq!(session.run(&larger.whole()).expect("it is resized").mask.len(), 1200),
            _ => {
                let found = Truth::by(&mut session, &case.frames[0]).expect("they fit");
                assert!(found.without_steps() == codes);
            }
        }
        assert!(Shown::pushed(&mut session, &frame, || 3).0 == expected, "after {other}");
    }
}

#[test]
fn packages_whose_frames_cannot_be_streamed_say_so() {
    let case = hourglass(32);
    let standardised =
        with_preprocess(&case.package, |preprocess| preprocess.normalize = build::standardize());
    let tiled = with_preprocess(&case.package, |p| p.geometry = Geometry::Tile { overlap: 4 });
    let mut draft = Draft::new(2);
    let input = draft.input([1, 32, 16]);
    let halves = Window { kernel: [2; 2], stride: [2; 2], dilation: [1; 2], pads: [0; 4] };
    draft.convolution(input, 1, halves, 1).expect("small");
    let halved = Package::load(&Case::pack(2, draft, Ending::Logits).package).expect("sound");
    let mut draft = Draft::new(3);
    let input = draft.input([2, 32, 16]);
    draft.convolution(input, 1, Window { kernel: [1; 2], stride: [1; 2], ..halves }, 1).expect("small");
    let arrays = Package::load(&Case::pack(3, draft, Ending::Logits).package).expect("sound");
    let frame = Frame::random(&mut SplitMix64::new(6), [32, 16], 1, false);
    for (package, word) in [(&standardised, "mean"), (&halved, "extent"), (&arrays, "arrays")] {
        let mut session = Session::new(package, &SessionOptions::default()).expect("no budget");
        let error = session.push_rows(&frame.rows(0, 4)).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(session.run(&frame.whole()).is_ok(), word != "arrays");
    }
    let mut session = Session::new(&tiled, &SessionOptions::default()).expect("no budget");
    let expected = Shown::whole(&mut session, &frame);
    push_all(&mut session, &frame, &expected, 6);
}
