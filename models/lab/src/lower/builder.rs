//! Collects tensors, steps and constants, and lays them out as plan and weights sections.

use super::head::HeadSpec;
use crate::quantize::Quantization;
use bytemuck::NoUninit;
use candor::planner::{self, Lifetime};
use candor_core::arithmetic::Scale;
use candor_core::ops::record::RECORD_WORDS;
use candor_core::plan::{ALIGNMENT, HEADER_WORDS, Plan, SLACK};
use candor_core::tensor::{Element, Halo, Layout};

/// A tensor under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorId(pub(crate) usize);

impl TensorId {
    pub(crate) const POISONED: Self = Self(usize::MAX);
}

#[derive(Debug, Clone)]
struct TensorSpec {
    extent: [usize; 3],
    halo: Halo,
    element: Element,
    quantization: Quantization,
}

#[derive(Debug, Clone)]
struct StepSpec {
    name: String,
    opcode: u32,
    inputs: [TensorId; 2],
    output: TensorId,
    words: Vec<u32>,
    macs: u64,
}

/// Plan under construction.
#[derive(Debug, Default)]
pub(crate) struct PlanBuilder {
    tensors: Vec<TensorSpec>,
    steps: Vec<StepSpec>,
    constants: Vec<u8>,
    head_scales: Option<Vec<f32>>,
}

/// A finished plan with its constants.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// Plan section.
    pub plan: Vec<u8>,
    /// Weights section.
    pub weights: Vec<u8>,
    /// What the output means.
    pub head: HeadSpec,
    /// Quantization of the inputs.
    pub inputs: Vec<Quantization>,
    /// Source node of every step.
    pub names: Vec<String>,
    /// Multiply–accumulates of every step.
    pub macs: Vec<u64>,
}

impl PlanBuilder {
    /// A new code tensor of `[height, width, channels]`.
    pub(crate) fn tensor(&mut self, extent: [usize; 3], quantization: Quantization) -> TensorId {
        self.push(extent, quantization, Element::Code)
    }

    /// A new accumulator tensor; `scale` is the size of one unit (1 when it differs per channel).
    pub(crate) fn accumulators(&mut self, extent: [usize; 3]) -> TensorId {
        self.push(extent, Quantization { scale: 1.0, zero_point: 0 }, Element::Accumulator)
    }

    fn push(&mut self, extent: [usize; 3], quantization: Quantization, element: Element) -> TensorId {
        self.tensors.push(TensorSpec { extent, halo: Halo::default(), element, quantization });
        TensorId(self.tensors.len() - 1)
    }

    /// `[height, width, channels]` of a tensor.
    pub(crate) fn extent(&self, tensor: TensorId) -> [usize; 3] {
        self.tensors[tensor.0].extent
    }

    /// Quantization of a tensor.
    pub(crate) fn quantization(&self, tensor: TensorId) -> Quantization {
        self.tensors[tensor.0].quantization
    }

    /// Makes sure the tensor has at least `halo` around it.
    pub(crate) fn widen(&mut self, tensor: TensorId, halo: Halo) {
        let own = &mut self.tensors[tensor.0].halo;
        own.top = own.top.max(halo.top);
        own.left = own.left.max(halo.left);
        own.bottom = own.bottom.max(halo.bottom);
        own.right = own.right.max(halo.right);
    }

    /// Stores constants, aligned to 64 bytes, and returns their offset; equal runs are stored once.
    pub(crate) fn constant<T: NoUninit>(&mut self, values: &[T]) -> u32 {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if bytes.len() <= 4096 {
            let starts = (0..self.constants.len().saturating_sub(bytes.len()) + 1).step_by(ALIGNMENT);
            for start in starts {
                if self.constants.get(start..start + bytes.len()) == Some(bytes) {
                    return start as u32;
                }
            }
        }
        self.constants.resize(self.constants.len().next_multiple_of(ALIGNMENT), 0);
        let offset = self.constants.len();
        self.constants.extend_from_slice(bytes);
        offset as u32
    }

    /// Appends a step.
    pub(crate) fn step(
        &mut self,
        name: &str,
        opcode: u32,
        inputs: [TensorId; 2],
        output: TensorId,
        words: Vec<u32>,
    ) {
        self.steps.push(StepSpec { name: name.into(), opcode, inputs, output, words, macs: 0 });
    }

    /// Notes the real size of one accumulator unit of the head, per channel.
    pub(crate) fn set_head_scales(&mut self, scales: Vec<f32>) {
        self.head_scales = Some(scales);
    }

    /// Notes the multiply–accumulates of the last step.
    pub(crate) fn count_macs(&mut self, macs: u64) {
        if let Some(step) = self.steps.last_mut() {
            step.macs = macs;
        }
    }

    /// Lays everything out; inputs become tensors `0..inputs`.
    pub(crate) fn finish(mut self, inputs: Vec<TensorId>, output: TensorId, mut head: HeadSpec) -> Lowered {
        let quantization = self.tensors[output.0].quantization;
        match self.tensors[output.0].element {
            Element::Accumulator => head.accumulator_scales = self.head_scales.take(),
            Element::Code => head.codes = Some((quantization.scale, quantization.zero_point)),
        }
        let order = self.order(&inputs);
        let new_index = |old: TensorId| order.iter().position(|&id| id == old).unwrap_or(0) as u32;
        let layouts: Vec<Layout> = order.iter().map(|id| self.layout(*id)).collect();
        let (mut lifetimes, scratch_bytes) = self.lifetimes(&order, &layouts, output);
        lifetimes.push(Lifetime { bytes: scratch_bytes, first: 0, last: self.steps.len() });
        let arena = planner::pack(&lifetimes);
        let mut words: Vec<u32> = vec![0; HEADER_WORDS];
        words[0] = order.len() as u32;
        words[1] = self.steps.len() as u32;
        words[2] = inputs.len() as u32;
        words[3] = new_index(output);
        words[4] = (arena.bytes + SLACK).next_multiple_of(ALIGNMENT) as u32;
        words[5] = arena.offsets[order.len()] as u32;
        words[6] = scratch_bytes as u32;
        for ((id, layout), offset) in order.iter().zip(&layouts).zip(&arena.offsets) {
            words.extend(self.tensor_words(*id, layout, *offset));
        }
        for step in &self.steps {
            let start = words.len();
            words.extend([step.opcode, new_index(step.inputs[0]), new_index(step.inputs[1])]);
            words.push(new_index(step.output));
            words.extend(&step.words);
            words.resize(start + RECORD_WORDS, 0);
        }
        let inputs = inputs.iter().map(|id| self.tensors[id.0].quantization).collect();
        self.constants.resize(self.constants.len().next_multiple_of(ALIGNMENT), 0);
        Lowered {
            plan: bytemuck::cast_slice(&words).to_vec(),
            weights: self.constants,
            head,
            inputs,
            names: self.steps.iter().map(|step| step.name.clone()).collect(),
            macs: self.steps.iter().map(|step| step.macs).collect(),
        }
    }

    /// Inputs first, then every tensor some step touches.
    fn order(&self, inputs: &[TensorId]) -> Vec<TensorId> {
        let mut order = inputs.to_vec();
        for step in &self.steps {
            for id in step.inputs.into_iter().chain([step.output]) {
                if !order.contains(&id) {
                    order.push(id);
                }
            }
        }
        order
    }

    fn layout(&self, id: TensorId) -> Layout {
        let spec = &self.tensors[id.0];
        let [height, width, channels] = spec.extent;
        Layout::packed(height, width, channels, spec.halo, spec.element)
    }

    /// Lifetimes in steps: inputs live from before the first, the output beyond the last.
    fn lifetimes(&self, order: &[TensorId], layouts: &[Layout], output: TensorId) -> (Vec<Lifetime>, usize) {
        let end = self.steps.len();
        let mut scratch = 0;
        let mut lifetimes = Vec::new();
        for (id, layout) in order.iter().zip(layouts) {
            let touches = self
                .steps
                .iter()
                .enumerate()
                .filter(|(_, step)| step.output == *id || step.inputs.contains(id));
            let indices: Vec<usize> = touches.map(|(index, _)| index).collect();
            let written = self.steps.iter().position(|step| step.output == *id);
            let first = written.unwrap_or(0);
            let last = if *id == output { end } else { indices.last().copied().unwrap_or(0) };
            lifetimes.push(Lifetime { bytes: layout.bytes(), first, last });
            scratch = scratch.max(Plan::scratch_bytes(layout.channels));
        }
        let global = [candor_core::ops::GlobalAverage::OPCODE, candor_core::ops::GroupNorm::OPCODE];
        let needed = self.steps.iter().any(|step| global.contains(&step.opcode));
        (lifetimes, if needed { scratch } else { 0 })
    }

    fn tensor_words(&self, id: TensorId, layout: &Layout, offset: usize) -> [u32; 12] {
        let spec = &self.tensors[id.0];
        [
            offset as u32,
            layout.height as u32,
            layout.width as u32,
            layout.channels as u32,
            layout.halo.top as u32,
            layout.halo.left as u32,
            layout.halo.bottom as u32,
            layout.halo.right as u32,
            layout.row_stride as u32,
            u32::from(layout.element == Element::Accumulator),
            u32::from(spec.quantization.zero_point),
            Scale::new(spec.quantization.scale).to_bits(),
        ]
    }
}
