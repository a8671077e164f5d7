//! Probabilities against f64 formulas; which table a pixel takes; and that calibration never changes the
//! mask.

use super::*;
use crate::tensor::{Element, Halo, Layout, RowsMut};
use crate::tests::{Aligned, Random};

const STEP: f64 = 1.0 / 128.0;

fn logistic(index: usize) -> f64 {
    1.0 / (1.0 + (-(index as f64 - 2048.0) * STEP).exp())
}

fn table(value: impl Fn(usize) -> f64) -> Vec<u16> {
    (0..INDEX_COUNT).map(|i| (value(i) * 65_535.0).round().clamp(1.0, 65_534.0) as u16).collect()
}

/// A head of `channels` accumulators of real size `scale`, with logistic or exponential table.
fn head_bytes(channels: usize, scale: f32) -> Aligned {
    let softmax = channels > 1;
    let mut words = vec![u32::from(softmax), channels as u32, 0, 1, (STEP as f32).to_bits(), 0];
    words.extend(vec![scale.to_bits(); channels]);
    words.extend(vec![(scale / STEP as f32).to_bits(); channels]);
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let exponential = |i: usize| ((i as f64 - 2048.0) * STEP).min(0.0).exp();
    let weights = (0..INDEX_COUNT).map(|i| (exponential(i) * 65_535.0).round().max(1.0) as u16).collect();
    let table = if softmax { weights } else { table(logistic) };
    bytes.extend(table.iter().flat_map(|p| p.to_le_bytes()));
    Aligned::of(&bytes)
}

/// Accumulators `[C,H,W]` as an output tensor.
fn output(extent: [usize; 3], values: &[i32]) -> (Layout, Vec<u8>) {
    let [channels, height, width] = extent;
    let halo = Halo { top: 1, left: 0, bottom: 0, right: 2 };
    let layout = Layout::packed(height, width, channels, halo, Element::Accumulator);
    let mut data = vec![0; layout.bytes()];
    let mut rows = RowsMut::whole(layout, &mut data);
    for (at, &value) in values.iter().enumerate() {
        let (x, y, c) = (at % width, at / width % height, at / (width * height));
        rows.set_accumulator(y, x, c, value);
    }
    (layout, data)
}

/// Mask, confidence and planar probabilities.
fn applied(
    head: &Head<'_>,
    tables: &Tables<'_>,
    extent: [usize; 3],
    values: &[i32],
) -> (Vec<u8>, Vec<u16>, Vec<u16>) {
    let (layout, data) = output(extent, values);
    let rows = Rows::whole(layout, &data);
    let pixels = extent[1] * extent[2];
    let (mut mask, mut confidence) = (vec![0; pixels], vec![0; pixels]);
    apply(head, tables, rows, &mut mask, &mut confidence);
    if let Some(pair) = PairTable::new(head, tables) {
        let (mut labels, mut values) = (vec![9; pixels], vec![9; pixels]);
        pair.apply(head, rows, &mut labels, &mut values);
        assert_eq!((&labels, &values), (&mask, &confidence));
    }
    finish(head, tables, layout.width, 0, &mask, &mut confidence);
    let mut planes = vec![0; pixels * head.classes()];
    probabilities(head, tables, rows, &mask, &mut planes);
    for (at, &label) in mask.iter().enumerate() {
        assert_eq!(planes[usize::from(label) * pixels + at], confidence[at], "confidence of pixel {at}");
    }
    (mask, confidence, planes)
}

#[test]
fn sigmoid_probabilities_equal_the_logistic_within_one_step() {
    let bytes = head_bytes(1, 0.001);
    let head = Head::parse(bytes.bytes()).unwrap();
    let values: Vec<i32> = (-2000..2000).map(|i| i * 9).collect();
    let (mask, _, planes) = applied(&head, &Tables::uncalibrated(&head), [1, 40, 100], &values);
    for (at, &value) in values.iter().enumerate() {
        let index = (f64::from(value) * 0.001 / STEP).round_ties_even() + 2048.0;
        let expected = logistic(index.clamp(0.0, 4095.0) as usize) * 65_535.0;
        assert!((f64::from(planes[4000 + at]) - expected).abs() <= 1.0, "{value}");
        assert_eq!(u32::from(planes[at]) + u32::from(planes[4000 + at]), 65_535);
        // Logits nearer to zero than half an index step count as zero.
        assert_eq!(mask[at], u8::from(index > 2048.0));
    }
}

#[test]
fn softmax_probabilities_equal_the_formula() {
    let mut random = Random(61);
    for channels in [2, 3, 7] {
        let bytes = head_bytes(channels, STEP as f32);
        let head = Head::parse(bytes.bytes()).unwrap();
        let values: Vec<i32> = (0..channels * 600).map(|_| random.between(0, 1200) as i32 - 600).collect();
        let (mask, confidence, planes) =
            applied(&head, &Tables::uncalibrated(&head), [channels, 20, 30], &values);
        for at in 0..600 {
            let logits: Vec<f64> = (0..channels).map(|c| f64::from(values[c * 600 + at]) * STEP).collect();
            let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = logits.iter().map(|l| (l - greatest).exp()).sum();
            for c in 0..channels {
                let expected = (logits[c] - greatest).exp() / total * 65_535.0;
                // Each weight is off by half a step at most, so is their sum per class.
                let tolerance = 0.5 + 0.5 * channels as f64;
                assert!((f64::from(planes[c * 600 + at]) - expected).abs() <= tolerance);
            }
            let first = logits.iter().position(|&l| l == greatest).unwrap();
            assert_eq!(usize::from(mask[at]), first);
            let sum: u32 = (0..channels).map(|c| u32::from(planes[c * 600 + at])).sum();
            assert!(sum.abs_diff(65_535) <= channels as u32, "{sum}");
            assert!(u32::from(confidence[at]) * channels as u32 + 2 * channels as u32 >= 65_535);
        }
    }
}

#[test]
fn the_greatest_logit_wins_however_large_logits_are() {
    let bytes = head_bytes(3, STEP as f32);
    let head = Head::parse(bytes.bytes()).unwrap();
    // Logits of 200, 210 and 205: beyond the ±16 of the table, but the differences are not.
    let values = [200, 210, 205].map(|logit| logit * 128);
    let (mask, confidence, _) = applied(&head, &Tables::uncalibrated(&head), [3, 1, 1], &values);
    assert_eq!(mask, [1]);
    let expected = 65_535.0 / (1.0 + (-10f64).exp() + (-5f64).exp());
    assert!((f64::from(confidence[0]) - expected).abs() <= 2.0, "{}", confidence[0]);
    let low = [-40, -20, -30].map(|logit| logit * 128);
    assert_eq!(applied(&head, &Tables::uncalibrated(&head), [3, 1, 1], &low).0, [1]);
}

#[test]
fn calibration_changes_confidence_and_never_the_mask() {
    let mut random = Random(62);
    for channels in [1, 4] {
        let bytes = head_bytes(channels, STEP as f32);
        let head = Head::parse(bytes.bytes()).unwrap();
        let values: Vec<i32> = (0..channels * 120).map(|_| random.between(0, 800) as i32 - 400).collect();
        let plain = applied(&head, &Tables::uncalibrated(&head), [channels, 10, 12], &values);
        let wild: Vec<u16> = (0..INDEX_COUNT * 4).map(|_| random.bits() as u16 | 1).collect();
        let (base, rest) = wild.split_at(INDEX_COUNT);
        let per_class = if channels > 1 { &wild[..] } else { &[] };
        let boundary = (channels == 1).then_some(&rest[..INDEX_COUNT]);
        let tables = Tables { base, boundary, per_class };
        let changed = applied(&head, &tables, [channels, 10, 12], &values);
        assert_eq!(plain.0, changed.0, "{channels} channels");
        assert_ne!(plain.1, changed.1, "{channels} channels");
    }
}

#[test]
fn pixels_near_a_label_change_take_the_boundary_table() {
    let bytes = head_bytes(1, STEP as f32);
    let head = Head::parse(bytes.bytes()).unwrap();
    let (height, width) = (9, 11);
    // Foreground in columns 6..: columns 4..8 lie within two pixels of the change.
    let values: Vec<i32> = (0..height * width).map(|at| if at % width < 6 { -64 } else { 64 }).collect();
    let (base, boundary) = (vec![40_000; INDEX_COUNT], vec![50_000; INDEX_COUNT]);
    let tables = Tables { base: &base, boundary: Some(&boundary), per_class: &[] };
    let (mask, confidence, planes) = applied(&head, &tables, [1, height, width], &values);
    for at in 0..height * width {
        let column = at % width;
        let near = (4..8).contains(&column);
        let foreground = if near { 50_000 } else { 40_000 };
        assert_eq!(is_boundary(&mask, [height, width], at), near, "column {column}");
        assert_eq!(planes[height * width + at], foreground);
        assert_eq!(confidence[at], if mask[at] == 1 { foreground } else { 65_535 - foreground });
    }
    let mut one = vec![0u8; 7 * 8];
    one[0] = 1;
    let near: Vec<usize> = (0..56).filter(|&at| is_boundary(&one, [7, 8], at)).collect();
    assert_eq!(near, [0, 1, 2, 8, 9, 10, 16, 17, 18]);
}

#[test]
fn one_vs_rest_tables_compare_each_class_with_its_strongest_rival() {
    let bytes = head_bytes(3, STEP as f32);
    let head = Head::parse(bytes.bytes()).unwrap();
    // Tables that only name the difference: class c gives (index + 1) of its own rival difference.
    let tables: Vec<u16> = (0..3 * INDEX_COUNT).map(|i| (i % INDEX_COUNT) as u16 + 1).collect();
    let tables = Tables { base: &[], boundary: None, per_class: &tables };
    let (mask, _, planes) = applied(&head, &tables, [3, 1, 1], &[100, 40, 70]);
    assert_eq!(mask, [0]);
    let weights = [30.0, -60.0, -30.0].map(|d| 2049.0 + d);
    let total: f64 = weights.iter().sum();
    for (c, weight) in weights.iter().enumerate() {
        assert!((f64::from(planes[c]) - weight / total * 65_535.0).abs() <= 0.5, "class {c}");
    }
    let sum: u32 = planes.iter().map(|&p| u32::from(p)).sum();
    assert!(sum.abs_diff(65_535) <= 3);
}

/// A calibration section of `count` tables.
fn section(kind: u32, count: u32, tables: usize) -> Aligned {
    let mut bytes: Vec<u8> = [kind, count].iter().flat_map(|w| w.to_le_bytes()).collect();
    bytes.resize(8 + tables * INDEX_COUNT * 2, 1);
    Aligned::of(&bytes)
}

#[test]
fn calibration_sections_hold_the_tables_their_head_needs() {
    let (one, three) = (head_bytes(1, 1.0), head_bytes(3, 1.0));
    let (sigmoid, softmax) = (Head::parse(one.bytes()).unwrap(), Head::parse(three.bytes()).unwrap());
    for (head, count, sound) in [
        (&sigmoid, 1, true),
        (&sigmoid, 2, true),
        (&sigmoid, 0, false),
        (&sigmoid, 3, false),
        (&softmax, 1, true),
        (&softmax, 3, true),
        (&softmax, 2, false),
        (&softmax, 4, false),
    ] {
        let bytes = section(4, count, count as usize);
        assert_eq!(Tables::parse(bytes.bytes(), head).is_ok(), sound, "{:?} {count}", head.activation);
    }
    let bytes = section(1, 2, 2);
    let (tables, name) = Tables::parse(bytes.bytes(), &sigmoid).unwrap();
    assert_eq!(
        (name, tables.boundary.map(<[u16]>::len), tables.per_class.len()),
        ("temperature", Some(4096), 0)
    );
    let fault = |word| Some(PackageError::Content(Section::Calibration, word));
    assert_eq!(Tables::parse(section(5, 1, 1).bytes(), &sigmoid).err(), fault(0));
    assert_eq!(Tables::parse(section(0, 2, 1).bytes(), &sigmoid).err(), fault(2));
    assert_eq!(Tables::parse(section(0, 1, 2).bytes(), &sigmoid).err(), fault(2));
    assert!(Tables::parse(&[], &sigmoid).is_err());
}

/// A random head over accumulators or codes, with tables of every kind it may have.
struct Case {
    bytes: Aligned,
    wild: Vec<u16>,
    element: Element,
}

impl Case {
    fn new(random: &mut Random, channels: usize, element: Element) -> Self {
        let mut bytes = head_bytes(channels, STEP as f32);
        if element == Element::Code {
            let mut words = vec![u32::from(channels > 1), channels as u32, 1, 1, (STEP as f32).to_bits(), 0];
            words.extend(vec![1.0f32.to_bits(); channels]);
            let mut raw: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let limit = if channels > 1 { 1 << 16 } else { INDEX_COUNT };
            let table = (0..256 + INDEX_COUNT).map(|_| random.between(0, limit - 1) as u16);
            raw.extend(table.flat_map(u16::to_le_bytes));
            bytes = Aligned::of(&raw);
        }
        let wild = (0..INDEX_COUNT * channels.max(2)).map(|_| random.bits() as u16).collect();
        Self { bytes, wild, element }
    }

    /// The kinds of tables that `head` may have: its own, one, and two or one for each class.
    fn tables<'a>(&'a self, head: &Head<'a>) -> [Tables<'a>; 3] {
        let (base, rest) = self.wild.split_at(INDEX_COUNT);
        let one = Tables { base, boundary: None, per_class: &[] };
        let many = if head.channels == 1 {
            Tables { boundary: Some(rest), ..one }
        } else {
            Tables { per_class: &self.wild, ..one }
        };
        [Tables::uncalibrated(head), one, many]
    }
}

/// Mask and confidence of a pixel as defined, from the probabilities of its classes.
fn check_pixels(head: &Head<'_>, tables: &Tables<'_>, rows: Rows<'_>, mask: &[u8], confidence: &[u16]) {
    let (height, width) = (rows.layout.height, rows.layout.width);
    let mut planes = vec![0; height * width * head.classes()];
    probabilities(head, tables, rows, mask, &mut planes);
    for (at, &label) in mask.iter().enumerate() {
        let index = |c: usize| head.index(rows.value(at / width, at % width, c), c);
        let expected = match head.activation {
            Activation::Sigmoid => usize::from(i32::from(index(0)) > INDEX_CENTRE),
            Activation::Softmax => {
                let greatest = (0..head.channels).map(index).max().unwrap();
                (0..head.channels).position(|c| index(c) == greatest).unwrap()
            }
        };
        assert_eq!(usize::from(label), expected, "label of pixel {at} of {width} columns");
        let probability = planes[expected * height * width + at];
        assert_eq!(confidence[at], probability, "confidence of pixel {at} of {width} columns");
    }
}

#[test]
fn rows_applied_in_any_parts_give_each_pixel_its_own_answer() {
    let mut random = Random(63);
    for channels in [1, 2, 3, 4, 5, 9] {
        for element in [Element::Code, Element::Accumulator] {
            let case = Case::new(&mut random, channels, element);
            let head = Head::parse(case.bytes.bytes()).unwrap();
            for (height, width) in [(1, 1), (7, 2), (3, 31), (9, 32), (6, 33), (8, 64), (5, 67), (4, 131)] {
                let halo = Halo { top: 1, left: 2, bottom: 1, right: 1 };
                let layout = Layout::packed(height, width, channels, halo, case.element);
                let mut data: Vec<u8> = (0..layout.bytes()).map(|_| random.bits() as u8).collect();
                if element == Element::Accumulator {
                    // Small values, so that indices differ without saturating, and often not at all.
                    for value in data.chunks_exact_mut(4) {
                        value.copy_from_slice(&(random.between(0, 4000) as i32 / 7 * 7 - 2000).to_le_bytes());
                    }
                }
                let rows = Rows::whole(layout, &data);
                for tables in case.tables(&head) {
                    let (mut mask, mut confidence) = (vec![9; height * width], vec![9; height * width]);
                    apply(&head, &tables, rows, &mut mask, &mut confidence);
                    if let Some(pair) = PairTable::new(&head, &tables) {
                        let (mut labels, mut values) = (vec![9; height * width], vec![9; height * width]);
                        pair.apply(&head, rows, &mut labels, &mut values);
                        assert_eq!((labels, values), (mask.clone(), confidence.clone()));
                    }
                    finish(&head, &tables, width, 0, &mask, &mut confidence);
                    check_pixels(&head, &tables, rows, &mask, &confidence);
                    let (mut parts, mut values) = (vec![9; height * width], vec![9; height * width]);
                    let cut = height.div_ceil(3);
                    for part in [0..cut, cut..height].into_iter().filter(|part| !part.is_empty()) {
                        let pixels = part.start * width..part.end * width;
                        let targets = (&mut parts[pixels.clone()], &mut values[pixels]);
                        apply(&head, &tables, rows.part(part), targets.0, targets.1);
                    }
                    for part in [height / 2..height, 0..height / 2] {
                        let pixels = part.start * width..part.end * width;
                        finish(&head, &tables, width, part.start, &parts, &mut values[pixels]);
                    }
                    assert_eq!((parts, values), (mask, confidence), "{channels} channels, {width} columns");
                }
            }
        }
    }
}

#[test]
fn a_second_map_is_linear_between_its_knots_and_caps() {
    let identity = capped_identity(u16::MAX);
    for value in 0..=u16::MAX {
        // The last knot stands for 65536, which no u16 holds: the top 256 values may lose one.
        let mapped = mapped(&identity, value);
        assert!(value - mapped <= u16::from(value >= 65_280), "{value} became {mapped}");
    }
    let capped = capped_identity(40_000);
    let mut confidence = [65_535, 40_001, 39_000, 0];
    remap(&[identity, capped], &[7, 1, 1, 0], &mut confidence);
    // The cap lies between two knots, where the map bends a little early.
    assert_eq!(confidence, [40_000, 39_952, 39_000, 0]);
    let mut untouched = [5, 6];
    remap(&[], &[0, 0], &mut untouched);
    assert_eq!(untouched, [5, 6]);
    let mut steep = [0; KNOTS];
    steep[1] = 65_535;
    let mut confidence = [0, 1, 128, 255, 256, 384];
    remap(&[steep], &[0; 6], &mut confidence);
    assert_eq!(confidence, [0, 256, 32_768, 65_279, 65_535, 32_768]);
}
