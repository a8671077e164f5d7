//! Import of hand-assembled models; `corpus` runs the public operator cases, `hostile` breaks files.

mod corpus;
mod hostile;
mod operators;
mod structure;
pub(super) mod writer;

use super::{Import, ImportErrors, ImportOptions, import};
use crate::execute;
use crate::network::{Network, Op, Tensor};

/// Imports with default options.
fn load(bytes: &[u8]) -> Result<Import, ImportErrors> {
    import(bytes, &ImportOptions::default())
}

/// The messages of a refused model, one per line.
fn refusal(bytes: &[u8]) -> String {
    load(bytes).expect_err("the model must be refused").to_string()
}

/// The operators of a network, in order.
fn ops(network: &Network) -> Vec<Op> {
    network.nodes.iter().map(|node| node.op.clone()).collect()
}

/// Runs a network on one input and returns its first output.
fn run(network: &Network, input: Tensor) -> Tensor {
    let mut outputs = execute::run(network, &[input], &mut |_, _| {}).expect("the network runs");
    outputs.remove(0)
}

/// Small whole numbers, so that float arithmetic on them is exact.
pub(super) fn ramp(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::f32(shape.to_vec(), (0..count).map(|index| (index * 7 % 11) as f32 - 5.0).collect())
}
