//! The float model as a baseline: same preprocessing, same geometry, f32 arithmetic.

use crate::execute;
use crate::network::{Network, Op, Tensor, Unary, ValueId};
use candor::geometry::nearest;
use candor::preprocess::Preprocessor;
use candor::{FrameView, Session};
use candor_core::arithmetic::Scale;
use candor_core::package::Geometry;

/// A float network with the package's preprocessing.
pub(super) struct Baseline<'a> {
    network: &'a Network,
    logits: ValueId,
    preprocessor: Preprocessor,
    shape: Vec<usize>,
}

impl<'a> Baseline<'a> {
    /// The baseline of a session; only resized geometry is supported.
    pub(super) fn new(network: &'a Network, session: &Session<'_>) -> Result<Self, Vec<String>> {
        let line = |error: candor::Error| vec![error.to_string()];
        let settings = session.package().preprocess().map_err(|e| line(e.into()))?;
        if settings.geometry != Geometry::Resize {
            return Err(vec!["--float compares packages that resize frames, not ones that tile".into()]);
        }
        let tensor = session.plan().tensor(0).map_err(|e| line(e.into()))?;
        let preprocessor = Preprocessor::new(settings, tensor.layout, Scale::new(1.0), 0).map_err(line)?;
        let shape = network.inputs.first().map(|&id| network.values[id].shape.clone()).unwrap_or_default();
        let own = [1, tensor.layout.channels, tensor.layout.height, tensor.layout.width];
        let (Some(&output), true) = (network.outputs.first(), shape == own) else {
            return Err(vec![format!("the float model takes {shape:?}, the package {own:?}")]);
        };
        let last = network.nodes.iter().find(|node| node.output == output);
        let stripped = last.filter(|node| {
            matches!(node.op, Op::Unary(Unary::Sigmoid) | Op::Softmax { .. } | Op::ArgMax { .. })
        });
        let logits = stripped.map_or(output, |node| node.inputs[0]);
        Ok(Self { network, logits, preprocessor, shape })
    }

    /// The float model's mask of a frame, in frame pixels.
    pub(super) fn mask(&mut self, frame: &FrameView<'_>) -> Result<Vec<u8>, Vec<String>> {
        self.preprocessor.take(frame);
        let input = Tensor::f32(self.shape.clone(), self.preprocessor.reals(frame, [0, 0]));
        let (mut logits, mut extent) = (Vec::new(), [1, 1, 1]);
        execute::run(self.network, &[input], &mut |value, tensor| {
            if value == self.logits {
                logits = tensor.as_f32().unwrap_or_default().to_vec();
                if let [_, c, h, w] = tensor.shape[..] {
                    extent = [c, h, w];
                }
            }
        })
        .map_err(|error| vec![error.to_string()])?;
        let [channels, height, width] = extent;
        let label = |at: usize| {
            if channels == 1 {
                return u8::from(logits[at] > 0.0);
            }
            let value = |c: usize| logits[c * height * width + at];
            (1..channels).fold(0, |best, c| if value(c) > value(best) { c } else { best }) as u8
        };
        let mut mask = Vec::with_capacity(frame.height * frame.width);
        for y in 0..frame.height {
            let row = nearest(y, frame.height, height) * width;
            mask.extend((0..frame.width).map(|x| label(row + nearest(x, frame.width, width))));
        }
        Ok(mask)
    }
}
