//! U-Nets (Ronneberger et al. 2015): one, two in a row (W-Net, Galdran et al. 2022), one with several heads.

use super::graph::{Graph, Layer, Norm};

/// What a U-Net is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnetShape {
    /// Channels of the image.
    pub inputs: usize,
    /// Logits per pixel, background first.
    pub classes: usize,
    /// Times the image is halved.
    pub depth: usize,
    /// Channels at full resolution, doubled at every halving.
    pub channels: usize,
    /// Between the convolutions.
    pub norm: Norm,
}

/// 3×3 convolution, norm and ReLU twice per level, max-pooling down, doubling up, skips concatenated.
#[must_use]
pub fn unet(shape: UnetShape) -> Graph {
    let mut graph = Graph::new(shape.inputs);
    let trunk = trunk(&mut graph, "", 0, shape);
    let head = graph.head("head", trunk, shape.classes);
    graph.outputs = vec![head];
    graph
}

/// Two U-Nets, the second reading the image beside the first one's logits; both logits are outputs, the
/// second's last, and training adds the losses of both (Galdran et al. 2022, "State-of-the-art retinal
/// vessel segmentation with minimalistic models"). With depth 2 and 8 channels it has fewer than 70,000
/// trained values, as theirs.
#[must_use]
pub fn wnet(shape: UnetShape) -> Graph {
    let mut graph = Graph::new(shape.inputs);
    let first = trunk(&mut graph, "first.", 0, shape);
    let coarse = graph.head("first.head", first, shape.classes);
    let joined = graph.concat("second.input", &[0, coarse]);
    let second = trunk(&mut graph, "second.", joined, shape);
    let head = graph.head("head", second, shape.classes);
    graph.outputs = vec![coarse, head];
    graph
}

/// One U-Net with a head per task: (name, classes) each.
#[must_use]
pub fn multi_task_unet(shape: UnetShape, tasks: &[(&str, usize)]) -> Graph {
    let mut graph = Graph::new(shape.inputs);
    let trunk = trunk(&mut graph, "", 0, shape);
    graph.outputs =
        tasks.iter().map(|(name, classes)| graph.head(&format!("head.{name}"), trunk, *classes)).collect();
    graph
}

/// Everything but the head; node names start with `prefix`.
fn trunk(graph: &mut Graph, prefix: &str, input: usize, shape: UnetShape) -> usize {
    let width = |level: usize| shape.channels << level;
    let mut x = input;
    let mut skips = Vec::new();
    for level in 0..shape.depth {
        x = block(graph, &format!("{prefix}down{level}"), x, width(level), shape.norm);
        skips.push(x);
        x = graph.same(format!("{prefix}pool{level}"), Layer::Halve, x);
    }
    x = block(graph, &format!("{prefix}bottom"), x, width(shape.depth), shape.norm);
    for level in (0..shape.depth).rev() {
        let doubled = graph.same(format!("{prefix}double{level}"), Layer::Double, x);
        x = graph.concat(format!("{prefix}join{level}"), &[doubled, skips[level]]);
        x = block(graph, &format!("{prefix}up{level}"), x, width(level), shape.norm);
    }
    x
}

/// Two convolutions at one resolution.
pub(super) fn block(graph: &mut Graph, name: &str, x: usize, channels: usize, norm: Norm) -> usize {
    let x = graph.convolution(&format!("{name}.first"), x, channels, 3, norm);
    graph.convolution(&format!("{name}.second"), x, channels, 3, norm)
}
