//! A U-Net whose encoder is made of inverted residuals (MobileNetV2, Sandler et al. 2018).

use super::graph::{Graph, Layer, Norm};
use super::unet::block;

/// Channels inside an inverted residual per channel outside.
const EXPANSION: usize = 4;

/// What a mobile U-Net is; always with batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileShape {
    /// Channels of the image.
    pub inputs: usize,
    /// Logits per pixel, background first.
    pub classes: usize,
    /// Times the image is halved.
    pub depth: usize,
    /// Channels at full resolution, half as many again at every halving.
    pub channels: usize,
}

/// A 3×3 stem, per level an inverted residual of stride 2 and one of stride 1; a plain decoder.
#[must_use]
pub fn mobile_unet(shape: MobileShape) -> Graph {
    let width = |level: usize| (0..level).fold(shape.channels, |width, _| width * 3 / 2);
    let mut graph = Graph::new(shape.inputs);
    let mut x = graph.convolution("stem", 0, shape.channels, 3, Norm::Batch);
    let mut skips = Vec::new();
    for level in 0..shape.depth {
        skips.push(x);
        x = inverted_residual(&mut graph, &format!("down{level}.reduce"), x, width(level + 1), 2);
        x = inverted_residual(&mut graph, &format!("down{level}.refine"), x, width(level + 1), 1);
    }
    for level in (0..shape.depth).rev() {
        let doubled = graph.same(format!("double{level}"), Layer::Double, x);
        x = graph.concat(format!("join{level}"), &[doubled, skips[level]]);
        x = block(&mut graph, &format!("up{level}"), x, width(level), Norm::Batch);
    }
    let head = graph.head("head", x, shape.classes);
    graph.outputs = vec![head];
    graph
}

/// 1×1 up to four times the channels, depthwise 3×3, 1×1 down without ReLU; added to its input where shapes
/// allow.
fn inverted_residual(graph: &mut Graph, name: &str, x: usize, channels: usize, stride: usize) -> usize {
    let wide = graph.channels(x) * EXPANSION;
    let expanded = graph.convolution(&format!("{name}.expand"), x, wide, 1, Norm::Batch);
    let filtered = graph.same(format!("{name}.depthwise"), Layer::Depthwise { stride }, expanded);
    let filtered = graph.normalise(&format!("{name}.depthwise"), filtered, Norm::Batch, true);
    let project = format!("{name}.project");
    let layer = Layer::Convolution { kernel: 1, stride: 1, bias: false };
    let projected = graph.push(project.as_str(), layer, &[filtered], channels);
    let projected = graph.normalise(&project, projected, Norm::Batch, false);
    if stride == 1 && graph.channels(x) == channels {
        return graph.push(format!("{name}.add"), Layer::Add, &[x, projected], channels);
    }
    projected
}
