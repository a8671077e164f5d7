//! Random networks and the packages made of them: small, of odd extents, with every operator that a plan may
//! hold and joins of every kind.

use crate::draft::{Draft, Image, slid};
use candor_core::package::{Activation, ChannelOrder, Geometry, Head, INDEX_COUNT, Preprocess, Section};
use candor_lab::build;
use candor_lab::lower::{self, Ending};
use candor_lab::metrics::SplitMix64;
use candor_lab::network::{Binary, Op, PadMode, Reduction, Unary, Window};
use candor_lab::pack::{self, Description};

/// Transposed convolutions: kernel, stride, pads before and after, output padding; the last two leave rows
/// that no tap meets.
pub const TRANSPOSED: [(usize, usize, usize, usize, usize); 6] =
    [(2, 2, 0, 0, 0), (3, 2, 1, 1, 1), (4, 2, 1, 1, 0), (3, 1, 0, 2, 0), (2, 3, 0, 0, 0), (1, 2, 0, 0, 1)];

/// Most rows and columns of a value.
const LIMIT: [usize; 2] = [90, 40];

/// A package of a random network and what to feed it.
pub struct Case {
    pub seed: u64,
    pub package: Vec<u8>,
    /// Two sets of codes for every input.
    pub frames: [Vec<Vec<u8>>; 2],
}

impl Case {
    /// Any network.
    pub fn any(seed: u64) -> Self {
        let mut draft = Draft::new(seed);
        let inputs = if draft.once_in(6) { 2 } else { 1 };
        let extent = draft_extent(&mut draft);
        let mut live = Vec::new();
        for _ in 0..inputs {
            let channels = draft.between(1, 5);
            live.push(draft.input([channels, extent[0], extent[1]]));
        }
        grow(&mut draft, &mut live, 60);
        let ending = end(&mut draft, &live);
        Self::pack(seed, draft, ending)
    }

    /// A network whose frames can be streamed: one input of one or three channels, an output of its extent.
    /// Without `global` no operator looks at the whole image.
    pub fn streamed(seed: u64, global: bool) -> Self {
        let mut draft = Draft::new(seed);
        let [height, width] = draft_extent(&mut draft);
        let channels = draft.pick(&[1, 1, 3]);
        let mut live = vec![draft.input([channels, height, width])];
        grow(&mut draft, &mut live, if global { 60 } else { LOCAL });
        let mut last = live[live.len() - 1];
        if last.extent[1..] != [height, width] {
            last = draft.resize(last, [height, width]);
        }
        let outputs = draft.pick(&[1, 1, 2, 3]);
        let window = Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pads: [1; 4] };
        draft.products_max = usize::MAX;
        draft.convolution(last, outputs, window, 1).expect("the extent stays");
        Self::pack(seed, draft, Ending::Logits)
    }

    /// The package of a network that was drawn.
    pub fn pack(seed: u64, draft: Draft, ending: Ending) -> Self {
        let quantized = draft.finish();
        let lowered = match lower::lower(&quantized, ending) {
            Ok(lowered) => lowered,
            Err(problems) => panic!("seed {seed}: {problems:?}"),
        };
        let shapes: Vec<Vec<usize>> =
            quantized.network.inputs.iter().map(|&id| quantized.network.values[id].shape.clone()).collect();
        let classes = if lowered.head.channels == 1 { 2 } else { lowered.head.channels };
        let order = if shapes[0][1] == 3 { ChannelOrder::Rgb } else { ChannelOrder::Gray };
        let description = Description {
            name: quantized.network.name,
            source: "drawn at random".into(),
            preprocess: Preprocess { geometry: Geometry::Resize, order, normalize: build::unit() },
            classes: (0..classes).map(|class| format!("class {class}")).collect(),
            card: String::new(),
        };
        let mut sections = pack::sections(&lowered, &description);
        let mut random = SplitMix64::new(!seed);
        if let Some(tables) = calibration(&mut random, lowered.head.activation, classes) {
            sections.set(Section::Calibration, tables);
        }
        let mut frame = || {
            let codes = |shape: &Vec<usize>| {
                (0..shape.iter().product()).map(|_| random.next_u64() as u8).collect::<Vec<u8>>()
            };
            shapes.iter().map(codes).collect()
        };
        Self { seed, package: sections.to_bytes(), frames: [frame(), frame()] }
    }
}

/// Calibration tables, with a boundary table for a sigmoid and one per class for a softmax; by times none.
fn calibration(random: &mut SplitMix64, activation: Activation, classes: usize) -> Option<Vec<u8>> {
    let many = if activation == Activation::Sigmoid { 2 } else { classes };
    let count = [0, 1, many, many][random.below(4)];
    let mut bytes: Vec<u8> = [2, count as u32].iter().flat_map(|word| word.to_le_bytes()).collect();
    for _ in 0..count * INDEX_COUNT {
        bytes.extend((random.next_u64() as u16 | 1).to_le_bytes());
    }
    assert!(classes <= Head::CHANNEL_LIMIT);
    (count > 0).then_some(bytes)
}

fn draft_extent(draft: &mut Draft) -> [usize; 2] {
    if draft.once_in(4) {
        // Tall and narrow: many stretches of rows from little work.
        return [draft.between(40, 75), draft.between(2, 6)];
    }
    [draft.between(3, 24), draft.between(2, 24)]
}

/// Below this number, [`step`] looks at no whole image.
const LOCAL: usize = 48;

/// Appends operators to what lives.
fn grow(draft: &mut Draft, live: &mut Vec<Image>, kinds: usize) {
    let count = draft.between(3, 14);
    for _ in 0..count {
        let before = if draft.once_in(3) { draft.random.below(live.len()) } else { live.len() - 1 };
        let x = live[before];
        let kind = draft.random.below(kinds);
        if let Some(image) = step(draft, live, x, kind).filter(|image| image.extent[0] <= 44) {
            live.push(image);
        }
    }
}

/// One operator, or a few that belong together, on `x`.
fn step(draft: &mut Draft, live: &[Image], x: Image, kind: usize) -> Option<Image> {
    match kind {
        0..14 => convolution(draft, x),
        14..18 => transposed(draft, x),
        18..23 => pool(draft, x),
        23..26 => {
            let [height, width] = [1, 2].map(|axis| {
                let ratio = draft.pick(&[[2, 1], [1, 2], [3, 1], [3, 2], [1, 1]]);
                (x.extent[axis] * ratio[0] / ratio[1]).clamp(1, LIMIT[axis - 1])
            });
            Some(draft.resize(x, [height, width]))
        }
        26..31 => pad(draft, x),
        31..34 => crop(draft, x),
        34..41 => join(draft, live, x),
        41..44 => arithmetic(draft, live, x),
        44..LOCAL => Some(lookup(draft, x)),
        48..54 => squeeze(draft, x),
        _ => normalize(draft, x),
    }
}

fn convolution(draft: &mut Draft, x: Image) -> Option<Image> {
    let [channels, height, width] = x.extent;
    let mut window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    for axis in 0..2 {
        window.kernel[axis] = draft.pick(&[1, 3, 3, 5, 7, 2]);
        window.stride[axis] = draft.pick(&[1, 1, 1, 2]);
        window.dilation[axis] = draft.pick(&[1, 1, 1, 2, 3]);
        let reach = (window.kernel[axis] - 1) * window.dilation[axis];
        // Mostly the extent stays, with the padding on either side.
        let before = draft.between(0, reach);
        let after = if draft.once_in(5) { draft.between(0, reach) } else { reach - before };
        (window.pads[axis], window.pads[axis + 2]) = (before, after);
    }
    let outputs = draft.between(1, 20);
    let divisor = (2..=channels).find(|&groups| channels.is_multiple_of(groups)).unwrap_or(1);
    let (outputs, groups) = match draft.random.below(6) {
        0 | 1 => (channels, channels),
        2 => (channels * 2, channels),
        3 => (divisor * draft.between(1, 3), divisor),
        _ => (outputs, 1),
    };
    if height * width > 1200 && window.kernel[0] * window.kernel[1] > 25 {
        return None;
    }
    let image = draft.convolution(x, outputs, window, groups)?;
    let clamp = draft.pick(&[None, Some(Unary::Relu), Some(Unary::Clip { low: -0.5, high: 1.5 })]);
    Some(clamp.map_or(image, |clamp| draft.node(Op::Unary(clamp), &[image.id], image.extent)))
}

fn transposed(draft: &mut Draft, x: Image) -> Option<Image> {
    let (kernel, stride, before, after, more) = draft.pick(&TRANSPOSED);
    let pads = [before, before, after, after];
    let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads };
    let outputs = draft.between(1, 12);
    draft.transposed(x, outputs, window, more)
}

fn pool(draft: &mut Draft, x: Image) -> Option<Image> {
    let mut window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    let greatest = draft.once_in(2);
    for axis in 0..2 {
        window.kernel[axis] = draft.pick(&[2, 2, 3, 3, 5]);
        window.stride[axis] = draft.pick(&[1, 2, 2, 3]);
        window.dilation[axis] = if draft.once_in(4) { 2 } else { 1 };
        window.pads[axis] = draft.random.below(window.kernel[axis]);
        window.pads[axis + 2] = draft.random.below(window.kernel[axis]);
    }
    let mut extent = x.extent;
    for axis in 0..2 {
        let own = x.extent[1 + axis];
        extent[1 + axis] = slid(own, &window, axis)?;
        // A window that lies wholly outside the image has no result.
        let meets = |at: usize| {
            let taps = (0..window.kernel[axis]).map(|k| at * window.stride[axis] + k * window.dilation[axis]);
            taps.into_iter().any(|tap| (window.pads[axis]..window.pads[axis] + own).contains(&tap))
        };
        if !(0..extent[1 + axis]).all(meets) {
            return None;
        }
    }
    let op = match greatest {
        true => Op::MaxPool { window, ceil: false },
        false => Op::AveragePool { window, ceil: false, count_include_pad: draft.once_in(2) },
    };
    Some(draft.node(op, &[x.id], extent))
}

/// Rows and columns around the image; mirrored ones are read backwards.
fn pad(draft: &mut Draft, x: Image) -> Option<Image> {
    let [channels, height, width] = x.extent;
    let mode = draft.pick(&[PadMode::Constant(0.7), PadMode::Edge, PadMode::Reflect, PadMode::Reflect]);
    let most = |extent: usize| if mode == PadMode::Reflect { (extent - 1).min(6) } else { 6 };
    let [top, bottom] = [0; 2].map(|_| draft.between(0, most(height)));
    let [left, right] = [0; 2].map(|_| draft.between(0, most(width)));
    let extent = [channels, top + height + bottom, left + width + right];
    if extent[1] > LIMIT[0] || extent[2] > LIMIT[1] {
        return None;
    }
    Some(draft.node(Op::Pad { pads: vec![0, 0, top, left, 0, 0, bottom, right], mode }, &[x.id], extent))
}

/// Some rows and columns, by times upside down, or some channels.
fn crop(draft: &mut Draft, x: Image) -> Option<Image> {
    let [channels, height, width] = x.extent;
    if draft.once_in(3) {
        let from = draft.random.below(channels);
        let count = draft.between(1, channels - from);
        let op = Op::Slice { start: vec![0, from, 0, 0], step: vec![1; 4] };
        return Some(draft.node(op, &[x.id], [count, height, width]));
    }
    let mut cut = |extent: usize, step: i64| {
        let first = draft.random.below(extent.div_ceil(2));
        let count = draft.between(1, extent - first);
        let count = count.max((extent - first) * 2 / 3).max(1).div_ceil(step.unsigned_abs() as usize);
        (if step < 0 { extent - 1 - first } else { first }, count)
    };
    let (rows, columns) = ([1, 1, 2, -1][(height + width) % 4], [1, -1][width % 2]);
    let ((top, height), (left, width)) = (cut(height, rows), cut(width, columns));
    let op = Op::Slice { start: vec![0, 0, top, left], step: vec![1, 1, rows, columns] };
    Some(draft.node(op, &[x.id], [channels, height, width]))
}

/// Two to four tensors side by side: those that lie about, a few made for it, or the same one again.
fn join(draft: &mut Draft, live: &[Image], x: Image) -> Option<Image> {
    let count = draft.between(1, 3);
    let mut parts = vec![x];
    for _ in 0..count {
        let other = live[draft.random.below(live.len())];
        let part = match draft.random.below(4) {
            0 => convolution(draft, x).filter(|image| image.extent[1..] == x.extent[1..]),
            1 => Some(lookup(draft, x)),
            _ if other.extent[1..] == x.extent[1..] => Some(other),
            _ => Some(draft.resize(other, [x.extent[1], x.extent[2]])),
        };
        parts.extend(part);
    }
    let turn = draft.random.below(parts.len());
    parts.rotate_left(turn);
    Some(draft.concat(&parts))
}

fn arithmetic(draft: &mut Draft, live: &[Image], x: Image) -> Option<Image> {
    let function = draft.pick(&[Binary::Add, Binary::Sub, Binary::Mul]);
    let mut other = draft.pick(live);
    if other.extent[0] != x.extent[0] {
        let window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
        other = draft.convolution(other, x.extent[0], window, 1)?;
    }
    if other.extent != x.extent {
        other = draft.resize(other, [x.extent[1], x.extent[2]]);
    }
    Some(draft.binary(function, x, other))
}

fn lookup(draft: &mut Draft, x: Image) -> Image {
    let functions = [Unary::Sigmoid, Unary::Tanh, Unary::HardSwish, Unary::LeakyRelu { alpha: 0.1 }];
    if draft.once_in(3) {
        let slope = draft.constant(&[x.extent[0], 1, 1], 1.0);
        return draft.node(Op::PRelu, &[x.id, slope], x.extent);
    }
    let function = draft.pick(&functions);
    draft.node(Op::Unary(function), &[x.id], x.extent)
}

/// The global mean of each channel weighs the channels, or is added to them.
fn squeeze(draft: &mut Draft, x: Image) -> Option<Image> {
    let op = Op::Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keepdims: true };
    let mut mean = draft.node(op, &[x.id], [x.extent[0], 1, 1]);
    if draft.once_in(2) {
        let window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
        mean = draft.convolution(mean, x.extent[0], window, 1)?;
    }
    let gate = draft.node(Op::Unary(Unary::Sigmoid), &[mean.id], mean.extent);
    let function = draft.pick(&[Binary::Mul, Binary::Mul, Binary::Add]);
    if draft.once_in(5) {
        return Some(draft.resize(gate, [x.extent[1], x.extent[2]]));
    }
    Some(draft.binary(function, x, gate))
}

fn normalize(draft: &mut Draft, x: Image) -> Option<Image> {
    let channels = x.extent[0];
    let divisors: Vec<usize> = (1..=channels).filter(|&groups| channels.is_multiple_of(groups)).collect();
    let groups = if draft.once_in(2) { channels } else { draft.pick(&divisors) };
    let (scale, bias) = (draft.constant(&[channels], 1.0), draft.constant(&[channels], 0.5));
    Some(draft.node(Op::GroupNorm { groups, epsilon: 1e-3 }, &[x.id, scale, bias], x.extent))
}

/// The network's end: a head of sums, or codes of whatever comes last, often a concatenation.
fn end(draft: &mut Draft, live: &[Image]) -> Ending {
    let mut last = live[live.len() - 1];
    // What nothing reads yet joins in, as far as it is recent.
    let nodes = &draft.network.nodes;
    let unread = |image: &&Image| !nodes.iter().any(|node| node.inputs.contains(&image.id));
    let mut parts: Vec<Image> = live.iter().rev().skip(1).filter(unread).take(3).copied().collect();
    for part in &mut parts {
        if part.extent[1..] != last.extent[1..] {
            *part = draft.resize(*part, [last.extent[1], last.extent[2]]);
        }
    }
    if !parts.is_empty() || draft.network.inputs.contains(&last.id) {
        parts.push(last);
        last = draft.concat(&parts);
    }
    let mut window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    // Heads are limited in their channels, so wide ones end in a convolution.
    let kind = if last.extent[0] > 100 { 4 } else { draft.random.below(6) };
    match kind {
        0 => {
            let part = lookup(draft, last);
            draft.concat(&[part, last]);
            return Ending::Codes;
        }
        1 => {
            let extent = last.extent;
            draft.node(Op::Unary(Unary::Tanh), &[last.id], extent);
            return Ending::Codes;
        }
        2 => {
            (window.kernel, window.stride) = ([2; 2], [2; 2]);
            if draft.transposed(last, 3, window, 0).is_some() {
                return Ending::Logits;
            }
        }
        3 => {
            (window.kernel, window.pads) = ([3; 2], [1; 4]);
            if draft.convolution(last, 4, window, 1).is_some() {
                return Ending::Logits;
            }
        }
        _ => {
            if let Some(logit) = draft.convolution(last, 1, window, 1) {
                draft.node(Op::Unary(Unary::Sigmoid), &[logit.id], logit.extent);
                return Ending::Logits;
            }
        }
    }
    Ending::Codes
}
