//! A small image classifier whose embedding and layers can be looked at.

use super::graph::{Graph, Layer, Norm};

/// Name of the node that holds the embedding, `[N,D,1,1]`.
pub const EMBEDDING: &str = "embedding";

/// What a classifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassifierShape {
    /// Channels of the image.
    pub inputs: usize,
    /// Logits per image.
    pub classes: usize,
    /// Times the image is halved.
    pub depth: usize,
    /// Channels at full resolution, doubled at every halving.
    pub channels: usize,
}

/// Per level a 3×3 convolution, batch norm, ReLU and max-pooling; then one more, the mean over the image (the
/// embedding) and a linear head. Outputs: embedding, logits.
#[must_use]
pub fn classifier(shape: ClassifierShape) -> Graph {
    let mut graph = Graph::new(shape.inputs);
    let mut x = 0;
    for level in 0..shape.depth {
        x = graph.convolution(&format!("level{level}"), x, shape.channels << level, 3, Norm::Batch);
        x = graph.same(format!("pool{level}"), Layer::Halve, x);
    }
    x = graph.convolution("last", x, shape.channels << shape.depth, 3, Norm::Batch);
    let embedding = graph.same(EMBEDDING, Layer::GlobalMean, x);
    let head = graph.head("head", embedding, shape.classes);
    graph.outputs = vec![embedding, head];
    graph
}
