//! ONNX import: a model file in, the typed [`crate::network::Network`] out, or every reason why not.
//!
//! The file is hostile until proven otherwise: every length and count is checked and bounded before memory
//! is taken, nothing in it drives recursion, no other file is opened. An operator is accepted only where
//! its version and every attribute are understood; shapes are static, shape arithmetic is folded on the
//! way.

mod call;
mod catalog;
mod element;
mod fold;
mod importer;
mod model;
mod ops;
mod order;
mod problem;
mod simplify;
mod tensor;
pub mod wire;

#[cfg(test)]
mod tests;

pub use element::Element;
pub use problem::{ImportErrors, Problem};
pub use simplify::simplify;
pub use tensor::{NamedTensor, read_tensor};

use crate::network::{Coordinates, Network, Tensor};

/// Choices the file leaves open.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Height and width, in pixels, of 4-axis inputs whose file leaves them symbolic. A symbolic batch is
    /// 1.
    pub input_size: Option<[usize; 2]>,
    /// Coordinates of linear Upsample and Resize before operator set 11, where the file cannot state them.
    /// Default: asymmetric, as ONNX Runtime does.
    pub resize_coordinates: Option<Coordinates>,
    /// Refuse a graph input whose batch is fixed above 1.
    pub require_batch_one: bool,
    /// Graph inputs, by name, to take as constants of these values (for example a shape given as an input).
    pub fixed_inputs: Vec<(String, Tensor)>,
}

/// Something about an imported model its user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Node, input or output name in the file.
    pub node: String,
    /// What to know.
    pub text: String,
}

/// An imported model.
#[derive(Debug, Clone)]
pub struct Import {
    /// The typed network, not yet simplified.
    pub network: Network,
    /// ONNX operator set version of the file.
    pub opset: i64,
    /// Name and version of the tool that wrote the file.
    pub producer: String,
    /// What to know about the import.
    pub notes: Vec<Note>,
}

/// Imports an ONNX model file (IR versions 3 to 13, operator sets 7 to 26; onnx.ai/onnx/repo-docs/IR.html).
///
/// # Errors
/// Every problem found, each naming the node, attribute and remedy; problems that only follow from another
/// are left out.
pub fn import(bytes: &[u8], options: &ImportOptions) -> Result<Import, ImportErrors> {
    importer::import(bytes, options)
}
