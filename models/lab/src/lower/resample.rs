//! Operators over image geometry: pooling, resizing, padding, cropping, and global statistics.

use super::builder::TensorId;
use super::convolution::window_words;
use super::{Lowering, Outcome, Refusal, refuse};
use crate::network::{Coordinates, Interpolation, Nearest, Node, PadMode, Reduction, ValueId, Window};
use candor_core::arithmetic::Multiplier;
use candor_core::ops::record::WINDOW_LIMIT;
use candor_core::ops::remap::OUTSIDE;
use candor_core::ops::resize_linear::Neighbours;
use candor_core::ops::{
    AveragePool, CopyChannels, GlobalAverage, GroupNorm, Lookup, MaxPool, Remap, ResizeLinear,
};

/// Denominator used when a coordinate is not a fraction small enough to be exact.
const ROUNDED_DENOMINATOR: usize = 2048;

impl Lowering<'_> {
    /// Binds `value` to `tensor`, through a rescaling table where the file gives `value` another
    /// quantization.
    fn bind_rescaled(&mut self, name: &str, value: ValueId, tensor: TensorId) -> Outcome {
        let own = self.builder.quantization(tensor);
        let wanted = if self.source.from_file { self.source.activations[value] } else { None };
        let Some(table) = wanted.and_then(|target| self.rescale_table(own, target)) else {
            self.bind(value, tensor);
            return Ok(());
        };
        let extent = self.builder.extent(tensor);
        let output = self.builder.tensor(extent, wanted.unwrap_or(own));
        let words = vec![self.builder.constant(&table), 0];
        self.builder.step(name, Lookup::OPCODE, [tensor; 2], output, words);
        self.bind(value, output);
        Ok(())
    }

    /// A tensor of the value's extent with the input's quantization.
    fn like(&mut self, input: TensorId, value: ValueId) -> Result<TensorId, Refusal> {
        let extent = self.extent(value)?;
        let quantization = self.builder.quantization(input);
        Ok(self.builder.tensor(extent, quantization))
    }

    fn check_pool(&self, window: &Window) -> Outcome {
        let extents = [window.kernel, window.stride, window.dilation].concat();
        let pads = window.pads.iter().any(|&p| p > WINDOW_LIMIT);
        if pads || extents.iter().any(|&e| e == 0 || e > WINDOW_LIMIT) {
            return refuse(
                format!("window {window:?} is outside 1..={WINDOW_LIMIT}"),
                "pool in smaller steps",
            );
        }
        Ok(())
    }

    pub(super) fn max_pool(&mut self, node: &Node, window: &Window) -> Outcome {
        self.check_pool(window)?;
        let input = self.tensor(node.inputs[0])?;
        let output = self.like(input, node.output)?;
        self.builder.step(&node.name, MaxPool::OPCODE, [input; 2], output, window_words(window));
        self.bind_rescaled(&node.name, node.output, output)
    }

    pub(super) fn average_pool(
        &mut self,
        _: usize,
        node: &Node,
        window: &Window,
        count_include_pad: bool,
    ) -> Outcome {
        self.check_pool(window)?;
        let input = self.tensor(node.inputs[0])?;
        let source = self.builder.quantization(input);
        let (value, bounds) = self.clamp_after(node.output);
        let target = self.quantization(value)?;
        let extent = self.extent(value)?;
        let size = window.kernel[0] * window.kernel[1];
        if count_include_pad && self.reaches_beyond_pads(input, window, extent) {
            return refuse(
                "counts padding in windows that ceil_mode pushes past it",
                "export with ceil_mode=False or count_include_pad=False",
            );
        }
        let divisor = |count: usize| if count_include_pad { size } else { count.max(1) };
        let multipliers: Vec<Multiplier> = (0..=size)
            .map(|count| Multiplier::new(source.scale / target.scale / divisor(count) as f32))
            .collect();
        let codes = Self::code_bounds(target, bounds);
        let mut words = window_words(window);
        words.extend([self.builder.constant(&multipliers), codes[0], codes[1]]);
        let output = self.builder.tensor(extent, target);
        self.builder.step(&node.name, AveragePool::OPCODE, [input; 2], output, words);
        self.bind(value, output);
        Ok(())
    }

    /// True when ceil mode lets a window leave even the padded image, where ONNX stops counting.
    fn reaches_beyond_pads(&self, input: TensorId, window: &Window, extent: [usize; 3]) -> bool {
        let source = self.builder.extent(input);
        (0..2).any(|axis| {
            let last =
                (extent[axis] - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis];
            last >= source[axis] + window.pads[axis] + window.pads[axis + 2]
        })
    }

    pub(super) fn reduce(&mut self, _: usize, node: &Node, reduction: Reduction, axes: &[usize]) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let extent = self.builder.extent(input);
        if axes != [2, 3] || !matches!(reduction, Reduction::Mean | Reduction::Sum) {
            return refuse(
                format!("reduces axes {axes:?} by {reduction:?}"),
                "use the mean or sum over height and width",
            );
        }
        let pixels = if reduction == Reduction::Mean { extent[0] * extent[1] } else { 1 };
        let (value, bounds) = self.clamp_after(node.output);
        let target = self.quantization(value)?;
        let source = self.builder.quantization(input);
        let multiplier = Multiplier::new(source.scale / target.scale / pixels as f32);
        let codes = Self::code_bounds(target, bounds);
        let output = self.builder.tensor([1, 1, extent[2]], target);
        let words = vec![multiplier.to_bits(), codes[0], codes[1]];
        self.builder.step(&node.name, GlobalAverage::OPCODE, [input; 2], output, words);
        self.bind(value, output);
        Ok(())
    }

    pub(super) fn group_norm(&mut self, _: usize, node: &Node, groups: usize, epsilon: f32) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let extent = self.builder.extent(input);
        let channels = extent[2];
        let source = self.builder.quantization(input);
        let repeat = |data: &[f32]| -> Option<Vec<Multiplier>> {
            let ok = data.len() == channels || data.len() == 1;
            let pick = |c: usize| Multiplier::new(data[if data.len() == 1 { 0 } else { c }]);
            ok.then(|| (0..channels).map(pick).collect())
        };
        let constants = (repeat(self.constant(node, 1)?), repeat(self.constant(node, 2)?));
        let (Some(gamma), Some(beta)) = constants else {
            return refuse("its scale or bias does not match the channels", "re-export the model");
        };
        if groups == 0 || !channels.is_multiple_of(groups) || epsilon <= 0.0 {
            return refuse(
                format!("{groups} groups or epsilon {epsilon} are invalid"),
                "re-export the model",
            );
        }
        let (value, bounds) = self.clamp_after(node.output);
        let target = self.quantization(value)?;
        let codes = Self::code_bounds(target, bounds);
        let words = vec![
            (channels / groups) as u32,
            Multiplier::new(epsilon / (source.scale * source.scale)).to_bits(),
            Multiplier::new(1.0 / target.scale).to_bits(),
            self.builder.constant(&gamma),
            self.builder.constant(&beta),
            codes[0],
            codes[1],
        ];
        let output = self.builder.tensor(extent, target);
        self.builder.step(&node.name, GroupNorm::OPCODE, [input; 2], output, words);
        self.bind(value, output);
        Ok(())
    }

    /// A row and column gather with the input's quantization.
    fn remap(&mut self, node: &Node, rows: &[u16], columns: &[u16], fill: u8) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let output = self.like(input, node.output)?;
        let words = vec![self.builder.constant(rows), self.builder.constant(columns), u32::from(fill)];
        self.builder.step(&node.name, Remap::OPCODE, [input; 2], output, words);
        self.bind_rescaled(&node.name, node.output, output)
    }

    pub(super) fn resize(
        &mut self,
        node: &Node,
        interpolation: Interpolation,
        coordinates: Coordinates,
        scales: [f32; 2],
    ) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let source = self.builder.extent(input);
        let extent = self.extent(node.output)?;
        let axis = |axis: usize| Axis {
            input: source[axis],
            output: extent[axis],
            scale: scales[axis],
            coordinates,
        };
        match interpolation {
            Interpolation::Nearest(mode) => {
                self.remap(node, &axis(0).nearest(mode), &axis(1).nearest(mode), 0)
            }
            Interpolation::Linear => {
                if source[..2].iter().zip(&extent).all(|(&own, &out)| own == 1 || own == out) {
                    let clamp = |own: usize, out: usize| -> Vec<u16> {
                        (0..out).map(|i| i.min(own - 1) as u16).collect()
                    };
                    let (rows, columns) = (clamp(source[0], extent[0]), clamp(source[1], extent[1]));
                    return self.remap(node, &rows, &columns, 0);
                }
                self.resize_linear(node, input, &axis(0), &axis(1))
            }
        }
    }

    fn resize_linear(&mut self, node: &Node, input: TensorId, rows: &Axis, columns: &Axis) -> Outcome {
        let source = self.builder.quantization(input);
        let own = Some(source);
        let target = if self.source.from_file { self.source.activations[node.output].or(own) } else { own };
        let target = target.unwrap_or(source);
        let (mut row_list, mut dy) = rows.linear();
        let (mut column_list, mut dx) = columns.linear();
        if dy.saturating_mul(dx) > ResizeLinear::DENOMINATOR_LIMIT {
            (row_list, dy) = rows.linear_rounded();
            (column_list, dx) = columns.linear_rounded();
        }
        let multiplier = Multiplier::new(source.scale / target.scale / (dy * dx) as f32);
        let words = vec![
            self.builder.constant(&row_list),
            self.builder.constant(&column_list),
            dy as u32,
            dx as u32,
            multiplier.to_bits(),
            0,
            255,
        ];
        let extent = self.extent(node.output)?;
        let output = self.builder.tensor(extent, target);
        self.builder.step(&node.name, ResizeLinear::OPCODE, [input; 2], output, words);
        self.bind(node.output, output);
        Ok(())
    }

    pub(super) fn pad(&mut self, node: &Node, pads: &[usize], mode: PadMode) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let source = self.builder.extent(input);
        let extent = self.extent(node.output)?;
        let &[0, 0, top, left, 0, 0, _, _] = pads else {
            return refuse(format!("pads {pads:?} reach beyond height and width"), "pad the image only");
        };
        let map = |axis: usize, before: usize| -> Vec<u16> {
            let limit = source[axis] as i64;
            let at = |i: usize| {
                let position = i as i64 - before as i64;
                let inside = (0..limit).contains(&position);
                match mode {
                    _ if inside => position as u16,
                    PadMode::Constant(_) => OUTSIDE,
                    PadMode::Edge => position.clamp(0, limit - 1) as u16,
                    PadMode::Reflect => reflect(position, limit) as u16,
                }
            };
            (0..extent[axis]).map(at).collect()
        };
        let fill = match mode {
            PadMode::Constant(value) => self.builder.quantization(input).code(value),
            _ => 0,
        };
        self.remap(node, &map(0, top), &map(1, left), fill)
    }

    pub(super) fn slice(&mut self, node: &Node, start: &[usize], step: &[i64]) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let extent = self.extent(node.output)?;
        let source = self.builder.extent(input);
        let (start, step) = (pad_rank(start, 0), pad_rank(step, 1));
        let map = |axis: usize, count: usize| -> Vec<u16> {
            (0..count).map(|i| (start[axis] as i64 + i as i64 * step[axis]) as u16).collect()
        };
        if start[1] == 0 && extent[2] == source[2] {
            return self.remap(node, &map(2, extent[0]), &map(3, extent[1]), 0);
        }
        if extent[..2] != source[..2] || step[1] != 1 {
            return refuse("cuts channels and space at once", "slice channels and space in two steps");
        }
        let output = self.like(input, node.output)?;
        let words = vec![start[1] as u32, 0, extent[2] as u32, CopyChannels::NO_TABLE];
        self.builder.step(&node.name, CopyChannels::OPCODE, [input; 2], output, words);
        self.bind_rescaled(&node.name, node.output, output)
    }

    pub(super) fn expand(&mut self, node: &Node) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let extent = self.extent(node.output)?;
        let output = self.stretched(&node.name, input, extent)?;
        self.bind_rescaled(&node.name, node.output, output)
    }

    pub(super) fn reshape(&mut self, node: &Node) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        if self.extent(node.output)? != self.builder.extent(input) {
            return refuse(
                "moves elements between channels and space",
                "export the network without it (use Resize or ConvTranspose for upsampling)",
            );
        }
        self.bind_rescaled(&node.name, node.output, input)
    }
}

/// Values for four axes from values for two or four.
fn pad_rank<T: Copy>(values: &[T], default: T) -> [T; 4] {
    let mut all = [default; 4];
    for (slot, value) in all.iter_mut().zip(values) {
        *slot = *value;
    }
    all
}

/// Mirror without repeating the edge.
fn reflect(position: i64, limit: i64) -> i64 {
    if limit == 1 {
        return 0;
    }
    let period = 2 * (limit - 1);
    let folded = position.rem_euclid(period);
    folded.min(period - folded)
}

/// One axis of a resize.
struct Axis {
    input: usize,
    output: usize,
    scale: f32,
    coordinates: Coordinates,
}

impl Axis {
    /// The source coordinate of output `at` as a fraction (numerator, denominator), exact in integers: the
    /// scale is the ratio of the extents when the file's scale agrees with it.
    fn fraction(&self, at: usize) -> Option<(i64, i64)> {
        let (input, output, at) = (self.input as i64, self.output as i64, at as i64);
        let agrees = (f64::from(self.scale) * self.input as f64 - self.output as f64).abs() < 1e-3;
        let ratio = agrees || self.scale <= 0.0;
        Some(match self.coordinates {
            Coordinates::AlignCorners if output == 1 => (0, 1),
            Coordinates::AlignCorners => (at * (input - 1), output - 1),
            Coordinates::PytorchHalfPixel if output == 1 => (0, 1),
            _ if !ratio => return None,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => {
                ((2 * at + 1) * input - output, 2 * output)
            }
            Coordinates::Asymmetric => (at * input, output),
        })
    }

    fn real(&self, at: usize) -> f64 {
        if let Some((numerator, denominator)) = self.fraction(at) {
            return numerator as f64 / denominator as f64;
        }
        let scale = f64::from(self.scale);
        match self.coordinates {
            Coordinates::Asymmetric => at as f64 / scale,
            _ => (at as f64 + 0.5) / scale - 0.5,
        }
    }

    fn nearest(&self, mode: Nearest) -> Vec<u16> {
        let last = self.input as f64 - 1.0;
        (0..self.output)
            .map(|at| {
                let x = self.real(at);
                let rounded = match mode {
                    Nearest::RoundPreferFloor => (x - 0.5).ceil(),
                    Nearest::RoundPreferCeil => (x + 0.5).floor(),
                    Nearest::Floor => x.floor(),
                    Nearest::Ceil => x.ceil(),
                };
                rounded.clamp(0.0, last) as u16
            })
            .collect()
    }

    /// Neighbours with weights over an exact common denominator.
    fn linear(&self) -> (Vec<Neighbours>, usize) {
        let fractions: Option<Vec<_>> = (0..self.output).map(|at| self.fraction(at)).collect();
        let Some(fractions) = fractions else { return self.linear_rounded() };
        let limit = self.input as i64 - 1;
        let clamped: Vec<(i64, i64)> =
            fractions.into_iter().map(|(n, d)| (n.clamp(0, limit * d), d)).collect();
        let divisor = clamped.iter().fold(0, |g, (n, d)| gcd(gcd(g, *n), *d)).max(1);
        let denominator = clamped.first().map_or(1, |(_, d)| d / divisor);
        if clamped.iter().any(|(_, d)| d / divisor != denominator) {
            return self.linear_rounded();
        }
        let list = clamped.iter().map(|(numerator, _)| {
            let numerator = numerator / divisor;
            neighbours(numerator / denominator, numerator % denominator, limit)
        });
        (list.collect(), denominator as usize)
    }

    /// Neighbours with weights rounded to [`ROUNDED_DENOMINATOR`].
    fn linear_rounded(&self) -> (Vec<Neighbours>, usize) {
        let limit = self.input as i64 - 1;
        let list = (0..self.output).map(|at| {
            let x = self.real(at).clamp(0.0, limit as f64);
            let low = x.floor();
            let weight = ((x - low) * ROUNDED_DENOMINATOR as f64).round() as i64;
            neighbours(low as i64, weight, limit)
        });
        (list.collect(), ROUNDED_DENOMINATOR)
    }
}

fn neighbours(low: i64, weight: i64, limit: i64) -> Neighbours {
    Neighbours { low: low as u16, high: (low + 1).min(limit) as u16, weight: weight as u32 }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}
