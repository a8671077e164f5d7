//! Operators that join two or more tensors: addition, product, concatenation.

use super::builder::TensorId;
use super::{Lowering, Outcome, Refusal, refuse};
use crate::network::{Binary, Node, ValueId};
use crate::quantize::Quantization;
use candor_core::arithmetic::Multiplier;
use candor_core::ops::add::FACTOR_LIMIT;
use candor_core::ops::{Add, CopyChannels, Multiply, Remap};

impl Lowering<'_> {
    pub(super) fn binary(&mut self, _: usize, node: &Node, function: Binary) -> Outcome {
        let inputs = [self.tensor(node.inputs[0])?, self.tensor(node.inputs[1])?];
        let (value, bounds) = self.clamp_after(node.output);
        match function {
            Binary::Add | Binary::Sub => self.sum(node, inputs, function, value, bounds),
            Binary::Mul => self.product(node, inputs, value, bounds),
            _ => refuse(
                "only +, − and · of two tensors have an integer form here",
                "replace max, min, division or power of two tensors in the network",
            ),
        }
    }

    fn sum(
        &mut self,
        node: &Node,
        inputs: [TensorId; 2],
        function: Binary,
        value: ValueId,
        bounds: [f32; 2],
    ) -> Outcome {
        let target = self.quantization(value)?;
        let extent = self.extent(value)?;
        let inputs =
            [self.stretched(&node.name, inputs[0], extent)?, self.stretched(&node.name, inputs[1], extent)?];
        let scales = inputs.map(|id| self.builder.quantization(id).scale);
        let greatest = scales[0].max(scales[1]);
        let unit = FACTOR_LIMIT as f32;
        let factor = |scale: f32| (f64::from(scale) / f64::from(greatest) * f64::from(unit)).round() as i32;
        let sign = if function == Binary::Sub { -1 } else { 1 };
        let multiplier = Multiplier::new(greatest / unit / target.scale);
        let codes = Self::code_bounds(target, bounds);
        let words = vec![
            factor(scales[0]) as u32,
            (sign * factor(scales[1])) as u32,
            multiplier.to_bits(),
            codes[0],
            codes[1],
        ];
        let output = self.builder.tensor(extent, target);
        self.builder.step(&node.name, Add::OPCODE, inputs, output, words);
        self.bind(value, output);
        Ok(())
    }

    fn product(&mut self, node: &Node, inputs: [TensorId; 2], value: ValueId, bounds: [f32; 2]) -> Outcome {
        let target = self.quantization(value)?;
        let extent = self.extent(value)?;
        let mut inputs = inputs;
        if self.builder.extent(inputs[0]) != extent {
            inputs.swap(0, 1);
        }
        inputs[0] = self.stretched(&node.name, inputs[0], extent)?;
        let scales = inputs.map(|id| self.builder.quantization(id).scale);
        let multiplier = Multiplier::from_scales(scales[0], scales[1], target.scale);
        let codes = Self::code_bounds(target, bounds);
        let output = self.builder.tensor(extent, target);
        let words = vec![multiplier.to_bits(), codes[0], codes[1]];
        self.builder.step(&node.name, Multiply::OPCODE, inputs, output, words);
        self.bind(value, output);
        Ok(())
    }

    /// `tensor` repeated over the image where its spatial extent is 1.
    pub(super) fn stretched(
        &mut self,
        name: &str,
        tensor: TensorId,
        extent: [usize; 3],
    ) -> Result<TensorId, Refusal> {
        let own = self.builder.extent(tensor);
        if own == extent {
            return Ok(tensor);
        }
        let spatial = (0..2).all(|axis| own[axis] == extent[axis] || own[axis] == 1);
        if !spatial || own[2] != extent[2] {
            return refuse(
                format!("broadcasts {own:?} to {extent:?} (height, width, channels)"),
                "repeat channels explicitly before this operator",
            );
        }
        let map = |axis: usize| -> Vec<u16> {
            (0..extent[axis]).map(|i| if own[axis] == 1 { 0 } else { i as u16 }).collect()
        };
        let words = vec![self.builder.constant(&map(0)), self.builder.constant(&map(1)), 0];
        let quantization = self.builder.quantization(tensor);
        let output = self.builder.tensor(extent, quantization);
        self.builder.step(name, Remap::OPCODE, [tensor; 2], output, words);
        Ok(output)
    }

    pub(super) fn concat(&mut self, node: &Node, axis: usize) -> Outcome {
        let extent = self.extent(node.output)?;
        if axis != 1 {
            return refuse(format!("joins along axis {axis}"), "concatenate channels (axis 1) only");
        }
        let target = self.quantization(node.output)?;
        let output = self.builder.tensor(extent, target);
        let mut to = 0;
        for &input in &node.inputs {
            let tensor = self.tensor(input)?;
            let count = self.builder.extent(tensor)[2];
            let table = self.rescale_table(self.builder.quantization(tensor), target);
            let table = table.map_or(CopyChannels::NO_TABLE, |table| self.builder.constant(&table));
            let words = vec![0, to as u32, count as u32, table];
            self.builder.step(&node.name, CopyChannels::OPCODE, [tensor; 2], output, words);
            to += count;
        }
        self.bind(node.output, output);
        Ok(())
    }

    /// The table from codes of `from` to codes of `to`; `None` when they are the same.
    pub(super) fn rescale_table(&self, from: Quantization, to: Quantization) -> Option<Vec<u8>> {
        (from != to).then(|| (0..=255).map(|code| to.code(from.real(code))).collect())
    }
}
