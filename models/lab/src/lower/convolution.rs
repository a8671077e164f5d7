//! Convolutions: integer weights, folded biases and packing.

use super::builder::TensorId;
use super::{Lowering, Outcome, Refusal, refuse};
use crate::network::{Binary, Node, Op, Unary, ValueId, Window};
use crate::quantize::{IntegerWeights, Quantization, weights_per_channel};
use candor_core::arithmetic::Multiplier;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::ops::record::{BIAS_LIMIT, PRODUCTS_LIMIT, WINDOW_LIMIT};
use candor_core::ops::transposed::{Phase, STRIDE_LIMIT};
use candor_core::ops::{Convolution, Depthwise, TransposedConvolution};
use candor_core::tensor::{BLOCK, Halo};

/// Integer weights of a convolution with both channel axes explicit.
struct DenseWeights {
    weights: IntegerWeights,
    outputs: usize,
    inputs: usize,
    kernel: [usize; 2],
    groups: usize,
    transposed: bool,
}

impl DenseWeights {
    /// The code that links input channel `c` to output channel `o`; zero across groups.
    fn code(&self, o: usize, c: usize, ky: usize, kx: usize) -> i8 {
        let (per_output, per_input) = (self.outputs / self.groups, self.inputs / self.groups);
        if o / per_output != c / per_input {
            return 0;
        }
        let pair =
            if self.transposed { c * per_output + o % per_output } else { o * per_input + c % per_input };
        self.weights.codes[(pair * self.kernel[0] + ky) * self.kernel[1] + kx]
    }

    fn scale(&self, o: usize) -> f32 {
        self.weights.scales[if self.weights.scales.len() == 1 { 0 } else { o }]
    }
}

/// Where a convolution writes: its value after fused clamps, and the clamp.
struct Target {
    value: ValueId,
    bounds: [f32; 2],
}

impl Lowering<'_> {
    /// Follows clamps (ReLU, Clip) that only this value feeds and marks them fused.
    pub(crate) fn clamp_after(&mut self, value: ValueId) -> (ValueId, [f32; 2]) {
        let (mut value, mut bounds) = (value, [f32::NEG_INFINITY, f32::INFINITY]);
        while let Some(consumer) = self.foldable(value) {
            let node = &self.source.network.nodes[consumer];
            let [low, high] = match node.op {
                Op::Unary(Unary::Relu) => [0.0, f32::INFINITY],
                Op::Unary(Unary::Clip { low, high }) => [low, high],
                _ => break,
            };
            bounds = [bounds[0].max(low).min(high), bounds[1].min(high).max(low)];
            value = node.output;
            self.mark_fused(consumer);
        }
        (value, bounds)
    }

    /// The clamp in codes of `quantization`.
    pub(crate) fn code_bounds(quantization: Quantization, bounds: [f32; 2]) -> [u32; 2] {
        bounds.map(|bound| u32::from(quantization.code(bound)))
    }

    pub(super) fn convolution(&mut self, _: usize, node: &Node) -> Outcome {
        let Op::Conv { window, groups } = &node.op else { return Ok(()) };
        let input = self.tensor(node.inputs[0])?;
        let [_, _, channels] = self.builder.extent(input);
        let extent = self.extent(node.output)?;
        let (window, groups) = (*window, *groups);
        self.check_window(&window)?;
        let dense = self.weights(node, input, [extent[2], channels], window.kernel, groups, false)?;
        let target = self.target(node.output);
        self.widen_for(input, &window, extent);
        if groups == channels && groups == extent[2] && groups > 1 && !self.wants_accumulators(target.value) {
            return self.depthwise(node, input, &window, &dense, &target);
        }
        self.dense(node, input, &window, &dense, &target)
    }

    /// A matrix product with constant weights: a 1×1 convolution of a [1,C] value.
    pub(super) fn matrix_product(&mut self, _: usize, node: &Node) -> Outcome {
        let input = self.tensor(node.inputs[0])?;
        let [height, width, channels] = self.builder.extent(input);
        let extent = self.extent(node.output)?;
        let weights = self.constant(node, 1)?;
        if (height, width) != (1, 1) || weights.len() != channels * extent[2] {
            return refuse("is not a linear layer over pooled channels", "use 1×1 convolutions on images");
        }
        let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
        let dense = self.weights(node, input, [extent[2], channels], [1, 1], 1, true)?;
        let mut node = node.clone();
        if let Some(consumer) = self.foldable(node.output) {
            let add = &self.source.network.nodes[consumer];
            let bias = add.inputs.iter().find(|id| self.source.network.values[**id].constant.is_some());
            let fits = |id: ValueId| {
                let constant = self.source.network.values[id].constant.as_ref();
                constant.is_some_and(|tensor| tensor.len() == extent[2])
            };
            if let (Op::Binary(Binary::Add), Some(&bias)) = (&add.op, bias)
                && fits(bias)
            {
                node.inputs.push(bias);
                node.output = add.output;
                self.mark_fused(consumer);
            }
        }
        let target = self.target(node.output);
        self.dense(&node, input, &window, &dense, &target)
    }

    fn target(&mut self, value: ValueId) -> Target {
        let (value, bounds) = self.clamp_after(value);
        Target { value, bounds }
    }

    fn check_window(&self, window: &Window) -> Outcome {
        let extents = [window.kernel, window.stride, window.dilation].concat();
        if extents.iter().any(|&e| e == 0 || e > WINDOW_LIMIT) {
            return refuse(
                format!("kernel, stride or dilation {extents:?} is outside 1..={WINDOW_LIMIT}"),
                "use a smaller window",
            );
        }
        Ok(())
    }

    /// Gives `input` the halo that `window` reads for an output of `extent`.
    pub(super) fn widen_for(&mut self, input: TensorId, window: &Window, extent: [usize; 3]) {
        let source = self.builder.extent(input);
        let beyond = |axis: usize| {
            let last =
                (extent[axis] - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis];
            last.saturating_sub(window.pads[axis] + source[axis] - 1)
        };
        let halo = Halo { top: window.pads[0], left: window.pads[1], bottom: beyond(0), right: beyond(1) };
        self.builder.widen(input, halo);
    }

    /// Integer weights of `node`, from the file or quantized here; `channels` is (outputs, inputs).
    fn weights(
        &self,
        node: &Node,
        input: TensorId,
        channels: [usize; 2],
        kernel: [usize; 2],
        groups: usize,
        transposed: bool,
    ) -> Result<DenseWeights, Refusal> {
        let [outputs, inputs] = channels;
        let real = self.constant(node, 1)?;
        let products = inputs.next_multiple_of(BLOCK) * kernel[0] * kernel[1];
        if groups == 0 || outputs % groups != 0 || inputs % groups != 0 {
            return refuse(format!("{groups} groups do not divide the channels"), "re-export the model");
        }
        if real.len() != outputs * (inputs / groups) * kernel[0] * kernel[1] {
            return refuse("the weights do not match the channels", "re-export the model");
        }
        if products > PRODUCTS_LIMIT {
            return refuse(
                format!("{products} products per output exceed {PRODUCTS_LIMIT}"),
                "use fewer channels or a smaller kernel",
            );
        }
        let taps = kernel[0] * kernel[1];
        let per_output = outputs / groups;
        let channel = |i: usize| {
            let pair = i / taps;
            if transposed {
                let input = pair / per_output;
                input / (inputs / groups) * per_output + pair % per_output
            } else {
                pair / (inputs / groups)
            }
        };
        let axis = usize::from(transposed);
        let weights = match self.source.weights.get(&node.inputs[1]) {
            Some(given) if given.scales.len() == 1 || given.axis == axis && given.scales.len() == outputs => {
                given.clone()
            }
            Some(_) => {
                return refuse(
                    "its weights have scales along another axis than the output channels",
                    "quantize weights per tensor or per output channel",
                );
            }
            None => {
                let scale = self.builder.quantization(input).scale;
                let bias = self.constant(node, 2).unwrap_or_default();
                let floor = |o: usize| bias.get(o).map_or(0.0, |b| b.abs() / (scale * (1 << 28) as f32));
                weights_per_channel(real, outputs, axis, floor, channel)
            }
        };
        if weights.scales.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return refuse("a weight scale is not positive and finite", "re-export the model");
        }
        Ok(DenseWeights { weights, outputs, inputs, kernel, groups, transposed })
    }

    /// Integer biases at scale `scale_in · scale_weight[o]`.
    fn biases(&self, node: &Node, input: Quantization, dense: &DenseWeights) -> Result<Vec<i32>, Refusal> {
        let Some(&id) = node.inputs.get(2) else { return Ok(vec![0; dense.outputs]) };
        let real = self.constant(node, 2)?;
        if real.len() != dense.outputs {
            return refuse("the bias does not match the output channels", "re-export the model");
        }
        let given = self.source.biases.get(&id);
        let code = |o: usize| {
            let scale = f64::from(input.scale) * f64::from(dense.scale(o));
            if let Some(given) = given {
                let own = f64::from(given.scales[if given.scales.len() == 1 { 0 } else { o }]);
                if ((own - scale) / scale).abs() < 1e-5 {
                    return Some(given.codes[o]);
                }
            }
            let code = (f64::from(real[o]) / scale).round_ties_even();
            (code.abs() <= f64::from(BIAS_LIMIT)).then_some(code as i32)
        };
        match (0..dense.outputs).map(code).collect() {
            Some(codes) => Ok(codes),
            None => refuse("a bias is too large for its scale", "check the weights for extreme values"),
        }
    }

    /// Offset words of weights, bias, sums and multipliers, then the clamp.
    fn filter_words(
        &mut self,
        node: &Node,
        input: TensorId,
        dense: &DenseWeights,
        target: &Target,
        phases: &[Vec<(usize, usize)>],
        packed: &[i8],
    ) -> Result<Vec<u32>, Refusal> {
        let source = self.builder.quantization(input);
        let biases = self.biases(node, source, dense)?;
        let padded = dense.outputs.next_multiple_of(OUTPUT_BLOCK);
        let (mut folded, mut sums) = (Vec::new(), Vec::new());
        for taps in phases {
            for o in 0..padded {
                let weights = (o < dense.outputs).then(|| {
                    let pairs = taps.iter().flat_map(|&tap| (0..dense.inputs).map(move |c| (tap, c)));
                    pairs.map(|((ky, kx), c)| i64::from(dense.code(o, c, ky, kx))).sum::<i64>()
                });
                let sum = weights.unwrap_or(0);
                let bias = biases.get(o).copied().unwrap_or(0);
                let value = i64::from(bias) - i64::from(source.zero_point) * sum;
                if value.unsigned_abs() > u64::from(BIAS_LIMIT) {
                    return refuse(
                        "a bias is too large for its scale",
                        "check the weights for extreme values",
                    );
                }
                folded.push(value as i32);
                sums.push(sum as i32);
            }
        }
        let (multipliers, bounds) = self.output_step(source, dense, target, padded)?;
        Ok(vec![
            self.builder.constant(packed),
            self.builder.constant(&folded),
            self.builder.constant(&sums),
            self.builder.constant(&multipliers),
            bounds[0],
            bounds[1],
        ])
    }

    fn output_step(
        &self,
        source: Quantization,
        dense: &DenseWeights,
        target: &Target,
        padded: usize,
    ) -> Result<(Vec<Multiplier>, [u32; 2]), Refusal> {
        if self.wants_accumulators(target.value) {
            return Ok((vec![Multiplier::new(1.0); padded], [0, 255]));
        }
        let output = self.quantization(target.value)?;
        let multiplier = |o: usize| {
            let scale = if o < dense.outputs { dense.scale(o) } else { 0.0 };
            Multiplier::from_scales(source.scale, scale, output.scale)
        };
        let multipliers: Vec<Multiplier> = (0..padded).map(multiplier).collect();
        if multipliers.iter().any(|m| !m.is_valid()) {
            return refuse("a requantize multiplier is not finite", "check scales for extreme values");
        }
        Ok((multipliers, Self::code_bounds(output, target.bounds)))
    }

    /// Creates the output tensor of a convolution, accumulators for the head.
    fn output(
        &mut self,
        input: TensorId,
        dense: &DenseWeights,
        target: &Target,
    ) -> Result<TensorId, Refusal> {
        let extent = self.extent(target.value)?;
        if !self.wants_accumulators(target.value) {
            let quantization = self.quantization(target.value)?;
            return Ok(self.builder.tensor(extent, quantization));
        }
        let scale = self.builder.quantization(input).scale;
        let scales = (0..dense.outputs).map(|o| scale * dense.scale(o)).collect();
        self.builder.set_head_scales(scales);
        Ok(self.builder.accumulators(extent))
    }

    fn dense(
        &mut self,
        node: &Node,
        input: TensorId,
        window: &Window,
        dense: &DenseWeights,
        target: &Target,
    ) -> Outcome {
        let taps: Vec<(usize, usize)> = grid(dense.kernel).collect();
        let mut packed = Vec::new();
        pack(&mut packed, dense, dense.kernel, |ky, kx| (ky, kx));
        let filter = self.filter_words(node, input, dense, target, &[taps], &packed)?;
        let output = self.output(input, dense, target)?;
        let mut words = window_words(window);
        words.extend(filter);
        self.builder.step(&node.name, Convolution::OPCODE, [input; 2], output, words);
        self.count(dense.inputs * dense.kernel[0] * dense.kernel[1], output);
        self.bind(target.value, output);
        Ok(())
    }

    fn depthwise(
        &mut self,
        node: &Node,
        input: TensorId,
        window: &Window,
        dense: &DenseWeights,
        target: &Target,
    ) -> Outcome {
        let channels = dense.outputs;
        let padded = channels.next_multiple_of(BLOCK);
        let source = self.builder.quantization(input);
        let biases = self.biases(node, source, dense)?;
        let mut packed = vec![0i8; padded * window.kernel[0] * window.kernel[1]];
        let mut sums = vec![0i32; padded];
        for c in 0..channels {
            for (tap, (ky, kx)) in grid(window.kernel).enumerate() {
                let code = dense.code(c, c, ky, kx);
                let at = c / BLOCK * window.kernel[0] * window.kernel[1] + tap;
                packed[at * BLOCK + c % BLOCK] = code;
                sums[c] += i32::from(code);
            }
        }
        let fold = |c: usize| biases.get(c).copied().unwrap_or(0) - i32::from(source.zero_point) * sums[c];
        let folded: Vec<i32> = (0..padded).map(fold).collect();
        let (multipliers, bounds) = self.output_step(source, dense, target, padded)?;
        let output = self.output(input, dense, target)?;
        let mut words = window_words(window);
        words.extend([
            self.builder.constant(&packed),
            self.builder.constant(&folded),
            self.builder.constant(&sums),
            self.builder.constant(&multipliers),
        ]);
        words.extend(bounds);
        self.builder.step(&node.name, Depthwise::OPCODE, [input; 2], output, words);
        self.count(window.kernel[0] * window.kernel[1], output);
        self.bind(target.value, output);
        Ok(())
    }

    pub(super) fn transposed(&mut self, _: usize, node: &Node) -> Outcome {
        let Op::ConvTranspose { window, groups, .. } = &node.op else { return Ok(()) };
        let (window, groups) = (*window, *groups);
        self.check_window(&window)?;
        if window.dilation != [1, 1] || window.stride.iter().any(|&s| s > STRIDE_LIMIT) {
            return refuse(
                format!("stride {:?} with dilation {:?}", window.stride, window.dilation),
                "use dilation 1 and a stride of at most 8",
            );
        }
        if window.pads[0] > window.kernel[0] || window.pads[1] > window.kernel[1] {
            return refuse("pads exceed the kernel", "re-export the model");
        }
        let input = self.tensor(node.inputs[0])?;
        let source = self.builder.extent(input);
        let extent = self.extent(node.output)?;
        let dense = self.weights(node, input, [extent[2], source[2]], window.kernel, groups, true)?;
        let target = self.target(node.output);
        let phase = |axis: usize, r: usize| {
            Phase::new(window.kernel[axis], window.stride[axis], window.pads[axis], r)
        };
        let (mut phases, mut packed) = (Vec::new(), Vec::new());
        for (ry, rx) in grid(window.stride) {
            let (rows, columns) = (phase(0, ry), phase(1, rx));
            let tap = |ty: usize, tx: usize| {
                (rows.kernel_index - ty * window.stride[0], columns.kernel_index - tx * window.stride[1])
            };
            phases.push(grid([rows.taps, columns.taps]).map(|(ty, tx)| tap(ty, tx)).collect());
            pack(&mut packed, &dense, [rows.taps, columns.taps], tap);
        }
        let reach = |axis: usize| {
            let spans = (0..window.stride[axis].min(extent[axis])).map(|r| (r, phase(axis, r)));
            let mut ends = (0isize, 0isize);
            for (r, phase) in spans.filter(|(_, phase)| phase.taps > 0) {
                let last = ((extent[axis] - 1 - r) / window.stride[axis]) as isize;
                let high = last + phase.first + phase.taps as isize - source[axis] as isize;
                ends = (ends.0.max(-phase.first), ends.1.max(high));
            }
            (ends.0 as usize, ends.1 as usize)
        };
        let ((top, bottom), (left, right)) = (reach(0), reach(1));
        self.builder.widen(input, Halo { top, left, bottom, right });
        let filter = self.filter_words(node, input, &dense, &target, &phases, &packed)?;
        let output = self.output(input, &dense, &target)?;
        let extents = [window.kernel, window.stride, [window.pads[0], window.pads[1]]].concat();
        let mut words: Vec<u32> = extents.into_iter().map(|e| e as u32).collect();
        words.extend(filter);
        self.builder.step(&node.name, TransposedConvolution::OPCODE, [input; 2], output, words);
        let strides = window.stride[0] * window.stride[1];
        self.count(dense.inputs * window.kernel[0] * window.kernel[1] / strides.max(1), output);
        self.bind(target.value, output);
        Ok(())
    }

    fn count(&mut self, products: usize, output: TensorId) {
        let outputs: usize = self.builder.extent(output).iter().product();
        self.builder.count_macs(products as u64 * outputs as u64);
    }
}

/// Row-major pairs below `extent`.
fn grid(extent: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..extent[0]).flat_map(move |y| (0..extent[1]).map(move |x| (y, x)))
}

/// Appends weights in the [`Order`] of `taps`; `tap` names the kernel element behind a tap.
fn pack(
    packed: &mut Vec<i8>,
    dense: &DenseWeights,
    taps: [usize; 2],
    tap: impl Fn(usize, usize) -> (usize, usize),
) {
    let order = Order::new(taps, dense.inputs.div_ceil(BLOCK));
    let outputs = dense.outputs.next_multiple_of(OUTPUT_BLOCK);
    let start = packed.len();
    packed.resize(start + outputs * order.weights(), 0);
    for (ty, tx) in grid(taps) {
        let (ky, kx) = tap(ty, tx);
        for o in 0..dense.outputs {
            for c in 0..dense.inputs {
                packed[start + order.index(outputs, o, ty, c, tx)] = dense.code(o, c, ky, kx);
            }
        }
    }
}

/// The eight words of a window whose taps lie in the halo.
pub(super) fn window_words(window: &Window) -> Vec<u32> {
    let pads = [window.pads[0], window.pads[1]];
    let extents = [window.kernel, window.stride, window.dilation, pads].concat();
    extents.into_iter().map(|e| e as u32).collect()
}
